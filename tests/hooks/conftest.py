"""A migrated database that these tests share, emptied of endpoints for each, and a receiver."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import text

from backend.local.postgres import Postgres
from backend.store.database import Database
from tests.hooks.receiver import Receiver, receiving


@pytest.fixture(scope="session")
def shared_database(postgres_server: Postgres) -> Iterator[Database]:
    with psycopg.connect(postgres_server.url(), autocommit=True) as admin:
        admin.execute("CREATE DATABASE webhooks")
        made = Database(postgres_server.url("webhooks"))
        made.migrate()
        yield made
        made.close()
        admin.execute("DROP DATABASE webhooks WITH (FORCE)")


@pytest.fixture
def database(shared_database: Database) -> Iterator[Database]:
    yield shared_database
    with shared_database.begin() as connection:
        connection.execute(text("DELETE FROM webhook_endpoints"))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made
