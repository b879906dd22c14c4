"""A migrated database of the test's own, and rows to fill it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from backend.store.database import Database
from tests.conftest import DatabaseOpener


@pytest.fixture(scope="module")
def module_database(open_database: DatabaseOpener) -> Iterator[Database]:
    """A migrated database that the tests of one module share."""
    with open_database() as made:
        yield made
