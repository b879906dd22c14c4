"""L9 and L6 from an exported journal: its chain of hashes, its signatures, its replay."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from backend.audit.evidence import Progress
from backend.audit.report import Findings
from backend.chain.signatures import Verifier
from backend.domain.commands import (
    Command,
    FlagClass,
    OpenVenue,
    PlaceCancel,
    PlaceCancelAll,
    PlaceOrder,
    PlaceWithdrawal,
    StartEpoch,
    VoidTrades,
)
from backend.domain.eip712 import SigningDomain
from backend.domain.journal import GENESIS_HASH, Entry, decode_entry, hash_entry
from backend.domain.journal_file import Stored, read_stored
from backend.domain.orders import NONCE_WINDOW, Account, Order, Withdrawal
from backend.domain.venue_events import (
    Event,
    OrderEnded,
    Reason,
    Refused,
    Traded,
    TradesVoided,
    WithdrawalAccepted,
    decode_events,
    encode_events,
)
from backend.errors import CausewayError
from backend.matching import Engine

#: The first entry of every journal.
FIRST_SEQ: Final = 1
#: Entries between two reports of progress.
_ROUND: Final = 5_000


class JournalTrade(NamedTuple):
    """A trade as the rules make it: the entry that caused it, its time in seconds, the event."""

    seq: int
    time_s: int
    traded: Traded


class JournalWithdrawal(NamedTuple):
    """A withdrawal that the rules accepted, and the message its owner signed."""

    seq: int
    accepted: WithdrawalAccepted
    withdrawal: Withdrawal


@dataclass(slots=True)
class Journal:
    """What a journal says, entry by entry, as far as it could be read."""

    #: The state after the last entry that could be replayed.
    engine: Engine = field(default_factory=Engine)
    #: Hash of entry n at index n − 1.
    hashes: list[bytes] = field(default_factory=list)
    opened: OpenVenue | None = None
    #: Facts of the chain and acts that name a chain block, with their entries.
    facts: list[tuple[int, Command]] = field(default_factory=list)
    voids: list[tuple[int, VoidTrades]] = field(default_factory=list)
    trades: dict[int, JournalTrade] = field(default_factory=dict)
    withdrawals: dict[int, JournalWithdrawal] = field(default_factory=dict)
    orders: dict[tuple[Account, int], tuple[int, Order]] = field(default_factory=dict)
    #: Orders and nonces that can match no more: the entry that ended them and why.
    ended: dict[tuple[Account, int], tuple[int, int]] = field(default_factory=dict)
    voided: list[tuple[int, TradesVoided]] = field(default_factory=list)
    #: Classes that are halted after the last entry, with the entry that says so.
    halted: dict[int, int] = field(default_factory=dict)
    epochs: int = 0
    signatures: int = 0
    #: The entry at which the replay stopped, because the journal is not what the rules make of it.
    stopped: int | None = None

    @property
    def length(self) -> int:
        return len(self.hashes)

    def hash_at(self, seq: int) -> bytes | None:
        """The hash of an entry; zeros before the first, None behind the last."""
        if seq == FIRST_SEQ - 1:
            return GENESIS_HASH
        place = seq - FIRST_SEQ
        return self.hashes[place] if 0 <= place < len(self.hashes) else None


@dataclass(slots=True)
class _Nonces:
    """The nonce rule, kept apart from the engine's: used ones, and the lowest that is not."""

    used: set[int] = field(default_factory=set)
    lowest: int = 0

    def use(self, nonce: int) -> None:
        self.used.add(nonce)
        while self.lowest in self.used:
            self.used.discard(self.lowest)
            self.lowest += 1

    def is_used(self, nonce: int) -> bool:
        return nonce < self.lowest or nonce in self.used


def read_journal(
    findings: Findings, path: Path, domain: SigningDomain, progress: Progress
) -> Journal:
    """Check and replay a file; every break names its entry."""
    reading = _Reading(findings, Verifier(domain))
    with path.open("rb") as file:
        try:
            for stored in read_stored(file):
                if not reading.take(stored):
                    break
                if reading.journal.length % _ROUND == 0:
                    progress("journal entries", reading.journal.length, reading.journal.length)
        except CausewayError as error:
            findings.broken("L9", error.message, seq=reading.journal.length + FIRST_SEQ)
    journal = reading.journal
    if not journal.hashes:
        findings.broken("L9", "the journal has no entry")
    findings.count(
        "L9", entries=journal.length, epochs=journal.epochs, facts=len(journal.facts),
        trader_signatures=journal.signatures,
        entries_replayed=journal.length if journal.stopped is None else journal.stopped - FIRST_SEQ,
        trades=len(journal.trades), withdrawals=len(journal.withdrawals),
    )  # fmt: skip
    return journal


@dataclass(slots=True)
class _Reading:
    """The state of one pass over a journal."""

    findings: Findings
    verifier: Verifier
    journal: Journal = field(default_factory=Journal)
    last: Entry | None = None
    nonces: defaultdict[Account, _Nonces] = field(default_factory=lambda: defaultdict(_Nonces))

    def broken(self, seq: int, what: str, law: str = "L9", **amounts: int | str) -> None:
        self.findings.broken(law, f"entry {seq}: {what}", None, (), seq=seq, **amounts)

    def take(self, stored: Stored) -> bool:
        """One entry; False when nothing behind it can be understood."""
        expected = self.journal.length + FIRST_SEQ
        try:
            entry = decode_entry(stored.entry)
        except CausewayError as error:
            self.broken(expected, f"cannot be read: {error.message}")
            return False
        self._links(expected, entry)
        self.journal.hashes.append(hash_entry(stored.entry))
        self.last = entry._replace(seq=expected)
        self._signature(expected, entry.command)
        self._nonce(expected, entry.command)
        self._note(expected, entry)
        try:
            told = decode_events(stored.events)
        except CausewayError as error:
            self.broken(expected, f"its events cannot be read: {error.message}")
            told = []
            self.journal.stopped = self.journal.stopped or expected
        self._record(expected, entry, self._replay(expected, entry, stored, told))
        return True

    # ------------------------------------------------------------------- chain

    def _links(self, expected: int, entry: Entry) -> None:
        last = self.last
        if entry.seq != expected:
            self.broken(
                expected, f"has number {entry.seq}: an entry is missing, doubled or out of order",
                found=entry.seq,
            )  # fmt: skip
        if entry.previous != (self.journal.hash_at(expected - 1) or GENESIS_HASH):
            self.broken(
                expected, f"says that the hash before it is 0x{entry.previous.hex()}, which is "
                "not that of the entry before it",
            )  # fmt: skip
        if isinstance(entry.command, OpenVenue) is not (last is None):
            self.broken(expected, "only the first entry opens the venue, and it must")
        if last is None:
            return
        if entry.time_ms < last.time_ms:
            self.broken(
                expected, f"its time {entry.time_ms} is before that of the entry before it, "
                f"{last.time_ms}",
            )  # fmt: skip
        begins = isinstance(entry.command, StartEpoch)
        if entry.epoch < last.epoch or (entry.epoch > last.epoch and not begins):
            self.broken(
                expected, f"is of epoch {entry.epoch} after epoch {last.epoch}: epochs ascend, "
                "each from its own first entry on", epoch=entry.epoch,
            )  # fmt: skip

    # ----------------------------------------------------------- signatures, nonces

    def _signature(self, seq: int, command: Command) -> None:
        if isinstance(command, PlaceOrder | PlaceWithdrawal | PlaceCancel | PlaceCancelAll):
            self.journal.signatures += 1
            try:
                self.verifier.check(command)
            except CausewayError as error:
                self.broken(seq, f"is not signed by its trader: {error.message}")

    def _nonce(self, seq: int, command: Command) -> None:
        if not isinstance(command, PlaceOrder | PlaceWithdrawal | PlaceCancel | PlaceCancelAll):
            return
        message = command[0]
        held = self.nonces[message.trader]
        if held.is_used(message.nonce) and not isinstance(command, PlaceCancel):
            self.broken(
                seq, f"nonce {message.nonce} of 0x{message.trader.hex()} is used a second time",
                "L10", nonce=message.nonce,
            )  # fmt: skip
        elif message.nonce > held.lowest + NONCE_WINDOW:
            self.broken(
                seq, f"nonce {message.nonce} of 0x{message.trader.hex()} is more than "
                f"{NONCE_WINDOW} above {held.lowest}, the lowest unused", nonce=message.nonce,
            )  # fmt: skip
        held.use(message.nonce)

    # ------------------------------------------------------------------- replay

    def _replay(self, seq: int, entry: Entry, stored: Stored, told: list[Event]) -> Sequence[Event]:
        """What the rules make of the entry; what the journal tells, once they have parted."""
        if self.journal.stopped is not None:
            return told
        if entry.rules != self.journal.engine.rules and not isinstance(entry.command, OpenVenue):
            self.broken(
                seq, f"is of rules {entry.rules}, in force are rules {self.journal.engine.rules}"
            )  # fmt: skip
        try:
            made = self.journal.engine.apply(entry.time_ms, entry.command)
        except CausewayError as error:
            self.journal.stopped = seq
            self.broken(seq, f"the rules do not take it, the replay stops: {error.message}")
            return told
        if encode_events(made) != stored.events:
            self.journal.stopped = seq
            self._differs(seq, made, told)
        return made

    def _differs(self, seq: int, made: Sequence[Event], told: Sequence[Event]) -> None:
        """Name the first event that is another, in L9; and each trade that is another, in L6."""
        place = next(
            (at for at, (one, other) in enumerate(zip(made, told, strict=False)) if one != other),
            min(len(made), len(told)),
        )
        self.broken(
            seq, f"replayed, its event {place + 1} is {_shown(made, place)}; the journal tells "
            f"{_shown(told, place)}; the replay stops",
        )  # fmt: skip
        ours = {event.number: event for event in made if isinstance(event, Traded)}
        theirs = {event.number: event for event in told if isinstance(event, Traded)}
        for number in sorted(ours.keys() | theirs.keys()):
            if ours.get(number) != theirs.get(number):
                self.broken(
                    seq, f"by price and time trade {number} is {_trade(ours.get(number))}; the "
                    f"journal tells {_trade(theirs.get(number))}"
                    + self._ended(theirs.get(number)), "L6", trade=number,
                )  # fmt: skip

    def _ended(self, traded: Traded | None) -> str:
        for who in () if traded is None else _sides(traded):
            if who in self.journal.ended:
                return f": {ended_text(self.journal, who)}"
        return ""

    # ------------------------------------------------------------------- record

    def _note(self, seq: int, entry: Entry) -> None:
        command, journal = entry.command, self.journal
        if isinstance(command, OpenVenue):
            journal.opened = journal.opened or command
        elif isinstance(command, StartEpoch):
            journal.epochs += 1
        elif isinstance(command, VoidTrades):
            journal.voids.append((seq, command))
        elif hasattr(command, "log_index"):
            journal.facts.append((seq, command))
            if isinstance(command, FlagClass):
                journal.halted.pop(command.instrument, None)
                if command.flags:
                    journal.halted[command.instrument] = seq
        elif isinstance(command, PlaceOrder):
            journal.orders.setdefault(
                (command.order.trader, command.order.nonce), (seq, command[0])
            )

    def _record(self, seq: int, entry: Entry, events: Sequence[Event]) -> None:
        journal = self.journal
        for event in events:
            if isinstance(event, Traded):
                if event.instrument in journal.halted:
                    self.broken(
                        seq, f"trade {event.number} is of class {event.instrument}, which entry "
                        f"{journal.halted[event.instrument]} halts", "L8", trade=event.number,
                    )  # fmt: skip
                journal.trades[event.number] = JournalTrade(seq, entry.time_ms // 1000, event)
            elif isinstance(event, WithdrawalAccepted):
                if isinstance(entry.command, PlaceWithdrawal):
                    journal.withdrawals[event.number] = JournalWithdrawal(
                        seq, event, entry.command.withdrawal
                    )
            elif isinstance(event, TradesVoided):
                journal.voided.append((seq, event))
            elif isinstance(event, OrderEnded | Refused):
                journal.ended.setdefault((event.trader, event.nonce), (seq, event.reason))


def _sides(traded: Traded) -> tuple[tuple[Account, int], tuple[Account, int]]:
    return (traded.maker, traded.maker_nonce), (traded.taker, traded.taker_nonce)


def ended_text(journal: Journal, who: tuple[Account, int]) -> str:
    """When and why an order could match no more."""
    seq, reason = journal.ended[who]
    return (
        f"order {who[1]} of 0x{who[0].hex()} had ended at entry {seq} "
        f"({Reason(reason).name.lower() if reason in _REASONS else reason})"
    )


_REASONS: Final[Mapping[int, Reason]] = {int(reason): reason for reason in Reason}


def _shown(events: Sequence[Event], place: int) -> str:
    """An event for people: its kind and its fields, accounts as addresses."""
    if place >= len(events):
        return "nothing"
    event = events[place]
    parts = (
        f"{name}={'0x' + value.hex() if isinstance(value, bytes) else value}"
        for name, value in event._asdict().items()
    )
    return f"{type(event).__name__}({', '.join(parts)})"


def _trade(traded: Traded | None) -> str:
    if traded is None:
        return "none"
    return (
        f"{traded.quantity} t at {traded.price} between maker 0x{traded.maker.hex()}, nonce "
        f"{traded.maker_nonce}, and taker 0x{traded.taker.hex()}, nonce {traded.taker_nonce}"
    )
