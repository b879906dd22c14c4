"""A migrated database of the test's own, and rows to fill it."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from backend.local.postgres import Postgres
from backend.store.database import Database


@pytest.fixture
def database(migrated_url: str) -> Iterator[Database]:
    made = Database(migrated_url)
    yield made
    made.close()


@pytest.fixture(scope="module")
def module_database(
    postgres_server: Postgres, request: pytest.FixtureRequest
) -> Iterator[Database]:
    """A migrated database that the tests of one module share."""
    name = request.module.__name__.rpartition(".")[2]
    with psycopg.connect(postgres_server.url(), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        made = Database(postgres_server.url(name))
        made.migrate()
        yield made
        made.close()
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
