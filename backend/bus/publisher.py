"""Publishes heads from synchronous code: a thread of its own, so that nothing waits for NATS."""

from __future__ import annotations

import asyncio
import threading
from queue import Empty, Full, Queue

from backend.bus.client import Bus
from backend.bus.messages import Head
from backend.errors import BusUnavailable

#: Heads that wait for the bus; when it is away the oldest are dropped: only the newest matters.
WAITING = 64
_RETRY_SECONDS = 0.5


class HeadPublisher:
    """What the indexer is given as its bus. `publish_head` neither blocks nor raises."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._heads: Queue[Head | None] = Queue(WAITING)
        self._stopping = threading.Event()
        self._given_up = False
        self._thread = threading.Thread(target=self._run, name="causeway-heads", daemon=True)
        self._thread.start()

    def publish_head(self, chain_id: int, epoch: int, number: int, block_hash: str) -> None:
        """Queue a head; the oldest waiting one gives way when there are too many."""
        self._put(Head(chain_id, epoch, number, block_hash))

    def close(self, timeout: float = 5.0) -> None:
        """Send what waits, if the bus is there, and stop."""
        self._stopping.set()
        self._put(None)
        self._thread.join(timeout)

    def _put(self, head: Head | None) -> None:
        while True:
            try:
                self._heads.put_nowait(head)
                return
            except Full:
                try:
                    self._heads.get_nowait()
                except Empty:
                    continue

    def _run(self) -> None:
        asyncio.run(self._publish())

    async def _publish(self) -> None:
        bus: Bus | None = None
        try:
            while True:
                head = await asyncio.to_thread(self._heads.get)
                if head is None:
                    return
                bus = await self._deliver(bus, head)
        finally:
            if bus is not None:
                await bus.close()

    async def _deliver(self, bus: Bus | None, head: Head) -> Bus | None:
        """Publish one head, connecting first if need be; given up only when closing."""
        while not self._given_up:
            try:
                if bus is None:
                    bus = await Bus.connect(self._url)
                await bus.publish_head(head)
            except BusUnavailable:
                self._given_up = self._stopping.is_set()
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                return bus
        return bus
