"""What registry exports say about serials: which are live, which are gone, whose they are."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from os import PathLike

from backend.domain.credits import BlockRecord, Kind, Status
from backend.domain.serials import Interval, Series, merge, subtract
from backend.registries.protocol import Rejection
from backend.registries.reader import open_export


@dataclass(slots=True)
class Spans:
    """Disjoint intervals of many series, for questions about a few serials among very many."""

    _firsts: dict[Series, list[int]] = field(default_factory=dict)
    _lasts: dict[Series, list[int]] = field(default_factory=dict)

    @classmethod
    def of(cls, intervals: Iterable[Interval]) -> Spans:
        """The union of these intervals."""
        spans = cls()
        for interval in merge(intervals):
            spans._firsts.setdefault(interval.series, []).append(interval.first)
            spans._lasts.setdefault(interval.series, []).append(interval.last)
        return spans

    def within(self, interval: Interval) -> list[Interval]:
        """The serials of `interval` that are held, ascending."""
        series, found = interval.series, []
        firsts, lasts = self._firsts.get(series, []), self._lasts.get(series, [])
        for index in range(bisect_left(lasts, interval.first), len(firsts)):
            if firsts[index] > interval.last:
                break
            first, last = max(firsts[index], interval.first), min(lasts[index], interval.last)
            found.append(Interval(series, first, last))
        return found

    def of_all(self, intervals: Iterable[Interval]) -> list[Interval]:
        """The serials of several intervals that are held."""
        return [held for interval in intervals for held in self.within(interval)]


@dataclass(slots=True)
class CustodyStatement:
    """Every accepted row of some exports, by what it says of its serials.

    A serial that one row shows retired or cancelled is gone, whatever another row says: a retired
    credit never comes back, so the other row is older.
    """

    live: Spans
    gone: Spans
    rows: int
    rejected: int
    #: Of these, rows of retirement exports: each could have retired serials that look live.
    rejected_retirements: int
    #: The newest day that any row of a programme names: the exports are at least as new.
    as_of: dict[str, date]
    _records: dict[Series, list[BlockRecord]]
    _firsts: dict[Series, list[int]]

    def tells_of(self, series: Series) -> bool:
        """Whether any row of a series says what is live in it."""
        return series in self._records

    def foreign(self, interval: Interval, belongs: tuple[object, ...]) -> list[BlockRecord]:
        """Rows that hold serials of `interval` for other credits than `belongs` names."""
        firsts = self._firsts.get(interval.series, [])
        # Rows that are kept here are pieces or issuances: disjoint within a series.
        index = max(bisect_right(firsts, interval.first) - 1, 0)
        end = bisect_right(firsts, interval.last)
        records = self._records.get(interval.series, [])[index:end]
        return [
            record
            for record in records
            if record.interval.overlaps(interval) and identity(record) != belongs
        ]


def identity(record: BlockRecord) -> tuple[object, ...]:
    """What a row says of its class that no registry restates."""
    return (record.programme, record.project, record.vintage_start, record.vintage_end)


def read_statement(paths: Sequence[str | PathLike[str]]) -> CustodyStatement:
    """Read registry exports; raises UnknownLayout or InvalidValue for what is none."""
    held: list[Interval] = []
    gone: list[Interval] = []
    records: defaultdict[Series, list[BlockRecord]] = defaultdict(list)
    as_of: dict[str, date] = {}
    rows = rejected = rejected_retirements = 0
    for path in paths:
        with open_export(path) as export:
            for record in export:
                rows += 1
                if isinstance(record, Rejection):
                    rejected += 1
                    rejected_retirements += export.adapter.kind is Kind.RETIREMENT
                    continue
                if not isinstance(record, BlockRecord):
                    continue  # without serials a row proves nothing about what is in trust
                for day in (record.facts.issued_on, record.facts.retired_on):
                    if day is not None:
                        as_of[record.programme] = max(day, as_of.get(record.programme, day))
                is_live = record.status in (Status.ACTIVE, Status.ISSUED)
                (held if is_live else gone).append(record.interval)
                if record.kind is not Kind.RETIREMENT:
                    records[record.interval.series].append(record)
    for found in records.values():
        found.sort(key=lambda record: record.interval.first)
    firsts = {series: [row.interval.first for row in found] for series, found in records.items()}
    gone_spans = Spans.of(gone)
    live = [
        part
        for interval in merge(held)
        for part in subtract([interval], gone_spans.within(interval))
    ]
    return CustodyStatement(
        live=Spans.of(live),
        gone=gone_spans,
        rows=rows,
        rejected=rejected,
        rejected_retirements=rejected_retirements,
        as_of=as_of,
        _records=dict(records),
        _firsts=firsts,
    )
