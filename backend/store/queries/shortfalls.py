"""Programme events, gaps, and what of a class no credit stands behind (L3, L8)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, select

from backend.domain.gaps import Gap, Gaps
from backend.domain.programme_events import GapKind
from backend.store import backing_tables as tables
from backend.store.queries.reading import DEFAULT_LIMIT, Page, fetch_newest
from backend.store.tables import chain_blocks


@dataclass(frozen=True, slots=True)
class PublishedEvent:
    """What a programme did to a class; `kind` as in backing_tables, `as_of` YYYYMMDD.

    `first_position` and `tonnes` where it names positions; `detail` what only its kind says, with
    the contracts' names and integers as text.
    """

    event_id: str
    class_id: int
    kind: str
    first_position: int | None
    tonnes: int | None
    subject: str
    reason: str
    as_of: int | None
    evidence_hash: str | None
    detail: dict[str, Any]
    signers: tuple[str, ...]
    transaction_hash: str
    block_number: int
    log_index: int


@dataclass(frozen=True, slots=True)
class ClassGap:
    """Positions [first, +tonnes) where a gap stands now: invalidated, disputed or converting."""

    first: int
    tonnes: int
    kind: str


@dataclass(frozen=True, slots=True)
class Shortfall:
    """What stands behind no token of a class, and what halts it.

    `uncovered` tonnes: those of gaps for which no tokens are locked, rounded up. `flags` are those
    of domain.classes.ClassFlag.
    """

    class_id: int
    flags: int
    gaps: tuple[ClassGap, ...]
    gap_tonnes: int
    locked_kilograms: int
    uncovered: int


def list_programme_events(
    connection: Connection,
    *,
    class_id: int | None = None,
    kind: str | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[PublishedEvent]:
    """Programme events, the newest first."""
    table = tables.programme_events
    query = select(table)
    if class_id is not None:
        query = query.where(table.c.class_id == class_id)
    if kind is not None:
        query = query.where(table.c.kind == kind)
    rows, following = fetch_newest(connection, query, table, cursor, limit)
    return Page(tuple(_event(row) for row in rows), following)


def events_of(connection: Connection, event_id: str) -> list[PublishedEvent]:
    """What one signed event did, in the order of the chain; empty when it is not on chain."""
    table = tables.programme_events
    rows = connection.execute(
        select(table)
        .where(table.c.event_id == event_id)
        .order_by(table.c.block_number, table.c.log_index)
    )
    return [_event(row) for row in rows]


def _event(row: Row[Any]) -> PublishedEvent:
    return PublishedEvent(
        row.event_id, row.class_id, row.kind, row.first_position, row.tonnes, row.subject,
        row.reason, row.as_of, row.evidence_hash, row.detail, tuple(row.signers),
        row.transaction_hash, row.block_number, row.log_index,
    )  # fmt: skip


def gaps_of(connection: Connection, class_ids: Iterable[int]) -> dict[int, Gaps]:
    """The gaps of these classes as they stand now; classes without any have empty ones."""
    table = tables.gap_changes
    found: dict[int, Gaps] = defaultdict(Gaps)
    rows = connection.execute(
        select(table)
        .where(table.c.class_id.in_(sorted(set(class_ids))))
        .order_by(table.c.block_number, table.c.log_index)
    )
    for row in rows:
        gaps = found[row.class_id]
        if row.act == "open":
            gaps.opened(Gap(row.first_position, row.tonnes, GapKind(row.kind)))
        elif row.act == "close":
            gaps.closed(row.first_position, row.tonnes)
        else:
            gaps.passed(row.first_position, row.tonnes, row.new_position)
    return found


def shortfalls_of(connection: Connection, class_ids: Iterable[int]) -> dict[int, Shortfall]:
    """Gaps, shortfall and flags of these classes; a fixed number of queries."""
    wanted = sorted(set(class_ids))
    gaps = gaps_of(connection, wanted)
    locked = _locked(connection, wanted)
    flags = _flags(connection, wanted)
    found = {}
    for class_id in wanted:
        tonnes = gaps[class_id].uncovered
        found[class_id] = Shortfall(
            class_id=class_id,
            flags=flags.get(class_id, 0),
            gaps=tuple(
                ClassGap(gap.first, gap.tonnes, gap.kind.name.lower()) for gap in gaps[class_id]
            ),
            gap_tonnes=tonnes,
            locked_kilograms=locked.get(class_id, 0),
            # Locked tokens are claims of converted tonnes: never more than the gaps.
            uncovered=tonnes - locked.get(class_id, 0) // 1000,
        )
    return found


def short_classes(connection: Connection) -> list[Shortfall]:
    """Every class with a gap or a flag, by id: what an operator has to act on."""
    gaps, flags = tables.gap_changes, tables.class_flags
    ids = set(connection.execute(select(gaps.c.class_id).distinct()).scalars())
    ids |= set(connection.execute(select(flags.c.class_id).distinct()).scalars())
    found = shortfalls_of(connection, ids)
    return [one for _, one in sorted(found.items()) if one.gap_tonnes or one.flags]


def _locked(connection: Connection, class_ids: list[int]) -> dict[int, int]:
    """Kilograms of these classes that holders have surrendered for converted ones."""
    made, claims = tables.conversions, tables.conversion_claims
    rows = connection.execute(
        select(made.c.from_class, func.sum(claims.c.kilograms).label("kilograms"))
        .select_from(made.join(claims, claims.c.conversion_id == made.c.conversion_id))
        .where(made.c.from_class.in_(class_ids))
        .group_by(made.c.from_class)
    )
    return {row.from_class: int(row.kilograms) for row in rows}


def _flags(connection: Connection, class_ids: list[int]) -> dict[int, int]:
    table = tables.class_flags
    rows = connection.execute(
        select(table.c.class_id, table.c.flags)
        .where(table.c.class_id.in_(class_ids))
        .order_by(table.c.block_number, table.c.log_index)
    )
    return {row.class_id: row.flags for row in rows}


def flagged_since(connection: Connection, class_id: int) -> int | None:
    """Unix seconds of the chain block since which a class has had a flag without a break; None when
    it has none, or the chain block's time is not kept.
    """
    table, blocks = tables.class_flags, chain_blocks
    rows = connection.execute(
        select(table.c.flags, blocks.c.timestamp)
        .select_from(table.outerjoin(blocks, blocks.c.number == table.c.block_number))
        .where(table.c.class_id == class_id)
        .order_by(table.c.block_number, table.c.log_index)
    )
    since: int | None = None
    flagged = False
    for row in rows:
        if row.flags and not flagged:
            since = row.timestamp
        flagged = bool(row.flags)
    return since if flagged else None
