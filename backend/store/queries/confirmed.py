"""What the registries confirmed as retired: confirmations over spans of positions (L4)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import BigInteger, Connection, Row, and_, func, select, true

from backend.domain.serials import Interval, Series
from backend.store import tables
from backend.store.queries.assignment import SerialRun, Span, spans_table


@dataclass(frozen=True, slots=True)
class Confirmation:
    """The registry retired `actual`, in this order, for [first_position, +tonnes) of a class."""

    confirmation_id: str
    class_id: int
    first_position: int
    tonnes: int
    actual: tuple[Interval, ...]
    reference: str
    registry_date: int
    evidence_hash: str
    signers: tuple[str, ...]
    transaction_hash: str
    block_number: int
    log_index: int

    @property
    def end(self) -> int:
        return self.first_position + self.tonnes


def interval_of(struct: dict[str, Any]) -> Interval:
    """An `Interval` of the contracts, as an event carries it."""
    series = struct["series"]
    codes = tuple(int(code, 0) if isinstance(code, str) else int(code) for code in series["codes"])
    return Interval(Series(series["programme"], codes), int(struct["first"]), int(struct["last"]))


def _confirmation(row: Row[Any]) -> Confirmation:
    return Confirmation(
        confirmation_id=row.confirmation_id,
        class_id=row.class_id,
        first_position=row.first_position,
        tonnes=row.tonnes,
        actual=tuple(interval_of(struct) for struct in row.actual),
        reference=row.reference,
        registry_date=row.registry_date,
        evidence_hash=row.evidence_hash,
        signers=tuple(row.signers),
        transaction_hash=row.transaction_hash,
        block_number=row.block_number,
        log_index=row.log_index,
    )


def confirmations_within(connection: Connection, spans: Sequence[Span]) -> list[list[Confirmation]]:
    """Per span the confirmations that cover any of its positions, in their order; one query."""
    found: list[list[Confirmation]] = [[] for _ in spans]
    if not spans:
        return found
    table, wanted = tables.registry_confirmations, spans_table(spans)
    # Confirmed ranges of a class are disjoint: only the last that begins before can reach in.
    start = (
        select(func.coalesce(func.max(table.c.first_position), 0).label("position"))
        .where(table.c.class_id == wanted.c.class_id)
        .where(table.c.first_position <= wanted.c.first)
        .lateral("start")
    )
    hit = table.alias("hit")
    rows = connection.execute(
        select(wanted.c.ordinal.cast(BigInteger), hit)
        .select_from(
            wanted.join(start, true()).join(
                hit,
                and_(
                    hit.c.class_id == wanted.c.class_id,
                    hit.c.first_position >= start.c.position,
                    hit.c.first_position < wanted.c.end,
                    hit.c.first_position + hit.c.tonnes > wanted.c.first,
                ),
            )
        )
        .order_by(wanted.c.ordinal, hit.c.first_position)
    )
    for row in rows:
        found[row.ordinal - 1].append(_confirmation(row))
    return found


def confirmed_tonnes(span: Span, confirmations: Iterable[Confirmation]) -> int:
    """How many positions of the span are confirmed."""
    return sum(
        max(0, min(span.end, made.end) - max(span.first, made.first_position))
        for made in confirmations
        if made.class_id == span.class_id
    )


def mark(runs: Iterable[SerialRun], confirmations: Sequence[Confirmation]) -> list[SerialRun]:
    """The runs, cut where a confirmation begins or ends, each with its confirmation if any."""
    marked = []
    for run in runs:
        cursor, end = run.position, run.position + run.tonnes
        for made in confirmations:
            low, high = max(cursor, made.first_position), min(end, made.end)
            if low >= high:
                continue
            if cursor < low:
                marked.append(run.cut(cursor, low))
            marked.append(replace(run.cut(low, high), confirmation_id=made.confirmation_id))
            cursor = high
        if cursor < end:
            marked.append(run.cut(cursor, end))
    return marked
