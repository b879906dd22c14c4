"""Which serials stand at positions of a class: only the blocks around them are read (L2, L4).

Every exchange swaps the serials of two position ranges. So the serial that stands at a position
now was minted at the position that the exchanges, undone newest first, lead back to. Exchanges
of a class are few; its blocks may be many thousands, and only those that are hit are read.
`domain.assignment.PositionMap` is the oracle.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

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

from backend.store import tables
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


@dataclass(frozen=True, slots=True)
class DatedExchange:
    """Serials of [position, +tonnes) and [counterpart, +tonnes) changed places at this event."""

    position: int
    counterpart: int
    tonnes: int
    at: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Move:
    """Positions [origin, +tonnes) and the positions [at, +tonnes) they lead to."""

    origin: int
    at: int
    tonnes: int


def _swap(move: Move, exchange: DatedExchange) -> list[Move]:
    p, q, tonnes = exchange.position, exchange.counterpart, exchange.tonnes
    end = move.at + move.tonnes
    if not (move.at < p + tonnes and p < end) and not (move.at < q + tonnes and q < end):
        return [move]
    inner = {bound for bound in (p, p + tonnes, q, q + tonnes) if move.at < bound < end}
    parts = []
    for low, high in pairwise(sorted({move.at, end} | inner)):
        shift = q - p if p <= low < p + tonnes else p - q if q <= low < q + tonnes else 0
        parts.append(Move(move.origin + low - move.at, low + shift, high - low))
    return parts


def _follow(first: int, end: int, exchanges: Iterable[DatedExchange]) -> list[Move]:
    moves = [Move(first, first, end - first)] if first < end else []
    for exchange in exchanges:
        moves = [part for move in moves for part in _swap(move, exchange)]
    joined: list[Move] = []
    for move in sorted(moves, key=lambda part: part.origin):
        last = joined[-1] if joined else None
        if last and last.at + last.tonnes == move.at:
            joined[-1] = Move(last.origin, last.at, last.tonnes + move.tonnes)
        else:
            joined.append(move)
    return joined


def minted_at(first: int, end: int, exchanges: Sequence[DatedExchange]) -> list[Move]:
    """Where the serials that stand at [first, end) after the exchanges were minted."""
    return _follow(first, end, reversed(exchanges))


def standing_at(first: int, end: int, exchanges: Sequence[DatedExchange]) -> list[Move]:
    """Where the serials that were minted at [first, end) stand after the exchanges."""
    return _follow(first, end, exchanges)


def exchanges_of(
    connection: Connection, class_ids: Iterable[int]
) -> dict[int, list[DatedExchange]]:
    """The exchanges of these classes, oldest first."""
    table = tables.exchanges
    found: dict[int, list[DatedExchange]] = defaultdict(list)
    rows = connection.execute(
        select(table)
        .where(table.c.class_id.in_(sorted(set(class_ids))))
        .order_by(table.c.class_id, table.c.block_number, table.c.log_index)
    )
    for row in rows:
        found[row.class_id].append(
            DatedExchange(
                row.position, row.counterpart, row.tonnes, (row.block_number, row.log_index)
            )
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
    exchanges: Sequence[Sequence[DatedExchange]],
) -> list[list[SerialRun]]:
    """Per span the serials that stand at its positions after the exchanges given for it.

    One query for all spans, whatever the number of blocks and exchanges.
    """
    moves = [
        (index, move)
        for index, (span, made) in enumerate(zip(spans, exchanges, strict=True))
        for move in minted_at(span.first, span.end, made)
    ]
    minted = minted_serials(
        connection,
        [Span(spans[i].class_id, move.at, move.at + move.tonnes) for i, move in moves],
    )
    found: list[list[SerialRun]] = [[] for _ in spans]
    for (index, move), runs in zip(moves, minted, strict=True):
        shift = move.origin - move.at
        found[index] += [replace(run, position=run.position + shift) for run in runs]
    return [_joined(runs) for runs in found]


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
