"""Orders of a venue: one by its trader and nonce, and those of an account."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select

from backend.errors import NotFound
from backend.store import market_tables as tables
from backend.store.queries.market import VenueHead, is_open
from backend.store.queries.reading import DEFAULT_LIMIT, Page, fetch_page, shaped

STATES = ("open", "filled", "cancelled", "expired", "refused")


@dataclass(frozen=True, slots=True)
class OrderView:
    """An order as it was signed and how far it is.

    `state` is one of STATES, `reason` why it ended or was refused; `filled` counts tonnes whose
    trades stand, `voided` those that were undone.
    """

    trader: str
    nonce: int
    instrument: int
    asset: int
    side: int
    quantity: int
    price: int
    max_fee_bps: int
    signed_at: int
    expiry: int
    conditions: int
    details_hash: str | None
    signature_kind: int
    state: str
    reason: int | None
    remaining: int
    filled: int
    voided: int
    seq: int
    time_ms: int
    last_seq: int


def get_order(connection: Connection, head: VenueHead, trader: str, nonce: int) -> OrderView:
    """One order. Raises NotFound."""
    orders = tables.venue_orders
    row = connection.execute(
        select(orders).where(
            orders.c.venue == head.venue, orders.c.account == trader, orders.c.nonce == nonce
        )
    ).first()
    if row is None:
        raise NotFound(
            f"{trader} has no order with the nonce {nonce}", trader=trader, nonce=str(nonce)
        )
    return _order(row)


def orders_of(
    connection: Connection,
    head: VenueHead,
    account: str,
    *,
    state: str | None = None,
    instrument: int | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[OrderView]:
    """An account's orders, the newest first."""
    orders = tables.venue_orders
    query = select(orders).where(orders.c.venue == head.venue, orders.c.account == account)
    if state is not None:
        query = query.where(is_open() if state == "open" else orders.c.state == state)
    if instrument is not None:
        query = query.where(orders.c.instrument == instrument)
    rows, following = fetch_page(
        connection, query, [orders.c.seq], [int], cursor, limit, descending=True
    )
    return Page(tuple(map(_order, rows)), following)


def _order(row: Row[Any]) -> OrderView:
    return shaped(OrderView, row, trader=row.account)
