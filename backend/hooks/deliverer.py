"""Delivers what waits: several endpoints at once, one event after the other at each.

An event counts as sent when its outcome is recorded. A kill between the two means that it is sent
again under the same id: at least once, in order.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import Final

import structlog

from backend.errors import CausewayError
from backend.hooks.sending import TIMEOUT_SECONDS, send
from backend.store.database import Database
from backend.store.webhook_deliveries import LEASE, Claim, Deliveries, Outcome, Outgoing
from backend.store.webhook_feed import Collector

log = structlog.get_logger("webhooks")

#: Endpoints that are delivered to at the same time.
AT_ONCE: Final = 8
#: How long one endpoint is served before it makes room for another.
TURN_SECONDS: Final = 5.0
PRUNE_SECONDS: Final = 3_600.0


class Deliverer:
    """`private`: whether endpoints may be in private networks.

    `timeout` of a request has to be well below `lease`.
    """

    def __init__(
        self,
        database: Database,
        *,
        private: bool,
        lease: timedelta = LEASE,
        timeout: float = TIMEOUT_SECONDS,
    ) -> None:
        self._deliveries = Deliveries(database, lease)
        self._private, self._timeout = private, timeout
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="webhook")
        self._running: dict[str, Future[None]] = {}

    def step(self) -> int:
        """Begin with every endpoint that there is room for; how many. Does not wait for them."""
        for name, one in list(self._running.items()):
            if one.done():
                del self._running[name]
                if (broken := one.exception()) is not None:
                    log.error("webhook delivery broke off", endpoint=name, exc_info=broken)
        room = AT_ONCE - len(self._running)
        claims = self._deliveries.claim(room, self._running) if room else []
        for claim in claims:
            self._running[claim.endpoint] = self._pool.submit(self._serve, claim)
        return len(claims)

    def finish(self) -> None:
        """Begin with whatever is due and wait until it has had its turn."""
        self.step()
        for one in list(self._running.values()):
            one.result()

    def _serve(self, claim: Claim) -> None:
        try:
            asyncio.run(self._turn(claim))
        except CausewayError as error:
            # The database went away: the lease ends by itself.
            log.warning("webhook waits", endpoint=claim.endpoint, reason=error.message)

    async def _turn(self, claim: Claim) -> None:
        ends = time.monotonic() + TURN_SECONDS
        while time.monotonic() < ends:
            event = await asyncio.to_thread(self._deliveries.next, claim)
            if event is None:
                break
            outcome = await self._send(event)
            await asyncio.to_thread(self._deliveries.record, claim, event.sequence, outcome)
            if not outcome.delivered:
                break
        await asyncio.to_thread(self._deliveries.release, claim)

    async def _send(self, event: Outgoing) -> Outcome:
        return await send(event, private=self._private, timeout=self._timeout)


def webhook_steps(
    database: Database, *, confirmations: int, private: bool
) -> list[tuple[str, float, Callable[[], object]]]:
    """(name, pause in seconds, step) of what a worker does for webhooks."""
    collector, deliverer = Collector(database, confirmations), Deliverer(database, private=private)
    return [
        ("webhook events", 0.5, collector.collect),
        ("webhook deliveries", 0.5, deliverer.step),
        ("webhook retention", PRUNE_SECONDS, collector.prune),
    ]
