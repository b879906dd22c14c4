"""L3 and L8: holds, gaps, substitutes and conversions, replayed with the tokens they stop."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from backend.audit.evidence import Evidence, View, ViewFailed
from backend.audit.ledger import Ledger
from backend.audit.register import read_interval, show
from backend.audit.report import Findings
from backend.domain.classes import ClassFlag
from backend.domain.events import ChainEvent
from backend.domain.gaps import Gap, Gaps
from backend.domain.programme_events import GapKind, Kind
from backend.domain.serials import Interval, merge
from backend.domain.units import KILOGRAMS_PER_TONNE
from backend.errors import CausewayError

_GAPS: Final = "Gaps"
#: Acts of the ledger that a class's flags may forbid: a mint by any, the others by a hold.
_MINTS: Final = "CreditsMinted"
_EXITS: Final = ("CreditsRetired", "CreditsBurntForDelivery")


@dataclass(slots=True)
class Conversion:
    """Tonnes of one class that became another, and what holders have claimed of them."""

    from_class: int
    to_class: int
    kilograms: int
    event: ChainEvent
    claimed: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))


@dataclass(slots=True)
class Programme:
    """What halts each class and which positions nothing may consume, event by event."""

    findings: Findings
    ledger: Ledger
    gaps: defaultdict[int, Gaps] = field(default_factory=lambda: defaultdict(Gaps))
    held: dict[int, ChainEvent] = field(default_factory=dict)
    locked: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))
    #: Flags as ClassFlagsSet told them last.
    flags: dict[int, int] = field(default_factory=dict)
    conversions: dict[str, Conversion] = field(default_factory=dict)
    event_ids: set[str] = field(default_factory=set)
    published: int = 0
    substituted: int = 0
    passed: int = 0
    last: dict[int, ChainEvent] = field(default_factory=dict)
    _touched: dict[int, ChainEvent] = field(default_factory=dict)
    _transaction: str = ""

    def apply(self, event: ChainEvent) -> None:
        """Take one event of any contract, before the ledger does."""
        if event.transaction_hash != self._transaction:
            self._compare_flags()
            self._transaction = event.transaction_hash
        handler = {
            "GapOpened": self._opened,
            "GapClosed": self._closed,
            "GapPassed": self._passed,
            "ProgrammeEventPublished": self._published,
            "PositionsInvalidated": self._once,
            "PositionsSubstituted": self._substituted,
            "ConversionOpened": self._converted,
            "Converted": self._claimed,
            "ClassFlagsSet": self._flags_set,
            _MINTS: self._minted,
            "CreditsRetired": self._consumed,
            "CreditsBurntForDelivery": self._consumed,
        }.get(event.name)
        if handler is not None and event.contract in _CONTRACTS:
            handler(event)

    def uncovered(self, class_id: int) -> int:
        """Tonnes of gaps for which no tokens are locked, rounded up."""
        return self.gaps[class_id].uncovered - self.locked[class_id] // KILOGRAMS_PER_TONNE

    # ------------------------------------------------------------------- gaps

    def _opened(self, event: ChainEvent) -> None:
        args = event.args
        gap = Gap(args["firstPosition"], args["tonnes"], GapKind(args["kind"]))
        self._follow(event, lambda gaps: gaps.opened(gap))

    def _closed(self, event: ChainEvent) -> None:
        args = event.args
        self._follow(event, lambda gaps: gaps.closed(args["firstPosition"], args["tonnes"]))

    def _passed(self, event: ChainEvent) -> None:
        args = event.args
        self.passed += args["tonnes"]
        self._follow(
            event,
            lambda gaps: gaps.passed(args["firstPosition"], args["tonnes"], args["newPosition"]),
        )
        self.ledger.pass_gap(event)

    def _follow(self, event: ChainEvent, act: Any) -> None:
        class_id = event.args["classId"]
        self._touched[class_id] = self.last[class_id] = event
        try:
            act(self.gaps[class_id])
        except CausewayError as error:
            self.findings.broken(
                "L3", f"{event.name} contradicts the gaps before it: {error}", event,
                self._serials(event), tonnes=event.args["tonnes"],
            )  # fmt: skip

    def _serials(self, event: ChainEvent) -> tuple[str, ...]:
        first = event.args["firstPosition"]
        return self.ledger.register.serials(
            event.args["classId"], first, first + event.args["tonnes"]
        )

    # ------------------------------------------------------------ what is signed

    def _once(self, event: ChainEvent) -> None:
        event_id = event.args.get("eventId") or event.args["conversionId"]
        self.published += 1
        if event_id in self.event_ids:
            self.findings.broken("L10", f"programme event {event_id} took effect twice", event)
        self.event_ids.add(event_id)

    def _published(self, event: ChainEvent) -> None:
        self._once(event)
        class_id = event.args["classId"]
        if event.args["kind"] == Kind.HOLD:
            self.held[class_id] = event
        elif event.args["kind"] == Kind.RELEASE:
            self.held.pop(class_id, None)
        self._touched[class_id] = self.last[class_id] = event

    def _substituted(self, event: ChainEvent) -> None:
        """New serials of equal size; that they were bound is in the register."""
        self._once(event)
        self.substituted += event.args["tonnes"]
        named = [read_interval(one) for one in event.args["serials"]]
        if sum(one.tonnes for one in named) != event.args["tonnes"]:
            self.findings.broken(
                "L3", f"substitutes of other size than the gap: {event.args['eventId']}", event,
                show(named), tonnes=event.args["tonnes"],
            )  # fmt: skip

    def _converted(self, event: ChainEvent) -> None:
        self._once(event)
        args = event.args
        tonnes = args["tonnes"]
        self.conversions[args["conversionId"]] = Conversion(
            args["fromClass"], args["toClass"], tonnes * KILOGRAMS_PER_TONNE, event
        )
        self.ledger.register.converted.add(args["fromClass"])
        gaps = self.gaps[args["fromClass"]].within(
            args["firstPosition"], args["firstPosition"] + tonnes
        )
        if [(gap.first, gap.tonnes, gap.kind) for gap in gaps] != [
            (args["firstPosition"], tonnes, GapKind.CONVERTING)
        ]:
            self.findings.broken(
                "L3", f"conversion {args['conversionId']} left no gap where its tonnes were", event,
                tonnes=tonnes,
            )  # fmt: skip

    def _claimed(self, event: ChainEvent) -> None:
        args = event.args
        held = self.conversions.get(args["conversionId"])
        if held is None:
            self.findings.broken("L1", f"{args['conversionId']} was claimed, never opened", event)
            return
        held.claimed[args["holder"]] += args["kilograms"]
        self.locked[held.from_class] += args["kilograms"]
        self._touched[held.from_class] = event
        if sum(held.claimed.values()) > held.kilograms:
            self.findings.broken(
                "L1", f"more is claimed of {args['conversionId']} than was converted", event,
                claimed=sum(held.claimed.values()), kilograms=held.kilograms,
            )  # fmt: skip

    # ------------------------------------------------------------------ flags

    def _flags_set(self, event: ChainEvent) -> None:
        self.flags[event.args["id"]] = event.args["flags"]
        self._touched[event.args["id"]] = self.last[event.args["id"]] = event

    def expected_flags(self, class_id: int) -> int:
        held = ClassFlag.HOLD if class_id in self.held else 0
        return int(held | (ClassFlag.GAP if self.uncovered(class_id) > 0 else 0))

    def _compare_flags(self) -> None:
        """After each transaction: what halts a class is what its hold and its gaps make of it."""
        for class_id, event in self._touched.items():
            told, wanted = self.flags.get(class_id, 0), self.expected_flags(class_id)
            if told != wanted:
                self.findings.broken(
                    "L8", f"class {class_id} is told to be halted by {told}, its hold and gaps "
                    f"make it {wanted}", event, flags=told, expected=wanted,
                )  # fmt: skip
        self._touched.clear()

    # ------------------------------------------------------------ what tokens do

    def _minted(self, event: ChainEvent) -> None:
        flags = self.flags.get(event.args["id"], 0)
        if flags:
            self.findings.broken(
                "L3", f"{event.args['tonnes']} t were minted of class {event.args['id']} while it "
                f"was halted ({flags})", event, tonnes=event.args["tonnes"], flags=flags,
            )  # fmt: skip

    def _consumed(self, event: ChainEvent) -> None:
        class_id = event.args["id"]
        what = "retired" if event.name == "CreditsRetired" else "delivered"
        if class_id in self.held:
            since = self.held[class_id]
            self.findings.broken(
                "L8", f"credits of class {class_id} were {what} while a hold stands, published in "
                f"{since.transaction_hash}", event, class_id=class_id,
            )  # fmt: skip

    def check_ranges(self, event: ChainEvent, class_id: int, first: int, end: int) -> None:
        """Nothing consumes a position of a gap."""
        for gap in self.gaps[class_id].within(first, end):
            low, high = max(first, gap.first), min(end, gap.end)
            self.findings.broken(
                "L3", f"{high - low} t were consumed that are a gap ({gap.kind.name.lower()})",
                event, self.ledger.register.serials(class_id, low, high), class_id=class_id,
                tonnes=high - low,
            )  # fmt: skip

    # ------------------------------------------------------------------- views

    def check(self, evidence: Evidence) -> None:
        """At the end: gaps, shortfalls, flags and escrow as stored equal the replay."""
        self._compare_flags()
        self._count()
        self._shortfall()
        if _GAPS not in evidence.deployment.contracts:
            return
        classes = list(self.ledger.classes)
        self._check_stored_flags(evidence, classes)
        shown = evidence.views("shortfalls", [(_GAPS, "shortfall", (one,)) for one in classes])
        for class_id, stored in zip(classes, shown, strict=True):
            wanted = {
                "gapTonnes": self.gaps[class_id].uncovered,
                "lockedKilograms": self.locked[class_id],
                "uncovered": self.uncovered(class_id),
            }
            if stored != wanted:
                self._differs(class_id, "the shortfall", stored, wanted)
        walks: list[tuple[int, Gap | None, View]] = []
        for class_id in classes:
            cursor = 0
            for gap in [*self.gaps[class_id], None]:
                walks.append((class_id, gap, (_GAPS, "nextGap", (class_id, cursor))))
                cursor = gap.end if gap else cursor
        answers = evidence.views("gaps", [view for _, _, view in walks])
        for (class_id, gap, _), stored in zip(walks, answers, strict=True):
            first, tonnes, kind = (gap.first, gap.tonnes, int(gap.kind)) if gap else (0, 0, 0)
            wanted = {"firstPosition": first, "tonnes": tonnes, "kind": kind}
            if stored != wanted:
                self._differs(class_id, "a gap", stored, wanted)
        self._check_escrow(evidence)

    def _check_stored_flags(self, evidence: Evidence, classes: list[int]) -> None:
        counters = evidence.views(
            "flags", [("CarbonCredits", "positions", (one,)) for one in classes]
        )
        for class_id, stored in zip(classes, counters, strict=True):
            if isinstance(stored, ViewFailed) or "flags" not in stored:
                continue
            wanted = self.expected_flags(class_id)
            gaps = bool(self.gaps[class_id].uncovered)
            if (stored["flags"], stored["hasGaps"]) != (wanted, gaps):
                told = {"flags": stored["flags"], "hasGaps": stored["hasGaps"]}
                self._differs(class_id, "what halts it", told, {"flags": wanted, "hasGaps": gaps})

    def _differs(self, class_id: int, what: str, stored: Any, wanted: Mapping[str, Any]) -> None:
        shown = stored.message if isinstance(stored, ViewFailed) else stored
        self.findings.broken(
            "L3", f"class {class_id}: {what} is stored as {shown}, the events say {wanted}",
            self.last.get(class_id), class_id=class_id,
        )  # fmt: skip

    def _check_escrow(self, evidence: Evidence) -> None:
        """ProgrammeEvents holds what is not claimed, and for ever what was given for the rest."""
        contract = evidence.deployment.contracts.get("ProgrammeEvents")
        if contract is None:
            return
        expected: defaultdict[int, int] = defaultdict(int)
        for one in self.conversions.values():
            claimed = sum(one.claimed.values())
            expected[one.from_class] += claimed
            expected[one.to_class] += one.kilograms - claimed
        held = {
            class_id: kilograms
            for (account, class_id), kilograms in self.ledger.balances.items()
            if account == contract.address
        }
        for class_id in expected.keys() | held.keys():
            if held.get(class_id, 0) != expected[class_id]:
                self.findings.broken(
                    "L1", f"the escrow of conversions holds {held.get(class_id, 0)} kg of class "
                    f"{class_id}, the claims leave {expected[class_id]} kg",
                    self.last.get(class_id), class_id=class_id,
                )  # fmt: skip

    def _count(self) -> None:
        self.findings.count(
            "L8", programme_events=self.published, classes_held=len(self.held),
        )  # fmt: skip
        self.findings.count(
            "L3", gap_tonnes=sum(one.uncovered for one in self.gaps.values()),
            passed_tonnes=self.passed, substituted_tonnes=self.substituted,
            converted_kilograms=sum(one.kilograms for one in self.conversions.values()),
            claimed_kilograms=sum(sum(one.claimed.values()) for one in self.conversions.values()),
        )  # fmt: skip

    def _shortfall(self) -> None:
        """Tokens that no live credit stands behind are a break, however openly it is said."""
        total = 0
        for class_id, gaps in self.gaps.items():
            short = self.uncovered(class_id)
            if short <= 0:
                continue
            total += short
            self.findings.broken(
                "L3", f"class {class_id}: {short} t outstanding stand on no live credit",
                self.last.get(class_id), show(self.dead_serials(class_id))[:20], tonnes=short,
                kinds=", ".join(sorted({gap.kind.name.lower() for gap in gaps})),
            )  # fmt: skip
        self.findings.count("L3", shortfall_tonnes=total)

    def dead_serials(self, class_id: int) -> list[Interval]:
        """Serials behind the positions of gaps."""
        position_map = self.ledger.register.map(class_id)
        return merge(
            piece.serials
            for gap in self.gaps[class_id]
            if gap.end <= position_map.minted
            for piece in position_map.pieces(gap.first, gap.end)
        )


_CONTRACTS: Final = frozenset({_GAPS, "ProgrammeEvents", "CarbonCredits"})
