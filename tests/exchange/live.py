"""A venue on a real chain: Exchange, index, sequencer, watcher and submission in one process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from backend.bus.client import Bus
from backend.bus.leader_client import LeaderClient
from backend.bus.venue_messages import watcher_subject
from backend.chain import abi
from backend.chain.keys import Key, sign_digest
from backend.chain.rpc import Rpc
from backend.chain.sender import Sender
from backend.chain.signatures import Verifier
from backend.domain.commands import PlaceOrder, PlaceWithdrawal, TraderCommand
from backend.domain.orders import (
    NO_DETAILS,
    Order,
    Withdrawal,
    account_of,
    exchange_domain,
)
from backend.exchange.asking import Asker
from backend.exchange.feed import ChainFeed
from backend.exchange.leadership import VenueConfig
from backend.exchange.own_chain import OwnChain
from backend.exchange.sequencer import Sequencer
from backend.exchange.settlement import ChainPoint, Settlement
from backend.exchange.submission import Submission
from backend.exchange.watcher import Watch, Watcher
from backend.indexer import Indexer
from backend.store.database import Database
from backend.store.journal import Journal
from backend.store.transactions import PostgresTransactionLog
from backend.store.venue_acts import VenueAct, newest_acts
from tests.chain_time import pass_time
from tests.indexer.world import World, a_class, key_of

DAY = 86_400
MONEY = 10**13
KILOGRAMS = 4_000_000
PATIENCE = 120.0
SEQUENCER, WATCHER, PAYER = key_of("sequencer"), key_of("watcher"), key_of("bridge")


class LiveVenue:
    """Four funded holders: every one has money, the first has credits too."""

    def __init__(self, chain_url: str, database_url: str, nats_url: str, directory: Path) -> None:
        self.world = World(chain_url, directory)
        self.rpc = self.world.rpc
        self.database_url, self.nats_url = database_url, nats_url
        self.database = Database(database_url)
        self.holders = self.world.holders
        self.rpc.call("anvil_setBalance", PAYER.address, hex(10**20))
        self.deployment = self.world.deployment
        self.domain = exchange_domain(self.deployment.chain_id, self.deployment["Exchange"])
        self.verifier = Verifier(self.domain)
        self.journal = Journal(self.database, 1)
        self.money = int(self.deployment["HKD"], 16)
        self._nonces = dict.fromkeys((one.address for one in self.holders), 0)
        self._fund()
        self.indexer = Indexer(self.rpc, self.deployment, self.database)
        #: The chain's time was moved on so far.
        self.offset_ms = 0

    def close(self) -> None:
        self.database.close()
        self.rpc.close()

    # ── the chain ────────────────────────────────────────────────────────────────────────────

    def _fund(self) -> None:
        world, exchange = self.world, self.deployment["Exchange"]
        seller = self.holders[0]
        credit_class = a_class()
        world.send_all([world.mint(world.receipt(seller, credit_class, (1, 5_000)))])
        self.instrument = credit_class.token_id
        issuer = world.keys["issuer"]
        for holder in self.holders:
            world.send_all(
                [
                    world.sign(issuer, "HKD", "mint", holder.address, MONEY),
                    world.sign(holder, "HKD", "approve", exchange, MONEY),
                ]
            )
            self.deposit(holder, MONEY)
        self.world.send_all([world.transfer(seller, exchange, self.instrument, KILOGRAMS)])

    def deposit(self, holder: Key, amount: int) -> None:
        world = self.world
        asset = self.deployment["HKD"]
        world.send_all([world.sign(holder, "Exchange", "deposit", asset, amount)])

    def send(self, key: Key, function: str, *args: Any) -> None:
        """A call of the Exchange by anybody."""
        self.world.send_all([self.world.sign(key, "Exchange", function, *args, gas=10_000_000)])

    def pass_time(self, seconds: int) -> None:
        """On the chain and for the sequencer."""
        pass_time(self.rpc.call, seconds)
        self.offset_ms += seconds * 1_000

    def read(self, function: str, *args: Any) -> Any:
        data = abi.encode_call("Exchange", function, args)
        answer = self.rpc.eth_call(self.deployment["Exchange"], data)
        return abi.decode_result("Exchange", function, answer)

    # ── traders ──────────────────────────────────────────────────────────────────────────────

    def order(
        self, holder: Key, side: int, quantity: int, price: int = 1_000, **other: Any
    ) -> PlaceOrder:
        now = self.clock_ms() // 1_000
        values = {
            "trader": account_of(holder.address),
            "nonce": self._nonce(holder),
            "instrument": self.instrument,
            "asset": self.money,
            "side": side,
            "quantity": quantity,
            "price": price,
            "max_fee_bps": 100,
            "signed_at": now,
            "expiry": now + DAY,
            "conditions": 0,
            "details_hash": NO_DETAILS,
            "signature_kind": 0,
            **other,
        }
        made = Order(**values)
        return PlaceOrder(made, self.sign(holder, made))

    def withdrawal(self, holder: Key, asset: int, amount: int) -> PlaceWithdrawal:
        made = Withdrawal(account_of(holder.address), self._nonce(holder), asset, amount, 0)
        return PlaceWithdrawal(made, self.sign(holder, made))

    def sign(self, holder: Key, message: Any) -> bytes:
        return sign_digest(holder.private_key, self.verifier.digest(message))

    def _nonce(self, holder: Key) -> int:
        self._nonces[holder.address] += 1
        return self._nonces[holder.address] - 1

    # ── processes ────────────────────────────────────────────────────────────────────────────

    def clock_ms(self) -> int:
        """The chain's time."""
        return int(time.time() * 1_000) + self.offset_ms

    def submission(self, **options: Any) -> Submission:
        log = PostgresTransactionLog(self.database)
        sender = Sender(self.rpc, log, lambda: int(time.time()), confirmations=0)
        self.sender = sender
        return Submission(
            self.rpc, self.domain, sender, log, self.database, 1, lambda: PAYER, **options
        )

    def own_chain(self) -> OwnChain:
        return OwnChain(Rpc(self.rpc.url), self.deployment, 0)

    def acts(self) -> list[VenueAct]:
        with self.database.read() as connection:
            return newest_acts(connection, 1, 1_000)

    def act(self, number: int) -> VenueAct:
        return self.acts()[number - 1]

    @asynccontextmanager
    async def leading(self) -> AsyncIterator[None]:
        """A sequencer with the chain's feed and settlement."""
        config = VenueConfig(
            self.deployment.chain_id, account_of(self.domain.contract), SEQUENCER,
            window_seconds=self.read("WINDOW"), skew_seconds=self.read("SKEW"),
        )  # fmt: skip
        feed = ChainFeed(self.database, 1, 0)

        async def proof() -> ChainPoint | None:
            final = feed.journalled_to
            return ChainPoint(final.number, final.timestamp) if final else None

        ask = Asker(self.nats_url, watcher_subject(config.chain_id, 1))
        hook = Settlement(SEQUENCER, self.domain, self.database, ask, proof)
        sequencer = Sequencer(config, self.database_url, self.nats_url, [feed, hook], self.clock_ms)
        async with running(sequencer.work(), sequencer.stop):
            yield
        if ask._bus is not None:
            await ask._bus.close()

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[Watch]:
        """A watcher with its own connection to the chain."""
        database = Database(self.database_url)
        chain = self.own_chain()
        watch = Watch(WATCHER, self.domain, Journal(database, 1), chain)
        watcher = Watcher(watch, WATCHER, database, self.nats_url, self.domain.chain_id, 1)
        async with running(watcher.work(), watcher.stop):
            yield watch
        chain._rpc.close()

    @asynccontextmanager
    async def working(self, *steps: Callable[[], Any]) -> AsyncIterator[None]:
        """The worker: index, and what else is given, again and again."""
        stopping = asyncio.Event()

        async def work() -> None:
            while not stopping.is_set():
                for step in (self.indexer.advance, *steps):
                    await asyncio.to_thread(step)
                await asyncio.sleep(0.05)

        async with running(work(), stopping.set):
            yield

    async def say(self, *commands: TraderCommand) -> None:
        bus = await Bus.connect(self.nats_url)
        client = await LeaderClient.open(bus, self.deployment.chain_id, 1)
        try:
            await client.wait_for_leader(PATIENCE)
            # A deadline is of the venue's clock.
            answers = await client.submit(commands, 5.0 + self.offset_ms / 1_000)
            assert all(answer.journalled for answer in answers), answers
        finally:
            await client.close()
            await bus.close()

    async def once(self, condition: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + PATIENCE
        while not (found := await asyncio.to_thread(condition)):
            assert time.monotonic() < deadline, [act[:6] + act[11:] for act in self.acts()]
            await asyncio.sleep(0.05)
        return found

    async def funded(self) -> None:
        """Until every deposit is journalled."""
        wanted = len(self.holders) + 1
        await self.once(lambda: sum(row.kind == 16 for row in self.journal.read(1)) == wanted)


@asynccontextmanager
async def running(work: Any, stop: Callable[[], None]) -> AsyncIterator[None]:
    """A task as long as the block; what it raises is raised here."""
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        stop()
        await asyncio.wait_for(task, PATIENCE)
