"""The API's ear on the bus: connects, follows the heads of one chain, connects again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from backend.bus.client import Bus
from backend.errors import BusUnavailable

_RETRY_SECONDS = 1.0


class HeadFollower:
    """What `backend.api` asks of a bus, over `backend.bus`, which it may not know."""

    def __init__(self, url: str, chain_id: int) -> None:
        self._url = url
        self._chain_id = chain_id
        self._bus: Bus | None = None

    @property
    def connected(self) -> bool:
        """Whether the bus is reached now."""
        return self._bus is not None and self._bus.is_connected

    async def follow_heads(self, on_head: Callable[[int], None]) -> None:
        """Call `on_head` with the number of every chain block that is indexed, until cancelled."""
        while True:
            try:
                self._bus = await Bus.connect(self._url)
                async for head in self._bus.heads(self._chain_id):
                    on_head(head.number)
            except BusUnavailable:
                await asyncio.sleep(_RETRY_SECONDS)
            finally:
                if self._bus is not None:
                    await self._bus.close()
                    self._bus = None
