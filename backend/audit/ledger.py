"""Replays what the token and its certificates published: classes, balances, retirements."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from backend.audit.register import Register
from backend.audit.report import Findings
from backend.domain.classes import project_hash
from backend.domain.events import ChainEvent
from backend.domain.positions import Consumed, Positions, burn, consume, mint, pass_gap
from backend.domain.units import KILOGRAMS_PER_TONNE, MAX_TONNES
from backend.errors import RuleError

NOBODY = "0x" + "0" * 40
#: No amount of one class can pass this many kilograms: 2^48 − 1 tonnes.
MAX_KILOGRAMS = MAX_TONNES * KILOGRAMS_PER_TONNE
#: Certificate ids are class number × 2^32 + number in the class.
CERTIFICATES_PER_CLASS = 2**32
_HALF = 2**128 - 1

Account = str
Holding = tuple[Account, int]


def class_identity(credit_class: Any) -> tuple[str, str, int]:
    """P and C as hex and the token id of a `CreditClass` struct, cohort given as hashes."""
    project = project_hash(credit_class["programme"], credit_class["project"])
    cohort = [bytes.fromhex(code.removeprefix("0x")) for code in credit_class["cohort"]]
    numbers = [credit_class[name] for name in ("unitType", "vintageStart", "vintageEnd")]
    vintage = keccak(encode(["uint8", "uint32", "uint32", "bytes32[]"], [*numbers, cohort]))
    high, low = (int.from_bytes(part, "big") & _HALF for part in (project, vintage))
    return "0x" + project.hex(), "0x" + vintage.hex(), high << 128 | low


@dataclass(frozen=True, slots=True)
class Retirement:
    """A retirement as its event tells it; `before` are the counters the certificate carries."""

    certificate_id: int
    class_id: int
    holder: Account
    owner: Account
    kilograms: int
    exited: int
    open_tonne: int
    dust: int
    details_hash: str
    consumed: Consumed | None
    event: ChainEvent

    def ranges(self) -> Iterator[tuple[int, int]]:
        """Position ranges [first, end) the retirement touched, wholly or in part."""
        taken = self.consumed
        if taken is None:
            return
        if taken.open_tonne is not None:
            yield taken.open_tonne, taken.open_tonne + 1
        if taken.whole:
            yield taken.first_whole, taken.first_whole + taken.whole
        if taken.opened is not None:
            yield taken.opened, taken.opened + 1


@dataclass(slots=True)
class ClassLedger:
    """One class: its counters replayed, its mints and retirements in order."""

    id: int
    number: int
    created: ChainEvent
    project_hash: str
    vintage_hash: str
    positions: Positions = field(default_factory=Positions)
    minted_kilograms: int = 0
    retired_kilograms: int = 0
    #: Burnt for deliveries, refunded ones too, and given back by refunds.
    burnt_kilograms: int = 0
    refunded_kilograms: int = 0
    passed_tonnes: int = 0
    retirements: list[Retirement] = field(default_factory=list)
    last: ChainEvent | None = None


@dataclass(slots=True)
class Ledger:
    """The books as the events alone tell them; what contradicts itself is a break."""

    findings: Findings
    register: Register
    classes: dict[int, ClassLedger] = field(default_factory=dict)
    balances: defaultdict[Holding, int] = field(default_factory=lambda: defaultdict(int))
    retired: defaultdict[Holding, int] = field(default_factory=lambda: defaultdict(int))
    touched: dict[Holding, ChainEvent] = field(default_factory=dict)
    certificates: dict[int, Retirement] = field(default_factory=dict)
    certificate_mints: dict[int, ChainEvent] = field(default_factory=dict)
    details: list[ChainEvent] = field(default_factory=list)
    #: Kilograms by (transaction, class, account, "minted" or "retired"): the token's own events
    #: minus those of ERC-1155. All must end at 0.
    differences: defaultdict[tuple[str, int, Account, str], int] = field(
        default_factory=lambda: defaultdict(int)
    )
    moved: int = 0

    def apply(self, event: ChainEvent) -> None:
        """Take one event of `CarbonCredits` or `RetirementCertificates`."""
        if event.contract == "RetirementCertificates":
            if event.name == "Transfer":
                self._certificate_moved(event)
            return
        match event.name:
            case "ClassCreated":
                self._class_created(event)
            case "CreditsMinted":
                self._minted(event)
            case "CreditsRetired":
                self._retired(event)
            case "CreditsBurntForDelivery":
                self._burnt(event)
            case "CreditsRefunded":
                self._refunded(event)
            case "RetirementDetailsPublished":
                self.details.append(event)
            case "TransferSingle":
                self._transferred(event, event.args["id"], event.args["value"])
            case "TransferBatch":
                for class_id, value in zip(event.args["ids"], event.args["values"], strict=True):
                    self._transferred(event, class_id, value)

    def accounts(self) -> set[Account]:
        """Every account that a credit or a certificate ever touched."""
        owners = {retirement.owner for retirement in self.certificates.values()}
        return {account for account, _ in self.touched} | owners

    def require_retired(self, event: ChainEvent) -> None:
        """L4: what a registry confirms has been retired before, and is not an open tonne."""
        args = event.args
        first, end = args["firstPosition"], args["firstPosition"] + args["tonnes"]
        held = self.classes.get(args["classId"])
        state = held.positions if held else Positions()
        is_open = bool(state.dust) and first <= state.open_tonne < end
        if end > state.exited or is_open:
            self.findings.broken(
                "L4", f"{event.name} covers tonnes that are not retired",
                event, self.register.serials(args["classId"], max(first, state.exited), end),
                exited=state.exited, end=end, tonnes=args["tonnes"],
            )  # fmt: skip

    def _class(self, event: ChainEvent, class_id: int) -> ClassLedger:
        held = self.classes.get(class_id)
        if held is None:
            self.findings.broken("L2", f"class {class_id} has credits and was never created", event)
            held = self.classes[class_id] = ClassLedger(class_id, 0, event, "", "")
        held.last = event
        return held

    def _class_created(self, event: ChainEvent) -> None:
        args = event.args
        project, vintage, class_id = class_identity(args["creditClass"])
        given = (args["projectHash"], args["vintageHash"], args["id"])
        if (project, vintage, class_id) != given:
            self.findings.broken(
                "L2", f"class {args['id']} is not the hash of its identifiers", event,
                given=args["id"], computed=class_id,
            )  # fmt: skip
        if args["id"] in self.classes:
            self.findings.broken("L2", f"class {args['id']} was created twice", event)
        if args["number"] != len(self.classes) + 1:
            self.findings.broken(
                "L2", f"class {args['id']} does not follow the last number", event,
                number=args["number"], expected=len(self.classes) + 1,
            )  # fmt: skip
        self.classes[args["id"]] = ClassLedger(
            args["id"], args["number"], event, project, vintage, last=event
        )

    def _minted(self, event: ChainEvent) -> None:
        args = event.args
        held, tonnes, first = self._class(event, args["id"]), args["tonnes"], args["firstPosition"]
        if first != held.positions.minted:
            self.findings.broken(
                "L1", "a mint does not begin behind the last position of its class", event,
                position=first, expected=held.positions.minted, tonnes=tonnes,
            )  # fmt: skip
        try:
            held.positions, _ = mint(held.positions, tonnes)
        except RuleError as error:
            self.findings.broken("L11", f"a mint is out of bounds: {error}", event, tonnes=tonnes)
        kilograms = tonnes * KILOGRAMS_PER_TONNE
        held.minted_kilograms += kilograms
        self.differences[event.transaction_hash, args["id"], args["to"], "minted"] += kilograms

    def _burnt(self, event: ChainEvent) -> None:
        """A delivery took whole tonnes from the front: they left and were not retired."""
        args = event.args
        held, tonnes = self._class(event, args["id"]), args["tonnes"]
        try:
            held.positions = burn(held.positions, args["firstPosition"], tonnes)
        except RuleError as error:
            self.findings.broken(
                "L1", f"a delivery takes what is not there: {error}", event,
                self.register.serials(args["id"], args["firstPosition"],
                                      args["firstPosition"] + tonnes), tonnes=tonnes,
            )  # fmt: skip
        kilograms = tonnes * KILOGRAMS_PER_TONNE
        held.burnt_kilograms += kilograms
        self.differences[event.transaction_hash, args["id"], args["from"], "retired"] += kilograms

    def _refunded(self, event: ChainEvent) -> None:
        args = event.args
        held, tonnes = self._class(event, args["id"]), args["tonnes"]
        if args["firstPosition"] != held.positions.minted:
            self.findings.broken(
                "L1", "a refund does not begin behind the last position of its class", event,
                position=args["firstPosition"], expected=held.positions.minted, tonnes=tonnes,
            )  # fmt: skip
        held.positions, _ = mint(held.positions, tonnes)
        kilograms = tonnes * KILOGRAMS_PER_TONNE
        held.refunded_kilograms += kilograms
        self.differences[event.transaction_hash, args["id"], args["to"], "minted"] += kilograms

    def pass_gap(self, event: ChainEvent) -> None:
        """GapPassed: both counters grow by it."""
        args = event.args
        held = self._class(event, args["classId"])
        try:
            held.positions = pass_gap(held.positions, args["firstPosition"], args["tonnes"])
        except RuleError as error:
            self.findings.broken(
                "L1", f"a gap was passed that the cursor had not reached: {error}", event,
                tonnes=args["tonnes"],
            )  # fmt: skip
        held.passed_tonnes += args["tonnes"]

    def _retired(self, event: ChainEvent) -> None:
        args = event.args
        held = self._class(event, args["id"])
        before, kilograms = held.positions, args["kilograms"]
        given = (args["exited"], args["openTonne"], args["dust"])
        self._compare_counters(event, before, given)
        consumed: Consumed | None = None
        try:
            # Go on from what the certificate says, so that one lie is one break.
            start = replace(before, exited=given[0], open_tonne=given[1], dust=given[2])
            held.positions, consumed = consume(start, kilograms)
        except RuleError as error:
            law = "L1" if 0 < kilograms <= MAX_KILOGRAMS else "L11"
            self.findings.broken(
                law, f"a retirement takes what is not there: {error}", event, kilograms=kilograms
            )
        retirement = Retirement(
            args["certificateId"], args["id"], args["from"], args["certificateOwner"], kilograms,
            *given, args["detailsHash"], consumed, event,
        )  # fmt: skip
        self._number_certificate(held, retirement)
        held.retirements.append(retirement)
        held.retired_kilograms += kilograms
        self.retired[args["from"], args["id"]] += kilograms
        self.differences[event.transaction_hash, args["id"], args["from"], "retired"] += kilograms

    def _compare_counters(
        self, event: ChainEvent, before: Positions, given: tuple[int, int, int]
    ) -> None:
        """L4: a certificate begins where the one before it ended, no gap and no overlap."""
        exited, open_tonne, dust = given
        same_tonne = not dust or open_tonne == before.open_tonne
        if (exited, dust) == (before.exited, before.dust) and same_tonne:
            return
        low, high = sorted((exited, before.exited))
        kind = "overlaps" if exited < before.exited else "leaves a gap after"
        if low == high:
            kind = "does not go on from the open tonne of"
        self.findings.broken(
            "L4", f"certificate {event.args['certificateId']} {kind} the retirement before it",
            event, self.register.serials(event.args["id"], low, max(high, low + 1)),
            kilograms=event.args["kilograms"], exited=exited, expected_exited=before.exited,
            dust=dust, expected_dust=before.dust,
        )  # fmt: skip

    def _number_certificate(self, held: ClassLedger, retirement: Retirement) -> None:
        event, certificate_id = retirement.event, retirement.certificate_id
        expected = held.number * CERTIFICATES_PER_CLASS + len(held.retirements) + 1
        if certificate_id in self.certificates:
            self.findings.broken(
                "L10", f"certificate {certificate_id} was given to two retirements", event,
                kilograms=retirement.kilograms,
            )  # fmt: skip
        elif certificate_id != expected:
            self.findings.broken(
                "L4", f"certificate {certificate_id} is not the next of its class", event,
                expected=expected,
            )  # fmt: skip
        self.certificates.setdefault(certificate_id, retirement)

    def _transferred(self, event: ChainEvent, class_id: int, kilograms: int) -> None:
        source, target = event.args["from"], event.args["to"]
        self.moved += 1
        if not 0 <= kilograms <= MAX_KILOGRAMS:
            self.findings.broken("L11", "a transfer is out of bounds", event, kilograms=kilograms)
        if not kilograms and class_id not in self.classes:
            return  # anybody may move nothing of anything
        for account, change in ((source, -kilograms), (target, kilograms)):
            if account != NOBODY:
                self.balances[account, class_id] += change
                self.touched[account, class_id] = event
        if source == NOBODY:
            self.differences[event.transaction_hash, class_id, target, "minted"] -= kilograms
        elif self.balances[source, class_id] < 0:
            self.findings.broken(
                "L11", f"account {source} gave more than it had", event, kilograms=kilograms,
                balance=self.balances[source, class_id],
            )  # fmt: skip
        if target == NOBODY:
            self.differences[event.transaction_hash, class_id, source, "retired"] -= kilograms

    def _certificate_moved(self, event: ChainEvent) -> None:
        certificate_id = event.args["tokenId"]
        if event.args["from"] != NOBODY:
            self.findings.broken(
                "L4", f"certificate {certificate_id} moved from one owner to another", event
            )
        elif certificate_id in self.certificate_mints:
            self.findings.broken("L10", f"certificate {certificate_id} was minted twice", event)
        self.certificate_mints.setdefault(certificate_id, event)
