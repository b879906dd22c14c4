"""What Trust's serial register holds now: what came in, without what deliveries released (L2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, text

from backend.domain.serials import Series

#: Comings and goings in the order of the chain. A block that was appended on serials which were
#: registered already (a refund, a passed gap) brings nothing into the register.
_CHANGES = text(
    "SELECT first, last, origin FROM ("
    " SELECT b.first, b.last, b.receipt_id AS origin, b.block_number, b.log_index"
    " FROM class_blocks b WHERE b.receipt_id = b.source"
    " AND int4range(b.series_id, b.series_id, '[]') && int4range(:series, :series, '[]')"
    " AND int8range(b.first, b.last, '[]') && int8range(:first, :last, '[]')"
    " UNION ALL SELECT r.first, r.last, r.source, r.block_number, r.log_index"
    " FROM serials_registered r WHERE r.series_id = :series AND r.first <= :last"
    " AND r.last >= :first"
    " UNION ALL SELECT g.first, g.last, NULL, g.block_number, g.log_index"
    " FROM serials_released g WHERE g.series_id = :series AND g.first <= :last"
    " AND g.last >= :first) AS changes ORDER BY block_number, log_index"
)
#: Where an interval of the register can begin below a serial, the nearest first.
_BEGINNINGS = text(
    "SELECT b.first FROM class_blocks b WHERE b.series_id = :series AND b.first < :below"
    " AND b.receipt_id = b.source"
    " UNION SELECT r.first FROM serials_registered r"
    " WHERE r.series_id = :series AND r.first < :below"
    " UNION SELECT g.last + 1 FROM serials_released g"
    " WHERE g.series_id = :series AND g.last + 1 < :below"
    " ORDER BY first DESC LIMIT :most"
)
_MOST = 256


@dataclass(frozen=True, slots=True)
class Held:
    """Serials [first, last] of the register; `origin` is the receipt or event they came by."""

    first: int
    last: int
    origin: str


def held_on_chain(connection: Connection, series_id: int, first: int, last: int) -> list[Held]:
    """What the register holds of serials [first, last] of a series, ascending."""
    held: list[Held] = []
    found = connection.execute(_CHANGES, {"series": series_id, "first": first, "last": last})
    for row in found:
        low, high = max(row.first, first), min(row.last, last)
        held = [part for one in held for part in _without(one, low, high)]
        if row.origin is not None:
            held.append(Held(low, high, row.origin))
    return sorted(held, key=lambda one: one.first)


def _without(held: Held, low: int, high: int) -> Iterator[Held]:
    if held.last < low or high < held.first:
        yield held
        return
    if held.first < low:
        yield Held(held.first, low - 1, held.origin)
    if high < held.last:
        yield Held(high + 1, held.last, held.origin)


def registered_below(connection: Connection, series: Series, first: int) -> int:
    """Where the highest interval of the register begins below `first`, else 0: a good hint."""
    series_id = connection.execute(
        text("SELECT id FROM series WHERE hash = :hash"), {"hash": "0x" + series.id.hex()}
    ).scalar()
    below = first
    while series_id is not None:
        asked = {"series": series_id, "below": below, "most": _MOST}
        beginnings = list(connection.execute(_BEGINNINGS, asked).scalars())
        for begins in beginnings:
            if held_on_chain(connection, series_id, begins, begins):
                return int(begins)
        if len(beginnings) < _MOST:
            break
        below = beginnings[-1]
    return 0
