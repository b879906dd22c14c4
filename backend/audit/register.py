"""Replays what `Trust` published: series, blocks, receipts, exchanges and confirmations."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from backend.audit.report import Findings
from backend.domain.assignment import Exchange, PositionMap
from backend.domain.events import ChainEvent
from backend.domain.serials import Interval, IntervalSet, Series, merge
from backend.errors import InvalidValue, RuleError


@dataclass(frozen=True, slots=True)
class RegisteredBlock:
    """One interval of a receipt and the positions it stands on."""

    serials: Interval
    class_id: int
    receipt_id: str
    first_position: int
    event: ChainEvent

    @property
    def end_position(self) -> int:
        return self.first_position + self.serials.tonnes


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
    exchanges: int = 0
    last_events: dict[int, ChainEvent] = field(default_factory=dict)

    def apply(self, event: ChainEvent) -> None:
        """Take one event of `Trust`; those that say nothing about serials are passed over."""
        handler = {
            "SeriesCreated": self._series_created,
            "BlockRegistered": self._block_registered,
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

    def _block_registered(self, event: ChainEvent) -> None:
        args = event.args
        class_id, series = args["classId"], self.series.get(args["seriesId"])
        if series is None:
            self.findings.broken(
                "L2", f"a block lies in series {args['seriesId']}, which was never created", event,
                first=args["first"], last=args["last"],
            )  # fmt: skip
            return
        try:
            serials = Interval(series, args["first"], args["last"])
        except InvalidValue as error:
            self.findings.broken("L2", f"a block is not an interval: {error}", event)
            return
        registered = self.intervals[args["seriesId"]]
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
        expected = self.map(class_id).minted
        if args["firstPosition"] != expected:
            self.findings.broken(
                "L2", f"{serials} does not stand behind the last position of its class", event,
                show([serials]), position=args["firstPosition"], expected=expected,
            )  # fmt: skip
        piece = self.map(class_id).append(serials)
        self.blocks.setdefault(class_id, []).append(
            RegisteredBlock(serials, class_id, args["receiptId"], piece.position, event)
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
        self.confirmations.setdefault(
            confirmation_id, Confirmation(confirmation_id, class_id, first, end, actual, event)
        )
