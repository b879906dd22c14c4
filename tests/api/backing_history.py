"""A made-up past with deliveries, refunds, gaps, substitutes, conversions: History and its twin."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from backend.domain import positions as rules
from backend.domain.assignment import LEFT
from backend.domain.classes import CreditClass
from backend.domain.gaps import Gap, Gaps
from backend.domain.programme_events import GapKind
from backend.domain.records import Settled
from backend.domain.retirements import RetirementDetails
from backend.domain.serials import Interval, Series
from backend.errors import NotEnough
from tests.api.history import (
    History,
    NaiveClass,
    Serial,
    address,
    hash_of,
    make_class,
)

SIGNERS = [address(0xF1), address(0xF2)]
NOBODY = "0x" + "0" * 40
EVENTS = address(0xEE)
#: Seconds, as the local deployment has them.
REQUEST, TRANSFER, GRACE = 864_000, 1_209_600, 604_800


@dataclass
class NaiveDelivery:
    """A delivery and the serials it named, one by one."""

    delivery_id: int
    class_id: int
    holder: str
    first: int
    tonnes: int
    serials: list[Serial]
    state: str = "requested"
    refund: int | None = None
    broken: bool = False


@dataclass
class BackingHistory(History):
    """History with everything that moves serials beside mints, retirements and exchanges."""

    gaps: defaultdict[int, Gaps] = field(default_factory=lambda: defaultdict(Gaps))
    deliveries: list[NaiveDelivery] = field(default_factory=list)
    settled: dict[tuple[int, int], Settled] = field(default_factory=dict)
    failed: defaultdict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    #: Serials in the register now; and by which receipt or event each came in last.
    register: set[Serial] = field(default_factory=set)
    origins: dict[Serial, str] = field(default_factory=dict)
    locked: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    events: int = 0
    reports: int = 0

    # ── consumption ──────────────────────────────────────────────────────────────────────────

    def mint(self, credit_class: CreditClass, to: str, intervals: list[Interval]) -> str:
        receipt_id = super().mint(credit_class, to, intervals)
        for interval in intervals:
            self._registered(interval, receipt_id)
        return receipt_id

    def retire(
        self,
        holder: str,
        class_id: int,
        kilograms: int,
        owner: str | None = None,
        details: RetirementDetails | None = None,
    ) -> int:
        """0 when a gap stands in the way."""
        state = self.classes[class_id].counters
        opens = kilograms % 1000 > state.dust
        if not self._pass(class_id, kilograms // 1000 + opens):
            return 0
        return super().retire(holder, class_id, kilograms, owner, details)

    def _pass(self, class_id: int, tonnes: int) -> bool:
        """Pass the gaps at the cursor; False when the run would cross another."""
        made = self.classes[class_id]
        state = made.counters
        if tonnes > state.minted - state.exited - self.gaps[class_id].uncovered:
            return False
        try:
            passed = self.gaps[class_id].before_consumption(state.exited, state.minted, tonnes)
        except NotEnough:
            return False
        for one in passed:
            gap, back = one.gap, one.new_first
            self.emit("Gaps", "GapPassed", classId=class_id, firstPosition=gap.first,
                      tonnes=gap.tonnes, newPosition=back)  # fmt: skip
            made.counters = rules.pass_gap(made.counters, gap.first, gap.tonnes)
            self._settle(class_id, gap.first, gap.tonnes, Settled.VOID)
            serials = made.serials[gap.first : gap.end]
            self._append(class_id, serials, hash_of("gap", gap.first))
        return True

    # ── deliveries ───────────────────────────────────────────────────────────────────────────

    def request(self, holder: str, class_id: int, tonnes: int) -> NaiveDelivery | None:
        """A delivery of at most so many tonnes: as far as one piece and the gaps allow."""
        made = self.classes[class_id]
        if not self._pass(class_id, 1):
            return None
        first = made.counters.exited
        piece = next(made.pieces.pieces(first, made.counters.minted))
        following = self.gaps[class_id].within(first, piece.end)
        end = min([piece.end, *(gap.first for gap in following)])
        tonnes = min(tonnes, end - first)
        made.counters = rules.burn(made.counters, first, tonnes)
        self._transfer(holder, NOBODY, class_id, tonnes * 1000)
        self.emit("CarbonCredits", "CreditsBurntForDelivery", id=class_id, **{"from": holder},
                  firstPosition=first, tonnes=tonnes)  # fmt: skip
        serials = made.serials[first : first + tonnes]
        delivery_id = len(self.deliveries) + 1
        self.emit(
            "Deliveries", "DeliveryRequested", deliveryId=delivery_id, classId=class_id,
            holder=holder, firstPosition=first, tonnes=tonnes,
            seriesId="0x" + Series.parse(serials[0][0]).id.hex(), firstSerial=serials[0][1],
            registryAccount="ACC-1", deadline=self.timestamp(self.block) + REQUEST,
            feeAsset=NOBODY, fee=0,
        )  # fmt: skip
        self._settle(class_id, first, tonnes, Settled.DELIVERED)
        for position in range(first, first + tonnes):
            made.left[position] = 0
        made_now = NaiveDelivery(delivery_id, class_id, holder, first, tonnes, serials)
        self.deliveries.append(made_now)
        self.next_block()
        return made_now

    def act(self, delivery: NaiveDelivery, act: str) -> None:
        """begin, dispatch, reject, finalise, refund, dispute or break."""
        expiry = self.timestamp(self.block) + TRANSFER
        names = {
            "begin": ("DeliveryBegun", "begun", {"custodian": SIGNERS[0], "expiresAt": expiry,
                                                 "secondDeadline": expiry + GRACE}),
            "dispatch": ("DeliveryDispatched", "dispatched",
                         {"custodian": SIGNERS[0], "registryReference": "TR-1",
                          "expiresAt": self.timestamp(self.block) + 1_000}),
            "reject": ("DeliveryRejected", "rejected", {"reason": "refused", "signers": SIGNERS,
                                                        "evidenceHash": hash_of("evidence", 1)}),
            "finalise": ("DeliveryFinalised", "finalised",
                         {"registryReference": "TR-1", "registryDate": 20260901,
                          "signers": SIGNERS, "evidenceHash": hash_of("evidence", 2)}),
            "break": ("DeliveryBreakRecorded", delivery.state,
                      {"registryReference": "TR-1", "registryDate": 20260901,
                       "signers": SIGNERS, "evidenceHash": hash_of("evidence", 3)}),
        }  # fmt: skip
        name, state, args = names[act]
        self.emit("Deliveries", name, deliveryId=delivery.delivery_id, **args)
        delivery.state = state
        delivery.broken |= act == "break"
        if act == "finalise":
            first, last = delivery.serials[0], delivery.serials[-1]
            self.emit("Trust", "SerialsReleased", first=first[1], last=last[1],
                      seriesId="0x" + Series.parse(first[0]).id.hex())  # fmt: skip
            for serial in delivery.serials:
                self.register.remove(serial)
        self.next_block()

    def refund(self, delivery: NaiveDelivery, disputed: bool = False) -> None:
        class_id, made = delivery.class_id, self.classes[delivery.class_id]
        position, tonnes = made.counters.minted, delivery.tonnes
        self.emit("Deliveries", "DeliveryRefunded", deliveryId=delivery.delivery_id,
                  firstPosition=position, tonnes=tonnes, disputed=disputed)  # fmt: skip
        self._append(class_id, delivery.serials, "0x" + f"{delivery.delivery_id:064x}")
        if disputed:
            self._open_gap(class_id, position, tonnes, GapKind.DISPUTED)
        self._transfer(NOBODY, delivery.holder, class_id, tonnes * 1000)
        self.emit("CarbonCredits", "CreditsRefunded", id=class_id, to=delivery.holder,
                  firstPosition=position, tonnes=tonnes)  # fmt: skip
        made.counters, _ = rules.mint(made.counters, tonnes)
        delivery.state = "refunded_disputed" if disputed else "refunded"
        delivery.refund = position
        self.next_block()

    def report(self) -> None:
        """A reserve report of now."""
        self.reports += 1
        self.emit(
            "Reserve", "ReserveReported", sequence=self.reports,
            reportId=hash_of("report", self.reports), asOf=self.timestamp(self.block),
            chainBlock=self.block, root=hash_of("root", 2), tonnes=1,
            liabilitiesRoot=hash_of("root", 3), liabilitiesKilograms=0,
            evidenceHash=hash_of("evidence", 10), signers=SIGNERS,
        )  # fmt: skip

    def clear(self, delivery: NaiveDelivery) -> None:
        """A report lists the serials of a disputed refund, wherever its gap stands now."""
        self.report()
        self.emit("Deliveries", "DisputeCleared", deliveryId=delivery.delivery_id,
                  firstPosition=delivery.refund, tonnes=delivery.tonnes)  # fmt: skip
        for gap in self.dispute(delivery):
            self._close_gap(delivery.class_id, gap)
        delivery.state = "refunded"
        self.next_block()

    def dispute(self, delivery: NaiveDelivery) -> list[Gap]:
        """What is left of a disputed refund, wherever it stands."""
        serials = self.classes[delivery.class_id].serials
        return [
            gap
            for gap in self.gaps[delivery.class_id]
            if gap.kind is GapKind.DISPUTED and serials[gap.first] in delivery.serials
        ]

    # ── programme events ─────────────────────────────────────────────────────────────────────

    def invalidate(self, class_id: int, first: int, tonnes: int) -> None:
        serial = self.classes[class_id].serials[first]
        self.events += 1
        self.emit(
            "ProgrammeEvents", "PositionsInvalidated", eventId=hash_of("event", self.events),
            classId=class_id, firstPosition=first, tonnes=tonnes,
            seriesId="0x" + Series.parse(serial[0]).id.hex(), firstSerial=serial[1],
            reason="over-issued", asOf=20260801, evidenceHash=hash_of("evidence", 5),
            signers=SIGNERS,
        )  # fmt: skip
        self._open_gap(class_id, first, tonnes, GapKind.INVALIDATED)
        self.next_block()

    def substitute(self, class_id: int, gap: Gap, intervals: list[Interval]) -> str:
        """Bind new serials, of series that are known, to a whole gap."""
        self.events += 1
        event_id, made = hash_of("event", self.events), self.classes[class_id]
        self.emit(
            "ProgrammeEvents", "PositionsSubstituted", eventId=event_id, classId=class_id,
            firstPosition=gap.first, tonnes=gap.tonnes, reason="replaced", asOf=20260901,
            serials=[struct(one) for one in intervals], evidenceHash=hash_of("evidence", 6),
            signers=SIGNERS,
        )  # fmt: skip
        self._close_gap(class_id, gap)
        position = gap.first
        for interval in intervals:
            self._come(event_id, class_id, interval)
        for interval in intervals:
            self.emit("RegistryRecords", "SerialsRebound", classId=class_id, position=position,
                      tonnes=interval.tonnes, first=interval.first,
                      seriesId="0x" + interval.series.id.hex())  # fmt: skip
            made.pieces.rebind(position, interval)
            for step, serial in enumerate(each(interval)):
                made.serials[position + step] = serial
                made.receipts[serial] = event_id
            position += interval.tonnes
        self.next_block()
        return event_id

    def convert(self, class_id: int, first: int, tonnes: int, to: CreditClass) -> str:
        """A label split: the same serials become another class, in escrow."""
        self.events += 1
        conversion_id = hash_of("event", self.events)
        serials = self.classes[class_id].serials[first : first + tonnes]
        self._open_gap(class_id, first, tonnes, GapKind.CONVERTING)
        if to.token_id not in self.classes:
            made = self.classes[to.token_id] = NaiveClass(to, len(self.classes) + 1)
            self._class_created(made)
        made = self.classes[to.token_id]
        made.counters, position = rules.mint(made.counters, tonnes)
        self._transfer(NOBODY, EVENTS, to.token_id, tonnes * 1000)
        self.emit("CarbonCredits", "CreditsMinted", id=to.token_id, to=EVENTS,
                  firstPosition=position, tonnes=tonnes)  # fmt: skip
        self._append(to.token_id, serials, conversion_id)
        self.emit(
            "ProgrammeEvents", "ConversionOpened", conversionId=conversion_id,
            fromClass=class_id, toClass=to.token_id, kind=8, firstPosition=first, tonnes=tonnes,
            newPosition=position, root=hash_of("root", 1), chainBlock=1, reason="label",
            asOf=20260901, evidenceHash=hash_of("evidence", 7), signers=SIGNERS,
        )  # fmt: skip
        self.next_block()
        return conversion_id

    def claim(self, conversion_id: str, holder: str, old: int, new: int, kilograms: int) -> None:
        self.locked[old] += kilograms
        self._tell(old)
        self.emit("ProgrammeEvents", "Converted", conversionId=conversion_id, holder=holder,
                  kilograms=kilograms)  # fmt: skip
        self._transfer(holder, EVENTS, old, kilograms)
        self._transfer(EVENTS, holder, new, kilograms)
        self.next_block()

    # ── records ──────────────────────────────────────────────────────────────────────────────

    def fail(self, class_id: int, first: int, tonnes: int) -> None:
        self.events += 1
        self.emit(
            "RegistryRecords", "RegistryFailureRecorded", failureId=hash_of("event", self.events),
            classId=class_id, firstPosition=first, tonnes=tonnes, reason="locked",
            registryDate=20260902, evidenceHash=hash_of("evidence", 8), signers=SIGNERS,
        )  # fmt: skip
        self.failed[class_id] |= set(range(first, first + tonnes))
        self.next_block()

    def make_good(self, class_id: int, first: int, intervals: list[Interval]) -> str:
        self.events += 1
        event_id = hash_of("event", self.events)
        tonnes = sum(interval.tonnes for interval in intervals)
        self.emit(
            "RegistryRecords", "MadeGoodRecorded", madeGoodId=event_id, classId=class_id,
            firstPosition=first, tonnes=tonnes, substituteClass=class_id,
            substitutes=[struct(one) for one in intervals], registryReference="GOOD",
            registryDate=20260903, evidenceHash=hash_of("evidence", 9), signers=SIGNERS,
        )  # fmt: skip
        self._note_settled(class_id, first, tonnes, Settled.MADE_GOOD)
        for interval in intervals:
            self._come(event_id, class_id, interval)
        self.next_block()
        return event_id

    def confirm(self, class_id: int, first: int, actual: list[Interval]) -> str:
        confirmation_id = super().confirm(class_id, first, actual)
        for position in range(first, first + sum(one.tonnes for one in actual)):
            self.settled[class_id, position] = Settled.CONFIRMED
        return confirmation_id

    # ── parts ────────────────────────────────────────────────────────────────────────────────

    def _registered(self, interval: Interval, origin: str) -> None:
        for serial in each(interval):
            assert serial not in self.register, serial
            self.register.add(serial)
            self.origins[serial] = origin

    def _come(self, event_id: str, class_id: int, interval: Interval) -> None:
        self._announce(interval.series)
        self.emit("Trust", "SerialsRegistered", source=event_id, classId=class_id,
                  first=interval.first, last=interval.last,
                  seriesId="0x" + interval.series.id.hex())  # fmt: skip
        self._registered(interval, event_id)

    def _append(self, class_id: int, serials: list[Serial], source: str) -> None:
        """A block of serials that stand in one run."""
        made = self.classes[class_id]
        series = Series.parse(serials[0][0])
        interval = Interval(series, serials[0][1], serials[-1][1])
        piece = made.pieces.append(interval)
        for serial in serials:
            made.serials.append(serial)
            made.left.append(1000)
            made.receipts[serial] = self.origins[serial]
        self.emit("Trust", "BlockAppended", classId=class_id, source=source,
                  seriesId="0x" + series.id.hex(), first=interval.first, last=interval.last,
                  firstPosition=piece.position)  # fmt: skip

    def _settle(self, class_id: int, first: int, tonnes: int, kind: Settled) -> None:
        self.emit("RegistryRecords", "PositionsSettled", classId=class_id, firstPosition=first,
                  tonnes=tonnes, kind=int(kind))  # fmt: skip
        self._note_settled(class_id, first, tonnes, kind)

    def _note_settled(self, class_id: int, first: int, tonnes: int, kind: Settled) -> None:
        made = self.classes[class_id]
        made.pieces.settle(first, first + tonnes, kind)
        for position in range(first, first + tonnes):
            self.settled[class_id, position] = kind
            if kind in LEFT:
                made.left[position] = 0

    def _open_gap(self, class_id: int, first: int, tonnes: int, kind: GapKind) -> None:
        self.gaps[class_id].opened(Gap(first, tonnes, kind))
        self.emit("Gaps", "GapOpened", classId=class_id, firstPosition=first, tonnes=tonnes,
                  kind=int(kind))  # fmt: skip
        self._tell(class_id)

    def _close_gap(self, class_id: int, gap: Gap) -> None:
        self.gaps[class_id].closed(gap.first, gap.tonnes)
        self.emit("Gaps", "GapClosed", classId=class_id, firstPosition=gap.first,
                  tonnes=gap.tonnes, kind=int(gap.kind))  # fmt: skip
        self._tell(class_id)

    def _tell(self, class_id: int) -> None:
        self.emit("CarbonCredits", "ClassFlagsSet", id=class_id, flags=self.flags(class_id))

    def flags(self, class_id: int) -> int:
        return 2 if self.gaps[class_id].uncovered > self.locked[class_id] // 1000 else 0

    def free_live(self, class_id: int) -> list[int]:
        """Live positions that are no gap."""
        state = self.classes[class_id].counters
        return [
            position
            for position in range(state.exited, state.minted)
            if not self.gaps[class_id].within(position, position + 1)
        ]


def each(interval: Interval) -> list[Serial]:
    return [(str(interval.series), n) for n in range(interval.first, interval.last + 1)]


def struct(interval: Interval) -> dict[str, Any]:
    series = {"programme": interval.series.programme, "codes": list(interval.series.codes)}
    return {"series": series, "first": interval.first, "last": interval.last}


class RandomBacking:
    """Random acts of every kind on a BackingHistory."""

    def __init__(self, history: BackingHistory, seed: int) -> None:
        self.history, self.chance = history, random.Random(seed)
        self.accounts = [address(number) for number in range(1, 5)]
        self.classes = [make_class(number) for number in range(2)]
        self.series = [Series("VCS", (1,)), Series("VCS", (2,))]
        self.split = make_class(0, ("ccp",))
        for account in self.accounts:
            history.admit(account)
        for credit_class in self.classes:
            self.mint(credit_class)

    def grow(self, steps: int) -> None:
        acts = [
            self.retire, self.retire, self.confirm, self.request, self.request,
            *[self.phase] * 5,
            self.refund, self.redeposit, self.invalidate, self.substitute, self.fail,
            self.make_good, self.convert, self.clear,
        ]  # fmt: skip
        for _ in range(steps):
            credit_class = self.chance.choice(self.classes)
            if self.chance.random() < 0.2:
                self.mint(credit_class)
            else:
                self.chance.choice(acts)(credit_class.token_id)
        self.history.save()

    def lots(self, tonnes: int) -> list[Interval]:
        cut = self.chance.randint(1, tonnes)
        sizes = [size for size in (cut, tonnes - cut) if size]
        return [self.history.lot(self.chance.choice(self.series), size) for size in sizes]

    def mint(self, credit_class: CreditClass) -> None:
        if self.history.flags(credit_class.token_id):
            return
        to = self.chance.choice(self.accounts)
        self.history.mint(credit_class, to, self.lots(self.chance.randint(2, 9)))

    def holder(self, class_id: int, least: int) -> str | None:
        held = self.history.held
        able = [who for who in self.accounts if held[who, class_id] >= least]
        return self.chance.choice(able) if able else None

    def retire(self, class_id: int) -> None:
        holder = self.holder(class_id, 1)
        if holder is not None:
            most = min(self.history.held[holder, class_id], 3_500)
            self.history.retire(holder, class_id, self.chance.randint(1, most))

    def confirm(self, class_id: int) -> None:
        history, made = self.history, self.history.classes[class_id]
        ready = [p for p, left in enumerate(made.left) if not left and p < made.counters.exited]
        ready = [p for p in ready if (class_id, p) not in history.settled]
        if ready:
            first = self.chance.choice(ready)
            if self.chance.random() < 0.4:
                name, number = made.serials[first]
                history.confirm(class_id, first, [Interval(Series.parse(name), number, number)])
                return
            free = [
                serial
                for p, serial in enumerate(made.serials)
                if (class_id, p) not in history.settled
                and not history.gaps[class_id].within(p, p + 1)
            ]
            name, number = self.chance.choice(free)
            history.confirm(class_id, first, [Interval(Series.parse(name), number, number)])

    def request(self, class_id: int) -> None:
        tonnes = self.chance.randint(1, 4)
        holder = self.holder(class_id, tonnes * 1000)
        if holder is not None:
            self.history.request(holder, class_id, tonnes)

    def _in_state(self, *states: str) -> NaiveDelivery | None:
        found = [one for one in self.history.deliveries if one.state in states]
        return self.chance.choice(found) if found else None

    def phase(self, _: int) -> None:
        one = self._in_state("requested", "begun", "dispatched", "refunded")
        if one is not None and not one.broken:
            following = {
                "requested": ("begin", "reject"), "begun": ("dispatch", "reject", "finalise"),
                "dispatched": ("finalise", "finalise", "reject"), "refunded": ("break",),
            }  # fmt: skip
            self.history.act(one, self.chance.choice(following[one.state]))

    def refund(self, _: int) -> None:
        one = self._in_state("requested", "rejected", "begun", "dispatched")
        if one is not None:
            self.history.refund(one, disputed=one.state in ("begun", "dispatched"))

    def clear(self, _: int) -> None:
        one = self._in_state("refunded_disputed")
        if one is not None and self.history.dispute(one):
            self.history.clear(one)

    def redeposit(self, class_id: int) -> None:
        """Serials that a delivery released come into trust again."""
        history = self.history
        for one in history.deliveries:
            if one.state == "finalised" and not set(one.serials) & history.register:
                first, last = one.serials[0], one.serials[-1]
                interval = Interval(Series.parse(first[0]), first[1], last[1])
                to = history.classes[one.class_id].credit_class
                if history.flags(to.token_id):
                    return
                history.mint(to, self.chance.choice(self.accounts), [interval])
                return

    def invalidate(self, class_id: int) -> None:
        free = self.history.free_live(class_id)
        made = self.history.classes[class_id]
        if not free:
            return
        first = self.chance.choice(free)
        piece = next(made.pieces.pieces(first, made.counters.minted))
        tonnes = 1
        while first + tonnes in free and first + tonnes < piece.end and self.chance.random() < 0.7:
            tonnes += 1
        self.history.invalidate(class_id, first, tonnes)

    def substitute(self, class_id: int) -> None:
        gaps = [gap for gap in self.history.gaps[class_id] if gap.kind is not GapKind.CONVERTING]
        if gaps:
            gap = self.chance.choice(gaps)
            self.history.substitute(class_id, gap, self.lots(gap.tonnes))

    def _ready(self, class_id: int) -> list[int]:
        """Positions that are wholly retired and not settled."""
        made = self.history.classes[class_id]
        return [
            position
            for position in range(made.counters.exited)
            if not made.left[position] and (class_id, position) not in self.history.settled
        ]

    def fail(self, class_id: int) -> None:
        ready = self._ready(class_id)
        if ready:
            self.history.fail(class_id, self.chance.choice(ready), 1)

    def make_good(self, class_id: int) -> None:
        ready = self._ready(class_id)
        if ready:
            self.history.make_good(class_id, self.chance.choice(ready), self.lots(1))

    def convert(self, class_id: int) -> None:
        history = self.history
        free = history.free_live(class_id)
        if not free or class_id != self.classes[0].token_id:
            return
        first = self.chance.choice(free)
        conversion_id = history.convert(class_id, first, 1, self.split)
        holder = self.holder(class_id, 400)
        if holder is not None:
            history.claim(conversion_id, holder, class_id, self.split.token_id, 400)
