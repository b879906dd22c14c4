"""Deliveries as the chain's events tell them: new requests, whether one was begun for good."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, text

from backend.domain.serials import Interval, Series

_NEW = text(
    "SELECT (e.args->>'deliveryId')::bigint AS delivery_id, e.args->>'holder' AS holder,"
    " (e.args->>'classId')::numeric AS class_id,"
    " (e.args->>'firstPosition')::bigint AS first_position,"
    " (e.args->>'tonnes')::bigint AS tonnes, s.name AS series,"
    " (e.args->>'firstSerial')::bigint AS first_serial,"
    " e.args->>'registryAccount' AS registry_account,"
    " (e.args->>'deadline')::bigint AS deadline"
    " FROM chain_events e JOIN series s ON s.hash = e.args->>'seriesId'"
    " WHERE e.contract = 'Deliveries' AND e.name = 'DeliveryRequested'"
    " AND e.block_number <= :block AND NOT EXISTS (SELECT FROM bridge_flows f"
    "   WHERE f.kind = 'delivery' AND f.id = e.args->>'deliveryId')"
    " ORDER BY e.block_number, e.log_index LIMIT 200"
)
_BEGUN = text(
    "SELECT EXISTS (SELECT FROM chain_events WHERE contract = 'Deliveries'"
    " AND name = 'DeliveryBegun' AND args->>'deliveryId' = :delivery"
    " AND block_number <= :block)"
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


def is_begun(connection: Connection, delivery_id: int, block: int) -> bool:
    """Whether a custodian began it up to a final chain block."""
    given = {"delivery": str(delivery_id), "block": block}
    return bool(connection.execute(_BEGUN, given).scalar())
