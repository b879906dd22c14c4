"""Fixtures of every test: real Postgres, NATS and Anvil, and the rule that each test is marked.

`database_url` is a fresh database per test; `new_database(template=None)` makes more of them;
`anvil` is one chain per module; `anvil_factory(chain_id=…)` starts further ones. The servers are
started when a test first asks for them and die with the test process even when it is killed.
"""

from __future__ import annotations

import atexit
import itertools
import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NoReturn

import hypothesis
import psycopg
import pytest
import structlog
from xdist.scheduler import LoadScopeScheduling

from backend.local import binaries
from backend.local.anvil import Anvil
from backend.local.nats import Nats
from backend.local.postgres import Postgres, temporary_home
from backend.store.database import Database
from tests.exchange.market import Market
from tests.shared_data import shared_data_directory

# A server's thread may log a moment after its test has ended: into no capture that is closed then.
structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.__stderr__))

# Processes of a parallel run are told a width, which would hold for all that is printed.
for _size in ("COLUMNS", "LINES"):
    os.environ.pop(_size, None)

# No test may fail because a machine was busy.
hypothesis.settings.register_profile(
    "causeway", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("causeway")

KINDS = ("unit", "contract", "integration", "system")

AnvilFactory = Callable[..., Anvil]
DatabaseFactory = Callable[..., str]
DatabaseOpener = Callable[..., AbstractContextManager[Database]]


#: Long and mostly waiting: handed out first, so that the cores are busy to the end.
_FIRST = ("tests/system/test_chaos", "tests/contracts/test_solidity", "tests/bridge/test_chaos")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Parallel runs (`-n`) begin with what takes longest."""
    if hasattr(config, "workerinput"):
        items.sort(key=_turn)


class _ByFile(LoadScopeScheduling):
    """A file's tests go to one process, and all that use the running system to one."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = nodeid.partition("::")[0]
        return "the running system" if _uses_running_system(file) else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _ByFile:
    return _ByFile(config, log)


def _uses_running_system(file: str) -> bool:
    return file.startswith("tests/system/") and "chaos" not in file


def _turn(item: pytest.Item) -> int:
    if item.nodeid.startswith(_FIRST):
        return 0
    return 1 + KINDS[::-1].index(_kind(item))


def _kind(item: pytest.Item) -> str:
    return next((kind for kind in KINDS if item.get_closest_marker(kind)), "unit")


@pytest.fixture(autouse=True)
def _one_kind_and_no_sockets_in_unit_tests(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fail a test without a marker of its kind; a unit test that opens a connection fails."""
    kinds = [kind for kind in KINDS if request.node.get_closest_marker(kind)]
    if not kinds:
        pytest.fail(f"{request.node.nodeid} is not marked as one of {', '.join(KINDS)}")
    if "unit" in kinds:

        def refuse(self: socket.socket, address: object) -> NoReturn:
            raise AssertionError(f"a unit test opened a connection to {address!r}")

        monkeypatch.setattr(socket.socket, "connect", refuse)
        monkeypatch.setattr(socket.socket, "connect_ex", refuse)


@pytest.fixture(scope="session")
def service_home() -> Iterator[Path]:
    """Directory of the session's servers, removed at its end."""
    home = temporary_home("causeway-tests-")
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    yield home
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server(service_home: Path) -> Iterator[Postgres]:
    """The session's Postgres, without fsync: `.url(database)`, `.port`, `.stop()`, `.start()`."""
    server = Postgres(service_home, log=service_home / "postgres.log", durable=False)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def nats_url(service_home: Path) -> Iterator[str]:
    """URL (with token) of the session's NATS. Use subjects of your own."""
    server = Nats(service_home, log=service_home / "nats.log")
    server.start()
    yield server.url
    server.stop()


_database_numbers = itertools.count(1)


@pytest.fixture
def new_database(postgres_server: Postgres) -> Iterator[DatabaseFactory]:
    """Make databases that live as long as the test: `new_database(template=None) -> url`."""
    made: list[str] = []
    with psycopg.connect(postgres_server.url(), autocommit=True) as connection:

        def make(template: str | None = None) -> str:
            name = f"test_{os.getpid()}_{next(_database_numbers)}"
            source = f" TEMPLATE {template}" if template else ""
            connection.execute(f"CREATE DATABASE {name}{source}")
            made.append(name)
            return postgres_server.url(name)

        yield make
        for name in made:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database_url(new_database: DatabaseFactory) -> str:
    """libpq URL of an empty database of this test."""
    return new_database()


@pytest.fixture(scope="session")
def migrated(postgres_server: Postgres) -> str:
    """Name of a migrated database to copy: quicker than to migrate each test's own."""
    name = f"migrated_{os.getpid()}"
    with psycopg.connect(postgres_server.url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    database = Database(postgres_server.url(name))
    database.migrate()
    database.close()
    return name


@pytest.fixture(scope="session")
def open_database(postgres_server: Postgres, migrated: str) -> DatabaseOpener:
    """A migrated database for longer than a test: `with open_database(pool_size=20) as made`."""

    @contextmanager
    def opened(**options: Any) -> Iterator[Database]:
        name = f"shared_{os.getpid()}_{next(_database_numbers)}"
        with psycopg.connect(postgres_server.url(), autocommit=True) as admin:
            admin.execute(f"CREATE DATABASE {name} TEMPLATE {migrated}")
            made = Database(postgres_server.url(name), **options)
            try:
                yield made
            finally:
                made.close()
                admin.execute(f"DROP DATABASE {name} WITH (FORCE)")

    return opened


@pytest.fixture
def migrated_url(new_database: DatabaseFactory, migrated: str) -> str:
    """libpq URL of a migrated database of this test."""
    return new_database(migrated)


@pytest.fixture
def database(migrated_url: str) -> Iterator[Database]:
    """A migrated database of this test."""
    made = Database(migrated_url)
    yield made
    made.close()


_venue_chains = itertools.count(1)


@pytest.fixture
def market(migrated_url: str, nats_url: str) -> Iterator[Market]:
    """A venue of the test's own: a migrated database with an index, subjects nobody else uses."""
    made = Market(migrated_url, nats_url, 5_000_000 + os.getpid() * 100 + next(_venue_chains))
    made.open_index()
    yield made
    made.close()


@pytest.fixture(scope="session")
def anvil_binary() -> Path:
    """The Anvil program."""
    return binaries.anvil(binaries.project_root())


@pytest.fixture(scope="module")
def anvil_factory(service_home: Path) -> Iterator[AnvilFactory]:
    """Start chains that live as long as the module: `anvil_factory(**options of Anvil) -> Anvil`.

    A chain has `.url`, `.port`, `.chain_id`, `.rpc(method, *params)`, `.start()`, `.stop()`.
    """
    started: list[Anvil] = []

    def start(**options: Any) -> Anvil:
        options.setdefault("log", service_home / f"anvil-{len(started)}.log")
        chain = Anvil(**options)
        chain.start()
        started.append(chain)
        return chain

    yield start
    for chain in started:
        chain.stop(save=False)


@pytest.fixture(scope="module")
def anvil(anvil_factory: AnvilFactory) -> Anvil:
    """A fresh chain (id 31337) of this module, on a free port."""
    return anvil_factory()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Directory of real registry exports; tests that use it carry `requires_shared_data`."""
    return shared_data_directory()
