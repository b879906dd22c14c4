"""Credits in trust that an export shows as gone: what the registry's own rows say against tokens.

An honest registry retires what was retired on chain. So a row that shows serials as retired or
cancelled is no news while their positions have exited; while tokens stand on them, or a receipt
is about to make some, it says that backing is gone (L3), and that must not pass without a word.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select, text

from backend.domain.credits import Status
from backend.domain.gaps import Gaps
from backend.domain.serials import VIEWERS
from backend.store import tables
from backend.store.import_checks import parameters
from backend.store.import_rows import Bounds
from backend.store.queries.assignment import DatedChange, changes_of, standing_at
from backend.store.queries.shortfalls import gaps_of

#: Marks these contradictions among the others, in `detail`.
KIND = "retired_in_trust"
_GONE = [str(status) for status in Status if status.is_final]

_ANY_IN_TRUST = text(
    "SELECT EXISTS (SELECT FROM class_blocks WHERE series_id BETWEEN :s0 AND :s1)"
    " OR EXISTS (SELECT FROM custody_blocks WHERE series_id BETWEEN :s0 AND :s1)"
)
#: Rows of a step that this import wrote, by ranges of the btree on registry_blocks.
_GONE_ROWS = (
    "WITH gone AS MATERIALIZED (SELECT b.series_id, b.block, lower(b.block) AS first,"
    " upper(b.block) - 1 AS last, b.status, b.source_row, b.source_line"
    "  FROM series s JOIN registry_blocks b"
    "   ON b.series_id = s.id AND b.kind = ANY('{partition,retirement}')"
    "  AND b.programme = ANY(s.programme || CAST(:viewers AS text[]))"
    "  AND lower(b.block) >= CASE WHEN s.id = :s0 THEN :f0 ELSE 0 END"
    "  AND lower(b.block) < CASE WHEN s.id = :s1 THEN :f1 ELSE 9223372036854775807 END"
    " WHERE s.id BETWEEN :s0 AND :s1 AND b.last_import = :import AND b.status = ANY(:gone))"
)
# A serial that was refunded or deposited again lies in several blocks; tokens stand on one.
_ON_CHAIN = text(
    _GONE_ROWS + " SELECT g.series_id, s.name, g.first, g.last, g.status,"
    " g.source_row, g.source_line,"
    " hit.first AS block_first, hit.last AS block_last, hit.first_position, hit.class_id,"
    " hit.receipt_id, c.number, p.exited, p.open_tonne, p.dust"
    " FROM gone g JOIN series s ON s.id = g.series_id JOIN class_blocks hit ON"
    " int4range(hit.series_id, hit.series_id, '[]') && int4range(g.series_id, g.series_id, '[]')"
    " AND int8range(hit.first, hit.last, '[]') && g.block"
    " JOIN classes c ON c.class_id = hit.class_id"
    " CROSS JOIN LATERAL (SELECT exited, open_tonne, dust FROM position_changes p"
    "   WHERE p.class_id = hit.class_id ORDER BY block_number DESC, log_index DESC LIMIT 1) p"
    " ORDER BY s.name, g.first, hit.first, hit.block_number, hit.log_index"
)
_NOT_MINTED = text(
    _GONE_ROWS + " SELECT g.series_id, s.name, g.first, g.last, g.status,"
    " g.source_row, g.source_line,"
    " lower(b.block) AS block_first, upper(b.block) - 1 AS block_last, r.class_id, b.receipt_id"
    " FROM gone g JOIN series s ON s.id = g.series_id JOIN custody_blocks b"
    " ON int4range(b.series_id, b.series_id, '[]') = int4range(g.series_id, g.series_id, '[]')"
    " AND b.block && g.block JOIN receipts r ON r.id = b.receipt_id"
    " WHERE NOT EXISTS (SELECT FROM receipts_minted m WHERE m.receipt_id = b.receipt_id)"
    " ORDER BY s.name, g.first, block_first"
)


@dataclass(frozen=True, slots=True)
class RetiredInTrust:
    """Serials [first, last] are gone at the registry and stand behind tokens, or soon would."""

    series: str
    first: int
    last: int
    class_id: int
    receipt_id: str


def record_retired_in_trust(connection: Connection, import_id: int, bounds: Bounds) -> int:
    """Write a contradiction for every run of serials in trust that this import shows as gone.

    Reads the rows of one step that this import changed, so a later export that repeats them says
    nothing new. Returns how many were written.
    """
    asked = {"import": import_id, "gone": _GONE, "viewers": list(VIEWERS), **parameters(bounds)}
    if not connection.execute(_ANY_IN_TRUST, {"s0": asked["s0"], "s1": asked["s1"]}).scalar():
        return 0
    rows = connection.execute(_ON_CHAIN, asked).all()
    classes = {int(row.class_id) for row in rows}
    exchanges, gaps = changes_of(connection, classes), gaps_of(connection, classes)
    found = [
        _contradiction(import_id, row, first, last, f"tokens of class {row.number} stand on")
        for row in rows
        for first, last in _live(row, exchanges[int(row.class_id)], gaps[int(row.class_id)])
    ]
    for row in connection.execute(_NOT_MINTED, asked):
        first, last = max(row.first, row.block_first), min(row.last, row.block_last)
        words = f"receipt {row.receipt_id}, not minted yet, holds"
        found.append(_contradiction(import_id, row, first, last, words))
    if found:
        connection.execute(insert(tables.contradictions), found)
    return len(found)


def _live(row: Any, exchanges: Sequence[DatedChange], gaps: Gaps) -> Iterator[tuple[int, int]]:
    """Serials of the row and the block on which a kilogram stands; neighbours as one run.

    That the serials of a gap are gone is published already.
    """
    low, high = max(row.first, row.block_first), min(row.last, row.block_last)
    origin = row.first_position + low - row.block_first
    runs: list[tuple[int, int]] = []
    for move in standing_at(origin, origin + high - low + 1, exchanges):
        # Of a tonne that is open, the dust is still a token.
        open_at = {row.open_tonne} if row.dust and row.open_tonne < row.exited else set()
        parts = [(max(move.at, row.exited), move.at + move.tonnes)]
        parts += [(at, at + 1) for at in open_at if move.at <= at < move.at + move.tonnes]
        for gap in gaps:
            cuts = [((a, min(b, gap.first)), (max(a, gap.end), b)) for a, b in parts]
            parts = [part for pair in cuts for part in pair if part[0] < part[1]]
        shift = low - origin + move.origin - move.at
        runs += [(start + shift, end + shift - 1) for start, end in parts if start < end]
    yield from _joined(runs)


def _joined(runs: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for first, last in sorted(runs):
        if joined and joined[-1][1] + 1 == first:
            joined[-1] = (joined[-1][0], last)
        else:
            joined.append((first, last))
    return joined


def _contradiction(import_id: int, row: Any, first: int, last: int, words: str) -> dict[str, Any]:
    gone = row.status.replace("_", " ")
    return {
        "import_id": import_id,
        "series_id": row.series_id,
        "description": (f"registry shows {row.first}-{row.last} as {gone}, {words} {first}-{last}"),
        "detail": {
            "kind": KIND,
            "series": row.name,
            "first": first,
            "last": last,
            "class_id": str(int(row.class_id)),
            "receipt_id": row.receipt_id,
            "status": row.status,
            "row": row.source_row,
            "line": row.source_line,
        },
    }


def list_retired_in_trust(connection: Connection, import_id: int) -> list[RetiredInTrust]:
    """What an import recorded of this kind, in the order it was found."""
    table = tables.contradictions
    details = connection.execute(
        select(table.c.detail)
        .where(table.c.import_id == import_id, table.c.detail["kind"].astext == KIND)
        .order_by(table.c.id)
    ).scalars()
    return [
        RetiredInTrust(
            one["series"], one["first"], one["last"], int(one["class_id"]), one["receipt_id"]
        )
        for one in details
    ]
