"""Every place a serial ever had: the positions it came to, by what, and what became of it there."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, and_, exists, or_, select, text

from backend.store import backing_tables, tables
from backend.store.queries.assignment import DatedRebind, changes_of, standing_at

RECEIPT, REFUND, GAP = "receipt", "refund", "gap passed"
CONVERSION, SUBSTITUTE = "conversion", "substitute"
STANDS, DELIVERED, VOID, REPLACED = "stands", "delivered", "void", "replaced"


@dataclass(frozen=True, slots=True)
class Placement:
    """A serial came to a position of a class, and what became of it there.

    `came_by`: receipt, refund, gap passed, conversion or substitute; `source` its id. `position`
    is where the exchanges since have taken it, None when a substitute took its place. `outcome`:
    stands, delivered, void (its gap was passed) or replaced.
    """

    class_id: int
    first_position: int
    position: int | None
    came_by: str
    source: str
    receipt_id: str
    outcome: str
    block_number: int
    log_index: int


@dataclass(frozen=True, slots=True)
class _Arrival:
    class_id: int
    position: int
    came_by: str
    source: str
    receipt_id: str
    at: tuple[int, int]


def placements_of(connection: Connection, series: str, number: int) -> list[Placement]:
    """Placements of one serial, oldest first; a fixed number of queries."""
    arrivals = _by_block(connection, series, number)
    classes = {one.class_id for one in arrivals} | _bound_classes(connection, series, number)
    changes = changes_of(connection, classes)
    for class_id in classes:
        for change in changes[class_id]:
            run = change.run if isinstance(change, DatedRebind) else None
            if run and run.series == series and run.first <= number <= run.last:
                position = run.position + number - run.first
                arrivals.append(
                    _Arrival(
                        class_id, position, SUBSTITUTE, run.receipt_id, run.receipt_id, change.at
                    )
                )
    arrivals.sort(key=lambda one: one.at)
    found = []
    for one in arrivals:
        moved = standing_at(one.position, one.position + 1, changes[one.class_id], one.at)
        now = moved[0].at if moved else None
        outcome = REPLACED if now is None else _settled(connection, one.class_id, now)
        found.append(
            Placement(
                class_id=one.class_id,
                first_position=one.position,
                position=now,
                came_by=one.came_by,
                source=one.source,
                receipt_id=one.receipt_id,
                outcome=outcome,
                block_number=one.at[0],
                log_index=one.at[1],
            )
        )
    return found


def _by_block(connection: Connection, series: str, number: int) -> list[_Arrival]:
    table, known = tables.class_blocks, tables.series
    passed, turned = backing_tables.gap_changes, backing_tables.conversions
    receipts = tables.receipts_minted
    rows = connection.execute(
        select(
            table,
            exists(select(receipts).where(receipts.c.receipt_id == table.c.source)).label("minted"),
            exists(
                select(passed).where(
                    passed.c.class_id == table.c.class_id,
                    passed.c.new_position == table.c.first_position,
                )
            ).label("passed"),
            exists(select(turned).where(turned.c.conversion_id == table.c.source)).label("turned"),
        )
        .select_from(table.join(known, known.c.id == table.c.series_id))
        .where(
            known.c.name == series,
            text(
                "int4range(series_id, series_id, '[]') && int4range(series.id, series.id, '[]')"
                " AND int8range(first, last, '[]') && int8range(:number, :number, '[]')"
            ),
        ),
        {"number": number},
    )
    found = []
    for row in rows:
        came_by = GAP if row.passed else CONVERSION if row.turned else REFUND
        if row.minted:
            came_by = RECEIPT
        found.append(
            _Arrival(
                row.class_id,
                row.first_position + number - row.first,
                came_by,
                row.source,
                row.receipt_id,
                (row.block_number, row.log_index),
            )
        )
    return found


def _bound_classes(connection: Connection, series: str, number: int) -> set[int]:
    """Classes in which the serial was bound as a substitute."""
    table, known = backing_tables.rebinds, tables.series
    rows = connection.execute(
        select(table.c.class_id)
        .select_from(table.join(known, known.c.id == table.c.series_id))
        .where(known.c.name == series, table.c.first <= number, table.c.last >= number)
    )
    return {row.class_id for row in rows}


def _settled(connection: Connection, class_id: int, position: int) -> str:
    table = backing_tables.settled_positions
    kind = connection.execute(
        select(table.c.kind).where(
            and_(
                table.c.class_id == class_id,
                table.c.first_position <= position,
                table.c.first_position + table.c.tonnes > position,
            ),
            or_(table.c.kind == DELIVERED, table.c.kind == VOID),
        )
    ).scalar()
    return str(kind) if kind is not None else STANDS
