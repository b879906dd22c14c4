"""Every commit of the venue once a process, in order and without gaps, handed to who asked for it.

The bus brings commits as they happen; what it lost, or brought from an older epoch, is read in the
journal, which alone decides. A subscription is at a number: it is told everything above it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Final, NamedTuple

import orjson
import structlog
from starlette.concurrency import run_in_threadpool

from backend.api.gateway import Gateway
from backend.bus.venue_messages import Committed
from backend.domain.journal import Entry, decode_entry
from backend.domain.venue_events import Event, decode_events
from backend.errors import CausewayError
from backend.exchange.market_data import (
    AccountMessage,
    Halted,
    LevelChange,
    Print,
    PublicMessage,
    Resumed,
    account_messages,
    as_json,
    public_messages,
)
from backend.store.database import Database
from backend.store.journal import Journal

#: How often the journal is looked at beside the bus, which may lose what it carries.
POLL_SECONDS: Final = 1.0
CHUNK: Final = 500
_log = structlog.get_logger("causeway.api")


class Topic(NamedTuple):
    """What a subscription is about: a market's book or trades (all markets: no pair), or an
    account's orders."""

    channel: str
    market: tuple[int, int] | None = None
    account: bytes | None = None


class Told(NamedTuple):
    """One entry's messages, as text, by topic."""

    seq: int
    texts: dict[Topic, list[str]]
    #: For every topic of a channel: what belongs to no market and no account.
    everybody: dict[str, list[str]]

    def for_topic(self, topic: Topic) -> Iterable[str]:
        yield from self.texts.get(topic, ())
        yield from self.everybody.get(topic.channel, ())


def tell(entry: Entry, events: list[Event]) -> Told:
    """The messages of one entry."""
    texts: dict[Topic, list[str]] = {}
    everybody: dict[str, list[str]] = {}
    for message in public_messages(entry, events):
        if isinstance(message, LevelChange):
            market = (message.instrument, message.asset)
            texts.setdefault(Topic("book", market), []).append(_text("book", message))
        elif isinstance(message, Print):
            text = _text("trades", message)
            market = (message.instrument, message.asset)
            texts.setdefault(Topic("trades", market), []).append(text)
            texts.setdefault(Topic("trades"), []).append(text)
        else:
            # A book is not moved by what is settled or undone; it stands still in a halt.
            halts = isinstance(message, Halted | Resumed)
            for channel in ("trades", "orders", *(["book"] if halts else [])):
                everybody.setdefault(channel, []).append(_text(channel, message))
    for account, own in account_messages(entry, events):
        topic = Topic("orders", account=account)
        texts.setdefault(topic, []).append(_text("orders", own))
    return Told(entry.seq, texts, everybody)


def _text(channel: str, message: PublicMessage | AccountMessage) -> str:
    return orjson.dumps({"channel": channel, **as_json(message)}).decode()


class Hub:
    """Follows one venue while somebody listens."""

    def __init__(self, gateway: Gateway, database: Database) -> None:
        self._gateway = gateway
        self._journal = Journal(database, gateway.venue)
        self._listeners: set[Callable[[Told], None]] = set()
        self._waiting: list[Committed] = []
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self._changing = asyncio.Lock()
        #: Everything up to this entry was handed on.
        self.seq = 0
        self.epoch = 0

    @contextlib.asynccontextmanager
    async def following(self, listener: Callable[[Told], None]) -> AsyncIterator[None]:
        """Call `listener` with every entry after `seq`, in order; it must be quick."""
        async with self._changing:
            if self._task is None:
                await self._start()
            self._listeners.add(listener)
        try:
            yield
        finally:
            async with self._changing:
                self._listeners.discard(listener)
                if not self._listeners:
                    await self.stop()

    async def stop(self) -> None:
        """Follow no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def read(self, from_seq: int) -> list[Told]:
        """Committed entries from a number on, the next few hundred of them."""
        return await run_in_threadpool(self._read, from_seq)

    async def _start(self) -> None:
        self.seq = (await run_in_threadpool(self._journal.tail)).seq
        self._waiting.clear()
        self._task = asyncio.create_task(self._follow(self._gateway.listen(self._hear)))

    def _read(self, from_seq: int) -> list[Told]:
        return [
            tell(decode_entry(row.entry), decode_events(row.events))
            for row in self._journal.read(from_seq, CHUNK)
        ]

    def _hear(self, committed: Committed) -> None:
        # What waits is bounded: the journal has it all, so the rest is dropped and read there.
        if committed.epoch >= self.epoch and len(self._waiting) < CHUNK:
            self._waiting.append(committed)
        self._news.set()

    async def _follow(self, end: Callable[[], None]) -> None:
        try:
            while True:
                try:
                    timely = await self._wait()
                    behind = self._take_waiting()
                    if behind or not timely:
                        await self._catch_up()
                except CausewayError as error:
                    _log.warning("the stream waits", reason=error.message)
                    await asyncio.sleep(POLL_SECONDS)
                except Exception:
                    _log.exception("the stream stumbled")
                    await asyncio.sleep(POLL_SECONDS)
        finally:
            end()

    async def _wait(self) -> bool:
        """Whether the bus brought something before it was time to look in the journal."""
        try:
            await asyncio.wait_for(self._news.wait(), POLL_SECONDS)
        except TimeoutError:
            return False
        self._news.clear()
        return True

    def _take_waiting(self) -> bool:
        """Hand on what the bus brought; whether numbers are missing."""
        waiting, self._waiting = self._waiting, []
        for committed in waiting:
            if committed.epoch < self.epoch:
                continue
            self.epoch = committed.epoch
            if committed.first_seq > self.seq + 1 or not committed.stored:
                return True
            for offset, stored in enumerate(committed.stored):
                if committed.first_seq + offset == self.seq + 1:
                    self._hand_on(tell(decode_entry(stored.entry), decode_events(stored.events)))
        return False

    async def _catch_up(self) -> None:
        while True:
            rows = await self.read(self.seq + 1)
            for told in rows:
                self._hand_on(told)
            if len(rows) < CHUNK:
                return

    def _hand_on(self, told: Told) -> None:
        self.seq = told.seq
        for listener in tuple(self._listeners):
            listener(told)
