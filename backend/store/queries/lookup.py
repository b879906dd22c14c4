"""Small look-ups of the commands and the bridge: ids from numbers, a class's map of positions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from sqlalchemy import Connection, Select, Table, select

from backend.domain.assignment import Exchange, PositionMap
from backend.domain.records import Settled
from backend.domain.serials import Interval, Series
from backend.store import backing_tables, tables
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


def recorded_confirmations(connection: Connection, ids: Sequence[str]) -> set[str]:
    """Those of the registry confirmations that the index has."""
    table = tables.registry_confirmations
    query = select(table.c.confirmation_id).where(table.c.confirmation_id.in_(list(ids)))
    return set(connection.execute(query).scalars())


def position_map(connection: Connection, class_id: int) -> PositionMap:
    """Position → serial of a class as the index has it, everything that happened replayed."""
    positions = PositionMap()
    blocks, series = tables.class_blocks, tables.series
    for row in connection.execute(
        select(blocks.c.first, blocks.c.last, series.c.name)
        .select_from(blocks.join(series, series.c.id == blocks.c.series_id))
        .where(blocks.c.class_id == class_id)
        .order_by(blocks.c.first_position)
    ):
        positions.append(Interval(Series.parse(row.name), row.first, row.last))
    steps: list[tuple[tuple[int, int], Callable[[], None]]] = []
    rebinds = backing_tables.rebinds
    named = select(rebinds, series.c.name).select_from(
        rebinds.join(series, series.c.id == rebinds.c.series_id)
    )
    sources: list[tuple[Table, Select[Any], Callable[[PositionMap, Any], None]]] = [
        (tables.exchanges, select(tables.exchanges), _exchange),
        (tables.registry_confirmations, select(tables.registry_confirmations), _confirm),
        (backing_tables.made_good, select(backing_tables.made_good), _make_good),
        (backing_tables.settled_positions, select(backing_tables.settled_positions), _settle),
        (rebinds, named, _rebind),
    ]
    for table, query, act in sources:
        for row in connection.execute(query.where(table.c.class_id == class_id)):
            steps.append(((row.block_number, row.log_index), partial(act, positions, row)))
    for _, step in sorted(steps, key=lambda one: one[0]):
        step()
    return positions


def _exchange(positions: PositionMap, row: Any) -> None:
    positions.exchange(Exchange(row.position, row.counterpart, row.tonnes))


def _confirm(positions: PositionMap, row: Any) -> None:
    positions.confirm(row.first_position, [interval_of(part) for part in row.actual])


def _make_good(positions: PositionMap, row: Any) -> None:
    positions.settle(row.first_position, row.first_position + row.tonnes, Settled.MADE_GOOD)


def _settle(positions: PositionMap, row: Any) -> None:
    end = row.first_position + row.tonnes
    positions.settle(row.first_position, end, Settled[row.kind.upper()])


def _rebind(positions: PositionMap, row: Any) -> None:
    serials = Interval(Series.parse(row.name), row.first, row.last)
    positions.rebind(row.first_position, serials)


def programme_events_of(connection: Connection, class_id: int) -> list[dict[str, Any]]:
    """What programmes did to a class, oldest first."""
    table = backing_tables.programme_events
    rows = connection.execute(
        select(table)
        .where(table.c.class_id == class_id)
        .order_by(table.c.block_number, table.c.log_index)
    )
    return [dict(row) for row in rows.mappings()]
