"""What a process of the API holds: database, chain, bus; and how an answer waits for a block."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import TypeVar

import structlog
from starlette.concurrency import run_in_threadpool

from backend.bus import Bus
from backend.chain.rpc import Rpc
from backend.errors import CausewayError, IndexBehind
from backend.store.database import Database
from backend.store.queries.reading import ChainHead, Connection, chain_head

#: How long a read waits for the chain block it was asked to show.
LONGEST_WAIT_SECONDS = 1.0
#: How often it looks by itself: the bus may be down or may lose a message.
POLL_SECONDS = 0.1
#: A chain block number that the node said is believed for this long.
CHAIN_CACHE_SECONDS = 1.0
RECONNECT_SECONDS = 1.0

T = TypeVar("T")
_log = structlog.get_logger("causeway.api")


@dataclass
class Services:
    """One per process, made by `create_app` and given to every route."""

    database: Database
    chain: Rpc | None
    nats_url: str | None
    chain_id: int
    confirmations: int
    venue: int = 1
    #: Where a visitor's wallet reaches the chain, if somebody said so.
    wallet_rpc: str | None = None
    longest_wait_seconds: float = LONGEST_WAIT_SECONDS
    _bus: Bus | None = None
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _chain_number: tuple[float, int | None] = (float("-inf"), None)

    def final_number(self, head: ChainHead) -> int:
        """The newest chain block that no reorganisation will take back."""
        return head.number - self.confirmations

    async def read(
        self, work: Callable[[Connection, ChainHead], T], min_block: int | None = None
    ) -> tuple[ChainHead, T]:
        """Run queries in one snapshot that shows at least `min_block`.

        Raises IndexBehind when the index does not reach it within a second.
        """
        deadline = time.monotonic() + self.longest_wait_seconds
        while True:
            # Taken before looking: a head that arrives meanwhile is not missed.
            news = self._news
            head, result = await run_in_threadpool(self._read, work, min_block)
            if result is not None:
                return head, result[0]
            left = deadline - time.monotonic()
            if left <= 0:
                raise _behind(head, min_block or 0)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(news.wait(), min(left, POLL_SECONDS))

    def _read(
        self, work: Callable[[Connection, ChainHead], T], min_block: int | None
    ) -> tuple[ChainHead, tuple[T] | None]:
        with self.database.read() as connection:
            head = chain_head(connection)
            if min_block is not None and head.number < min_block:
                return head, None
            return head, (work(connection, head),)

    @property
    def bus_connected(self) -> bool:
        """Whether heads arrive at this moment."""
        return self._bus is not None and self._bus.is_connected

    @contextlib.asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Listen to the bus as long as the process lives; without it reads poll."""
        task = asyncio.create_task(self._follow(self.nats_url)) if self.nats_url else None
        try:
            yield
        finally:
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            if self._bus is not None:
                await self._bus.close()

    async def _follow(self, url: str) -> None:
        """Connect, then wake every waiting read at every head; a lost bus comes back by itself."""
        while True:
            try:
                if self._bus is None:
                    self._bus = await Bus.connect(url)
                async for _ in self._bus.heads(self.chain_id):
                    self._news.set()
                    self._news = asyncio.Event()
            except CausewayError as error:
                _log.warning("no bus, reads poll meanwhile", reason=error.message)
            except Exception:
                # Whatever the client raises: reads poll, and this must not end for ever.
                _log.exception("the bus failed, reads poll meanwhile")
            await asyncio.sleep(RECONNECT_SECONDS)

    async def chain_number(self) -> int | None:
        """The node's newest chain block; None when it does not answer."""
        asked, number = self._chain_number
        if self.chain is None or time.monotonic() - asked < CHAIN_CACHE_SECONDS:
            return number
        try:
            number = await run_in_threadpool(self.chain.block_number)
        except CausewayError as error:
            _log.warning("chain does not answer", reason=error.message)
            number = None
        self._chain_number = (time.monotonic(), number)
        return number


def _behind(head: ChainHead, asked: int) -> IndexBehind:
    return IndexBehind(
        f"chain block {asked} is not indexed yet: the index is at {head.number}, "
        f"{asked - head.number} behind",
        asked=asked,
        indexed=head.number,
        behind=asked - head.number,
    )
