"""A venue to test with: its index rows, its traders, and sequencers as real processes."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import text

from backend.bus.client import Bus
from backend.bus.leader_client import LeaderClient
from backend.bus.venue_messages import Answer
from backend.chain.keys import address_of, named_key, sign_digest
from backend.chain.signatures import Verifier
from backend.domain.commands import (
    PlaceCancel,
    PlaceCancelAll,
    PlaceOrder,
    PlaceWithdrawal,
    TraderCommand,
)
from backend.domain.journal import decode_entry, hash_entry
from backend.domain.orders import (
    NO_DETAILS,
    Account,
    Cancel,
    CancelAll,
    Order,
    Withdrawal,
    account_of,
    exchange_domain,
)
from backend.exchange.feed import ChainFeed
from backend.exchange.leadership import VenueConfig
from backend.exchange.recovery import Follower
from backend.exchange.sequencer import Sequencer
from backend.store.database import Database
from backend.store.journal import Journal, JournalRow

EXCHANGE = "0x" + "e5" * 20
INSTRUMENT = (7 << 160) + 1
MONEY = 0x5157
SEQUENCER_KEY = bytes([9] * 32)
DEPLOYMENT: dict[str, Any] = {"contracts": {}}


def trader_key(number: int) -> bytes:
    return (1_000 + number).to_bytes(32, "big")


def account(number: int) -> Account:
    return account_of(address_of(trader_key(number)))


@dataclass
class Market:
    """One venue on a database and a NATS, with its own chain id so that subjects are its own."""

    database_url: str
    nats_url: str
    chain_id: int
    traders: int = 4
    lease_seconds: float = 2.0
    overrides: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.database = Database(self.database_url)
        self.domain = exchange_domain(self.chain_id, EXCHANGE)
        self.journal = Journal(self.database, 1)
        self._verifier = Verifier(self.domain)
        self._log_indexes = itertools.count(1)
        self._processes: list[subprocess.Popen[bytes]] = []
        self._threads: list[InThread] = []
        self.block = 0

    def config(self) -> VenueConfig:
        values = {"lease_seconds": self.lease_seconds, **self.overrides}
        key = named_key("sequencer", SEQUENCER_KEY)
        return VenueConfig(self.chain_id, account_of(EXCHANGE), key, **values)

    # ── the index ────────────────────────────────────────────────────────────────────────────

    def open_index(self) -> None:
        """An index at chain block 0 with every trader admitted and funded in chain block 1."""
        with self.database.begin() as connection:
            connection.execute(
                text(
                    "INSERT INTO chain_state (id, chain_id, deployment, indexed_number)"
                    " VALUES (1, :chain, '{}', -1)"
                ),
                {"chain": self.chain_id},
            )
        events: list[tuple[str, str, dict[str, Any]]] = [
            ("Exchange", "AssetListed", {"asset": f"0x{MONEY:040x}", "listed": True}),
            ("CarbonCredits", "ClassCreated", {"id": str(INSTRUMENT)}),
        ]
        for number in range(self.traders):
            events.append(("Participant", address_of(trader_key(number)), {"tier": 1}))
        deposits = itertools.count(1)
        for number in range(self.traders):
            for asset, amount in ((MONEY, 10**15), (INSTRUMENT, 10**12)):
                events.append(self.deposit(next(deposits), number, asset, amount))
        self.add_block(events)

    def deposit(
        self, number: int, trader: int, asset: int, amount: int
    ) -> tuple[str, str, dict[str, Any]]:
        args = {
            "depositId": str(number),
            "account": address_of(trader_key(trader)),
            "asset": str(asset),
            "amount": str(amount),
        }
        return ("Exchange", "Deposited", args)

    def add_block(
        self, events: Iterable[tuple[str, str, dict[str, Any]]] = (), at: int | None = None
    ) -> int:
        """One more chain block in the index; events are (contract, name, arguments)."""
        self.block += 1
        with self.database.begin() as connection:
            connection.execute(
                text(
                    "INSERT INTO chain_blocks (number, hash, parent_hash, timestamp,"
                    " receipts_root, transactions) VALUES (:n, :h, '0x', :t, '0x', 0)"
                ),
                {"n": self.block, "h": f"0x{self.block:064x}", "t": at or int(time.time())},
            )
            for index, (contract, name, args) in enumerate(events):
                values = {"n": self.block, "i": index, "c": contract, "e": name}
                if contract == "Participant":
                    state = {"tier": 1, "expiry": 2**40 - 1, "frozen": False, **args}
                    statement = (
                        "INSERT INTO participant_changes (account, tier, jurisdiction, expiry,"
                        " frozen, block_number, log_index)"
                        " VALUES (:e, :tier, 'HK', :expiry, :frozen, :n, :i)"
                    )
                    connection.execute(text(statement), values | state)
                else:
                    statement = (
                        "INSERT INTO chain_events (block_number, log_index, block_hash,"
                        " transaction_hash, transaction_index, contract, name, args)"
                        " VALUES (:n, :i, '0x', '0x', 0, :c, :e, CAST(:a AS jsonb))"
                    )
                    connection.execute(text(statement), values | {"a": json.dumps(args)})
            connection.execute(text("UPDATE chain_state SET indexed_number = :n"), values_of(self))
        return self.block

    def rewind(self, number: int) -> None:
        """Take back what stands above a chain block, as the indexer does."""
        with self.database.begin() as connection:
            for table in ("chain_events", "participant_changes"):
                connection.execute(
                    text(f"DELETE FROM {table} WHERE block_number > :n"), {"n": number}
                )
            connection.execute(text("DELETE FROM chain_blocks WHERE number > :n"), {"n": number})
            connection.execute(
                text("UPDATE chain_state SET indexed_number = :n, epoch = epoch + 1"),
                {"n": number},
            )
        self.block = number

    # ── traders ──────────────────────────────────────────────────────────────────────────────

    def order(
        self,
        trader: int,
        nonce: int,
        side: int = 0,
        price: int = 100,
        quantity: int = 1,
        **other: Any,
    ) -> PlaceOrder:
        now = int(time.time())
        values = {
            "trader": account(trader),
            "nonce": nonce,
            "instrument": INSTRUMENT,
            "asset": MONEY,
            "side": side,
            "quantity": quantity,
            "price": price,
            "max_fee_bps": 100,
            "signed_at": now,
            "expiry": now + 3_600,
            "conditions": 0,
            "details_hash": NO_DETAILS,
            "signature_kind": 0,
            **other,
        }
        made = Order(**values)
        return PlaceOrder(made, self.sign(trader, made))

    def cancel(self, trader: int, nonce: int) -> PlaceCancel:
        made = Cancel(account(trader), nonce)
        return PlaceCancel(made, self.sign(trader, made))

    def cancel_all(self, trader: int, nonce: int) -> PlaceCancelAll:
        made = CancelAll(account(trader), nonce, 0)
        return PlaceCancelAll(made, self.sign(trader, made))

    def withdraw(self, trader: int, nonce: int, asset: int, amount: int) -> PlaceWithdrawal:
        made = Withdrawal(account(trader), nonce, asset, amount, 0)
        return PlaceWithdrawal(made, self.sign(trader, made))

    def sign(self, trader: int, message: Any) -> bytes:
        return sign_digest(trader_key(trader), self._verifier.digest(message))

    @asynccontextmanager
    async def client(self, wait: float = 15.0) -> AsyncIterator[LeaderClient]:
        """A client that has heard of the leader."""
        bus = await Bus.connect(self.nats_url)
        client = await LeaderClient.open(bus, self.chain_id, 1)
        try:
            await client.wait_for_leader(wait)
            yield client
        finally:
            await client.close()
            await bus.close()

    def send(self, *commands: TraderCommand, timeout: float = 5.0) -> list[Answer]:
        """The answers of the leader, from an event loop of their own."""

        async def ask() -> list[Answer]:
            async with self.client() as client:
                return await client.submit(commands, timeout)

        return asyncio.run(ask())

    # ── sequencers ───────────────────────────────────────────────────────────────────────────

    def start(self, confirmations: int = 0) -> InThread:
        """A sequencer in a thread of this process: for tests in which nobody has to die."""
        started = InThread(self, confirmations)
        self._threads.append(started)
        return started

    def start_process(self, **options: Any) -> subprocess.Popen[bytes]:
        """A sequencer process; `options` for `tests.exchange.run_sequencer`."""
        given = {
            "database_url": self.database_url,
            "nats_url": self.nats_url,
            "chain_id": self.chain_id,
            "lease_seconds": self.lease_seconds,
            "overrides": self.overrides,
            **options,
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.exchange.run_sequencer", json.dumps(given)],
            env={**os.environ, "PYTHONPATH": os.getcwd()},
        )
        self._processes.append(process)
        return process

    def wait_for(self, condition: Any, seconds: float = 15.0) -> Any:
        """What `condition()` returns once that is true."""
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < deadline, f"waited {seconds} s in vain"
            time.sleep(0.02)
        return found

    def wait_funded(self) -> None:
        """Until the facts of the index are journalled."""
        self.wait_for(lambda: len(self.facts()) >= 2 + 3 * self.traders)

    def facts(self) -> list[JournalRow]:
        return [row for row in self.rows() if 16 <= row.kind < 32]

    def rows(self) -> list[JournalRow]:
        return self.journal.read(1, 1_000_000)

    def check(self) -> Follower:
        """Replay the whole journal: hashes, order and events are right, nothing is missing."""
        follower = Follower()
        follower.take(self.rows())
        for row in self.rows():
            assert hash_entry(row.entry) == row.hash
            entry = decode_entry(row.entry)
            assert (entry.seq, entry.epoch) == (row.seq, row.epoch)
        return follower

    def close(self) -> None:
        for thread in self._threads:
            thread.stop()
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()
        self.database.close()


class InThread:
    """A sequencer on an event loop of its own thread."""

    def __init__(self, market: Market, confirmations: int) -> None:
        self._market, self._confirmations = market, confirmations
        self._loop = asyncio.new_event_loop()
        self._sequencer: Sequencer | None = None
        self._ready = threading.Event()
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        self._ready.wait(5)

    def stop(self) -> None:
        """End it in order and wait until it has."""
        if self._thread.is_alive() and self._sequencer is not None:
            self._loop.call_soon_threadsafe(self._sequencer.stop)
        self._thread.join(15)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            try:
                runner.run(self._work())
            except Exception as error:
                self.failure = error

    async def _work(self) -> None:
        market = self._market
        feed = ChainFeed(market.database, 1, self._confirmations)
        self._sequencer = Sequencer(market.config(), market.database_url, market.nats_url, [feed])
        self._ready.set()
        await self._sequencer.work()


def values_of(market: Market) -> dict[str, int]:
    return {"n": market.block}
