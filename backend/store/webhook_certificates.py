"""Certificates whose registry status an entry of the record changed, as it was right after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, and_, or_, select, union_all

from backend.domain.units import KILOGRAMS_PER_TONNE
from backend.store import tables
from backend.store.backing_tables import made_good, registry_failures
from backend.store.queries.certificates import Consumption, consumption
from backend.store.queries.confirmed import confirmations_within
from backend.store.queries.registry_status import (
    RegistryEntry,
    entry_of,
    exceptions_within,
    status_of,
    tally,
)
from backend.store.tables import certificates, registry_confirmations


@dataclass(frozen=True, slots=True)
class StatusChange:
    """A certificate's status since the entry at (block_number, log_index). `data`: what is told."""

    owner: str
    holder: str
    class_id: int
    data: dict[str, Any]
    block_number: int
    log_index: int
    block_hash: str
    timestamp: int


def status_changes(connection: Connection, after: int, upto: int) -> list[StatusChange]:
    """Changes that entries of the chain blocks (after, upto] made, in the order of the chain."""
    blocks = tables.chain_blocks
    entries = union_all(
        *(
            select(
                table.c.class_id,
                table.c.first_position,
                table.c.tonnes,
                table.c.block_number,
                table.c.log_index,
                blocks.c.hash,
                blocks.c.timestamp,
            )
            .join_from(table, blocks, blocks.c.number == table.c.block_number)
            .where(table.c.block_number > after, table.c.block_number <= upto)
            for table in (registry_confirmations, registry_failures, made_good)
        )
    )
    found = []
    for entry in connection.execute(entries.order_by("block_number", "log_index")):
        found += _changed_by(connection, entry)
    return found


def _changed_by(connection: Connection, entry: Row[Any]) -> list[StatusChange]:
    first, end = entry.first_position, entry.first_position + entry.tonnes
    rows = [
        (row, consumption(row.class_id, row.exited, row.open_tonne, row.dust, row.kilograms))
        for row in _candidates(connection, entry.class_id, first, end)
    ]
    touched = [
        (row, pieces)
        for row, pieces in rows
        if any(piece.span.first < end and first < piece.span.end for piece in pieces)
    ]
    spans = [piece.span for _, pieces in touched for piece in pieces]
    record = [
        [*map(entry_of, confirmed), *others]
        for confirmed, others in zip(
            confirmations_within(connection, spans),
            exceptions_within(connection, spans),
            strict=True,
        )
    ]
    changed, cursor = [], 0
    for row, pieces in touched:
        own = record[cursor : cursor + len(pieces)]
        cursor += len(pieces)
        place = (entry.block_number, entry.log_index)
        before = _standing(row, pieces, own, (place[0], place[1] - 1))
        now = _standing(row, pieces, own, place)
        if now != before:
            changed.append(
                StatusChange(
                    row.owner, row.holder, int(row.class_id), now, *place, entry.hash,
                    entry.timestamp,
                )
            )  # fmt: skip
    return changed


#: A retirement takes its whole tonnes and parts of at most two more.
_PARTS: Final = 2


def _candidates(connection: Connection, class_id: int, first: int, end: int) -> Sequence[Row[Any]]:
    """Certificates that may have consumed of the positions [first, end)."""
    made = certificates.c
    last = made.exited + made.kilograms / KILOGRAMS_PER_TONNE + _PARTS
    return connection.execute(
        select(certificates)
        .where(
            made.class_id == class_id,
            or_(
                and_(made.exited < end, last > first),
                and_(made.dust > 0, made.open_tonne >= first, made.open_tonne < end),
            ),
        )
        .order_by(made.certificate_id)
    ).all()


def _standing(
    row: Row[Any],
    pieces: Sequence[Consumption],
    record: Sequence[Sequence[RegistryEntry]],
    upto: tuple[int, int],
) -> dict[str, Any]:
    """The status by the entries of the record at or before a place of the chain."""
    sums = {"confirmed": 0, "made_good": 0, "failed": 0}
    for piece, entries in zip(pieces, record, strict=True):
        known = [one for one in entries if (one.block_number, one.log_index) <= upto]
        counted = tally(piece.span, known)
        of_each = KILOGRAMS_PER_TONNE if piece.kind == "whole" else piece.kilograms
        for name in sums:
            sums[name] += getattr(counted, name) * of_each
    status = status_of(row.kilograms, sums["confirmed"], sums["made_good"], sums["failed"])
    return {
        "certificate_id": int(row.certificate_id),
        "class_id": int(row.class_id),
        "status": status,
        "kilograms": row.kilograms,
        "confirmed_kilograms": sums["confirmed"],
        "made_good_kilograms": sums["made_good"],
        "failed_kilograms": sums["failed"],
    }
