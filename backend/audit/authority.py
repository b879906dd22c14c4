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
from backend.domain import custody, deliveries, eip712, programme_events, records, reserve
from backend.domain.events import ChainEvent

#: Roles as the contracts number them; 1 and 2 mean other things in `Trust` and `LegalOrders`.
NO_ROLE, FIRST, SECOND = 0, 1, 2
#: Contracts whose acts custodians and attestors sign: the module of their types and domain.
_SIGNED: Mapping[str, Any] = {
    "Trust": custody,
    "RegistryRecords": records,
    "Reserve": reserve,
    "Deliveries": deliveries,
    "ProgrammeEvents": programme_events,
}


@dataclass(frozen=True, slots=True)
class Act:
    """A signed act: the function, the argument that is signed ("": the first), its type.

    `digest_name`: where the event has the digest, "" when it has none; `names` are the fields of
    the signed struct that the event repeats under their own names.
    """

    function: str
    argument: str
    kind: str
    digest_name: str
    names: tuple[str, ...]


_OF_DELIVERY = ("deliveryId", "registryReference", "registryDate", "evidenceHash")
#: Acts other than mints and confirmations, by the event that tells of them.
_ACTS: Mapping[str, Act] = {
    "RegistryFailureRecorded": Act(
        "recordRegistryFailure", "failure", "RegistryFailure", "failureId",
        ("classId", "firstPosition", "tonnes", "reason", "registryDate", "evidenceHash"),
    ),
    "MadeGoodRecorded": Act(
        "recordMadeGood", "madeGood", "MadeGood", "madeGoodId",
        ("classId", "firstPosition", "tonnes", "substituteClass", "substitutes",
         "registryReference", "registryDate", "evidenceHash"),
    ),
    "ReserveReported": Act(
        "report", "newReport", "ReserveReport", "reportId",
        ("sequence", "asOf", "chainBlock", "root", "tonnes", "liabilitiesRoot",
         "liabilitiesKilograms", "evidenceHash"),
    ),
    "DeliveryRejected": Act(
        "reject", "rejection", "Rejection", "", ("deliveryId", "reason", "evidenceHash")
    ),
    "DeliveryFinalised": Act("finalise", "finalisation", "Finalisation", "", _OF_DELIVERY),
    "DeliveryBreakRecorded": Act("recordBreak", "finalisation", "Finalisation", "", _OF_DELIVERY),
    "ProgrammeEventPublished": Act(
        "publish", "", "ProgrammeEvent", "eventId",
        ("classId", "kind", "subject", "reason", "asOf", "evidenceHash"),
    ),
    "PositionsInvalidated": Act(
        "invalidate", "", "Invalidation", "eventId",
        ("classId", "firstPosition", "tonnes", "reason", "asOf", "evidenceHash"),
    ),
    "PositionsSubstituted": Act(
        "substitute", "", "Substitution", "eventId",
        ("classId", "serials", "reason", "asOf", "evidenceHash"),
    ),
    "ConversionOpened": Act(
        "convert", "", "Conversion", "conversionId",
        ("fromClass", "kind", "firstPosition", "tonnes", "root", "chainBlock", "reason", "asOf",
         "evidenceHash"),
    ),
}  # fmt: skip
#: What a custodian does alone.
_OF_CUSTODIAN = ("DeliveryBegun", "DeliveryDispatched")


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
    """Checks the signatures of custodians and attestors, everywhere; counts what it saw."""

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
        made: eip712.SigningDomain = _SIGNED[contract].signing_domain(
            self.evidence.deployment.chain_id, address
        )
        return made

    def check(self) -> None:
        """Walk the history in log order; then compare the roles now with what is stored."""
        events = [event for event in self.evidence.events if event.contract in _SIGNED]
        acts = {"ReceiptMinted", "RegistryRetirementRecorded", *_ACTS}
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
            elif event.name in _ACTS:
                self._act(event, _ACTS[event.name])
            elif event.name in _OF_CUSTODIAN:
                self._custodian(event, event.args["custodian"])
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

    def _act(self, event: ChainEvent, act: Act) -> None:
        """Any other signed act: enough of each role, over exactly what the event says."""
        approval = Approval(event, act.function, act.digest_name, (), {})
        signed = self._signed(approval, act.argument, act.kind, act.names)
        if signed is not None:
            differing = [name for name in act.names if signed[name] != event.args[name]]
            self._report(approval, differing)

    def _custodian(self, event: ChainEvent, custodian: str) -> None:
        """A phase of a delivery that a custodian opens alone."""
        if self.roles.roles.get(custodian, NO_ROLE) != FIRST:
            self.findings.broken(
                "L5", f"{event.name} of delivery {event.args['deliveryId']} by {custodian}, who "
                "was no custodian", event,
            )  # fmt: skip

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

    def _signed(
        self, approval: Approval, argument: str, kind: str, names: Sequence[str] = ()
    ) -> Mapping[str, Any] | None:
        """Check signers and thresholds; the struct that was signed where the call is known.

        An event without the digest is told from others of its kind by the fields `names`.
        """
        self.acts += 1
        event = approval.event
        digest_text: str = event.args.get(approval.digest_name, "")
        emitted: list[str] = event.args["signers"]
        self._check_roles(approval, emitted)
        found = self.calls.of(event.contract, event.transaction_hash)
        if found is None:
            self.indirect += 1
            return None
        for call in found:
            if call.function != approval.function:
                continue
            types = _SIGNED[event.contract].TYPES
            signed: Mapping[str, Any] = call.args[argument or next(iter(call.args))]
            message = as_message(types, kind, signed)
            digest = eip712.digest(self._domain(event.contract), types, kind, message)
            if digest_text and "0x" + digest.hex() != digest_text:
                continue
            if not digest_text and any(signed[name] != event.args[name] for name in names):
                continue
            self._check_signatures(approval, call, digest, emitted)
            return signed
        self.findings.broken(
            "L5", f"{event.name}: no call of its transaction hashes to "
            f"{digest_text or 'what it says'}", event,
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
