"""Replays what `Trust` and `RegistryRecords` published: who holds which serials, what settled."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from backend.audit.report import Findings
from backend.domain.assignment import LEFT, Exchange, PositionMap
from backend.domain.events import ChainEvent
from backend.domain.records import Settled
from backend.domain.serials import Interval, IntervalSet, Series, merge, subtract
from backend.errors import InvalidValue, RuleError


@dataclass(frozen=True, slots=True)
class RegisteredBlock:
    """Serials that stand on positions; `receipt_id` "" for what no receipt minted (`source`)."""

    serials: Interval
    class_id: int
    receipt_id: str
    first_position: int
    event: ChainEvent
    source: str = ""

    @property
    def end_position(self) -> int:
        return self.first_position + self.serials.tonnes


@dataclass(frozen=True, slots=True)
class Node:
    """An interval of the register as the contract stores it."""

    last: int
    class_id: int
    event: ChainEvent


@dataclass(frozen=True, slots=True)
class RegistryEntry:
    """Positions [first, end) that the registry failed (`serials` none) or made good."""

    id: str
    class_id: int
    first: int
    end: int
    serials: tuple[Interval, ...]
    event: ChainEvent


@dataclass(frozen=True, slots=True)
class Confirmation:
    """A registry's retirement of positions [first, end) as `Trust` recorded it."""

    id: str
    class_id: int
    first: int
    end: int
    actual: tuple[Interval, ...]
    event: ChainEvent


def read_series(value: Any) -> Series:
    """A `Series` of an event or a call; raises InvalidValue unless it is canonical."""
    return Series(value["programme"], tuple(value["codes"]))


def read_interval(value: Any) -> Interval:
    """An `Interval` of an event or a call; raises InvalidValue unless it is a block of serials."""
    return Interval(read_series(value["series"]), value["first"], value["last"])


def show(intervals: Iterable[Interval]) -> tuple[str, ...]:
    """Serials as a report names them: the fewest intervals, ascending."""
    return tuple(str(interval) for interval in merge(intervals))


@dataclass(slots=True)
class Register:
    """The serial register as the events alone tell it; what contradicts itself is a break."""

    findings: Findings
    series: dict[str, Series] = field(default_factory=dict)
    series_events: dict[str, ChainEvent] = field(default_factory=dict)
    intervals: dict[str, IntervalSet] = field(default_factory=dict)
    blocks: dict[int, list[RegisteredBlock]] = field(default_factory=dict)
    maps: dict[int, PositionMap] = field(default_factory=dict)
    receipts: dict[str, ChainEvent] = field(default_factory=dict)
    cancelled: dict[str, ChainEvent] = field(default_factory=dict)
    confirmations: dict[str, Confirmation] = field(default_factory=dict)
    failures: dict[str, RegistryEntry] = field(default_factory=dict)
    made_good: dict[str, RegistryEntry] = field(default_factory=dict)
    #: The register's intervals by series and first serial.
    nodes: dict[str, dict[int, Node]] = field(default_factory=dict)
    #: Serials that came in without a receipt, by the event that registered them.
    came: dict[str, list[Interval]] = field(default_factory=dict)
    released: list[Interval] = field(default_factory=list)
    #: Events that settled positions, by class and first position.
    settled_by: dict[tuple[int, int], ChainEvent] = field(default_factory=dict)
    rebound: int = 0
    #: Classes of which positions were converted.
    converted: set[int] = field(default_factory=set)
    exchanges: int = 0
    last_events: dict[int, ChainEvent] = field(default_factory=dict)

    def apply(self, event: ChainEvent) -> None:
        """Take one event of the two; those that say nothing about serials are passed over."""
        handler = {
            "SeriesCreated": self._series_created,
            "BlockRegistered": self._block_registered,
            "BlockAppended": self._block_appended,
            "SerialsRegistered": self._serials_registered,
            "SerialsReleased": self._serials_released,
            "SerialsRebound": self._serials_rebound,
            "PositionsSettled": self._positions_settled,
            "RegistryFailureRecorded": self._failure_recorded,
            "MadeGoodRecorded": self._made_good_recorded,
            "ReceiptMinted": self._receipt_minted,
            "ReceiptCancelled": self._receipt_cancelled,
            "SerialsExchanged": self._serials_exchanged,
            "RegistryRetirementRecorded": self._retirement_recorded,
        }.get(event.name)
        if handler:
            handler(event)
        if "classId" in event.args:
            self.last_events[event.args["classId"]] = event

    def map(self, class_id: int) -> PositionMap:
        """Position → serial of a class."""
        return self.maps.setdefault(class_id, PositionMap())

    def serials(self, class_id: int, first: int, end: int) -> tuple[str, ...]:
        """Serials behind positions [first, end) as far as there are any, for a report."""
        position_map = self.map(class_id)
        first, end = max(first, 0), min(end, position_map.minted)
        if first >= end:
            return ()
        return show(piece.serials for piece in position_map.pieces(first, end))

    def _series_created(self, event: ChainEvent) -> None:
        series_id, args = event.args["seriesId"], event.args
        try:
            series = read_series(args)
        except InvalidValue as error:
            self.findings.broken("L2", f"a series is not canonical: {error}", event)
            return
        if "0x" + series.id.hex() != series_id:
            self.findings.broken(
                "L2",
                f"series {series} was created under {series_id}, its codes hash to another id",
                event,
            )
        if series_id in self.series:
            self.findings.broken("L2", f"series {series} was created twice", event)
        if args["number"] != len(self.series) + 1:
            self.findings.broken(
                "L2", f"series {series} does not follow the last number", event,
                number=args["number"], expected=len(self.series) + 1,
            )  # fmt: skip
        self.series[series_id] = series
        self.series_events[series_id] = event
        self.intervals.setdefault(series_id, IntervalSet(series))
        self.nodes.setdefault(series_id, {})

    def _interval(self, event: ChainEvent, last: int | None = None) -> Interval | None:
        """The serials that an event names; a break when they are none."""
        args = event.args
        series = self.series.get(args["seriesId"])
        end = args["last"] if last is None else last
        if series is None:
            self.findings.broken(
                "L2", f"a block lies in series {args['seriesId']}, which was never created", event,
                first=args["first"], last=end,
            )  # fmt: skip
            return None
        try:
            return Interval(series, args["first"], end)
        except InvalidValue as error:
            self.findings.broken("L2", f"a block is not an interval: {error}", event)
            return None

    def _block_registered(self, event: ChainEvent) -> None:
        args = event.args
        serials = self._interval(event)
        if serials is not None:
            self._enter(event, serials)
            self._stand(event, serials, args["receiptId"], args["receiptId"])

    def _serials_registered(self, event: ChainEvent) -> None:
        serials = self._interval(event)
        if serials is not None:
            self._enter(event, serials)
            self.came.setdefault(event.args["source"], []).append(serials)

    def _block_appended(self, event: ChainEvent) -> None:
        """A refund, a passed gap or a conversion: on serials that are registered already."""
        serials = self._interval(event)
        if serials is None:
            return
        held = IntervalSet(serials.series)
        for one in self.intervals[event.args["seriesId"]]:
            if one.overlaps(serials):
                held.insert(one)
        missing = subtract([serials], held)
        # Of a converted class the old serials may have been delivered since: its gap is empty.
        if missing and event.args["classId"] not in self.converted:
            self.findings.broken(
                "L2", f"a block was appended on {show(missing)[0]}, which is not registered",
                event, show(missing), tonnes=sum(one.tonnes for one in missing),
            )  # fmt: skip
        self._stand(event, serials, "", event.args["source"])

    def _serials_released(self, event: ChainEvent) -> None:
        serials = self._interval(event)
        if serials is None:
            return
        series_id = event.args["seriesId"]
        held = self.intervals[series_id].overlapping(serials)
        try:
            self.intervals[series_id].release(serials)
        except InvalidValue as error:
            self.findings.broken("L2", f"{serials} was released: {error}", event, show([serials]))
            return
        assert held is not None
        self.released.append(serials)
        node = self.nodes[series_id].pop(held.first)
        for low, high in ((held.first, serials.first - 1), (serials.last + 1, held.last)):
            if low <= high:
                self.nodes[series_id][low] = Node(high, node.class_id, event)

    def _serials_rebound(self, event: ChainEvent) -> None:
        args = event.args
        serials = self._interval(event, args["first"] + args["tonnes"] - 1)
        if serials is None:
            return
        self.rebound += serials.tonnes
        try:
            self.map(args["classId"]).rebind(args["position"], serials)
        except RuleError as error:
            self.findings.broken(
                "L2", f"{serials} was bound to positions that cannot take it: {error}", event,
                show([serials]), position=args["position"],
            )  # fmt: skip

    def _positions_settled(self, event: ChainEvent) -> None:
        args = event.args
        kind = Settled(args["kind"])
        if kind not in LEFT:
            self.findings.broken(
                "L4", f"positions were settled as {kind.name.lower()} without a record", event
            )
        self._settle(event, args["classId"], args["firstPosition"], args["tonnes"], kind)

    def _settle(
        self, event: ChainEvent, class_id: int, first: int, tonnes: int, kind: Settled
    ) -> None:
        try:
            self.map(class_id).settle(first, first + tonnes, kind)
        except RuleError as error:
            self.findings.broken(
                "L4", f"positions were settled that could not be: {error}", event,
                self.serials(class_id, first, first + tonnes), tonnes=tonnes,
            )  # fmt: skip
            return
        self.settled_by[class_id, first] = event

    def _failure_recorded(self, event: ChainEvent) -> None:
        args = event.args
        entry = RegistryEntry(
            args["failureId"], args["classId"], args["firstPosition"],
            args["firstPosition"] + args["tonnes"], (), event,
        )  # fmt: skip
        if entry.id in self.failures:
            self.findings.broken("L10", f"failure {entry.id} was recorded twice", event)
        if self.map(entry.class_id).is_settled(entry.first, entry.end):
            self.findings.broken(
                "L4", f"failure {entry.id} is of positions that are settled", event,
                self.serials(entry.class_id, entry.first, entry.end),
            )  # fmt: skip
        self.failures.setdefault(entry.id, entry)

    def _made_good_recorded(self, event: ChainEvent) -> None:
        args = event.args
        class_id, first, tonnes = args["classId"], args["firstPosition"], args["tonnes"]
        try:
            serials = tuple(read_interval(one) for one in args["substitutes"])
        except InvalidValue as error:
            self.findings.broken("L4", f"substitutes name no serials: {error}", event)
            return
        if sum(one.tonnes for one in serials) != tonnes:
            self.findings.broken(
                "L4", f"{args['madeGoodId']} makes good other tonnes than positions", event,
                show(serials), tonnes=tonnes,
            )  # fmt: skip
        self._settle(event, class_id, first, tonnes, Settled.MADE_GOOD)
        entry = RegistryEntry(args["madeGoodId"], class_id, first, first + tonnes, serials, event)
        if entry.id in self.made_good:
            self.findings.broken("L10", f"{entry.id} was made good twice", event, show(serials))
        self.made_good.setdefault(entry.id, entry)

    def _enter(self, event: ChainEvent, serials: Interval) -> None:
        """Put serials into the register; what is there already is a break (L2)."""
        series = serials.series
        registered = self.intervals[event.args["seriesId"]]
        taken = registered.overlapping(serials)
        if taken:
            shared = Interval(
                series, max(taken.first, serials.first), min(taken.last, serials.last)
            )
            self.findings.broken(
                "L2", f"{serials} overlaps {taken}, which was registered before", event,
                show([shared]), tonnes=shared.tonnes,
            )  # fmt: skip
        else:
            registered.insert(serials)
            node = Node(serials.last, event.args["classId"], event)
            self.nodes[event.args["seriesId"]][serials.first] = node

    def _stand(self, event: ChainEvent, serials: Interval, receipt_id: str, source: str) -> None:
        """Let positions at the back of a class stand on serials."""
        args, class_id = event.args, event.args["classId"]
        expected = self.map(class_id).minted
        if args["firstPosition"] != expected:
            self.findings.broken(
                "L2", f"{serials} does not stand behind the last position of its class", event,
                show([serials]), position=args["firstPosition"], expected=expected,
            )  # fmt: skip
        piece = self.map(class_id).append(serials)
        self.blocks.setdefault(class_id, []).append(
            RegisteredBlock(serials, class_id, receipt_id, piece.position, event, source)
        )

    def _receipt_minted(self, event: ChainEvent) -> None:
        receipt_id, args = event.args["receiptId"], event.args
        if receipt_id in self.receipts:
            self.findings.broken(
                "L10", f"receipt {receipt_id} was minted twice", event, tonnes=args["tonnes"]
            )
        if receipt_id in self.cancelled:
            self.findings.broken(
                "L10", f"receipt {receipt_id} was minted after it was cancelled", event,
                tonnes=args["tonnes"],
            )  # fmt: skip
        blocks = [
            block
            for block in self.blocks.get(args["classId"], [])
            if block.receipt_id == receipt_id
            and block.event.transaction_hash == event.transaction_hash
        ]
        tonnes = sum(block.serials.tonnes for block in blocks)
        if tonnes != args["tonnes"]:
            self.findings.broken(
                "L2", f"receipt {receipt_id} minted other tonnes than its blocks hold", event,
                show(block.serials for block in blocks), minted=args["tonnes"], registered=tonnes,
            )  # fmt: skip
        self.receipts.setdefault(receipt_id, event)

    def _receipt_cancelled(self, event: ChainEvent) -> None:
        receipt_id = event.args["receiptId"]
        if receipt_id in self.receipts:
            self.findings.broken("L10", f"receipt {receipt_id} was cancelled after its mint", event)
        self.cancelled.setdefault(receipt_id, event)

    def _serials_exchanged(self, event: ChainEvent) -> None:
        args = event.args
        exchange = Exchange(args["position"], args["counterpart"], args["tonnes"])
        self.exchanges += 1
        try:
            self.map(args["classId"]).exchange(exchange)
        except RuleError as error:
            self.findings.broken(
                "L4", f"serials were exchanged that could not be: {error}", event,
                self.serials(args["classId"], exchange.position,
                             exchange.position + exchange.tonnes),
                tonnes=exchange.tonnes,
            )  # fmt: skip

    def _retirement_recorded(self, event: ChainEvent) -> None:
        args = event.args
        class_id, first = args["classId"], args["firstPosition"]
        end = first + args["tonnes"]
        confirmation_id = args["confirmationId"]
        try:
            actual = tuple(read_interval(interval) for interval in args["actual"])
        except InvalidValue as error:
            self.findings.broken("L4", f"a confirmation names no serials: {error}", event)
            return
        if confirmation_id in self.confirmations:
            self.findings.broken(
                "L10", f"confirmation {confirmation_id} was recorded twice", event, show(actual)
            )
        if sum(interval.tonnes for interval in actual) != args["tonnes"]:
            self.findings.broken(
                "L4", f"confirmation {confirmation_id} names other tonnes than positions", event,
                show(actual), tonnes=args["tonnes"],
            )  # fmt: skip
        try:
            self.map(class_id).confirm(first, actual)
        except RuleError as error:
            self.findings.broken(
                "L4", f"confirmation {confirmation_id} contradicts the record: {error}", event,
                show(actual), first_position=first, tonnes=args["tonnes"],
            )  # fmt: skip
        self.settled_by[class_id, first] = event
        self.confirmations.setdefault(
            confirmation_id, Confirmation(confirmation_id, class_id, first, end, actual, event)
        )
