"""How a newer export of a programme changes what is known: pure rules, no I/O."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from backend.domain.credits import IDENTITY, BlockRecord, Kind, Status
from backend.domain.serials import PARTY_SERIES, Interval, Series, merge
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
    serial with an incoming row; for events (Gold Standard, CDM) every issuance and retirement of
    those series, or containment cannot be judged. Serials that the export does not mention stay
    as they are: a filtered export proves nothing about what it leaves out. The result does not
    depend on the order of either argument.

    Rows of one kind and programme are compared with pieces of the same, in order of their serials:

    - shares no serial with a piece: `new`;
    - has the serials of exactly one piece: `unchanged`, `updated`, or a contradiction when a
      piece that is gone is live again or its programme, project, vintage or batch is another;
    - rows inside one piece of a partition (Verra) that together hold exactly its serials:
      `split`, under the same conditions for each of them;
    - anything else that shares a serial (a piece partly covered, a row over two pieces, two rows
      of the export over one serial, an event that is cut) is a contradiction.

    Across kinds, a retirement must lie in what was issued in its series, as soon as an issuance
    in that series is known: anywhere in it where a series is one batch (GS), inside one issued
    block of the same project in a party's series (CDM).

    Rows of another programme than the series' (CERs that Gold Standard holds) are a view of the
    same credits. They are compared with pieces of their own programme only; where the owner's
    issuances are known, each must lie inside one of these blocks. What else their programme
    issued may be elsewhere; their retirements must agree with it where both meet.

    Raises InvalidValue when `known` itself overlaps. Cost: n log n.
    """
    plan = _Plan()
    pieces: dict[_Ledger, list[KnownPiece]] = defaultdict(list)
    for piece in known:
        pieces[_ledger(piece.record)].append(piece)
    rows: dict[_Ledger, list[BlockRecord]] = defaultdict(list)
    for record in incoming:
        rows[_ledger(record)].append(record)
    # Issuances first, the owner's before views of them: the others are judged against these.
    for kind in (Kind.PARTITION, Kind.ISSUANCE, Kind.RETIREMENT):
        for ledger in sorted((held for held in rows if held[0] is kind), key=_owner_first):
            records = sorted(rows[ledger], key=_order)
            if kind is Kind.ISSUANCE:
                records = _issuable(plan, records, ledger, pieces)
            elif kind is Kind.RETIREMENT:
                issued = _issued(plan, pieces, ledger[1], ledger[2])
                records = _keep_covered(plan, records, issued)
            _place(plan, records, _Pieces(pieces[ledger]))
    return plan.finished()


#: Rows that may not share a serial: of one kind, in one series, told by one programme. Only a
#: party's series is told of by more than its own.
_Ledger = tuple[Kind, Series, str]


def _ledger(record: BlockRecord) -> _Ledger:
    series = record.interval.series
    teller = record.programme if series.programme == PARTY_SERIES else series.programme
    return record.kind, series, teller


def _owner_first(ledger: _Ledger) -> tuple[Series, bool, str]:
    _, series, programme = ledger
    return series, series.programme != programme, programme


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
    """Known pieces of one ledger in order; refuses pieces that overlap."""

    def __init__(self, pieces: Iterable[KnownPiece]) -> None:
        self.ordered = sorted(pieces, key=lambda piece: (_order(piece.record), piece.key))
        self._firsts = [piece.record.interval.first for piece in self.ordered]
        self._lasts = [piece.record.interval.last for piece in self.ordered]
        for index, first in enumerate(self._firsts[1:]):
            if first <= self._lasts[index]:
                keys = (self.ordered[index].key, self.ordered[index + 1].key)
                raise InvalidValue("known", keys, "are pieces of one ledger that overlap")

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
            plan.new_in[_ledger(record)].append(record)
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


def _inside(interval: Interval, united: Sequence[Interval]) -> bool:
    """Whether all serials lie in the merged intervals of one series."""
    index = bisect_right(united, interval.first, key=lambda held: held.first) - 1
    return index >= 0 and united[index].contains(interval)


def _is_batch(record: BlockRecord) -> bool:
    """Whether the series is one batch, which issuances fill together."""
    return record.interval.series.programme != PARTY_SERIES


def _issued(
    plan: _Plan, pieces: Mapping[_Ledger, list[KnownPiece]], series: Series, programme: str
) -> _Pieces:
    """What a programme issued in a series, as far as it is known with this export."""
    ledger = Kind.ISSUANCE, series, programme
    return _Pieces(
        [*pieces.get(ledger, ()), *(KnownPiece(0, new) for new in plan.new_in.get(ledger, ()))]
    )


def _issuable(
    plan: _Plan,
    records: Sequence[BlockRecord],
    ledger: _Ledger,
    pieces: Mapping[_Ledger, list[KnownPiece]],
) -> list[BlockRecord]:
    """Incoming issuances that agree with the retirements and the blocks that are known."""
    _, series, programme = ledger
    retired = _Pieces(pieces.get((Kind.RETIREMENT, series, programme), ()))
    if programme != series.programme:
        owner = _issued(plan, pieces, series, series.programme)
        kept = _keep_in_one_block(plan, records, owner, f"a block that {series.programme} issued")
        return _keep_agreeing(plan, kept, retired)
    if series.programme != PARTY_SERIES:
        return _keep_covering(plan, records, _Pieces(pieces.get(ledger, ())), retired)
    views = [
        piece
        for (kind, held, teller), found in pieces.items()
        if kind is Kind.ISSUANCE and held == series and teller != programme
        for piece in found
    ]
    kept = _keep_agreeing(plan, _keep_whole(plan, records, retired, "cancelled"), retired)
    return _keep_whole(plan, kept, _Pieces(views), "held as one block elsewhere")


def _keep_covering(
    plan: _Plan,
    records: Sequence[BlockRecord],
    ledger: _Pieces,
    retired: _Pieces,
) -> list[BlockRecord]:
    """Issuances of a batch that leave no known retirement outside what was issued."""
    if not retired.ordered:
        return list(records)
    held = [piece.record.interval for piece in ledger.ordered]
    united = merge([*held, *(record.interval for record in records)])
    taken = [piece.record.interval for piece in retired.ordered]
    lost = [interval for interval in taken if not _inside(interval, united)]
    if not lost:
        return list(records)
    for record in records:
        rule = f"leave {lost[0]}, known to be retired, outside what was issued"
        plan.refuse(record, _SERIALS, rule)
    return []


def _keep_covered(
    plan: _Plan, records: Sequence[BlockRecord], issued: _Pieces
) -> list[BlockRecord]:
    """Incoming retirements that lie in what was issued, as far as that is known."""
    if not issued.ordered or not records:
        return list(records)
    if not _is_batch(records[0]):
        if records[0].programme != records[0].interval.series.programme:
            return _keep_agreeing(plan, records, issued)
        kept = _keep_in_one_block(plan, records, issued, "an issued block")
        return _keep_agreeing(plan, kept, issued)
    united = merge(piece.record.interval for piece in issued.ordered)
    kept = []
    for record in records:
        if _inside(record.interval, united):
            kept.append(record)
        else:
            rule = f"lie outside what was issued ({united[0]}{' …' if len(united) > 1 else ''})"
            plan.refuse(record, _SERIALS, rule)
    return kept


def _keep_in_one_block(
    plan: _Plan, records: Sequence[BlockRecord], blocks: _Pieces, what: str
) -> list[BlockRecord]:
    """Records that lie inside exactly one of the blocks; all of them while none is known."""
    if not blocks.ordered:
        return list(records)
    kept = []
    for record in records:
        touched = blocks.touching(record.interval)
        if len(touched) == 1 and blocks.ordered[touched.start].record.interval.contains(
            record.interval
        ):
            kept.append(record)
        else:
            rule = f"do not lie inside {what} ({len(touched)} blocks touched)"
            plan.refuse(record, _SERIALS, rule, blocks.named(touched))
    return kept


def _keep_whole(
    plan: _Plan, records: Sequence[BlockRecord], parts: _Pieces, what: str
) -> list[BlockRecord]:
    """Incoming blocks that hold every known part that they touch as a whole."""
    kept = []
    for record in records:
        cut = next(
            (
                parts.ordered[index]
                for index in parts.touching(record.interval)
                if not record.interval.contains(parts.ordered[index].record.interval)
            ),
            None,
        )
        if cut is None:
            kept.append(record)
        else:
            plan.refuse(record, _SERIALS, f"cut {cut.record.interval}, known to be {what}", [cut])
    return kept


def _keep_agreeing(
    plan: _Plan, records: Sequence[BlockRecord], others: _Pieces
) -> list[BlockRecord]:
    """Records that are of the same credits as the events of the other kind over their serials."""
    kept = []
    for record in records:
        if other := _disagreeing(record, others):
            plan.refuse(record, *other)
        else:
            kept.append(record)
    return kept


def _disagreeing(record: BlockRecord, others: _Pieces) -> tuple[str, str] | None:
    """Field and rule when an event of the other kind over the same serials is of another class."""
    for index in others.touching(record.interval):
        other = others.ordered[index].record
        for name in ("project", "vintage_start", "vintage_end"):
            was, is_now = getattr(other, name), getattr(record, name)
            if was != is_now:
                return name, f"is {is_now} here and {was} on the {other.kind} of {other.interval}"
        # A tCER is no CER; a layout that does not say the unit (older exports) says nothing.
        was, is_now = other.facts.product_type, record.facts.product_type
        if was and is_now and was != is_now:
            return "product_type", f"is {is_now} here and {was} on {other.kind} {other.interval}"
    return None
