"""Classes, registered serials and balances as of one chain block: what a reserve report counts."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from backend.domain.assignment import Exchange, Piece, PositionMap
from backend.domain.positions import Positions
from backend.domain.reserve import Liability
from backend.domain.serials import Interval, Series, merge, subtract

_POSITIONS = text(
    "SELECT DISTINCT ON (class_id) class_id, minted, exited, open_tonne, dust"
    " FROM position_changes WHERE block_number <= :block"
    " ORDER BY class_id, block_number DESC, log_index DESC"
)
#: Changes are differences: what an account has is their sum.
_BALANCES = text(
    "SELECT account, class_id, sum(kilograms) AS kilograms FROM balance_changes"
    " WHERE block_number <= :block GROUP BY account, class_id"
)
#: What each account has at the venue: its balance and what it may claim.
_AT_VENUE = text(
    "SELECT account, asset, sum(balance) + sum(claimable) AS kilograms FROM exchange_changes"
    " WHERE block_number <= :block GROUP BY account, asset"
)
_BLOCKS = text(
    "SELECT b.class_id, b.first, b.last, s.name FROM class_blocks b"
    " JOIN series s ON s.id = b.series_id WHERE b.block_number <= :block"
    " ORDER BY b.class_id, b.first_position"
)
#: What came into the register and what left it, in the order of the chain. A block on serials
#: that were registered before (a refund, a passed gap) brings nothing in.
_REGISTER = text(
    "SELECT * FROM ("
    " SELECT b.class_id, b.first, b.last, s.name, b.block_number, b.log_index FROM class_blocks b"
    " JOIN series s ON s.id = b.series_id WHERE b.receipt_id = b.source"
    " UNION ALL SELECT r.class_id, r.first, r.last, s.name, r.block_number, r.log_index"
    " FROM serials_registered r JOIN series s ON s.id = r.series_id"
    " UNION ALL SELECT NULL, g.first, g.last, s.name, g.block_number, g.log_index"
    " FROM serials_released g JOIN series s ON s.id = g.series_id) AS changes"
    " WHERE block_number <= :block ORDER BY block_number, log_index"
)
_REBINDS = text(
    "SELECT r.class_id, r.first_position, r.first, r.last, s.name, r.block_number, r.log_index"
    " FROM rebinds r JOIN series s ON s.id = r.series_id WHERE r.block_number <= :block"
)
_EXCHANGES = text(
    "SELECT class_id, position, counterpart, tonnes, block_number, log_index FROM exchanges"
    " WHERE block_number <= :block"
)


@dataclass(frozen=True, slots=True)
class ClassBacking:
    """One class: its counters, the serials behind its positions, its serials in the register."""

    class_id: int
    state: Positions
    pieces: tuple[Piece, ...]
    named: tuple[Interval, ...]


def backing_at(connection: Connection, block: int) -> dict[int, ClassBacking]:
    """Every class as it was after a chain block."""
    states = {
        int(row.class_id): Positions(
            row.minted, row.exited, row.open_tonne if row.dust else 0, row.dust
        )
        for row in connection.execute(_POSITIONS, {"block": block})
    }
    maps: dict[int, PositionMap] = defaultdict(PositionMap)
    for row in connection.execute(_BLOCKS, {"block": block}):
        maps[int(row.class_id)].append(Interval(Series.parse(row.name), row.first, row.last))
    moved: list[tuple[tuple[int, int], Any]] = []
    for query in (_EXCHANGES, _REBINDS):
        for row in connection.execute(query, {"block": block}):
            moved.append(((row.block_number, row.log_index), row))
    for _, row in sorted(moved, key=lambda entry: entry[0]):
        if hasattr(row, "counterpart"):
            maps[int(row.class_id)].exchange(Exchange(row.position, row.counterpart, row.tonnes))
        else:
            serials = Interval(Series.parse(row.name), row.first, row.last)
            maps[int(row.class_id)].rebind(row.first_position, serials)
    named = _registered(connection, block)
    return {
        class_id: ClassBacking(
            class_id,
            state,
            tuple(maps[class_id].pieces(0, maps[class_id].minted)),
            tuple(named.get(class_id, ())),
        )
        for class_id, state in states.items()
    }


def _registered(connection: Connection, block: int) -> dict[int, list[Interval]]:
    """Per class what stands in the register: what came in, without what a delivery let go."""
    held: dict[int, list[Interval]] = defaultdict(list)
    for row in connection.execute(_REGISTER, {"block": block}):
        serials = Interval(Series.parse(row.name), row.first, row.last)
        if row.class_id is not None:
            held[int(row.class_id)].append(serials)
            continue
        for class_id, intervals in held.items():
            if any(one.overlaps(serials) for one in intervals):
                held[class_id] = subtract(intervals, [serials])
    return {class_id: merge(intervals) for class_id, intervals in held.items()}


def liabilities_at(connection: Connection, block: int, exchange: str) -> list[Liability]:
    """Every balance after a chain block; what the venue holds stands under whose it is.

    What the Exchange holds beyond its accounts (fees, or what is on its way) stays under its own
    address, so that the sum is the supply.
    """
    owed: dict[tuple[int, str], int] = defaultdict(int)
    at_venue: dict[int, int] = defaultdict(int)
    classes = set()
    for row in connection.execute(_BALANCES, {"block": block}):
        class_id = int(row.class_id)
        classes.add(class_id)
        if row.account == exchange:
            at_venue[class_id] += int(row.kilograms)
        else:
            owed[class_id, row.account] += int(row.kilograms)
    for row in connection.execute(_AT_VENUE, {"block": block}):
        class_id, kilograms = int(row.asset), int(row.kilograms)
        if class_id in classes and kilograms and int(row.account, 16):
            owed[class_id, row.account] += kilograms
            at_venue[class_id] -= kilograms
    for class_id, rest in at_venue.items():
        owed[class_id, exchange] += rest
    return [
        Liability(class_id, holder, kilograms) for (class_id, holder), kilograms in owed.items()
    ]


def registered_parts(
    serials: Iterable[Interval], known: dict[int, ClassBacking]
) -> list[tuple[Interval, int]]:
    """Parts of serials that are registered, each with its class; the rest is left out."""
    by_series: dict[Series, list[tuple[Interval, int]]] = defaultdict(list)
    for backing in known.values():
        for interval in backing.named:
            by_series[interval.series].append((interval, backing.class_id))
    for held in by_series.values():
        held.sort()
    found = []
    for wanted in serials:
        # Registered serials are disjoint (L2): those that touch begin behind the last one before.
        held = by_series.get(wanted.series, [])
        at = bisect_left(held, wanted.first, key=lambda entry: entry[0].last)
        while at < len(held) and held[at][0].first <= wanted.last:
            first, last = max(held[at][0].first, wanted.first), min(held[at][0].last, wanted.last)
            found.append((Interval(wanted.series, first, last), held[at][1]))
            at += 1
    return found
