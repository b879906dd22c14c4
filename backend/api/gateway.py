"""The API's side of the bus: commands to the leader within bounds, and every commit as it comes.

One connection per process, that comes back by itself. Bounds instead of queues: what is above them
is refused at once, so that nobody waits for a venue that cannot keep up.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence

import structlog

from backend.bus import Bus
from backend.bus.leader_client import LeaderClient
from backend.bus.venue_messages import (
    Answer,
    AnswerCode,
    Committed,
    Heartbeat,
    committed_subject,
    decode_committed,
    encode_record,
)
from backend.domain.commands import TraderCommand
from backend.domain.orders import Account
from backend.errors import (
    BusUnavailable,
    CausewayError,
    InvalidValue,
    OutcomeUnknown,
    VenueUnavailable,
)

#: Commands under way at once: of one trader from one place, and of the venue in this process.
MOST_PER_TRADER = 400
MOST_PER_VENUE = 4_000
RECONNECT_SECONDS = 0.5
_log = structlog.get_logger("causeway.api")

Listener = Callable[[Committed], None]


class TooMany(Exception):
    """A bound was reached; nothing was sent. `of_trader` says whose."""

    def __init__(self, of_trader: bool) -> None:
        super().__init__()
        self.of_trader = of_trader


class Gateway:
    """Sends commands of one venue to its leader and passes on what it commits."""

    def __init__(self, nats_url: str | None, chain_id: int, venue: int) -> None:
        self.chain_id, self.venue = chain_id, venue
        self._url = nats_url
        self._leader: LeaderClient | None = None
        self._listeners: set[Listener] = set()
        self._under_way: Counter[tuple[str, Account]] = Counter()
        self._all = 0

    @property
    def under_way(self) -> int:
        """Commands whose answer is awaited."""
        return self._all

    @property
    def leader(self) -> Heartbeat | None:
        """The leader's last sign of life, None when none was heard of lately."""
        return self._leader.leader if self._leader else None

    async def submit(
        self, commands: Sequence[TraderCommand], peer: str, deadline: float
    ) -> list[Answer]:
        """The leader's answers, in the commands' order; `deadline` in seconds of Unix time.

        `peer` is where the request came from: who fills the bound of a trader elsewhere, with
        messages that the trader never signed, keeps nobody else from trading. Raises TooMany, and
        VenueUnavailable (not accepted) or OutcomeUnknown as LeaderClient does.
        """
        if self._leader is None:
            raise VenueUnavailable("the bus is away: nothing was accepted", venue=self.venue)
        keys = Counter((peer, command[0].trader) for command in commands)
        self._enter(keys)
        try:
            records = [encode_record(command) for command in commands]
            return await self._ask(self._leader, records, deadline)
        except InvalidValue as error:
            # The commands were checked: it is the reply that cannot be read.
            raise OutcomeUnknown(error.message, venue=self.venue) from error
        finally:
            self._leave(keys)

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with every commit from now on; returns what ends it."""
        self._listeners.add(listener)
        return lambda: self._listeners.discard(listener)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Connected as long as the process lives."""
        task = asyncio.create_task(self._run(self._url)) if self._url else None
        try:
            yield
        finally:
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    # ── steps ────────────────────────────────────────────────────────────────────────────────

    async def _ask(
        self, leader: LeaderClient, records: list[bytes], deadline: float
    ) -> list[Answer]:
        answers = await leader.submit_encoded(records, max(deadline - time.time(), 0.001))
        late = [at for at, one in enumerate(answers) if one.code is AnswerCode.LATE]
        if late and (left := deadline - time.time()) > 0:
            # What goes together shares the earliest deadline, and this one was later than that.
            again = await leader.submit_encoded([records[at] for at in late], left)
            for at, answer in zip(late, again, strict=True):
                answers[at] = answer
        return answers

    def _enter(self, keys: Counter[tuple[str, Account]]) -> None:
        count = keys.total()
        if self._all + count > MOST_PER_VENUE:
            raise TooMany(of_trader=False)
        for key, asked in keys.items():
            if self._under_way[key] + asked > MOST_PER_TRADER:
                raise TooMany(of_trader=True)
        self._under_way.update(keys)
        self._all += count

    def _leave(self, keys: Counter[tuple[str, Account]]) -> None:
        self._all -= keys.total()
        for key, asked in keys.items():
            left = self._under_way[key] - asked
            if left > 0:
                self._under_way[key] = left
            else:
                del self._under_way[key]

    async def _run(self, url: str) -> None:
        """Connect and subscribe, again and again until it works; then the client reconnects."""
        while True:
            bus: Bus | None = None
            try:
                bus = await Bus.connect(url)
                async with self._subscribed(bus):
                    await asyncio.Event().wait()
            except BusUnavailable as error:
                _log.warning("no bus, no orders meanwhile", reason=error.message)
            except CausewayError as error:
                _log.error("the bus failed", reason=error.message)
            finally:
                if bus is not None:
                    await bus.close()
            await asyncio.sleep(RECONNECT_SECONDS)

    @contextlib.asynccontextmanager
    async def _subscribed(self, bus: Bus) -> AsyncIterator[None]:
        leader = await LeaderClient.open(bus, self.chain_id, self.venue)
        end = await bus.subscribe(committed_subject(self.chain_id, self.venue), self._committed)
        self._leader = leader
        try:
            yield
        finally:
            self._leader = None
            await end()
            await leader.close()

    def _committed(self, body: bytes, reply: str) -> None:
        if not self._listeners:
            return
        try:
            committed = decode_committed(body)
        except InvalidValue:
            return
        for listener in tuple(self._listeners):
            listener(committed)
