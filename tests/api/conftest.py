"""One database with a rich past for all tests that only read, and a client of the API over it."""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
import structlog
import uvicorn
from fastapi import FastAPI

from backend.api.app import create_app
from backend.domain.duplicates import REGISTRY, Key, Listing, assess
from backend.domain.retirements import RetirementDetails
from backend.domain.serials import Interval, Series
from backend.settings import Settings
from backend.store.database import Database
from backend.store.duplicates import decide, save_cases
from tests.api.history import History, address, hash_of, make_class, random_confirmation
from tests.conftest import DatabaseOpener

NEW, OLD = Series("VCS", (2,)), Series("VCS", (1,))

#: What strangers write: markup, right to left with overrides, emoji, quotes.
HOSTILE = RetirementDetails(
    '<script>alert("x")</script>', "\u202eمنفعة <b>&amp;</b> 🌍", "2026' onload='x"
)
SECRET = RetirementDetails("A private house", "Flights", "2025", salt=bytes([7]) * 32)


#: No chain and no bus, whatever this machine's environment says.
ALONE = Settings(database_url=None, nats_url=None, chain_url=None)


@pytest.fixture(autouse=True, scope="session")
def _quiet() -> Iterator[None]:
    """A line per request would drown the test run; what is a warning is still shown."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    yield
    structlog.reset_defaults()


@dataclass(frozen=True)
class World:
    """The past that the read-only tests share, and names of what is in it."""

    database: Database
    history: History
    holder: str
    plain: int
    hostile: int
    secret: int
    confirmed: int
    class_id: int
    minted_receipt: str
    drafted_receipt: str
    import_id: int
    case_id: int


@pytest.fixture(scope="session")
def world(open_database: DatabaseOpener) -> Iterator[World]:
    with open_database(pool_size=20) as database:
        yield _build(database)


def _build(database: Database) -> World:
    history, chance = History(database), random.Random(1)
    accounts = [address(number) for number in range(1, 6)]
    for account in accounts:
        history.admit(account)
    history.admit(address(6), expiry=1)
    history.admit(address(7))
    history.freeze(address(7))
    classes = [make_class(number, ("ccp",) if number % 2 else ()) for number in range(6)]
    for credit_class in classes:
        for account in accounts[:3]:
            lots = [history.lot(NEW, chance.randint(2, 6)), history.lot(OLD, 3)]
            history.mint(credit_class, account, lots)
    first, holder = classes[0], accounts[0]
    blocks = [history.lot(NEW, 10), history.lot(NEW, 20), history.lot(NEW, 30)]
    history.import_blocks(first, [*blocks, history.lot(OLD, 5)])
    import_id = history.import_blocks(first, [history.lot(OLD, 7)], unmapped=["Unheard of"])
    history.import_blocks(classes[1], [history.lot(OLD, 9)], status="retired")
    minted = history.mint(first, holder, blocks[:1])
    history.custody(first, blocks[:1], minted, "minted", holder)
    drafted = hash_of("drafted", 1)
    middle = Interval(NEW, blocks[1].first + 5, blocks[1].last - 5)
    history.custody(first, [middle], drafted)
    class_id = first.token_id
    plain = history.retire(holder, class_id, 1500)
    confirmed = history.retire(holder, class_id, 2000)
    position = max(history.classes[class_id].certificates[-1].taken)
    history.confirm(class_id, position - 1, [Interval(NEW, blocks[0].first, blocks[0].first + 1)])
    hostile = history.retire(holder, class_id, 777, details=HOSTILE)
    secret = history.retire(holder, class_id, 1250, owner=accounts[3], details=SECRET)
    for _ in range(40):
        account, credit_class = chance.choice(accounts), chance.choice(classes[1:])
        held = history.held[account, credit_class.token_id]
        if held:
            history.transfer(
                account, chance.choice(accounts), credit_class.token_id, chance.randint(1, held)
            )
        held = history.held[account, credit_class.token_id]
        if held:
            history.retire(account, credit_class.token_id, chance.randint(1, held))
        random_confirmation(history, credit_class.token_id, chance)
    history.save()
    return World(
        database,
        history,
        holder,
        plain,
        hostile,
        secret,
        confirmed,
        class_id,
        minted,
        drafted,
        import_id,
        duplicate_case(database),
    )


def duplicate_case(database: Database) -> int:
    """A case that a person has decided, of two listings whose names are hostile."""
    left, right = (
        Listing(
            Key(REGISTRY, programme, "77"),
            names=("<b>hills</b> wind farm at jodha",),
            countries=("IN",),
            methodologies=("ACM0002",),
            categories=("renewable-energy",),
        )
        for programme in ("GS", "VCS")
    )
    with database.begin() as connection:
        (case_id,) = save_cases(connection, [assess(left, right)])
        decide(connection, case_id, "duplicate", "the registrar", "one <i>project</i>", "GS-77")
    return case_id


@contextlib.contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """The app on a free port of this machine, as production serves it; yields its address."""
    config = uvicorn.Config(app, port=0, log_level="warning", access_log=False, lifespan="on")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline = time.monotonic() + 60
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            assert time.monotonic() < deadline, "the server did not start in time"
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=60)


@contextlib.contextmanager
def asked(app: FastAPI) -> Iterator[httpx.Client]:
    """A client of the app, served as above; patient, for no answer is late on a busy machine."""
    with (
        serving(app) as url,
        httpx.Client(base_url=url, trust_env=False, timeout=60) as client,
    ):
        yield client


@pytest.fixture(scope="session")
def api_url(world: World) -> Iterator[str]:
    """The API over the shared past, without chain and bus."""
    with serving(create_app(ALONE, database=world.database)) as url:
        yield url


@pytest.fixture(scope="session")
def client(api_url: str) -> Iterator[httpx.Client]:
    """A client of that API."""
    with httpx.Client(base_url=api_url, trust_env=False, timeout=60) as client:
        yield client
