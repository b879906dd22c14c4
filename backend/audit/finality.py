"""L4 and L10: certificates and confirmations never change; what is once is there once."""

from __future__ import annotations

from typing import Any

from backend.audit.evidence import Evidence, View, ViewFailed
from backend.audit.ledger import CERTIFICATES_PER_CLASS, Ledger, Retirement
from backend.audit.register import show
from backend.audit.report import Findings
from backend.audit.texts import details_hash
from backend.domain.assignment import SettledRange
from backend.domain.events import ChainEvent
from backend.domain.records import Settled
from backend.domain.serials import merge

_RECORDS = "RegistryRecords"
#: `ReceiptStatus` of the contract.
MINTED, CANCELLED = 1, 2


def check_finality(findings: Findings, evidence: Evidence, ledger: Ledger) -> None:
    """Certificates as stored equal their events; texts match their hash; confirmations stand."""
    _check_certificates(findings, evidence, ledger)
    _check_mints(findings, ledger)
    _check_details(findings, ledger)
    _check_settled(findings, evidence, ledger)
    _check_made_good(findings, ledger)
    findings.count(
        "L4",
        certificates=len(ledger.certificates),
        retired_kilograms=sum(held.retired_kilograms for held in ledger.classes.values()),
        published_details=len(ledger.details),
        confirmations=len(ledger.register.confirmations),
        failures=len(ledger.register.failures),
        made_good=len(ledger.register.made_good),
    )


def _serials(ledger: Ledger, retirement: Retirement) -> tuple[str, ...]:
    return tuple(
        text
        for first, end in retirement.ranges()
        for text in ledger.register.serials(retirement.class_id, first, end)
    )


def _check_certificates(findings: Findings, evidence: Evidence, ledger: Ledger) -> None:
    certificates = list(ledger.certificates.values())
    stored, owners, locks = (
        evidence.views(
            f"certificates: {function}",
            [
                ("RetirementCertificates", function, (entry.certificate_id,))
                for entry in certificates
            ],
        )
        for function in ("certificate", "ownerOf", "locked")
    )
    for entry, facts, owner, locked in zip(certificates, stored, owners, locks, strict=True):
        expected = {
            "owner": entry.owner,
            "classId": entry.class_id,
            "kilograms": entry.kilograms,
            "exited": entry.exited,
            "openTonne": entry.open_tonne,
            "dust": entry.dust,
            "detailsHash": entry.details_hash,
        }
        if isinstance(facts, ViewFailed):
            problem, amounts = facts.message, {}
        else:
            differing = [name for name, value in expected.items() if facts[name] != value]
            problem = ", ".join(differing)
            amounts = {f"stored_{name}": facts[name] for name in differing} | {
                name: expected[name] for name in differing
            }
        if problem:
            findings.broken(
                "L4", f"certificate {entry.certificate_id} is not what its retirement said: "
                f"{problem}", entry.event, _serials(ledger, entry),
                **({"kilograms": entry.kilograms} | amounts),
            )  # fmt: skip
        if owner != entry.owner or locked is not True:
            findings.broken(
                "L4", f"certificate {entry.certificate_id} is not locked to {entry.owner}",
                entry.event, _serials(ledger, entry), kilograms=entry.kilograms,
            )  # fmt: skip
    _check_no_more(findings, evidence, ledger)


def _check_no_more(findings: Findings, evidence: Evidence, ledger: Ledger) -> None:
    """The next certificate of each class does not exist yet."""
    classes = list(ledger.classes.values())
    following = [
        held.number * CERTIFICATES_PER_CLASS + len(held.retirements) + 1 for held in classes
    ]
    answers = evidence.views(
        "next certificates", [("RetirementCertificates", "ownerOf", (at,)) for at in following]
    )
    for held, certificate_id, owner in zip(classes, following, answers, strict=True):
        if not isinstance(owner, ViewFailed):
            findings.broken(
                "L4", f"certificate {certificate_id} exists and no retirement made it", held.last,
                owner=owner,
            )  # fmt: skip


def _check_mints(findings: Findings, ledger: Ledger) -> None:
    """One ERC-721 mint per retirement, in its transaction, to the owner it named."""
    for certificate_id, retirement in ledger.certificates.items():
        mint = ledger.certificate_mints.get(certificate_id)
        good = mint is not None and (
            mint.transaction_hash == retirement.event.transaction_hash
            and mint.args["to"] == retirement.owner
        )
        if not good:
            findings.broken(
                "L4", f"certificate {certificate_id} was not minted to {retirement.owner} by its "
                "retirement", mint or retirement.event, _serials(ledger, retirement),
                kilograms=retirement.kilograms,
            )  # fmt: skip
    for certificate_id, mint in ledger.certificate_mints.items():
        if certificate_id not in ledger.certificates:
            findings.broken("L4", f"certificate {certificate_id} has no retirement", mint)


def _check_details(findings: Findings, ledger: Ledger) -> None:
    """Public texts hash to what the certificate carries, and are published once."""
    published: dict[int, ChainEvent] = {}
    for event in ledger.details:
        certificate_id = event.args["certificateId"]
        retirement = ledger.certificates.get(certificate_id)
        if retirement is None or retirement.details_hash != details_hash(event):
            findings.broken(
                "L4", f"the texts published for certificate {certificate_id} are not those of its "
                "hash", event,
            )  # fmt: skip
        if certificate_id in published:
            findings.broken("L4", f"certificate {certificate_id} was given texts twice", event)
        published.setdefault(certificate_id, event)


def _check_settled(findings: Findings, evidence: Evidence, ledger: Ledger) -> None:
    """Every settled range is stored as its kind, and nothing else is settled."""
    register = ledger.register
    calls: list[View] = []
    expected: list[tuple[int, SettledRange]] = []
    for class_id, held in ledger.classes.items():
        cursor = hint = 0
        ranges = register.map(class_id).settled
        for entry in [*ranges, SettledRange(held.positions.minted, 0, Settled.NONE)]:
            if cursor < entry.first:
                expected.append((class_id, SettledRange(cursor, entry.first, Settled.NONE)))
                calls.append((_RECORDS, "settledWithin", (class_id, cursor, entry.first - 1, hint)))
            if entry.kind:
                expected.append((class_id, entry))
                place = (class_id, entry.first, entry.end - 1, hint)
                calls.append((_RECORDS, "settledWithin", place))
                cursor, hint = entry.end, entry.first + 1
    for (class_id, entry), stored in zip(expected, evidence.views("settled", calls), strict=True):
        if not isinstance(stored, dict) or stored["kind"] != entry.kind:
            what = "confirmation" if entry.kind in (Settled.NONE, Settled.CONFIRMED) else "settling"
            word = (
                "is recorded and not stored" if entry.kind else "is stored and was never recorded"
            )
            event = register.settled_by.get((class_id, entry.first))
            findings.broken(
                "L4", f"the {what} of positions {entry.first}…{entry.end - 1} {word}: "
                f"{_text(stored)}", event or register.last_events.get(class_id),
                register.serials(class_id, entry.first, entry.end)[:20],
                class_id=class_id, tonnes=entry.end - entry.first,
            )  # fmt: skip


def _check_made_good(findings: Findings, ledger: Ledger) -> None:
    """What was retired instead is in the register, by the record that names it."""
    register = ledger.register
    for entry in register.made_good.values():
        came = register.came.get(entry.id, [])
        if merge(came) != merge(entry.serials):
            findings.broken(
                "L4", f"{entry.id} makes good with serials that it did not register", entry.event,
                show(entry.serials), class_id=entry.class_id,
            )  # fmt: skip


def check_once(findings: Findings, evidence: Evidence, ledger: Ledger) -> None:
    """L10: receipts as stored; doubles among the events were found when they were replayed."""
    register = ledger.register
    wanted = dict.fromkeys(register.cancelled, CANCELLED) | dict.fromkeys(register.receipts, MINTED)
    statuses = evidence.views(
        "receipts", [("Trust", "receiptStatus", (receipt_id,)) for receipt_id in wanted]
    )
    for (receipt_id, status), stored in zip(wanted.items(), statuses, strict=True):
        if stored != status:
            event = register.receipts.get(receipt_id) or register.cancelled[receipt_id]
            blocks = [
                block.serials
                for held in register.blocks.values()
                for block in held
                if block.receipt_id == receipt_id
            ]
            findings.broken(
                "L10", f"receipt {receipt_id} is stored with another status: it could be minted "
                "again", event, show(blocks), stored=_text(stored), expected=status,
            )  # fmt: skip
    for held in register.blocks.values():
        for block in held:
            if block.receipt_id and block.receipt_id not in register.receipts:
                findings.broken(
                    "L10", f"{block.serials} was registered for a receipt that was never minted",
                    block.event, show([block.serials]), tonnes=block.serials.tonnes,
                )  # fmt: skip
    findings.count(
        "L10",
        receipts_minted=len(register.receipts),
        receipts_cancelled=len(register.cancelled),
        certificates=len(ledger.certificates),
        confirmations=len(register.confirmations),
    )


def _text(value: Any) -> str:
    return value.message if isinstance(value, ViewFailed) else str(value)
