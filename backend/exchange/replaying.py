"""Replaying a journal without trusting who wrote it: every rule an entry can break (L5, L9).

A `Replay` has an engine of its own. An entry that is not what the rules make of it raises
JournalInconsistent with its number, and nothing after it can be taken: who replays stops there.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, NamedTuple, Protocol

from backend.chain.signatures import Verifier
from backend.domain.commands import (
    Command,
    OpenVenue,
    StartEpoch,
    VoidTrades,
)
from backend.domain.eip712 import SigningDomain
from backend.domain.journal import GENESIS_HASH, Entry, Head, decode_entry, hash_entry
from backend.domain.orders import account_of
from backend.domain.venue_events import Event, decode_events, encode_events
from backend.errors import InvalidValue, JournalInconsistent, NotAuthorised
from backend.matching import Engine

FIRST_SEQ: Final = 1
#: Hashes of so many newest entries are at hand, to sign acts that name one of them.
HASHES_KEPT: Final = 200_000


class Taken(NamedTuple):
    """An entry that was found right, and its events."""

    entry: Entry
    events: list[Event]


class FactCheck(Protocol):
    """What somebody's own view of the chain says of what the journal says of it.

    Both raise JournalInconsistent, and ChainBehind or ChainUnavailable when the own node cannot
    tell yet: the entry is then taken again later.
    """

    def check_fact(self, seq: int, command: Command, engine: Engine) -> None:
        """The command is the next fact of the chain after those checked before."""

    def check_void(self, seq: int, command: VoidTrades, engine: Engine) -> None:
        """The chain block it names has its time, and every fact up to it is in the journal."""


class Replay:
    """The state after the entries taken so far; starts empty or where a snapshot was made."""

    def __init__(
        self,
        domain: SigningDomain,
        facts: FactCheck,
        *,
        engine: Engine | None = None,
        head: Head | None = None,
        epoch: int = 0,
    ) -> None:
        self.engine = Engine() if engine is None else engine
        self.head = Head(FIRST_SEQ - 1, GENESIS_HASH) if head is None else head
        self.epoch = epoch
        self._domain = domain
        self._verifier = Verifier(domain)
        self._facts = facts
        self._hashes: OrderedDict[int, bytes] = OrderedDict([self.head])

    def hash_at(self, seq: int) -> bytes | None:
        """The hash of one of the newest entries taken; None for any other."""
        return self._hashes.get(seq)

    def take(self, raw: bytes, stored_events: bytes) -> Taken:
        """The next entry of the journal, in its stored bytes, and what it is said to have caused.

        Changes nothing unless everything about the entry is right, but for its events: those are
        compared with what the own engine made of it.
        """
        seq = self.head.seq + 1
        entry = self._decoded(seq, raw)
        self._check_links(seq, entry)
        self._check_command(seq, entry.command)
        try:
            events = self.engine.apply(entry.time_ms, entry.command)
        except InvalidValue as refusal:
            raise broken(seq, f"cannot stand in a journal: {refusal.message}") from None
        if encode_events(events) != stored_events:
            raise broken(seq, _difference(events, stored_events))
        self.epoch = entry.epoch
        self.head = Head(seq, hash_entry(raw))
        self._hashes[seq] = self.head.hash
        if len(self._hashes) > HASHES_KEPT:
            self._hashes.popitem(last=False)
        return Taken(entry, events)

    # ── the rules ────────────────────────────────────────────────────────────────────────────

    def _decoded(self, seq: int, raw: bytes) -> Entry:
        try:
            return decode_entry(raw)
        except InvalidValue as refusal:
            raise broken(seq, f"is no entry: {refusal.message}") from None

    def _check_links(self, seq: int, entry: Entry) -> None:
        if entry.seq != seq:
            raise broken(seq, f"is entry {entry.seq}: one is missing, doubled or out of order")
        if entry.previous != self.head.hash:
            raise broken(seq, f"follows {entry.previous.hex()}, not entry {seq - 1}'s hash")
        opens = isinstance(entry.command, OpenVenue)
        if opens is not (seq == FIRST_SEQ):
            raise broken(seq, "opens the venue" if opens else "does not open the venue")
        if opens:
            return
        starts = isinstance(entry.command, StartEpoch)
        # The first epoch starts behind the entry that opens the venue, every other one anew.
        risen = entry.epoch > self.epoch or (seq == FIRST_SEQ + 1 and entry.epoch == self.epoch)
        if not (risen if starts else entry.epoch == self.epoch):
            raise broken(
                seq, f"is of epoch {entry.epoch} after epoch {self.epoch}: {entry.command}"
            )
        if entry.time_ms < self.engine.time_ms:
            raise broken(seq, f"is {self.engine.time_ms - entry.time_ms} ms before the one before")
        if entry.rules != self.engine.rules:
            raise broken(seq, f"is of rules {entry.rules}, in force are {self.engine.rules}")

    def _check_command(self, seq: int, command: Command) -> None:
        if isinstance(command, OpenVenue):
            ours = self._domain.chain_id, account_of(self._domain.contract)
            if (command.chain_id, command.exchange) != ours:
                raise broken(seq, f"opens a venue of another chain or contract: {command}")
        elif isinstance(command, VoidTrades):
            self._facts.check_void(seq, command, self.engine)
        elif hasattr(command, "log_index"):
            self._facts.check_fact(seq, command, self.engine)
        else:
            self._check_trader(seq, command)

    def _check_trader(self, seq: int, command: Command) -> None:
        try:
            self._verifier.check(command)
        except (InvalidValue, NotAuthorised) as refusal:
            raise broken(seq, f"is not signed by its trader: {refusal.message}") from None


def broken(seq: int, what: str) -> JournalInconsistent:
    """The error that stops a replay at an entry."""
    return JournalInconsistent(f"entry {seq} {what}", seq=seq)


def _difference(made: list[Event], stored: bytes) -> str:
    """Where the stored events part from those the engine made."""
    try:
        told = decode_events(stored)
    except InvalidValue as refusal:
        return f"has events that cannot be read: {refusal.message}"
    for place, (own, theirs) in enumerate(zip(made, told, strict=False)):
        if own != theirs:
            return f"causes {own} as event {place}; the journal says {theirs}"
    return f"causes {len(made)} events; the journal has {len(told)}"
