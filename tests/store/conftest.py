"""A migrated database of the test's own, and rows to fill it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from backend.store.database import Database


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    made = Database(database_url)
    made.migrate()
    yield made
    made.close()
