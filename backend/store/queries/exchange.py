"""What the chain says of the Exchange: balances, claimables, exits, and what was settled."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, and_, or_, select
from sqlalchemy.dialects.postgresql import distinct_on

from backend.store import exchange_tables as tables
from backend.store.queries.reading import DEFAULT_LIMIT, Page, fetch_newest, fetch_page, shaped


@dataclass(frozen=True, slots=True)
class ExchangeBalance:
    """What the contract holds for an account; `claimable` anybody can have paid out to it.

    `exit_requested_at`: the last word on a forced exit is its request.
    """

    asset: int
    balance: int
    claimable: int
    exit_requested_at: int | None


@dataclass(frozen=True, slots=True)
class ExchangeAct:
    """A settled batch, a void or an anchor. A range with last = first − 1 is empty."""

    kind: str
    first_trade: int
    last_trade: int
    first_withdrawal: int
    last_withdrawal: int
    reason: int | None
    seq: int
    head: str
    transaction_hash: str
    block_number: int
    log_index: int


def balances_of(
    connection: Connection, account: str, *, cursor: str | None = None, limit: int = DEFAULT_LIMIT
) -> Page[ExchangeBalance]:
    """Assets of which the account has or can claim some, or exits, by asset."""
    held, exits = tables.exchange_balances, tables.exchange_exits
    newest = (
        select(exits.c.asset, exits.c.state, exits.c.requested_at)
        .where(exits.c.account == account)
        .ext(distinct_on(exits.c.asset))
        .order_by(exits.c.asset, exits.c.block_number.desc(), exits.c.log_index.desc())
        .subquery()
    )
    running = and_(newest.c.asset == held.c.asset, newest.c.state == "requested")
    query = (
        select(
            held.c.asset,
            held.c.balance,
            held.c.claimable,
            newest.c.requested_at.label("exit_requested_at"),
        )
        .select_from(held.outerjoin(newest, running))
        .where(
            held.c.account == account,
            or_(held.c.balance != 0, held.c.claimable != 0, newest.c.requested_at.is_not(None)),
        )
    )
    rows, following = fetch_page(connection, query, [held.c.asset], [int], cursor, limit)
    return Page(tuple(shaped(ExchangeBalance, row) for row in rows), following)


def list_acts(
    connection: Connection,
    *,
    kind: str | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[ExchangeAct]:
    """Batches, voids and anchors, the newest first."""
    acts = tables.exchange_acts
    query = select(acts)
    if kind is not None:
        query = query.where(acts.c.kind == kind)
    rows, following = fetch_newest(connection, query, acts, cursor, limit)
    return Page(tuple(shaped(ExchangeAct, row) for row in rows), following)
