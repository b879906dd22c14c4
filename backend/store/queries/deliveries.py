"""Deliveries as chain and bridge tell them: state, deadlines, every phase, the next step."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, cast, func, select

from backend.errors import NotFound
from backend.store import tables
from backend.store.backing_tables import deliveries, delivery_changes
from backend.store.bridge_tables import bridge_flows
from backend.store.queries.reading import DEFAULT_LIMIT, Page, fetch_page
from backend.store.types import Text

#: The recipient has the credits although the holder was refunded: it leaves the state as it is.
BREAK = "break"
#: A report listed the serials of a disputed refund: from then on it is an ordinary one.
CLEARED = "dispute_cleared"
OPEN_STATES = ("requested", "begun", "dispatched", "rejected")
STATES = (*OPEN_STATES, "finalised", "refunded", "refunded_disputed")


@dataclass(frozen=True, slots=True)
class DeliveryPhase:
    """One phase after the request; what it does not say is None. Times in Unix seconds."""

    act: str
    custodian: str | None
    reference: str | None
    expires_at: int | None
    second_deadline: int | None
    registry_date: int | None
    reason: str | None
    evidence_hash: str | None
    refund_position: int | None
    signers: tuple[str, ...]
    transaction_hash: str
    block_number: int
    log_index: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivery. `state`: requested, begun, dispatched, rejected, finalised, refunded or
    refunded_disputed. `refund_position`: where the refund stood first; `broken`: the recipient got
    the credits all the same, the custodian's recorded shortfall. `bridge_state` and
    `bridge_reason`: how far the bridge is, None before.
    """

    delivery_id: int
    class_id: int
    holder: str
    first_position: int
    tonnes: int
    series: str
    first: int
    last: int
    registry_account: str
    deadline: int
    expires_at: int | None
    second_deadline: int | None
    reference: str | None
    refund_position: int | None
    broken: bool
    state: str
    fee_asset: str
    fee: int
    phases: tuple[DeliveryPhase, ...]
    bridge_state: str | None
    bridge_reason: str | None
    transaction_hash: str
    block_number: int
    log_index: int


def _state() -> Any:
    changes = delivery_changes
    last = (
        select(changes.c.act)
        .where(changes.c.delivery_id == deliveries.c.delivery_id, changes.c.act != BREAK)
        .order_by(changes.c.block_number.desc(), changes.c.log_index.desc())
        .limit(1)
        .scalar_subquery()
    )
    return func.coalesce(func.replace(last, CLEARED, "refunded"), "requested")


def _query() -> Select[Any]:
    series, flows = tables.series, bridge_flows
    return select(
        deliveries,
        series.c.name.label("series"),
        flows.c.state.label("bridge_state"),
        flows.c.reason.label("bridge_reason"),
        _state().label("state"),
    ).select_from(
        deliveries.join(series, series.c.id == deliveries.c.series_id).outerjoin(
            flows,
            and_(flows.c.kind == "delivery", flows.c.id == cast(deliveries.c.delivery_id, Text)),
        )
    )


def list_deliveries(
    connection: Connection,
    *,
    holder: str | None = None,
    class_id: int | None = None,
    state: str | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[Delivery]:
    """Deliveries, the newest first."""
    query = _query()
    if holder is not None:
        query = query.where(deliveries.c.holder == holder)
    if class_id is not None:
        query = query.where(deliveries.c.class_id == class_id)
    if state is not None:
        query = query.where(_state() == state)
    key = [deliveries.c.delivery_id]
    rows, following = fetch_page(connection, query, key, [int], cursor, limit, descending=True)
    return Page(tuple(_with_phases(connection, rows)), following)


def get_delivery(connection: Connection, delivery_id: int) -> Delivery:
    """One delivery; raises NotFound."""
    row = connection.execute(_query().where(deliveries.c.delivery_id == delivery_id)).first()
    if row is None:
        raise NotFound(f"there is no delivery {delivery_id}", delivery_id=str(delivery_id))
    return _with_phases(connection, [row])[0]


def open_deliveries(connection: Connection) -> list[Delivery]:
    """Every delivery that nobody has ended, oldest first: what a custodian has to act on."""
    rows = connection.execute(
        _query().where(_state().in_(OPEN_STATES)).order_by(deliveries.c.delivery_id)
    ).all()
    return _with_phases(connection, rows)


def deliveries_at(connection: Connection, class_id: int, position: int) -> list[Delivery]:
    """The delivery that burnt a position, if any."""
    rows = connection.execute(
        _query()
        .where(
            deliveries.c.class_id == class_id,
            deliveries.c.first_position <= position,
            deliveries.c.first_position + deliveries.c.tonnes > position,
        )
        .order_by(deliveries.c.delivery_id)
    ).all()
    return _with_phases(connection, rows)


def _with_phases(connection: Connection, rows: Sequence[Row[Any]]) -> list[Delivery]:
    changes = delivery_changes
    phases: dict[int, list[DeliveryPhase]] = defaultdict(list)
    for row in connection.execute(
        select(changes)
        .where(changes.c.delivery_id.in_([row.delivery_id for row in rows]))
        .order_by(changes.c.block_number, changes.c.log_index)
    ):
        phases[row.delivery_id].append(
            DeliveryPhase(
                row.act,
                row.custodian,
                row.reference,
                row.expires_at,
                row.second_deadline,
                row.registry_date,
                row.reason,
                row.evidence_hash,
                row.first_position,
                tuple(row.signers),
                row.transaction_hash,
                row.block_number,
                row.log_index,
            )
        )
    return [_delivery(row, phases[row.delivery_id]) for row in rows]


def _delivery(row: Row[Any], phases: Sequence[DeliveryPhase]) -> Delivery:
    def newest(name: str) -> Any:
        said = [getattr(phase, name) for phase in phases if getattr(phase, name) is not None]
        return said[-1] if said else None

    return Delivery(
        row.delivery_id,
        int(row.class_id),
        row.holder,
        row.first_position,
        row.tonnes,
        row.series,
        row.first_serial,
        row.first_serial + row.tonnes - 1,
        row.registry_account,
        row.deadline,
        newest("expires_at"),
        newest("second_deadline"),
        newest("reference"),
        newest("refund_position"),
        any(phase.act == BREAK for phase in phases),
        row.state,
        row.fee_asset,
        int(row.fee),
        tuple(phases),
        row.bridge_state,
        row.bridge_reason,
        row.transaction_hash,
        row.block_number,
        row.log_index,
    )
