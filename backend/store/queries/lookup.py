"""Small look-ups of the commands and the bridge: ids from numbers, a class's map of positions."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select

from backend.domain.assignment import Exchange, PositionMap
from backend.domain.serials import Interval, Series
from backend.store import tables
from backend.store.queries.confirmed import interval_of


def class_id_of_number(connection: Connection, number: int) -> int | None:
    """Token id of the class with this number, None when there is none yet."""
    table = tables.classes
    found = connection.execute(select(table.c.class_id).where(table.c.number == number)).scalar()
    return None if found is None else int(found)


def certificates_of_transaction(connection: Connection, transaction_hash: str) -> list[int]:
    """Ids of the certificates that one transaction made, in order."""
    table = tables.certificates
    rows = connection.execute(
        select(table.c.certificate_id)
        .where(table.c.transaction_hash == transaction_hash)
        .order_by(table.c.log_index)
    )
    return [int(certificate_id) for (certificate_id,) in rows]


def is_indexed(connection: Connection, transaction_hash: str) -> bool:
    """Whether the index has an event of this transaction; every call of ours makes one."""
    table = tables.chain_events
    query = select(table.c.log_index).where(table.c.transaction_hash == transaction_hash)
    return connection.execute(query.limit(1)).first() is not None


def receipt_is_minted(connection: Connection, receipt_id: str) -> bool:
    """Whether the index has the mint against this receipt."""
    table = tables.receipts_minted
    query = select(table.c.receipt_id).where(table.c.receipt_id == receipt_id)
    return connection.execute(query).first() is not None


def confirmation_is_recorded(connection: Connection, confirmation_id: str) -> bool:
    """Whether the index has this registry confirmation."""
    table = tables.registry_confirmations
    query = select(table.c.confirmation_id).where(table.c.confirmation_id == confirmation_id)
    return connection.execute(query).first() is not None


def registered_below(connection: Connection, series: Series, first: int) -> int:
    """The `first` of the highest indexed block of a series that begins below `first`, else 0."""
    table = tables.class_blocks
    found = connection.execute(
        select(table.c.first)
        .where(table.c.series_hash == "0x" + series.id.hex(), table.c.first < first)
        .order_by(table.c.first.desc())
        .limit(1)
    ).scalar()
    return int(found or 0)


def position_map(connection: Connection, class_id: int) -> PositionMap:
    """Position → serial of a class as the index has it, exchanges and confirmations replayed."""
    positions = PositionMap()
    blocks, series = tables.class_blocks, tables.series
    for row in connection.execute(
        select(blocks.c.first, blocks.c.last, series.c.name)
        .select_from(blocks.join(series, series.c.id == blocks.c.series_id))
        .where(blocks.c.class_id == class_id)
        .order_by(blocks.c.first_position)
    ):
        positions.append(Interval(Series.parse(row.name), row.first, row.last))
    steps: list[tuple[int, int, Any]] = []
    swaps = tables.exchanges
    for row in connection.execute(select(swaps).where(swaps.c.class_id == class_id)):
        exchange = Exchange(row.position, row.counterpart, row.tonnes)
        steps.append((row.block_number, row.log_index, exchange))
    recorded = tables.registry_confirmations
    for row in connection.execute(select(recorded).where(recorded.c.class_id == class_id)):
        steps.append((row.block_number, row.log_index, row))
    for _, _, step in sorted(steps, key=lambda entry: entry[:2]):
        if isinstance(step, Exchange):
            positions.exchange(step)
        else:
            positions.confirm(step.first_position, [interval_of(part) for part in step.actual])
    return positions
