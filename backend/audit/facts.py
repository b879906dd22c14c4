"""L9: the facts of the chain that a journal holds, against the logs where it says they stand."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from backend.audit.evidence import Evidence
from backend.audit.journal import Journal
from backend.audit.report import Findings
from backend.domain.commands import (
    Command,
    CreditDeposit,
    EndExit,
    FlagClass,
    InvalidateNonce,
    ListAsset,
    ListClass,
    NotePreSignature,
    NoteSettlement,
    PauseVenue,
    SetParticipant,
    StartExit,
    UnpauseVenue,
)
from backend.domain.events import ChainEvent
from backend.domain.orders import Account, account_of

Place = tuple[int, int]
#: An exit that is not executed ends by itself three windows after its request.
LAPSES_AFTER_WINDOWS: Final = 3
_CONTRACT_TIER: Final = 255
_FOREVER: Final = 2**40 - 1


@dataclass(slots=True)
class _Admissions:
    """The state of every address in Participants, event by event."""

    held: dict[str, tuple[int, int, int]] = field(default_factory=dict)

    def apply(self, event: ChainEvent) -> tuple[int, int, int]:
        account = event.args["account"]
        tier, expiry, frozen = self.held.get(account, (0, 0, 0))
        if event.name == "ParticipantAdmitted":
            tier, expiry = event.args["tier"], event.args["expiry"]
        elif event.name == "CausewayContractAdded":
            tier, expiry = _CONTRACT_TIER, _FOREVER
        else:
            frozen = int(event.name == "ParticipantFrozen")
        self.held[account] = (tier, expiry, frozen)
        return self.held[account]


def _account(args: Mapping[str, Any], name: str = "account") -> Account:
    return account_of(args[name])


def chain_facts(evidence: Evidence) -> dict[Place, tuple[Command, ChainEvent]]:
    """Every log that a venue's journal must hold, as the command it must be, by its place."""
    admissions = _Admissions()
    return {
        (event.block_number, event.log_index): (command, event)
        for event in evidence.events
        if (command := _fact(event, admissions)) is not None
    }


def _fact(event: ChainEvent, admissions: _Admissions) -> Command | None:
    at, args = (event.block_number, event.log_index), event.args
    if event.contract == "Participants":
        if event.name in _ADMISSIONS:
            return SetParticipant(*at, _account(args), *admissions.apply(event))
        return None
    if event.contract == "CarbonCredits":
        if event.name == "ClassFlagsSet":
            return FlagClass(*at, args["id"], args["flags"])
        return ListClass(*at, args["id"]) if event.name == "ClassCreated" else None
    if event.contract != "Exchange":
        return None
    return _exchange_fact(event, at)


_ADMISSIONS: Final = frozenset(
    {
        "ParticipantAdmitted",
        "CausewayContractAdded",
        "ParticipantFrozen",
        "ParticipantUnfrozen",
    }
)


def _exchange_fact(event: ChainEvent, at: Place) -> Command | None:
    args = event.args
    match event.name:
        case "Deposited":
            return CreditDeposit(
                *at, args["depositId"], _account(args), args["asset"], args["amount"]
            )
        case "ExitRequested":
            return StartExit(*at, _account(args), args["asset"], args["requestedAt"])
        case "ExitCancelled":
            return EndExit(*at, _account(args), args["asset"], 0)
        case "ExitExecuted":
            return EndExit(*at, _account(args), args["asset"], args["amount"])
        case "NonceInvalidated":
            return InvalidateNonce(*at, _account(args, "trader"), args["nonce"], args["at"])
        case "PreSigned":
            digest = bytes.fromhex(args["digest"].removeprefix("0x"))
            return NotePreSignature(*at, _account(args), digest)
        case "AssetListed":
            return ListAsset(*at, int(args["asset"], 16), int(args["listed"]))
        case "VenuePaused":
            return PauseVenue(*at, args["at"])
        case "VenueUnpaused":
            return UnpauseVenue(*at, args["at"])
        case "BatchSettled":
            return NoteSettlement(*at, args["lastTrade"], args["lastWithdrawal"])
        case "TradesVoided":
            # A range that ends before it begins is empty: the number before it stays the last.
            return NoteSettlement(
                *at,
                max(args["firstTrade"] - 1, args["lastTrade"]),
                max(args["firstWithdrawal"] - 1, args["lastWithdrawal"]),
            )
    return None


def check_facts(
    findings: Findings, evidence: Evidence, journal: Journal, window_seconds: int
) -> int:
    """Each fact stands at its log and says what the log says; none is left out before the last.

    How many facts of the chain come after the journal's last.
    """
    _known_blocks(evidence, journal)
    comparison = _Comparison(findings, evidence, journal, chain_facts(evidence), window_seconds)
    return comparison.run()


@dataclass(slots=True)
class _Comparison:
    """The facts of a journal in its order, against those of the chain by their places."""

    findings: Findings
    evidence: Evidence
    journal: Journal
    on_chain: dict[Place, tuple[Command, ChainEvent]]
    window: int
    open_exits: dict[tuple[Account, int], int] = field(default_factory=dict)
    journalled: set[Place] = field(default_factory=set)
    newest: Place = (-1, -1)
    deposits: int = 0
    #: Facts without a log at their place: entry, fact.
    elsewhere: list[tuple[int, Command]] = field(default_factory=list)

    def run(self) -> int:
        for seq, command in self.journal.facts:
            self._fact(seq, command)
        left_out = [
            place
            for place in self.on_chain
            if place <= self.newest and place not in self.journalled
        ]
        moved = self._moved(sorted(left_out))
        after = sum(place > self.newest for place in self.on_chain)
        self.findings.count(
            "L9", facts_compared=len(self.journalled), facts_moved=moved,
            deposits_journalled=self.deposits,
            facts_after=after,
        )  # fmt: skip
        return after

    def _fact(self, seq: int, command: Command) -> None:
        place = (command.block, command.log_index)  # type: ignore[union-attr]
        found = self.on_chain.get(place)
        if isinstance(command, StartExit):
            self.open_exits[command.account, command.asset] = command.requested_at
        if isinstance(command, CreditDeposit):
            self._deposit(seq, command)
        if self._lapsed(command, found):
            return
        if found is None or (found[0] != command and _content(found[0]) != _content(command)):
            self.elsewhere.append((seq, command))
            return
        if place <= self.newest:
            _broken(self.findings, seq, f"{_said(command)} stands at chain block {place[0]}, log "
                    f"{place[1]}, not after the fact before it", found[1])  # fmt: skip
        self.newest = max(self.newest, place)
        self.journalled.add(place)

    def _deposit(self, seq: int, command: CreditDeposit) -> None:
        self.deposits += 1
        if command.deposit_id != self.deposits:
            _broken(self.findings, seq, f"deposit {command.deposit_id} is credited as number "
                    f"{self.deposits}: deposits count from 1 without gaps", None)  # fmt: skip

    def _moved(self, left_out: list[Place]) -> int:
        """Pair what has no log with what was left out: a reorganisation moves a log, unchanged."""
        waiting: defaultdict[tuple[object, ...], list[Place]] = defaultdict(list)
        later = [place for place in self.on_chain if place > self.newest]
        for place in [*left_out, *sorted(later)]:
            waiting[_content(self.on_chain[place][0])].append(place)
        moved, taken = 0, set()
        for seq, command in self.elsewhere:
            places = waiting[_content(command)]
            if places:
                moved += 1
                taken.add(places.pop(0))
                continue
            self._missing(seq, command)
        for place in left_out:
            if place not in taken:
                command, event = self.on_chain[place]
                self.findings.broken(
                    "L9", f"{_said(command)} at chain block {place[0]}, log {place[1]} was left "
                    "out of the journal, which has later facts", event,
                )  # fmt: skip
        return moved

    def _missing(self, seq: int, command: Command) -> None:
        place = (command.block, command.log_index)  # type: ignore[union-attr]
        found = self.on_chain.get(place)
        where = f"at chain block {place[0]}, log {place[1]}"
        if found is None:
            what = f"{_said(command)} is not on chain: there is no such log {where}"
            _broken(self.findings, seq, what, None)
        else:
            what = f"the journal has {_said(command)}, the log {where} says {_said(found[0])}"
            _broken(self.findings, seq, what, found[1])

    def _lapsed(self, command: Command, found: tuple[Command, ChainEvent] | None) -> bool:
        """Whether this ends an exit that nothing executed: by then it had lapsed, without a log."""
        if not isinstance(command, EndExit):
            return False
        requested = self.open_exits.pop((command.account, command.asset), None)
        if found is not None and isinstance(found[0], EndExit):
            return False
        if requested is None or command.amount or command.block > self.evidence.block.number:
            return False
        time = self.evidence.times([command.block])[command.block]
        return time > requested + LAPSES_AFTER_WINDOWS * self.window


def _content(command: Command) -> tuple[object, ...]:
    """What a fact says, wherever it stands."""
    return (type(command), *command[2:])


def _broken(findings: Findings, seq: int, what: str, event: ChainEvent | None) -> None:
    findings.broken("L9", f"entry {seq}: {what}", event, (), seq=seq)


def _known_blocks(evidence: Evidence, journal: Journal) -> None:
    """Read the times of the chain blocks whose time is judged, in few requests."""
    ends = [command for _, command in journal.facts if isinstance(command, EndExit)]
    numbers = {command.block for command in ends}
    numbers |= {command.block for _, command in journal.voids}
    evidence.times(number for number in numbers if number <= evidence.block.number)


def check_void_reasons(
    findings: Findings, evidence: Evidence, journal: Journal, window_seconds: int
) -> None:
    """A void by age names a chain block with its time, at which the trade could settle no more."""
    _known_blocks(evidence, journal)
    for seq, command in journal.voids:
        known = command.block <= evidence.block.number
        time = evidence.times([command.block])[command.block] if known else None
        if time != command.block_time:
            _broken(findings, seq, f"trades from {command.first_trade} on were voided for chain "
                    f"block {command.block} at time {command.block_time}; its time is {time}",
                    None)  # fmt: skip
        trade = journal.trades.get(command.first_trade)
        if trade is None or command.block_time <= trade.time_s + window_seconds:
            matched = "was never made" if trade is None else f"was matched at {trade.time_s}"
            _broken(findings, seq, f"trade {command.first_trade} {matched}, and voided as too old "
                    f"at {command.block_time}, {window_seconds} s being allowed", None)  # fmt: skip


def _said(command: Command) -> str:
    """A fact for people."""
    parts: Iterator[str] = (
        f"{name}={'0x' + value.hex() if isinstance(value, bytes) else value}"
        for name, value in command._asdict().items()
        if name not in ("block", "log_index")
    )
    return f"{type(command).__name__}({', '.join(parts)})"
