"""A migrated database that these tests share, emptied of endpoints for each, and a receiver."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import text

from backend.store.database import Database
from tests.conftest import DatabaseOpener
from tests.hooks.receiver import Receiver, receiving


@pytest.fixture(scope="session")
def shared_database(open_database: DatabaseOpener) -> Iterator[Database]:
    with open_database() as made:
        yield made


@pytest.fixture
def database(shared_database: Database) -> Iterator[Database]:
    yield shared_database
    with shared_database.begin() as connection:
        connection.execute(text("DELETE FROM webhook_endpoints"))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made
