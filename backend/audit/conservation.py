"""L1 and L11: supply, positions and balances; events and views, each against the other."""

from __future__ import annotations

from typing import Any

from backend.audit.evidence import Evidence, ViewFailed
from backend.audit.ledger import ClassLedger, Holding, Ledger
from backend.audit.report import Findings
from backend.domain.positions import Positions
from backend.errors import InvalidValue

#: Above this many (account, class) pairs only those that ever moved are compared.
MAX_CROSS_PAIRS = 20_000


def check_conservation(findings: Findings, evidence: Evidence, ledger: Ledger) -> None:
    """Replay equals views, kilograms minted minus retired are the supply, balances add up to it."""
    _check_flows(findings, ledger)
    sums = _check_balances(findings, evidence, ledger)
    _check_classes(findings, evidence, ledger, sums)
    classes = ledger.classes.values()
    findings.count(
        "L1",
        classes=len(ledger.classes),
        minted_tonnes=sum(held.positions.minted for held in classes),
        exited_tonnes=sum(held.positions.exited for held in classes),
        dust_kilograms=sum(held.positions.dust for held in classes),
        supply_kilograms=sum(held.positions.supply_kilograms for held in classes),
        minted_kilograms=sum(held.minted_kilograms for held in classes),
        retired_kilograms=sum(held.retired_kilograms for held in classes),
        delivered_kilograms=sum(held.burnt_kilograms - held.refunded_kilograms for held in classes),
        passed_tonnes=sum(held.passed_tonnes for held in classes),
    )
    findings.count(
        "L11",
        transfers=ledger.moved,
        retirements=len(ledger.certificates),
        accounts=len({account for account, _ in ledger.touched}),
    )


def _check_flows(findings: Findings, ledger: Ledger) -> None:
    """Every kilogram that appears was minted, every one that disappears was retired."""
    for (transaction, class_id, account, kind), difference in ledger.differences.items():
        if not difference:
            continue
        touched = ledger.touched.get((account, class_id))
        held = ledger.classes.get(class_id)
        event = touched or (held.last if held else None)
        if event is not None and event.transaction_hash != transaction:
            event = event._replace(transaction_hash=transaction)
        findings.broken(
            "L1",
            f"what was {kind} for {account} is not what its balance moved by in {transaction}",
            event, class_id=class_id, kilograms=difference,
        )  # fmt: skip
    for class_id in {class_id for _, class_id in ledger.balances} - set(ledger.classes):
        event = next(found for pair, found in ledger.touched.items() if pair[1] == class_id)
        findings.broken("L1", f"credits of {class_id} moved, no such class exists", event)


def _pairs(evidence: Evidence, ledger: Ledger) -> list[Holding]:
    """Accounts × classes, so that a balance without any event is found; bounded."""
    accounts = ledger.accounts() | {
        contract.address for contract in evidence.deployment.contracts.values()
    }
    for event in evidence.events:
        if event.name == "ParticipantAdmitted":
            accounts.add(event.args["account"])
    pairs = set(ledger.touched)
    if len(accounts) * len(ledger.classes) <= MAX_CROSS_PAIRS:
        pairs |= {(account, class_id) for account in accounts for class_id in ledger.classes}
    return sorted(pairs)


def _check_balances(findings: Findings, evidence: Evidence, ledger: Ledger) -> dict[int, int]:
    """Every balance and retired balance equals the replay; the sums of balances per class."""
    pairs = _pairs(evidence, ledger)
    balances = evidence.views("balances", [("CarbonCredits", "balanceOf", pair) for pair in pairs])
    retired = evidence.views(
        "retired balances", [("CarbonCredits", "retiredBalanceOf", pair) for pair in pairs]
    )
    sums = dict.fromkeys(ledger.classes, 0)
    for pair, balance, gone in zip(pairs, balances, retired, strict=True):
        account, class_id = pair
        held = ledger.classes.get(class_id)
        event = ledger.touched.get(pair) or (held.last if held else None)
        expected, expected_gone = ledger.balances.get(pair, 0), ledger.retired.get(pair, 0)
        for name, value, wanted in (
            ("balance", balance, expected),
            ("retired balance", gone, expected_gone),
        ):
            if value != wanted:
                findings.broken(
                    "L1", f"the {name} of {account} is not what its events add up to", event,
                    class_id=class_id, stored=_shown(value), replayed=wanted,
                )  # fmt: skip
        if isinstance(balance, int):
            sums[class_id] = sums.get(class_id, 0) + balance
    findings.count("L1", balances_compared=len(pairs))
    return sums


def _check_classes(
    findings: Findings, evidence: Evidence, ledger: Ledger, sums: dict[int, int]
) -> None:
    classes = list(ledger.classes.values())
    supplies = evidence.views(
        "supplies", [("CarbonCredits", "totalSupply", (held.id,)) for held in classes]
    )
    counters = evidence.views(
        "positions", [("CarbonCredits", "positions", (held.id,)) for held in classes]
    )
    for held, supply, stored in zip(classes, supplies, counters, strict=True):
        serials = ledger.register.serials(held.id, held.positions.exited, held.positions.minted)
        came = held.minted_kilograms + held.refunded_kilograms
        derived = came - held.retired_kilograms - held.burnt_kilograms
        for name, amount in (
            ("the supply is not (minted − exited) × 1000 + dust", supply),
            (
                "kilograms minted and refunded minus retired and delivered are not the supply",
                derived,
            ),
            ("the balances do not add up to the supply", sums[held.id]),
        ):
            if amount != held.positions.supply_kilograms:
                findings.broken(
                    "L1", f"class {held.number}: {name}", held.last, serials[:20],
                    class_id=held.id, found=_shown(amount),
                    supply=held.positions.supply_kilograms,
                )  # fmt: skip
        _check_counters(findings, held, stored, serials[:20])


def _check_counters(
    findings: Findings, held: ClassLedger, stored: Any, serials: tuple[str, ...]
) -> None:
    """Stored position counters equal the replay; within their own bounds (L11)."""
    if isinstance(stored, ViewFailed):
        findings.broken(
            "L1", f"class {held.number}: its counters cannot be read: {stored.message}", held.last
        )
        return
    replayed = held.positions
    wanted = {
        "minted": replayed.minted,
        "exited": replayed.exited,
        "dust": replayed.dust,
        "number": held.number,
        "certificates": len(held.retirements),
    }
    if replayed.dust:
        wanted["openTonne"] = replayed.open_tonne
    differing = {
        name: (stored[name], value) for name, value in wanted.items() if stored[name] != value
    }
    if differing:
        amounts = {
            key: number
            for name, (found, value) in differing.items()
            for key, number in ((f"stored_{name}", found), (f"replayed_{name}", value))
        }
        findings.broken(
            "L1", f"class {held.number}: {', '.join(differing)} stored are not what the events say",
            held.last, serials, class_id=held.id, **amounts,
        )  # fmt: skip
    try:
        Positions(stored["minted"], stored["exited"], stored["openTonne"], stored["dust"])
    except InvalidValue as error:
        findings.broken("L11", f"class {held.number}: counters out of bounds: {error}", held.last)


def _shown(value: Any) -> int | str:
    return value.message if isinstance(value, ViewFailed) else int(value)
