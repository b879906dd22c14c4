"""The sequencer: acknowledged orders a second over NATS, recovery, commits beside a bare COPY."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import psycopg
import uvloop

from backend.bus.client import Bus
from backend.bus.leader_client import LeaderClient
from backend.bus.venue_messages import encode_record
from backend.chain.keys import address_of, named_key, sign_digest
from backend.chain.signatures import Verifier
from backend.domain.commands import (
    Command,
    CreditDeposit,
    ListAsset,
    ListClass,
    OpenVenue,
    PlaceOrder,
    SetFees,
    SetParticipant,
    StartEpoch,
    encode_command,
)
from backend.domain.journal import GENESIS_HASH, Head, encode_raw, hash_entry
from backend.domain.orders import NO_DETAILS, Order, account_of, exchange_domain
from backend.domain.venue_events import encode_events
from backend.exchange.leadership import VenueConfig
from backend.exchange.recovery import Follower, catch_up
from backend.exchange.sequencer import Sequencer
from backend.local.nats import Nats
from backend.local.postgres import Postgres, temporary_home
from backend.matching import SCHEMA, Engine, dump, load
from backend.store.database import Database
from backend.store.journal import Journal, JournalRow, LeaderSession, encode_copy
from backend.store.venue_acts import register_venue

CHAIN_ID = 31_337
EXCHANGE = "0x" + "e5" * 20
DOMAIN = exchange_domain(CHAIN_ID, EXCHANGE)
KEY = bytes([9] * 32)
MONEY = 0x5157
TRADERS = 100
INSTRUMENTS = [(7 << 160) + number for number in range(1, 11)]
SINGLE = 20_000
IN_REQUESTS = 60_000
REQUEST = 50
#: Requests that are under way at once.
CONCURRENT_SINGLE = 64
CONCURRENT_REQUESTS = 8
JOURNAL_ENTRIES = 1_000_000


def trader_key(number: int) -> bytes:
    return (1_000 + number).to_bytes(32, "big")


ACCOUNTS = [account_of(address_of(trader_key(number))) for number in range(TRADERS)]


def opening() -> list[Command]:
    """A venue whose traders are admitted and rich."""
    commands: list[Command] = [
        OpenVenue(CHAIN_ID, account_of(EXCHANGE), 600, 15),
        StartEpoch(bytes(16)),
        SetFees(10, 20),
        ListAsset(1, 0, MONEY, 1),
    ]
    commands += [ListClass(1, 1 + at, one) for at, one in enumerate(INSTRUMENTS)]
    for at, account in enumerate(ACCOUNTS):
        commands.append(SetParticipant(2, at, account, 1, 2**40 - 1, 0))
    number = 0
    for account in ACCOUNTS:
        for asset in (MONEY, *INSTRUMENTS):
            number += 1
            commands.append(CreditDeposit(3, number, number, account, asset, 10**20))
    return commands


class Flow:
    """Random orders around one price; about a fifth of them trade."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._nonces = [0] * TRADERS
        self._verifier = Verifier(DOMAIN)

    def order(self, signed: bool = True, now: int | None = None) -> PlaceOrder:
        choose = self._random.randrange
        trader = choose(TRADERS)
        side = choose(2)
        at = int(time.time()) if now is None else now
        order = Order(
            ACCOUNTS[trader],
            self._nonces[trader],
            INSTRUMENTS[choose(len(INSTRUMENTS))],
            MONEY,
            side,
            1 + choose(10),
            1_000 + (choose(60) - 15 if side else 15 - choose(60)),
            100,
            at,
            at + 86_400,
            1 if choose(10) == 0 else 0,
            NO_DETAILS,
            0,
        )
        self._nonces[trader] += 1
        if not signed:
            return PlaceOrder(order, bytes(65))
        key = trader_key(trader)
        return PlaceOrder(order, sign_digest(key, self._verifier.digest(order)))

    def records(self, count: int) -> list[bytes]:
        return [encode_record(self.order()) for _ in range(count)]


class Builder:
    """Makes journal rows with an engine of its own."""

    def __init__(self) -> None:
        self.engine = Engine()
        self.head = Head(0, GENESIS_HASH)

    def rows(self, commands: Sequence[Command], now_ms: int) -> list[JournalRow]:
        made = []
        for command in commands:
            kind, payload = encode_command(command)
            events = encode_events(self.engine.apply(now_ms, command))
            entry = encode_raw(self.head.seq + 1, 1, 1, now_ms, self.head.hash, kind) + payload
            self.head = Head(self.head.seq + 1, hash_entry(entry))
            trader, nonce = (command[0].trader, command[0].nonce) if kind < 16 else (None, None)
            made.append(JournalRow(*self.head[:1], 1, entry, self.head.hash, trader, nonce,
                                   kind, events))  # fmt: skip
        return made


def prepare(url: str) -> Database:
    """A migrated database with one venue that is open and funded."""
    database = Database(url)
    database.migrate()
    with database.begin() as connection:
        register_venue(connection, 1, CHAIN_ID, EXCHANGE, "main")
    with LeaderSession(url, 1, bytes(16)) as session:
        assert session.try_lead()
        rows = Builder().rows(opening(), int(time.time() * 1000) - 60_000)
        session.append(rows)
    return database


def percentile(times: list[float], part: float) -> float:
    return round(sorted(times)[min(int(len(times) * part), len(times) - 1)] * 1000, 2)


async def _drive(
    nats_url: str, requests: list[list[bytes]], concurrent: int
) -> tuple[float, list[float]]:
    """Seconds for all requests, and each one's time."""
    bus = await Bus.connect(nats_url)
    client = await LeaderClient.open(bus, CHAIN_ID, 1)
    await client.wait_for_leader(30)
    times: list[float] = []
    waiting = iter(requests)

    async def work() -> None:
        for request in waiting:
            started = time.perf_counter()
            answers = await client.submit_encoded(request, 30)
            times.append(time.perf_counter() - started)
            assert all(one.journalled for one in answers), answers[:1]

    started = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(concurrent)))
    seconds = time.perf_counter() - started
    await client.close()
    await bus.close()
    return seconds, times


def serve(database_url: str, nats_url: str) -> None:
    """The sequencer, in a process of its own."""
    Sequencer(
        VenueConfig(CHAIN_ID, account_of(EXCHANGE), named_key("sequencer", KEY)),
        database_url,
        nats_url,
    ).run()


def _report(name: str, count: int, seconds: float, times: list[float]) -> dict[str, Any]:
    return {
        f"{name}_per_second": int(count / seconds),
        f"{name}_p50_ms": percentile(times, 0.5),
        f"{name}_p99_ms": percentile(times, 0.99),
        f"{name}_p999_ms": percentile(times, 0.999),
    }


def acknowledged(database_url: str, nats_url: str) -> dict[str, Any]:
    """Orders a second, one by one and in requests of 50, signatures checked, durable."""
    flow = Flow(1)
    single = [[one] for one in flow.records(SINGLE)]
    records = flow.records(IN_REQUESTS)
    grouped = [records[at : at + REQUEST] for at in range(0, len(records), REQUEST)]
    command = [sys.executable, __file__, "serve", database_url, nats_url]
    process = subprocess.Popen(command, env={**os.environ})
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            one = runner.run(_drive(nats_url, single, CONCURRENT_SINGLE))
            many = runner.run(_drive(nats_url, grouped, CONCURRENT_REQUESTS))
    finally:
        process.terminate()
        process.wait(30)
    return _report("orders_one_by_one", len(single), *one) | _report(
        "orders_in_requests_of_50", len(records), *many
    )


def commits(database_url: str) -> dict[str, Any]:
    """Rows a second of the journal's append in groups of 100 beside a bare COPY of the bytes."""
    entry, events = bytes(260), bytes(180)
    rows = [
        JournalRow(seq, 1, entry, bytes(32), bytes(20), seq, 1, events) for seq in range(1, 50_001)
    ]
    found = {}
    with LeaderSession(database_url, 9, bytes(16)) as session:
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("INSERT INTO venues VALUES (9, 1, '0x', 'bench')")
        assert session.try_lead()
        started = time.perf_counter()
        for at in range(0, len(rows), 100):
            session.append(rows[at : at + 100])
        found["journal_rows_per_second"] = int(len(rows) / (time.perf_counter() - started))
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE bare AS SELECT * FROM journal LIMIT 0")
        bodies = [encode_copy(9, rows[at : at + 100]) for at in range(0, len(rows), 100)]
        started = time.perf_counter()
        for body in bodies:
            with connection.cursor().copy("COPY bare FROM STDIN (FORMAT BINARY)") as copy:
                copy.write(body)
        found["bare_copy_rows_per_second"] = int(len(rows) / (time.perf_counter() - started))
    return found


def recovery(database_url: str, entries: int) -> dict[str, Any]:
    """Seconds until an engine stands at the head of a long journal, without and with snapshot."""
    database = prepare(database_url)
    builder, flow = Builder(), Flow(2)
    builder.rows(opening(), 0)
    with LeaderSession(database_url, 2, bytes(16)) as session:
        with database.begin() as connection:
            register_venue(connection, 2, CHAIN_ID, EXCHANGE, "long")
        assert session.try_lead()
        again = Builder()
        session.append(again.rows(opening(), 1))
        while again.head.seq < entries:
            now = again.head.seq
            orders = [flow.order(signed=False, now=now // 1_000 or 1) for _ in range(5_000)]
            session.append(again.rows(orders, now))
    journal = Journal(database, 2)
    started = time.perf_counter()
    follower = Follower()
    while catch_up(journal, follower):
        pass
    cold = time.perf_counter() - started
    assert follower.head == again.head
    journal.save_snapshot(follower.head, SCHEMA, dump(follower.engine))
    started = time.perf_counter()
    snapshot = journal.newest_snapshot(SCHEMA)
    assert snapshot is not None
    warm = Follower(load(snapshot[1]), snapshot[0])
    catch_up(journal, warm)
    found = {
        "recovery_entries": entries,
        "recovery_seconds": round(cold, 2),
        "recovery_entries_per_second": int(entries / cold),
        "recovery_with_snapshot_seconds": round(time.perf_counter() - started, 2),
    }
    assert warm.engine.digest() == follower.engine.digest()
    database.close()
    return found


def run() -> dict[str, Any]:
    """All of it on servers of its own, with fsync."""
    home = temporary_home("causeway-bench-")
    postgres = Postgres(home, log=home / "postgres.log")
    nats = Nats(home, log=home / "nats.log")
    postgres.start()
    nats.start()
    try:
        prepare(postgres.url()).close()
        found = acknowledged(postgres.url(), nats.url)
        found |= commits(postgres.url())
        with psycopg.connect(postgres.url(), autocommit=True) as connection:
            connection.execute("CREATE DATABASE recovery")
        entries = int(os.environ.get("CAUSEWAY_BENCH_ENTRIES", JOURNAL_ENTRIES))
        return found | recovery(postgres.url("recovery"), entries)
    finally:
        nats.stop()
        postgres.stop()


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(*sys.argv[2:4])
    else:
        print(json.dumps(run(), indent=2))
