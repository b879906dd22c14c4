"""A chain with a deployment, and a migrated database of the test's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from backend.indexer import Indexer
from backend.local.anvil import Anvil
from backend.store.database import Database
from tests.conftest import AnvilFactory, DatabaseFactory
from tests.indexer.world import LABELS, World

MakeDatabase = Callable[[], Database]


@pytest.fixture
def make_database(new_database: DatabaseFactory, migrated: str) -> Iterator[MakeDatabase]:
    """Migrated databases, closed at the end."""
    with ExitStack() as stack:

        def make() -> Database:
            database = Database(new_database(migrated))
            stack.callback(database.close)
            return database

        yield make


@pytest.fixture
def database(make_database: MakeDatabase) -> Database:
    return make_database()


@pytest.fixture
def chain(anvil_factory: AnvilFactory, tmp_path: Path) -> Iterator[Anvil]:
    """A chain of the test's own that saves its state: it is reorganised, killed, reloaded."""
    started = anvil_factory(state=tmp_path / "state", log=tmp_path / "anvil.log")
    yield started
    started.stop(save=False)


@pytest.fixture
def world(chain: Anvil, tmp_path: Path) -> Iterator[World]:
    made = World(chain.url, tmp_path)
    yield made
    made.rpc.close()


@pytest.fixture
def indexer(world: World, database: Database) -> Indexer:
    return Indexer(world.rpc, world.deployment, database, labels=LABELS)
