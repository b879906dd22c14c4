"""How a process sends commands to a venue's leader: finds its epoch, gathers, waits for answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, NamedTuple, Self

from backend.bus.client import Bus
from backend.bus.venue_messages import (
    MAX_COMMANDS,
    Answer,
    Heartbeat,
    commands_subject,
    decode_reply,
    encode_record,
    encode_request,
    leader_subject,
)
from backend.domain.commands import TraderCommand
from backend.errors import CausewayError, InvalidValue, OutcomeUnknown, VenueUnavailable

#: A leader that was not heard of for so long is taken for gone.
SILENCE_SECONDS = 3.0


class _Waiting(NamedTuple):
    records: Sequence[bytes]
    deadline_ms: int
    answers: asyncio.Future[list[Answer]]


class LeaderClient:
    """Sends commands of one venue; what comes in one turn of the event loop goes as one request."""

    def __init__(self, bus: Bus, chain_id: int, venue: int) -> None:
        self._bus = bus
        self._chain_id = chain_id
        self._venue = venue
        self._heard: Heartbeat | None = None
        self._heard_at = 0.0
        self._waiting: list[_Waiting] = []
        self._sending: set[asyncio.Task[None]] = set()
        self._end: Callable[[], Coroutine[Any, Any, None]] | None = None

    @classmethod
    async def open(cls, bus: Bus, chain_id: int, venue: int) -> Self:
        """Begin to listen for the leader; raises BusUnavailable."""
        made = cls(bus, chain_id, venue)
        made._end = await bus.subscribe(leader_subject(chain_id, venue), made._hear)
        return made

    async def close(self) -> None:
        """Stop listening; what waits for an answer gets OutcomeUnknown."""
        if self._end is not None:
            await self._end()
        for task in self._sending:
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)

    @property
    def leader(self) -> Heartbeat | None:
        """The newest leader's last sign of life, None when nobody leads."""
        if self._heard is None or time.monotonic() - self._heard_at > SILENCE_SECONDS:
            return None
        return self._heard

    async def wait_for_leader(self, seconds: float) -> Heartbeat:
        """The leader, as soon as there is one; raises VenueUnavailable."""
        deadline = time.monotonic() + seconds
        while (found := self.leader) is None:
            if time.monotonic() > deadline:
                raise self._nobody()
            await asyncio.sleep(0.02)
        return found

    async def submit(self, commands: Sequence[TraderCommand], timeout: float) -> list[Answer]:
        """The answers to commands, in their order.

        Raises VenueUnavailable when no leader took them (nothing was accepted), OutcomeUnknown
        when no answer came in time (send the same again to learn it), BusUnavailable.
        """
        return await self.submit_encoded([encode_record(one) for one in commands], timeout)

    async def submit_encoded(self, records: Sequence[bytes], timeout: float) -> list[Answer]:
        """The same for commands that are encoded already (kind ‖ payload)."""
        if not 0 < len(records) <= MAX_COMMANDS:
            raise InvalidValue("commands", len(records), f"are not 1 to {MAX_COMMANDS}")
        loop = asyncio.get_running_loop()
        answers: asyncio.Future[list[Answer]] = loop.create_future()
        deadline_ms = int((time.time() + timeout) * 1000)
        if not self._waiting:
            loop.call_soon(self._send_waiting)
        self._waiting.append(_Waiting(records, deadline_ms, answers))
        return await answers

    # ── steps ────────────────────────────────────────────────────────────────────────────────

    def _hear(self, body: bytes, reply: str) -> None:
        try:
            heard = Heartbeat.decode(body)
        except InvalidValue:
            return
        if self._heard is None or heard.epoch >= self._heard.epoch:
            self._heard, self._heard_at = heard, time.monotonic()

    def _send_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        group: list[_Waiting] = []
        count = 0
        for one in waiting:
            if group and count + len(one.records) > MAX_COMMANDS:
                self._start(group)
                group, count = [], 0
            group.append(one)
            count += len(one.records)
        if group:
            self._start(group)

    def _start(self, group: list[_Waiting]) -> None:
        task = asyncio.get_running_loop().create_task(self._send(group))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _send(self, group: list[_Waiting]) -> None:
        failure: BaseException = self._nobody()
        try:
            answers = await self._ask(group)
        except CausewayError as error:
            failure = error
        except asyncio.CancelledError:
            failure = OutcomeUnknown("closed while an answer was awaited", venue=self._venue)
            raise
        else:
            at = 0
            for one in group:
                if not one.answers.done():
                    one.answers.set_result(answers[at : at + len(one.records)])
                at += len(one.records)
        finally:
            for one in group:
                if not one.answers.done():
                    one.answers.set_exception(failure)

    async def _ask(self, group: list[_Waiting]) -> list[Answer]:
        leader = self.leader
        if leader is None:
            raise self._nobody()
        records = [record for one in group for record in one.records]
        # Nothing is accepted after anybody's deadline: the earliest is everybody's.
        deadline_ms = min(one.deadline_ms for one in group)
        seconds = max(deadline_ms / 1000 - time.time(), 0.001)
        subject = commands_subject(self._chain_id, self._venue, leader.epoch)
        # An answer given just before the deadline needs a moment to arrive.
        body = await self._bus.request(subject, encode_request(deadline_ms, records), seconds + 0.2)
        answers = decode_reply(body)
        if len(answers) != len(records):
            raise InvalidValue("reply", len(answers), f"has not {len(records)} answers")
        return answers

    def _nobody(self) -> VenueUnavailable:
        return VenueUnavailable(
            f"venue {self._venue} has no leader that is heard of: nothing was accepted",
            venue=self._venue,
        )
