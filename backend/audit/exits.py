"""L8: nobody needs the operator to leave. Exits as they ended, and ways out tried while paused."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from backend.audit.evidence import Evidence, View, ViewFailed
from backend.audit.exchange import EXCHANGE, Books, Holding, Pauses
from backend.audit.report import Findings
from backend.audit.solvency import address_of
from backend.chain import abi
from backend.domain.orders import Account, Order
from backend.errors import ChainRejected

#: Ways out that are tried at most; more of them leave the law `not checked` beyond that.
MAX_TRIED: Final = 5_000
#: Whoever sends somebody else's claim.
_ANYBODY: Final = "0x000000000000000000000000000000000000c1A1"
_PAUSED_SHIFT: Final = 160
_EXIT_SHIFT: Final = 208
#: A class goes only to who is admitted: the law of the token, not of the Exchange.
_NOT_ADMITTED: Final = "ParticipantNotAdmitted"
#: {storage slot: value} of the Exchange in a simulation.
Changes = dict[str, str]


@dataclass(frozen=True, slots=True)
class _Try:
    """One way out: what it is, for whom, the call and what is changed in the state before it."""

    what: str
    holding: Holding
    sender: str
    data: bytes
    changes: Changes


def check_exits(
    findings: Findings, evidence: Evidence, books: Books, pauses: Pauses, window: int
) -> None:
    """Count how exits ended; try every claim, exit and retirement as if the venue were paused."""
    now = evidence.block.timestamp
    running = lapsed = 0
    for account, asset in books.exits:
        over = now - books.slots[account, asset].exit_requested_at > 3 * window
        running, lapsed = running + (not over), lapsed + over
    findings.count(
        "L8", exits_ended=books.exits_done, exits_running=running,
        exits_lapsed=books.exits_lapsed + lapsed,
    )  # fmt: skip
    (stored,) = evidence.views("pause", [(EXCHANGE, "pausedSince", ())])
    if stored != pauses.since:
        findings.broken(
            "L8", f"the pause is stored as {stored}, published is {pauses.since} (0: none)"
        )
    paused = _pausing(evidence, pauses)
    if paused is None:
        findings.gap(
            "L8", "the endpoint takes no changed state in a call: claims and exits during a pause "
            "were not tried",
        )  # fmt: skip
        return
    frozen, unknown = _frozen(evidence, books)
    tries = _tries(evidence, books, paused, window, frozen)
    if len(tries) > MAX_TRIED:
        findings.gap("L8", f"of {len(tries)} ways out only {MAX_TRIED} were tried")
    _try(findings, evidence, books, tries[:MAX_TRIED], unknown)


def _call(evidence: Evidence, one: _Try) -> tuple[str, Sequence[Any]]:
    address = evidence.deployment.contracts[EXCHANGE].address
    call = {"from": one.sender, "to": address, "data": "0x" + one.data.hex()}
    override = {address: {"stateDiff": one.changes}} if one.changes else {}
    return "eth_call", (call, hex(evidence.block.number), override)


def _slots_read(evidence: Evidence, calls: Iterable[bytes]) -> list[list[str]]:
    """The storage slots of the Exchange that each call reads; none where nobody can tell."""
    address = evidence.deployment.contracts[EXCHANGE].address
    at = hex(evidence.block.number)
    answers = evidence.rpc.try_batch(
        ("eth_createAccessList", ({"to": address, "data": "0x" + data.hex()}, at)) for data in calls
    )
    return [
        []
        if not isinstance(answer, dict)
        else [
            slot
            for entry in answer.get("accessList", ())
            if entry["address"].lower() == address.lower()
            for slot in entry["storageKeys"]
        ]
        for answer in answers
    ]


def _words(evidence: Evidence, slots: Sequence[str]) -> list[int]:
    address = evidence.deployment.contracts[EXCHANGE].address
    at = hex(evidence.block.number)
    answers = evidence.rpc.batch(("eth_getStorageAt", (address, slot, at)) for slot in slots)
    return [int(answer, 16) for answer in answers]


def _pausing(evidence: Evidence, pauses: Pauses) -> Changes | None:
    """The change that pauses the venue, tried; nothing when it is paused; None: impossible."""
    if pauses.since:
        return {}
    asked = abi.encode_call(EXCHANGE, "pausedSince")
    (slots,) = _slots_read(evidence, [asked])
    if len(slots) != 1:
        return None
    (word,) = _words(evidence, slots)
    changes = {slots[0]: f"0x{word | evidence.block.timestamp << _PAUSED_SHIFT:064x}"}
    trial = _Try("pause", (Account(bytes(20)), 0), _ANYBODY, asked, changes)
    (answer,) = evidence.rpc.try_batch([_call(evidence, trial)])
    if isinstance(answer, ChainRejected) or int(answer, 16) != evidence.block.timestamp:
        return None
    return changes


def _frozen(evidence: Evidence, books: Books) -> tuple[set[Account], set[Account]]:
    """Accounts that a published order has frozen, and those nobody admits."""
    accounts = sorted({account for account, _ in books.slots})
    accounts += sorted({order.trader for order in books.earmarked_of.values()} - set(accounts))
    calls: list[View] = [("Participants", "participant", (address_of(one),)) for one in accounts]
    frozen, unknown = set(), set()
    for account, held in zip(accounts, evidence.views("participants", calls), strict=True):
        if isinstance(held, ViewFailed):
            continue
        if held["frozenSince"]:
            frozen.add(account)
        if not held["tier"]:
            unknown.add(account)
    return frozen, unknown


def _tries(
    evidence: Evidence, books: Books, paused: Changes, window: int, frozen: set[Account]
) -> list[_Try]:
    """Every claim, every exit of a balance once due, every retirement that waits."""
    found = [
        _Try(
            "claim", key, _ANYBODY,
            abi.encode_call(EXCHANGE, "claim", [address_of(key[0]), key[1]]), paused,
        )
        for key, slot in sorted(books.slots.items())
        if slot.claimable > 0 and key[0] not in frozen
    ]  # fmt: skip
    leaving = [
        key
        for key, slot in sorted(books.slots.items())
        if slot.balance > 0 and key[0] not in frozen
    ][:MAX_TRIED]
    found += _due_exits(evidence, leaving, paused, window)
    found += [
        _Try(
            "retirement", (order.trader, order.instrument), _ANYBODY,
            abi.encode_call(EXCHANGE, "completeRetirement", [_struct(order)]), paused,
        )
        for digest, order in sorted(books.earmarked_of.items())
        if books.earmarks[digest] > 0 and order.trader not in frozen
    ]  # fmt: skip
    return found


def _due_exits(evidence: Evidence, keys: list[Holding], paused: Changes, window: int) -> list[_Try]:
    """The exit of each balance as if it had been requested long enough ago."""
    reads = [
        abi.encode_call(EXCHANGE, "accountOf", [address_of(account), asset])
        for account, asset in keys
    ]
    slots = [found[0] if len(found) == 1 else "" for found in _slots_read(evidence, reads)]
    known = [slot for slot in slots if slot]
    words = dict(zip(known, _words(evidence, known), strict=True))
    requested = evidence.block.timestamp - 2 * window - (window + 1) // 2
    tries = []
    for (account, asset), slot in zip(keys, slots, strict=True):
        word = words.get(slot, 0) & ((1 << _EXIT_SHIFT) - 1) | requested << _EXIT_SHIFT
        changes = {**paused, **({slot: f"0x{word:064x}"} if slot else {})}
        data = abi.encode_call(EXCHANGE, "executeExit", [address_of(account), [asset]])
        tries.append(_Try("exit", (account, asset), _ANYBODY, data, changes))
    return tries


def _struct(order: Order) -> list[Any]:
    """An order as the contract's ABI takes it."""
    fields: list[Any] = list(order)
    fields[0], fields[3] = address_of(order.trader), abi.checksum(f"0x{order.asset:040x}")
    fields[11] = "0x" + order.details_hash.hex()
    return fields


def _try(
    findings: Findings, evidence: Evidence, books: Books, tries: Sequence[_Try],
    unknown: set[Account],
) -> None:  # fmt: skip
    answers = evidence.rpc.try_batch(_call(evidence, one) for one in tries)
    refused = 0
    for one, answer in zip(tries, answers, strict=True):
        account, asset = one.holding
        if not isinstance(answer, ChainRejected):
            continue
        if _NOT_ADMITTED in answer.message and account in unknown:
            refused += 1
            continue
        slot = books.slots.get(one.holding)
        findings.broken(
            "L8", f"the {one.what} of asset {asset} by {address_of(account)} is refused while "
            f"paused: {answer.message}", slot.touched if slot else None, asset=str(asset),
        )  # fmt: skip
    kinds = [one.what for one in tries]
    findings.count(
        "L8", claims_tried=kinds.count("claim"), exits_tried=kinds.count("exit"),
        retirements_tried=kinds.count("retirement"), to_nobody_admitted=refused,
    )  # fmt: skip
