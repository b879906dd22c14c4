"""Series and receipts of what the index writes: hashes become numbers, appended blocks get theirs.

A block that no receipt minted holds serials that came into trust before: by a receipt, or by a
published event that registered them. That origin is looked up once, when the block is written.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import psycopg
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import insert

from backend.domain.serials import Series
from backend.errors import IndexInconsistent
from backend.store import tables
from backend.store.backing_projection import SERIES_COLUMN
from backend.store.database import raw
from backend.store.projection import Projection, Row

#: Columns of rows of `class_blocks` and `serials_registered`.
_FIRST, _LAST, _RECEIPT = 4, 5, 6


def ensure_series(connection: Connection, wanted: Iterable[Series]) -> dict[str, int]:
    """Numbers of these series in the database by hash; the ones that are new are added."""
    by_hash: dict[str, Series] = {"0x" + series.id.hex(): series for series in wanted}
    if not by_hash:
        return {}
    cursor = raw(connection)
    find = "SELECT hash, id FROM series WHERE hash = ANY(%s)"
    known = {row[0]: row[1] for row in cursor.execute(find, [list(by_hash)])}
    new = sorted(by_hash.keys() - known.keys())
    if new:
        connection.execute(
            insert(tables.series).on_conflict_do_nothing(),
            [
                {
                    "name": str(by_hash[key]),
                    "programme": by_hash[key].programme,
                    "codes": list(by_hash[key].codes),
                    "hash": key,
                }
                for key in new
            ],
        )
        known |= {row[0]: row[1] for row in cursor.execute(find, [new])}
    return known


def place_in_series(connection: Connection, projection: Projection) -> None:
    """Add the series that are new; put their numbers and the origins of blocks into the rows."""
    ids = ensure_series(connection, projection.series.values())
    placed = {table: projection.rows[table] for table in SERIES_COLUMN if table in projection.rows}
    missing = {
        row[SERIES_COLUMN[table]] for table, rows in placed.items() for row in rows
    } - ids.keys()
    driver = raw(connection)
    if missing:
        known = driver.execute("SELECT hash, id FROM series WHERE hash = ANY(%s)", [list(missing)])
        ids |= {row[0]: row[1] for row in known}
    unknown = missing - ids.keys()
    if unknown:
        raise IndexInconsistent(f"no SeriesCreated came for {sorted(unknown)[0]}")
    for table, rows in placed.items():
        at = SERIES_COLUMN[table]
        projection.rows[table] = [(*row[:at], ids[row[at]], *row[at + 1 :]) for row in rows]
    blocks = projection.rows.get("class_blocks", [])
    if any(row[_RECEIPT] is None for row in blocks):
        registered = projection.rows.get("serials_registered", [])
        projection.rows["class_blocks"] = _with_origins(driver, blocks, registered)


def _with_origins(
    driver: psycopg.Connection[Any], blocks: list[Row], registered: list[Row]
) -> list[Row]:
    """Blocks of one range of chain blocks, each with the receipt or event its serials came by."""
    #: (chain block, log index), series, first, last, origin: what the range itself has brought.
    came = [((row[-2], row[-1]), row[0], row[2], row[3], row[4]) for row in registered]
    found = []
    for row in blocks:
        place, series, first = (row[-2], row[-1]), row[2], row[_FIRST]
        if row[_RECEIPT] is None:
            near = [one for one in came if one[0] < place and one[1] == series]
            inside = [one for one in near if one[2] <= first <= one[3]]
            origin = max(inside)[4] if inside else _stored_origin(driver, series, first)
            if origin is None:
                raise IndexInconsistent(
                    f"a block was appended at position {row[1]} on serial {first} of series "
                    f"{row[3]}, which never came into trust",
                    class_id=str(row[0]),
                    position=row[1],
                    serial=first,
                )
            row = (*row[:_RECEIPT], origin, *row[_RECEIPT + 1 :])
        came.append((place, series, first, row[_LAST], row[_RECEIPT]))
        found.append(row)
    return found


def _stored_origin(driver: psycopg.Connection[Any], series: int, serial: int) -> str | None:
    """The receipt or event of the newest indexed block that holds a serial."""
    row = driver.execute(
        "SELECT origin FROM ("
        " SELECT receipt_id AS origin, block_number, log_index FROM class_blocks"
        " WHERE int4range(series_id, series_id, '[]') && int4range(%(s)s, %(s)s, '[]')"
        " AND int8range(first, last, '[]') && int8range(%(n)s, %(n)s, '[]')"
        " UNION ALL SELECT source, block_number, log_index FROM serials_registered"
        " WHERE series_id = %(s)s AND first <= %(n)s AND last >= %(n)s) AS held"
        " ORDER BY block_number DESC, log_index DESC LIMIT 1",
        {"s": series, "n": serial},
    ).fetchone()
    return None if row is None else str(row[0])
