"""L9: the facts of the chain that a journal holds, against the logs where it says they stand."""

from __future__ import annotations

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
        return ListClass(*at, args["classId"]) if event.name == "ClassCreated" else None
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
        case "BatchSettled" | "TradesVoided":
            return NoteSettlement(*at, args["lastTrade"], args["lastWithdrawal"])
    return None


def check_facts(
    findings: Findings, evidence: Evidence, journal: Journal, window_seconds: int
) -> None:
    """Each fact stands at its log and says what the log says; none is left out before the last."""
    on_chain = chain_facts(evidence)
    open_exits: dict[tuple[Account, int], int] = {}
    journalled: set[Place] = set()
    newest: Place = (-1, -1)
    deposits = 0
    _known_blocks(evidence, journal)
    for seq, command in journal.facts:
        place = (command.block, command.log_index)  # type: ignore[union-attr]
        found = on_chain.get(place)
        if _lapsed(evidence, command, found, open_exits, window_seconds):
            continue
        if found is None:
            _broken(findings, seq, f"{_said(command)} is not on chain: there is no such log at "
                    f"chain block {place[0]}, log {place[1]}", None)  # fmt: skip
            continue
        if found[0] != command:
            _broken(findings, seq, f"the journal has {_said(command)}, the log at chain block "
                    f"{place[0]}, log {place[1]} says {_said(found[0])}", found[1])  # fmt: skip
        if place <= newest:
            _broken(findings, seq, f"{_said(command)} stands at chain block {place[0]}, log "
                    f"{place[1]}, not after the fact before it", found[1])  # fmt: skip
        newest = max(newest, place)
        journalled.add(place)
        if isinstance(command, StartExit):
            open_exits[command.account, command.asset] = command.requested_at
        if isinstance(command, CreditDeposit):
            deposits += 1
            if command.deposit_id != deposits:
                _broken(findings, seq, f"deposit {command.deposit_id} is credited as number "
                        f"{deposits}: deposits count from 1 without gaps", found[1])  # fmt: skip
    left_out = [place for place in on_chain if place <= newest and place not in journalled]
    for place in sorted(left_out):
        command, event = on_chain[place]
        findings.broken(
            "L9", f"{_said(command)} at chain block {place[0]}, log {place[1]} was left out of the "
            "journal, which has later facts", event,
        )  # fmt: skip
    later = sum(place > newest for place in on_chain)
    findings.count("L9", facts_compared=len(journalled), deposits=deposits, facts_after=later)


def _broken(findings: Findings, seq: int, what: str, event: ChainEvent | None) -> None:
    findings.broken("L9", f"entry {seq}: {what}", event, (), seq=seq)


def _known_blocks(evidence: Evidence, journal: Journal) -> None:
    """Read the times of the chain blocks whose time is judged, in few requests."""
    ends = [command for _, command in journal.facts if isinstance(command, EndExit)]
    numbers = {command.block for command in ends}
    numbers |= {command.block for _, command in journal.voids}
    evidence.times(number for number in numbers if number <= evidence.block.number)


def _lapsed(
    evidence: Evidence,
    command: Command,
    found: tuple[Command, ChainEvent] | None,
    open_exits: dict[tuple[Account, int], int],
    window_seconds: int,
) -> bool:
    """Whether this ends an exit that nothing executed: by then it had lapsed, without a log."""
    if not isinstance(command, EndExit):
        return False
    requested = open_exits.pop((command.account, command.asset), None)
    if isinstance(found, tuple) and isinstance(found[0], EndExit):
        return False
    if requested is None or command.amount or command.block > evidence.block.number:
        return False
    time = evidence.times([command.block])[command.block]
    return time > requested + LAPSES_AFTER_WINDOWS * window_seconds


def check_void_reasons(findings: Findings, evidence: Evidence, journal: Journal) -> None:
    """The chain block that a void by age names has the time that it names."""
    _known_blocks(evidence, journal)
    for seq, command in journal.voids:
        known = command.block <= evidence.block.number
        time = evidence.times([command.block])[command.block] if known else None
        if time != command.block_time:
            _broken(findings, seq, f"trades from {command.first_trade} on were voided for chain "
                    f"block {command.block} at time {command.block_time}; its time is {time}",
                    None)  # fmt: skip


def _said(command: Command) -> str:
    """A fact for people."""
    parts: Iterator[str] = (
        f"{name}={'0x' + value.hex() if isinstance(value, bytes) else value}"
        for name, value in command._asdict().items()
        if name not in ("block", "log_index")
    )
    return f"{type(command).__name__}({', '.join(parts)})"
