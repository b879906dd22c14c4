"""Deliveries that the bridge has not taken up, and whether one was begun for good."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, text

from backend.domain.serials import Interval, Series

_NEW = text(
    "SELECT d.*, s.name AS series FROM deliveries d JOIN series s ON s.id = d.series_id"
    " WHERE d.block_number <= :block AND NOT EXISTS (SELECT FROM bridge_flows f"
    "   WHERE f.kind = 'delivery' AND f.id = d.delivery_id::text)"
    " ORDER BY d.block_number, d.log_index LIMIT 200"
)
_BEGUN = text(
    "SELECT EXISTS (SELECT FROM delivery_changes WHERE delivery_id = :delivery"
    " AND act = 'begun' AND block_number <= :block)"
)


@dataclass(frozen=True, slots=True)
class Requested:
    """A request of delivery; `deadline` in Unix seconds."""

    delivery_id: int
    holder: str
    class_id: int
    first_position: int
    serials: Interval
    registry_account: str
    deadline: int


def new_requests(connection: Connection, block: int) -> list[Requested]:
    """Requests up to a final chain block that the bridge has not taken up, oldest first."""
    return [
        Requested(
            row.delivery_id,
            row.holder,
            int(row.class_id),
            row.first_position,
            Interval(Series.parse(row.series), row.first_serial, row.first_serial + row.tonnes - 1),
            row.registry_account,
            row.deadline,
        )
        for row in connection.execute(_NEW, {"block": block})
    ]


def recipient_of(connection: Connection, delivery_id: int) -> str | None:
    """The registry account of a request as the index has it; None when it does not have it."""
    query = text("SELECT registry_account FROM deliveries WHERE delivery_id = :delivery")
    found: str | None = connection.execute(query, {"delivery": delivery_id}).scalar()
    return found


def is_begun(connection: Connection, delivery_id: int, block: int) -> bool:
    """Whether a custodian began it up to a final chain block."""
    given = {"delivery": delivery_id, "block": block}
    return bool(connection.execute(_BEGUN, given).scalar())
