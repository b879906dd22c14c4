"""Which serials stand at positions of a class: only the blocks around them are read (L2, L4).

Every exchange swaps the serials of two position ranges, and a substitute binds new serials to the
positions of a gap. So the serial that stands at a position now came with a block at the position
that the changes, undone newest first, lead back to, or with the substitute that is met on the way.
Changes of a class are few; its blocks may be many thousands, and only those that are hit are read.
`domain.assignment.PositionMap` is the oracle.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from sqlalchemy import (
    BigInteger,
    Connection,
    Numeric,
    and_,
    column,
    func,
    literal,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.selectable import TableValuedAlias

from backend.store import backing_tables, tables
from backend.store.types import Uint256


@dataclass(frozen=True, slots=True)
class Span:
    """Positions [first, end) of a class."""

    class_id: int
    first: int
    end: int

    @property
    def tonnes(self) -> int:
        return self.end - self.first


@dataclass(frozen=True, slots=True)
class SerialRun:
    """Positions [position, +tonnes) that stand on consecutive serials of one receipt's block.

    `receipt_id` is the receipt, or the published event, by which the serials came into trust.
    With a `confirmation_id` the registry says it retired exactly these serials; without one they
    are what the positions lead one to expect.
    """

    position: int
    series: str
    series_hash: str
    first: int
    last: int
    receipt_id: str
    confirmation_id: str | None = None

    @property
    def tonnes(self) -> int:
        return self.last - self.first + 1

    def cut(self, low: int, high: int) -> SerialRun:
        """The part at positions [low, high), which lie inside."""
        first = self.first + low - self.position
        return replace(self, position=low, first=first, last=first + high - low - 1)


class DatedExchange(NamedTuple):
    """Serials of [position, +tonnes) and [counterpart, +tonnes) changed places at this event."""

    position: int
    counterpart: int
    tonnes: int
    at: tuple[int, int]


class DatedRebind(NamedTuple):
    """[position, +tonnes) stand on the serials of `run` from this event on."""

    position: int
    tonnes: int
    run: SerialRun
    at: tuple[int, int]


DatedChange = DatedExchange | DatedRebind


@dataclass(frozen=True, slots=True)
class Move:
    """Positions [origin, +tonnes) and the positions [at, +tonnes) they lead to."""

    origin: int
    at: int
    tonnes: int

    def cut(self, low: int, high: int) -> Move:
        """The part that leads to [low, high), which lies inside."""
        return Move(self.origin + low - self.at, low, high - low)


class _Moves:
    """Disjoint moves ordered by where they lead; an exchange touches only those it hits."""

    def __init__(self, ranges: Iterable[tuple[int, int]]) -> None:
        """`ranges` are disjoint [first, end), ascending."""
        self._moves = [Move(first, first, end - first) for first, end in ranges]
        self._starts = [move.at for move in self._moves]

    def take(self, low: int, high: int) -> list[Move]:
        """Take out what leads into [low, high)."""
        return self._take(low, high, 0)

    def apply(self, exchange: DatedExchange) -> None:
        p, q, tonnes = exchange.position, exchange.counterpart, exchange.tonnes
        for move in [*self._take(p, p + tonnes, q - p), *self._take(q, q + tonnes, p - q)]:
            index = bisect_left(self._starts, move.at)
            self._starts.insert(index, move.at)
            self._moves.insert(index, move)

    def _take(self, low: int, high: int, shift: int) -> list[Move]:
        """Take out what leads into [low, high), shifted; the rest of a move that is cut stays."""
        start = max(bisect_right(self._starts, low) - 1, 0)
        end = bisect_left(self._starts, high)
        hit = [move for move in self._moves[start:end] if move.at + move.tonnes > low]
        if not hit:
            return []
        start = end - len(hit)
        taken = [move.cut(max(low, move.at), min(high, move.at + move.tonnes)) for move in hit]
        first, last = hit[0], hit[-1]
        left = []
        if first.at < low:
            left.append(first.cut(first.at, low))
        if last.at + last.tonnes > high:
            left.append(last.cut(high, last.at + last.tonnes))
        self._moves[start:end] = left
        self._starts[start:end] = [move.at for move in left]
        return [replace(move, at=move.at + shift) for move in taken]

    def joined(self) -> list[Move]:
        """By origin, neighbours that lead to neighbours as one."""
        joined: list[Move] = []
        for move in sorted(self._moves, key=lambda part: part.origin):
            last = joined[-1] if joined else None
            if last and (last.origin + last.tonnes, last.at + last.tonnes) == (
                move.origin,
                move.at,
            ):
                joined[-1] = replace(last, tonnes=last.tonnes + move.tonnes)
            else:
                joined.append(move)
        return joined


def _back(
    ranges: Iterable[tuple[int, int]], changes: Iterable[DatedChange]
) -> tuple[list[Move], list[SerialRun]]:
    """Changes undone, newest first: the moves to blocks, and the runs of substitutes met."""
    moves, found = _Moves(ranges), []
    for change in changes:
        if isinstance(change, DatedExchange):
            moves.apply(change)
            continue
        for met in moves.take(change.position, change.position + change.tonnes):
            run = change.run.cut(met.at, met.at + met.tonnes)
            found.append(replace(run, position=met.origin))
    return moves.joined(), found


def standing_at(
    first: int, end: int, changes: Sequence[DatedChange], since: tuple[int, int] = (-1, -1)
) -> list[Move]:
    """Where the serials that came to [first, end) by the event `since` stand after the changes.

    Those for which a substitute was bound stand nowhere any more.
    """
    moves = _Moves([(first, end)])
    for change in changes:
        if change.at <= since:
            continue
        if isinstance(change, DatedExchange):
            moves.apply(change)
        else:
            moves.take(change.position, change.position + change.tonnes)
    return moves.joined()


def changes_of(connection: Connection, class_ids: Iterable[int]) -> dict[int, list[DatedChange]]:
    """Exchanges and substitutes of these classes, oldest first."""
    wanted = sorted(set(class_ids))
    found: dict[int, list[DatedChange]] = defaultdict(list)
    for class_id, exchanges in _exchanges_of(connection, wanted).items():
        found[class_id] += exchanges
    for class_id, rebinds in _rebinds_of(connection, wanted).items():
        found[class_id] = sorted([*found[class_id], *rebinds], key=lambda change: change.at)
    return found


def _rebinds_of(connection: Connection, class_ids: Sequence[int]) -> dict[int, list[DatedRebind]]:
    """Substitutes that were bound, each with the event that registered its serials."""
    table, series, came = backing_tables.rebinds, tables.series, backing_tables.serials_registered
    source = (
        select(came.c.source)
        .where(
            came.c.series_id == table.c.series_id,
            came.c.first <= table.c.first,
            came.c.last >= table.c.last,
        )
        .order_by(came.c.block_number.desc(), came.c.log_index.desc())
        .limit(1)
        .scalar_subquery()
    )
    found: dict[int, list[DatedRebind]] = defaultdict(list)
    rows = connection.execute(
        select(table, series.c.name, source.label("source"))
        .select_from(table.join(series, series.c.id == table.c.series_id))
        .where(table.c.class_id.in_(class_ids))
    )
    for row in rows:
        run = SerialRun(
            row.first_position, row.name, row.series_hash, row.first, row.last, row.source
        )
        at = (row.block_number, row.log_index)
        found[row.class_id].append(DatedRebind(row.first_position, row.tonnes, run, at))
    return found


def _exchanges_of(
    connection: Connection, class_ids: Sequence[int]
) -> dict[int, list[DatedExchange]]:
    table = tables.exchanges
    found: dict[int, list[DatedExchange]] = defaultdict(list)
    rows = connection.execute(
        select(
            table.c.class_id,
            table.c.position,
            table.c.counterpart,
            table.c.tonnes,
            table.c.block_number,
            table.c.log_index,
        )
        .where(table.c.class_id.in_(class_ids))
        .order_by(table.c.class_id, table.c.block_number, table.c.log_index)
    )
    for class_id, position, counterpart, tonnes, block_number, log_index in rows:
        found[class_id].append(
            DatedExchange(position, counterpart, tonnes, (block_number, log_index))
        )
    return found


def spans_table(spans: Sequence[Span]) -> TableValuedAlias:
    """The spans as a table (class_id, first, end, ordinal from 1) to join with."""
    return (
        func.unnest(
            literal([span.class_id for span in spans], ARRAY(Numeric(78, 0))),
            literal([span.first for span in spans], ARRAY(BigInteger)),
            literal([span.end for span in spans], ARRAY(BigInteger)),
        )
        .table_valued(
            column("class_id", Uint256),
            column("first", BigInteger),
            column("end", BigInteger),
            with_ordinality="ordinal",
            name="spans",
        )
        .render_derived()
    )


def minted_serials(connection: Connection, spans: Sequence[Span]) -> list[list[SerialRun]]:
    """Per span the serials of its positions as they were minted, before any exchange."""
    found: list[list[SerialRun]] = [[] for _ in spans]
    if not spans:
        return found
    blocks, series, wanted = tables.class_blocks, tables.series, spans_table(spans)
    start = (
        select(func.coalesce(func.max(blocks.c.first_position), 0).label("position"))
        .where(blocks.c.class_id == wanted.c.class_id)
        .where(blocks.c.first_position <= wanted.c.first)
        .lateral("start")
    )
    hit = blocks.alias("hit")
    rows = connection.execute(
        select(wanted.c.ordinal, hit, series.c.name)
        .select_from(
            wanted.join(start, true())
            .join(
                hit,
                and_(
                    hit.c.class_id == wanted.c.class_id,
                    hit.c.first_position >= start.c.position,
                    hit.c.first_position < wanted.c.end,
                ),
            )
            .join(series, series.c.id == hit.c.series_id)
        )
        .order_by(wanted.c.ordinal, hit.c.first_position)
    )
    for row in rows:
        span = spans[row.ordinal - 1]
        run = SerialRun(
            row.first_position, row.name, row.series_hash, row.first, row.last, row.receipt_id
        )
        low, high = max(span.first, run.position), min(span.end, run.position + run.tonnes)
        if low < high:
            found[row.ordinal - 1].append(run.cut(low, high))
    return found


def serials_at(
    connection: Connection,
    spans: Sequence[Span],
    changes: Sequence[Sequence[DatedChange]],
) -> list[list[SerialRun]]:
    """Per span the serials that stand at its positions after the changes given for it.

    One query for all spans, whatever the number of blocks and changes. Spans of one class with
    the same changes (one list) are followed together.
    """
    groups: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index, (span, made) in enumerate(zip(spans, changes, strict=True)):
        groups[span.class_id, id(made)].append(index)
    followed: list[tuple[tuple[int, int], Move]] = []
    standing: dict[tuple[int, int], list[SerialRun]] = defaultdict(list)
    for key, indexes in groups.items():
        wanted = _merged(spans[index] for index in indexes)
        moves, standing[key] = _back(wanted, reversed(changes[indexes[0]]))
        followed += [(key, move) for move in moves]
    minted = minted_serials(
        connection, [Span(key[0], move.at, move.at + move.tonnes) for key, move in followed]
    )
    for (key, move), runs in zip(followed, minted, strict=True):
        shift = move.origin - move.at
        standing[key] += [replace(run, position=run.position + shift) for run in runs]
    found: list[list[SerialRun]] = [[] for _ in spans]
    for key, indexes in groups.items():
        ordered = _joined(standing[key])
        for index in indexes:
            found[index] = _within(spans[index], ordered)
    return found


def _merged(spans: Iterable[Span]) -> list[tuple[int, int]]:
    """The positions of the spans as ascending disjoint [first, end)."""
    merged: list[tuple[int, int]] = []
    for span in sorted(spans, key=lambda part: part.first):
        if merged and span.first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], span.end))
        else:
            merged.append((span.first, span.end))
    return merged


def _within(span: Span, runs: Sequence[SerialRun]) -> list[SerialRun]:
    """The parts of ordered runs that lie in the span."""
    index = max(bisect_right(runs, span.first, key=lambda run: run.position) - 1, 0)
    found = []
    while index < len(runs) and runs[index].position < span.end:
        run = runs[index]
        low, high = max(span.first, run.position), min(span.end, run.position + run.tonnes)
        if low < high:
            found.append(run.cut(low, high))
        index += 1
    return found


def _joined(runs: Iterable[SerialRun]) -> list[SerialRun]:
    """Neighbours in position and serial of one receipt as one run."""
    joined: list[SerialRun] = []
    for run in sorted(runs, key=lambda part: part.position):
        last = joined[-1] if joined else None
        if (
            last
            and (last.series, last.receipt_id) == (run.series, run.receipt_id)
            and last.position + last.tonnes == run.position
            and last.last + 1 == run.first
        ):
            joined[-1] = replace(last, last=run.last)
        else:
            joined.append(run)
    return joined
