"""L5: every mint and confirmation carries enough signatures of those who had the roles then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from backend.audit.calls import Call, Calls, as_message, recover_signers
from backend.audit.evidence import Evidence
from backend.audit.ledger import Ledger, class_identity
from backend.audit.register import show
from backend.audit.report import Findings
from backend.domain import custody, eip712, records
from backend.domain.events import ChainEvent

#: Roles as the contracts number them; 1 and 2 mean other things in `Trust` and `LegalOrders`.
NO_ROLE, FIRST, SECOND = 0, 1, 2
#: Contracts whose acts custodians and attestors sign, and the types that they sign there.
_SIGNED = {"Trust": custody.TYPES, "RegistryRecords": records.TYPES}


@dataclass(slots=True)
class Roles:
    """Who has which role and how many must sign, replayed to a point of the history."""

    contract: str
    roles: dict[str, int] = field(default_factory=dict)
    thresholds: tuple[int, int] = (1, 1)
    ever: dict[str, ChainEvent] = field(default_factory=dict)

    def apply(self, findings: Findings, event: ChainEvent) -> None:
        """Take one event about roles; a signer who has a role must lose it before another."""
        if event.name in ("SignerSet", "LegalSignerSet"):
            signer, role = event.args["signer"], event.args["role"]
            if role != NO_ROLE and self.roles.get(signer, NO_ROLE) != NO_ROLE:
                findings.broken("L5", f"{signer} was given a second role", event, role=role)
            self.roles[signer] = role
            self.ever[signer] = event
        elif event.name in ("ThresholdsSet", "LegalThresholdsSet"):
            first, second = (value for value in event.args.values())
            self.thresholds = (first, second)
            if not first or not second:
                findings.broken("L5", "a threshold was set to 0", event)

    def counts(self, signers: Sequence[str]) -> tuple[int, int, int]:
        """How many of these have no role, the first, the second."""
        held = [self.roles.get(signer, NO_ROLE) for signer in signers]
        return held.count(NO_ROLE), held.count(FIRST), held.count(SECOND)


@dataclass(frozen=True, slots=True)
class Approval:
    """What one act must be signed as: the function, where its signed part is, its digest."""

    event: ChainEvent
    function: str
    digest_name: str
    serials: tuple[str, ...]
    amounts: Mapping[str, int | str]


@dataclass(slots=True)
class Authority:
    """Checks the signatures of `Trust` and `RegistryRecords`; counts what it saw."""

    findings: Findings
    evidence: Evidence
    ledger: Ledger
    calls: Calls
    roles: Roles = field(default_factory=lambda: Roles("Trust"))
    signatures: int = 0
    indirect: int = 0
    acts: int = 0

    def _domain(self, contract: str) -> eip712.SigningDomain:
        address = self.evidence.deployment.contracts[contract].address
        make = custody.signing_domain if contract == "Trust" else records.signing_domain
        return make(self.evidence.deployment.chain_id, address)

    def check(self) -> None:
        """Walk the history in log order; then compare the roles now with what is stored."""
        events = [event for event in self.evidence.events if event.contract in _SIGNED]
        acts = ("ReceiptMinted", "RegistryRetirementRecorded")
        self.evidence.transactions(e.transaction_hash for e in events if e.name in acts)
        times = self.evidence.times(e.block_number for e in events if e.name == "ReceiptMinted")
        for event in events:
            if event.contract == "Trust":
                self.roles.apply(self.findings, event)
            if event.name == "ReceiptMinted":
                self._mint(event, times[event.block_number])
            elif event.name == "RegistryRetirementRecorded":
                self._confirmation(event)
            elif event.name == "ReceiptCancelled":
                self._cancellation(event)
        check_stored_roles(self.findings, self.evidence, self.roles)

    def _mint(self, event: ChainEvent, chain_time: int) -> None:
        register = self.ledger.register
        blocks = [
            block
            for block in register.blocks.get(event.args["classId"], [])
            if block.receipt_id == event.args["receiptId"]
        ]
        approval = Approval(
            event, "mintWithReceipt", "receiptId", show(block.serials for block in blocks),
            {"tonnes": event.args["tonnes"]},
        )  # fmt: skip
        receipt = self._signed(approval, "receipt", "Receipt")
        if receipt is None:
            return
        args = event.args
        intervals = [
            {
                "series": {
                    "programme": block.serials.series.programme,
                    "codes": list(block.serials.series.codes),
                },
                "first": block.serials.first,
                "last": block.serials.last,
            }
            for block in blocks
        ]
        expected = {
            "recipient": args["recipient"],
            "account": args["account"],
            "evidenceHash": args["evidenceHash"],
            "termsHash": args["termsHash"],
            "intervals": intervals,
        }
        differing = [name for name, value in expected.items() if receipt[name] != value]
        if class_identity(receipt["creditClass"])[2] != args["classId"]:
            differing.append("creditClass")
        if receipt["validUntil"] < chain_time:
            differing.append("validUntil")
        self._report(approval, differing)

    def _confirmation(self, event: ChainEvent) -> None:
        args = event.args
        confirmation = self.ledger.register.confirmations.get(args["confirmationId"])
        approval = Approval(
            event, "recordRegistryRetirement", "confirmationId",
            show(confirmation.actual) if confirmation else (), {"tonnes": args["tonnes"]},
        )  # fmt: skip
        signed = self._signed(approval, "retirement", "RegistryRetirement")
        if signed is not None:
            names = (
                "classId", "firstPosition", "tonnes", "actual", "registryReference",
                "registryDate", "evidenceHash",
            )  # fmt: skip
            self._report(approval, [name for name in names if signed[name] != args[name]])

    def _cancellation(self, event: ChainEvent) -> None:
        signer = event.args["signer"]
        if self.roles.counts([signer])[0]:
            self.findings.broken(
                "L5", f"receipt {event.args['receiptId']} was cancelled by {signer}, who had no "
                "role", event,
            )  # fmt: skip

    def _report(self, approval: Approval, differing: list[str]) -> None:
        if differing:
            self.findings.broken(
                "L5", f"{approval.event.name}: not what was signed: {', '.join(differing)}",
                approval.event, approval.serials, **approval.amounts,
            )  # fmt: skip

    def _signed(self, approval: Approval, argument: str, kind: str) -> Mapping[str, Any] | None:
        """Check signers and thresholds; the struct that was signed where the call is known."""
        self.acts += 1
        event = approval.event
        digest_text: str = event.args[approval.digest_name]
        emitted: list[str] = event.args["signers"]
        self._check_roles(approval, emitted)
        found = self.calls.of(event.contract, event.transaction_hash)
        if found is None:
            self.indirect += 1
            return None
        for call in found:
            if call.function != approval.function:
                continue
            types = _SIGNED[event.contract]
            message = as_message(types, kind, call.args[argument])
            digest = eip712.digest(self._domain(event.contract), types, kind, message)
            if "0x" + digest.hex() != digest_text:
                continue
            self._check_signatures(approval, call, digest, emitted)
            signed: Mapping[str, Any] = call.args[argument]
            return signed
        self.findings.broken(
            "L5", f"{event.name}: no call of its transaction hashes to {digest_text}", event,
            approval.serials, **approval.amounts,
        )  # fmt: skip
        return None

    def _check_signatures(
        self, approval: Approval, call: Call, digest: bytes, emitted: list[str]
    ) -> None:
        signers = recover_signers(digest, call.args["signatures"])
        self.signatures += len(signers or ())
        ascending = signers is not None and all(
            int(low, 16) < int(high, 16) for low, high in pairwise(signers)
        )
        if not ascending or signers != emitted:
            self.findings.broken(
                "L5", f"{approval.event.name}: the signatures are not those of the signers it "
                "names", approval.event, approval.serials, **approval.amounts,
            )  # fmt: skip

    def _check_roles(self, approval: Approval, signers: list[str]) -> None:
        without, custodians, attestors = self.roles.counts(list(dict.fromkeys(signers)))
        needed = self.roles.thresholds
        if without or custodians < needed[0] or attestors < needed[1]:
            self.findings.broken(
                "L5",
                f"{approval.event.name}: {custodians} custodians and {attestors} attestors "
                f"signed, {needed[0]} and {needed[1]} are needed"
                + (f", {without} signers had no role" if without else ""),
                approval.event, approval.serials, custodians=custodians, attestors=attestors,
                without_role=without, **approval.amounts,
            )  # fmt: skip


def check_stored_roles(findings: Findings, evidence: Evidence, roles: Roles) -> None:
    """Roles and thresholds stored at the audited block are those of the history."""
    signers = list(roles.ever)
    answers = evidence.views(
        f"roles of {roles.contract}",
        [(roles.contract, "thresholds", ()), *((roles.contract, "role", (s,)) for s in signers)],
    )
    stored = tuple(answers[0].values()) if isinstance(answers[0], dict) else answers[0]
    if stored != roles.thresholds:
        findings.broken(
            "L5", f"{roles.contract} stores other thresholds than it published: {stored}"
        )
    for signer, role in zip(signers, answers[1:], strict=True):
        if role != roles.roles[signer]:
            findings.broken(
                "L5", f"{roles.contract} stores another role of {signer} than it published",
                roles.ever[signer], stored=str(role), published=roles.roles[signer],
            )  # fmt: skip
