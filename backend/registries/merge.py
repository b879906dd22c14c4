"""How a newer export of a programme changes what is known: pure rules, no I/O."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from backend.domain.credits import IDENTITY, BlockRecord, Kind, Status
from backend.domain.serials import Interval, Series, merge
from backend.errors import InvalidValue


@dataclass(frozen=True, slots=True)
class KnownPiece:
    """A piece that earlier imports left, under the key its keeper knows it by."""

    key: int
    record: BlockRecord


@dataclass(frozen=True, slots=True)
class Update:
    """A known piece of the same serials about which the export says something newer.

    `changes` names what differs: `status`, `labels`, `project_name` or a fact. A change of
    `labels` is a dated fact: the class of credits that are already tokens stays what it was.
    """

    key: int
    record: BlockRecord
    changes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Split:
    """A known piece that is now two or more, which hold exactly its serials, in their order.

    `changes` names what differs on at least one part, as in Update.
    """

    key: int
    parts: tuple[BlockRecord, ...]
    changes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Contradicted:
    """A row that cannot be true beside what is known or beside another row: not merged.

    `known` are keys of the pieces it contradicts, at most eight; `field` and `rule` say how.
    """

    record: BlockRecord
    field: str
    rule: str
    known: tuple[int, ...] = ()

    def __str__(self) -> str:
        return f"row {self.record.row}, {self.record.interval}: {self.field} {self.rule}"


@dataclass(frozen=True, slots=True)
class MergePlan:
    """What to do with every incoming row: each is in exactly one place.

    All lists are ordered by kind, series and first serial.
    """

    new: tuple[BlockRecord, ...] = ()
    unchanged: tuple[KnownPiece, ...] = ()
    updated: tuple[Update, ...] = ()
    split: tuple[Split, ...] = ()
    contradictions: tuple[Contradicted, ...] = ()


_SERIALS = "Serial Number"
_MAX_NAMED = 8
_INCOMPLETE = "is a part of a known piece whose other serials no row of the export accounts for"


def plan_merge(known: Sequence[KnownPiece], incoming: Sequence[BlockRecord]) -> MergePlan:
    """Compare an export with what is known; decide, change nothing.

    `known` must hold, of each series that `incoming` names, at least every piece that shares a
    serial with an incoming row; for events (Gold Standard) every issuance and retirement of those
    series, or containment cannot be judged. Serials that the export does not mention stay as they
    are: a filtered export proves nothing about what it leaves out. The result does not depend
    on the order of either argument.

    Rows of one kind are compared with pieces of the same kind, in order of their serials:

    - shares no serial with a piece: `new`;
    - has the serials of exactly one piece: `unchanged`, `updated`, or a contradiction when a
      piece that is gone is live again or its programme, project, vintage or batch is another;
    - rows inside one piece of a partition (Verra) that together hold exactly its serials:
      `split`, under the same conditions for each of them;
    - anything else that shares a serial (a piece partly covered, a row over two pieces, two rows
      of the export over one serial, an event that is cut) is a contradiction.

    Across kinds, a retirement must lie in what was issued in its series, as soon as an issuance
    in that series is known. Only a series that is one batch (GS) can tell: in a party's (CER rows)
    the other issuances may be elsewhere. There project and vintage must agree where both meet.

    Raises InvalidValue when `known` itself overlaps. Cost: n log n.
    """
    plan = _Plan()
    pieces: dict[_Ledger, list[KnownPiece]] = defaultdict(list)
    for piece in known:
        pieces[piece.record.kind, piece.record.interval.series].append(piece)
    rows: dict[_Ledger, list[BlockRecord]] = defaultdict(list)
    for record in incoming:
        rows[record.kind, record.interval.series].append(record)
    # Issuances first: the retirements of the same call are judged against them.
    for kind in (Kind.PARTITION, Kind.ISSUANCE, Kind.RETIREMENT):
        for series in sorted(series for held, series in rows if held is kind):
            ledger = _Pieces(pieces[kind, series])
            records = sorted(rows[kind, series], key=_order)
            if kind is Kind.ISSUANCE:
                retired = _Pieces(pieces[Kind.RETIREMENT, series])
                records = _keep_covering(plan, records, ledger, retired)
            elif kind is Kind.RETIREMENT:
                issued = list(pieces[Kind.ISSUANCE, series])
                issued += [KnownPiece(0, held) for held in plan.new_in[Kind.ISSUANCE, series]]
                records = _keep_covered(plan, records, _Pieces(issued))
            _place(plan, records, ledger)
    return plan.finished()


_Ledger = tuple[Kind, Series]


def _order(record: BlockRecord) -> tuple[int, int, int]:
    return record.interval.first, record.interval.last, record.row


class _Plan:
    """A MergePlan while it is made."""

    def __init__(self) -> None:
        self.new_in: dict[_Ledger, list[BlockRecord]] = defaultdict(list)
        self.unchanged: list[KnownPiece] = []
        self.updated: list[Update] = []
        self.split: list[Split] = []
        self.contradictions: list[Contradicted] = []

    def refuse(
        self, record: BlockRecord, field: str, rule: str, known: Iterable[KnownPiece] = ()
    ) -> None:
        keys = tuple(piece.key for piece in known)[:_MAX_NAMED]
        self.contradictions.append(Contradicted(record, field, rule, keys))

    def finished(self) -> MergePlan:
        new = tuple(record for records in self.new_in.values() for record in records)
        return MergePlan(
            new,
            tuple(self.unchanged),
            tuple(self.updated),
            tuple(self.split),
            tuple(self.contradictions),
        )


class _Pieces:
    """Known pieces of one kind and series in order; refuses pieces that overlap."""

    def __init__(self, pieces: Iterable[KnownPiece]) -> None:
        self.ordered = sorted(pieces, key=lambda piece: (_order(piece.record), piece.key))
        self._firsts = [piece.record.interval.first for piece in self.ordered]
        self._lasts = [piece.record.interval.last for piece in self.ordered]
        for index, first in enumerate(self._firsts[1:]):
            if first <= self._lasts[index]:
                keys = (self.ordered[index].key, self.ordered[index + 1].key)
                raise InvalidValue("known", keys, "are pieces of one series that overlap")

    def touching(self, interval: Interval) -> range:
        """Indices of the pieces that share a serial with the interval."""
        return range(
            bisect_left(self._lasts, interval.first), bisect_right(self._firsts, interval.last)
        )

    def named(self, touched: range) -> list[KnownPiece]:
        return self.ordered[touched.start : touched.start + min(len(touched), _MAX_NAMED)]


def _rivals(records: Sequence[BlockRecord]) -> list[BlockRecord | None]:
    """For each of the ordered records another one that shares a serial with it, or None."""
    rivals: list[BlockRecord | None] = [None] * len(records)
    furthest = 0
    for index in range(1, len(records)):
        interval, reach = records[index].interval, records[furthest].interval.last
        if interval.first <= reach:
            rivals[index] = records[furthest]
        if interval.last > reach:
            furthest = index
    # Who shares a serial with any later record shares one with the next.
    for index in range(len(records) - 1):
        if records[index + 1].interval.first <= records[index].interval.last:
            rivals[index] = rivals[index] or records[index + 1]
    return rivals


def _place(plan: _Plan, records: Sequence[BlockRecord], ledger: _Pieces) -> None:
    """Sort ordered records of one kind and series into the plan."""
    parts: dict[int, list[BlockRecord]] = defaultdict(list)
    for record, rival in zip(records, _rivals(records), strict=True):
        touched = ledger.touching(record.interval)
        if rival is not None:
            rule = f"overlap {rival.interval} of row {rival.row} of the same export"
            plan.refuse(record, _SERIALS, rule, ledger.named(touched))
        elif not touched:
            plan.new_in[record.kind, record.interval.series].append(record)
        elif len(touched) > 1:
            rule = f"stretch over {len(touched)} known pieces: is this an older export?"
            plan.refuse(record, _SERIALS, rule, ledger.named(touched))
        else:
            piece = ledger.ordered[touched.start]
            if piece.record.interval == record.interval:
                _compare(plan, piece, record)
            elif record.kind is Kind.PARTITION and piece.record.interval.contains(record.interval):
                parts[touched.start].append(record)
            else:
                rule = f"cover {piece.record.interval} only partly"
                plan.refuse(record, _SERIALS, rule, [piece])
    for index, found in parts.items():
        _divide(plan, ledger.ordered[index], found)


def _conflict(older: BlockRecord, newer: BlockRecord) -> tuple[str, str] | None:
    """Field and rule when both records cannot be true of the same serials, one after another."""
    for name in IDENTITY:
        was, is_now = getattr(older, name), getattr(newer, name)
        if was != is_now:
            return name, f"was {was} and is {is_now}"
    if older.status.is_final and newer.status is not older.status:
        back = newer.status is Status.ACTIVE
        why = "a retired serial never comes back (L4)" if back else "a retirement is final (L4)"
        return "status", f"was {older.status} and is {newer.status}: {why}"
    return None


def _compare(plan: _Plan, piece: KnownPiece, record: BlockRecord) -> None:
    conflict = _conflict(piece.record, record)
    if conflict:
        plan.refuse(record, *conflict, [piece])
    elif changes := record.changes_from(piece.record):
        plan.updated.append(Update(piece.key, record, changes))
    else:
        plan.unchanged.append(piece)


def _divide(plan: _Plan, piece: KnownPiece, parts: Sequence[BlockRecord]) -> None:
    """`parts` are disjoint, in order and inside the piece: do they account for all of it?"""
    if sum(part.tonnes for part in parts) != piece.record.tonnes:
        for part in parts:
            plan.refuse(part, _SERIALS, _INCOMPLETE, [piece])
        return
    conflicts = [_conflict(piece.record, part) for part in parts]
    if not any(conflicts):
        changes = {name: None for part in parts for name in part.changes_from(piece.record)}
        plan.split.append(Split(piece.key, tuple(parts), tuple(changes)))
        return
    for part, conflict in zip(parts, conflicts, strict=True):
        field, rule = conflict or (_SERIALS, "belong to a split of which another row contradicts")
        plan.refuse(part, field, rule, [piece])


def _names_a_batch(record: BlockRecord) -> bool:
    """Whether the series is one batch of the row's own programme, so that issuance is complete."""
    return record.interval.series.programme == record.programme


def _inside(interval: Interval, united: Sequence[Interval]) -> bool:
    """Whether all serials lie in the merged intervals of one series."""
    index = bisect_right(united, interval.first, key=lambda held: held.first) - 1
    return index >= 0 and united[index].contains(interval)


def _keep_covering(
    plan: _Plan,
    records: Sequence[BlockRecord],
    ledger: _Pieces,
    retired: _Pieces,
) -> list[BlockRecord]:
    """Incoming issuances that leave no known retirement outside what was issued."""
    if not retired.ordered:
        return list(records)
    held = [piece.record.interval for piece in ledger.ordered]
    united = merge([*held, *(record.interval for record in records)])
    taken = [piece.record.interval for piece in retired.ordered]
    lost = [interval for interval in taken if not _inside(interval, united)]
    kept = []
    for record in records:
        if lost and _names_a_batch(record):
            rule = f"leave {lost[0]}, known to be retired, outside what was issued"
            plan.refuse(record, _SERIALS, rule)
        elif other := _disagreeing(record, retired):
            plan.refuse(record, *other)
        else:
            kept.append(record)
    return kept


def _keep_covered(
    plan: _Plan, records: Sequence[BlockRecord], issued: _Pieces
) -> list[BlockRecord]:
    """Incoming retirements that lie in what was issued, as far as that is known."""
    if not issued.ordered:
        return list(records)
    united = merge(piece.record.interval for piece in issued.ordered)
    kept = []
    for record in records:
        if _names_a_batch(record) and not _inside(record.interval, united):
            rule = f"lie outside what was issued ({united[0]}{' …' if len(united) > 1 else ''})"
            plan.refuse(record, _SERIALS, rule)
        elif other := _disagreeing(record, issued):
            plan.refuse(record, *other)
        else:
            kept.append(record)
    return kept


def _disagreeing(record: BlockRecord, others: _Pieces) -> tuple[str, str] | None:
    """Field and rule when an event of the other kind over the same serials is of another class.

    Only a party's series can hold more than one project or vintage.
    """
    if _names_a_batch(record):
        return None
    for index in others.touching(record.interval):
        other = others.ordered[index].record
        for name in ("programme", "project", "vintage_start", "vintage_end"):
            was, is_now = getattr(other, name), getattr(record, name)
            if was != is_now:
                return name, f"is {is_now} here and {was} on the {other.kind} of {other.interval}"
    return None
