"""Commands on their way in: decoded, bounded, their signatures checked, ready for the leader.

A command waits in one of two queues: for its signature, then for the leader. Both count against
the bound of the venue, the second against its trader's: only what a trader has signed may stand in
that trader's way. What comes beyond a bound is answered `busy` and uses nothing up.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from backend.bus.venue_messages import (
    AnswerCode,
    decode_request,
    encode_refused,
    encode_reply,
)
from backend.chain.signatures import Verifier
from backend.domain.commands import PlaceCancel, PlaceOrder, PlaceWithdrawal, TraderCommand
from backend.domain.orders import Account
from backend.errors import InvalidValue, NotAuthorised

#: Commands whose signatures are checked in one go.
CHECK_AT_ONCE: Final = 128
_TOO_LARGE: Final = encode_refused(
    AnswerCode.TOO_LARGE, "it is in the journal; what it caused is too much for one answer"
)


class Item:
    """One command of a request."""

    __slots__ = (
        "command",
        "is_cancel",
        "is_signed",
        "looked_up",
        "nonce",
        "record",
        "request",
        "slot",
        "trader",
    )

    def __init__(self, command: TraderCommand, record: bytes, request: Incoming, slot: int) -> None:
        self.command = command
        self.record = record
        self.request = request
        self.slot = slot
        self.trader: Account = command[0][0]
        self.nonce: int = command[0][1]
        self.is_cancel = type(command) is PlaceCancel
        #: Its trader's signature was found right.
        self.is_signed = False
        #: The journal was asked: no earlier cancel names this nonce.
        self.looked_up = False

    @property
    def is_pre_signed(self) -> bool:
        """Whether the chain, not a signature, says that its trader stands by it."""
        command = self.command
        return isinstance(command, PlaceOrder | PlaceWithdrawal) and bool(command[0].signature_kind)


class Incoming:
    """One request: its commands are answered one by one, the reply goes out with the last."""

    __slots__ = ("answers", "deadline_ms", "open", "reply_to")

    def __init__(self, reply_to: str, deadline_ms: int, count: int) -> None:
        self.reply_to = reply_to
        self.deadline_ms = deadline_ms
        self.answers: list[bytes] = [b""] * count
        self.open = count


class Intake:
    """Queue of one leader. `reply(subject, body)` sends a reply; `wake` says that work is ready."""

    def __init__(
        self,
        verifier: Verifier,
        reply: Callable[[str, bytes], None],
        wake: Callable[[], None],
        *,
        most_waiting: int,
        most_per_trader: int,
        largest_reply: Callable[[], int],
    ) -> None:
        self._verifier = verifier
        self._reply = reply
        self._wake = wake
        self._most_waiting = most_waiting
        self._most_per_trader = most_per_trader
        self._largest_reply = largest_reply
        self._unchecked: deque[Item] = deque()
        self._arrived = asyncio.Event()
        self._per_trader: Counter[Account] = Counter()
        #: Commands that are not answered yet.
        self.waiting = 0
        self.ready: deque[Item] = deque()
        #: Set when the leader stops: nothing more is taken.
        self.closed = False

    def take(self, body: bytes, reply_to: str) -> None:
        """A message of the bus."""
        try:
            request = decode_request(body)
        except InvalidValue as error:
            self._reply(reply_to, encode_reply([encode_refused(AnswerCode.INVALID, error.message)]))
            return
        count = len(request.commands)
        incoming = Incoming(reply_to, request.deadline_ms, count)
        full = self.closed or self.waiting + count > self._most_waiting
        self.waiting += count
        for slot, (command, record) in enumerate(request.commands):
            item = Item(command, record, incoming, slot)
            if full:
                self.answer(item, encode_refused(AnswerCode.BUSY, "the venue has enough to do"))
            else:
                self._unchecked.append(item)
        if self._unchecked:
            self._arrived.set()

    def answer(self, item: Item, answer: bytes) -> None:
        """Answer one command; the reply goes out when its request has every answer."""
        self.forget(item)
        request = item.request
        request.answers[item.slot] = answer
        request.open -= 1
        if not request.open:
            self._reply(request.reply_to, self._reply_of(request.answers))

    def _reply_of(self, answers: list[bytes]) -> bytes:
        """The reply; one answer that is too large for the bus does not take the others with it."""
        body = encode_reply(answers)
        while len(body) > self._largest_reply():
            largest = max(range(len(answers)), key=lambda at: len(answers[at]))
            if answers[largest] == _TOO_LARGE:
                break
            answers[largest] = _TOO_LARGE
            body = encode_reply(answers)
        return body

    def forget(self, item: Item) -> None:
        """Its request gets no reply; it stands in nobody's way any more."""
        self.waiting -= 1
        if item.is_signed:
            left = self._per_trader[item.trader] - 1
            if left:
                self._per_trader[item.trader] = left
            else:
                del self._per_trader[item.trader]

    async def check_signatures(self) -> None:
        """Check what arrives, for ever; in a thread, because recovery leaves Python's lock."""
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1, "causeway-signatures") as pool:
            while True:
                await self._arrived.wait()
                self._arrived.clear()
                while self._unchecked:
                    count = min(len(self._unchecked), CHECK_AT_ONCE)
                    items = [self._unchecked.popleft() for _ in range(count)]
                    found = await loop.run_in_executor(pool, self._check, items)
                    for item, complaint in zip(items, found, strict=True):
                        self._checked(item, complaint)
                    self._wake()

    def _checked(self, item: Item, complaint: str) -> None:
        """Put a command before the leader, or answer what keeps it from there."""
        if complaint:
            self.answer(item, encode_refused(AnswerCode.BAD_SIGNATURE, complaint))
            return
        # Nobody has signed a message that claims to be pre-signed: it counts for the venue alone.
        item.is_signed = not item.is_pre_signed
        if item.is_signed:
            self._per_trader[item.trader] += 1
            if self._per_trader[item.trader] > self._most_per_trader:
                self.answer(item, encode_refused(AnswerCode.BUSY, "the trader has enough waiting"))
                return
        self.ready.append(item)

    def _check(self, items: Sequence[Item]) -> list[str]:
        """Per command what is wrong with its signature, nothing when it is right."""
        check = self._verifier.check
        found = []
        for item in items:
            try:
                check(item.command)
                found.append("")
            except (InvalidValue, NotAuthorised) as error:
                found.append(error.message)
        return found
