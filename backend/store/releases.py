"""Serials that a finalised delivery let go leave custody too: they may be deposited again (L2)."""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, select, text
from sqlalchemy.dialects.postgresql import Range

from backend.store import tables
from backend.store.database import Database
from backend.store.flows import add_flow, get_flow, move_flow

_NEW = text(
    "SELECT e.transaction_hash || ':' || (e.args->>'first') AS id, s.id AS series_id,"
    " (e.args->>'first')::bigint AS first, (e.args->>'last')::bigint AS last"
    " FROM chain_events e JOIN series s ON s.hash = e.args->>'seriesId'"
    " WHERE e.contract = 'Trust' AND e.name = 'SerialsReleased' AND e.block_number <= :block"
    " AND NOT EXISTS (SELECT FROM bridge_flows f WHERE f.kind = 'release'"
    "   AND f.id = e.transaction_hash || ':' || (e.args->>'first'))"
    " ORDER BY e.block_number, e.log_index"
)


def follow_releases(database: Database, final_block: int) -> int:
    """Cut what was released up to a final chain block out of custody; returns how many."""
    with database.begin() as connection:
        found = connection.execute(_NEW, {"block": final_block}).all()
        for row in found:
            _cut(connection, row.series_id, row.first, row.last)
            content = {"first": str(row.first), "last": str(row.last)}
            if add_flow(connection, "release", row.id, "released", content):
                flow = get_flow(connection, "release", row.id)
                move_flow(connection, flow, "released", ended=True)
        return len(found)


def _cut(connection: Connection, series_id: int, first: int, last: int) -> None:
    """Take [first, last] out of the custody blocks; what is left of a block stays."""
    table = tables.custody_blocks
    gone = Range(first, last, bounds="[]")
    hit = connection.execute(
        select(table).where(table.c.series_id == series_id, table.c.block.overlaps(gone))
    ).all()
    for row in hit:
        low, high = row.block.lower, row.block.upper - 1
        connection.execute(delete(table).where(table.c.id == row.id))
        for start, end in ((low, first - 1), (last + 1, high)):
            if start <= end:
                connection.execute(
                    insert(table).values(
                        series_id=series_id,
                        block=Range(start, end, bounds="[]"),
                        receipt_id=row.receipt_id,
                        ordinal=row.ordinal,
                    )
                )
