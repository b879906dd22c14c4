"""What an account has and did at a venue: balances, trades, statement, withdrawals, exits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select, case, func, or_, select

from backend.store import market_tables as tables
from backend.store.queries.market import VenueHead, is_open, trade_state
from backend.store.queries.reading import DEFAULT_LIMIT, Page, fetch_page, shaped


@dataclass(frozen=True, slots=True)
class Balance:
    """`total` = `available` + `reserved` by open orders."""

    asset: int
    total: int
    available: int
    reserved: int


@dataclass(frozen=True, slots=True)
class VenueAccount:
    """An account at a venue; `next_nonce` is the lowest that it has not used."""

    address: str
    next_nonce: int
    open_orders: int
    balances: tuple[Balance, ...]


@dataclass(frozen=True, slots=True)
class AccountTrade:
    """A trade from one account's side; `fee` is what the account paid."""

    number: int
    seq: int
    time_ms: int
    instrument: int
    asset: int
    side: int
    role: str
    nonce: int
    price: int
    quantity: int
    fee: int
    retired: bool
    state: str
    void_reason: int | None
    counterparty: str


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One change of a total, and what it left.

    `kind` is deposit, trade, fee, retirement, withdrawal, exit or void; `reference` the number of
    the deposit, trade or withdrawal.
    """

    seq: int
    ordinal: int
    time_ms: int
    asset: int
    change: int
    balance: int
    kind: str
    reference: int | None


@dataclass(frozen=True, slots=True)
class WithdrawalView:
    """A withdrawal. `state` is accepted, settled (claimable on chain), voided or refused.

    `held` is what settling moves: less than `amount` when a forced exit came first.
    """

    nonce: int
    number: int | None
    asset: int
    amount: int
    held: int
    after_trade: int | None
    state: str
    reason: int | None
    void_reason: int | None
    seq: int
    time_ms: int


@dataclass(frozen=True, slots=True)
class ExitView:
    """A forced exit. `state` is running, executed (took `amount`) or ended (took nothing)."""

    seq: int
    asset: int
    requested_at: int
    state: str
    ended_seq: int | None
    amount: int | None


@dataclass(frozen=True, slots=True)
class DepositView:
    """A deposit that was credited."""

    deposit_id: int
    asset: int
    amount: int
    seq: int


def get_account(connection: Connection, head: VenueHead, address: str) -> VenueAccount:
    """An account nobody has seen has nothing, and nonce 0 next."""
    balances, traders, orders = tables.venue_balances, tables.venue_traders, tables.venue_orders
    rows = connection.execute(
        select(balances)
        .where(
            balances.c.venue == head.venue,
            balances.c.account == address,
            or_(balances.c.total != 0, balances.c.reserved != 0),
        )
        .order_by(balances.c.asset)
    )
    held = tuple(
        Balance(row.asset, row.total, row.total - row.reserved, row.reserved) for row in rows
    )
    nonce = connection.execute(
        select(traders.c.lowest_unused).where(
            traders.c.venue == head.venue, traders.c.account == address
        )
    ).scalar()
    count = connection.execute(
        select(func.count())
        .select_from(orders)
        .where(orders.c.venue == head.venue, orders.c.account == address, is_open())
    ).scalar_one()
    return VenueAccount(address, nonce or 0, count, held)


def trades_of(
    connection: Connection,
    head: VenueHead,
    account: str,
    *,
    instrument: int | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[AccountTrade]:
    """Trades of an account's orders, the newest first."""
    trades = tables.venue_trades
    query = select(trades, trade_state(head)).where(
        trades.c.venue == head.venue,
        or_(trades.c.maker == account, trades.c.taker == account),
    )
    if instrument is not None:
        query = query.where(trades.c.instrument == instrument)
    rows, following = fetch_page(
        connection, query, [trades.c.number], [int], cursor, limit, descending=True
    )
    return Page(tuple(_trade(row, account) for row in rows), following)


def _trade(row: Row[Any], account: str) -> AccountTrade:
    made = row.maker == account
    return shaped(
        AccountTrade,
        row,
        side=1 - row.taker_side if made else row.taker_side,
        role="maker" if made else "taker",
        nonce=row.maker_nonce if made else row.taker_nonce,
        fee=row.maker_fee if made else row.taker_fee,
        retired=row.retired and not made,
        counterparty=row.taker if made else row.maker,
    )


def statement_of(
    connection: Connection,
    head: VenueHead,
    account: str,
    *,
    asset: int | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[StatementLine]:
    """Every change of the account's totals, the newest first."""
    lines = tables.venue_movements
    query = select(lines).where(lines.c.venue == head.venue, lines.c.account == account)
    if asset is not None:
        query = query.where(lines.c.asset == asset)
    rows, following = fetch_page(
        connection,
        query,
        [lines.c.seq, lines.c.ordinal],
        [int, int],
        cursor,
        limit,
        descending=True,
    )
    found = tuple(shaped(StatementLine, row) for row in rows)
    return Page(found, following)


def withdrawals_of(
    connection: Connection,
    head: VenueHead,
    account: str,
    *,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[WithdrawalView]:
    """Withdrawals of an account, refused ones too, the newest first."""
    table = tables.venue_withdrawals
    state = case(
        (table.c.number.is_(None), "refused"),
        (table.c.voided_seq.is_not(None), "voided"),
        (table.c.number <= head.settled_withdrawal, "settled"),
        else_="accepted",
    )
    rows, following = _newest(
        connection, select(table, state.label("state")), table, head, account, cursor, limit
    )
    found = tuple(shaped(WithdrawalView, row) for row in rows)
    return Page(found, following)


def exits_of(
    connection: Connection,
    head: VenueHead,
    account: str,
    *,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[ExitView]:
    """Forced exits of an account, the newest first."""
    table = tables.venue_exits
    state = case(
        (table.c.ended_seq.is_(None), "running"), (table.c.amount > 0, "executed"), else_="ended"
    )
    rows, following = _newest(
        connection, select(table, state.label("state")), table, head, account, cursor, limit
    )
    found = tuple(shaped(ExitView, row) for row in rows)
    return Page(found, following)


def deposits_of(
    connection: Connection,
    head: VenueHead,
    account: str,
    *,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[DepositView]:
    """Deposits of an account that were credited, the newest first."""
    table = tables.venue_deposits
    rows, following = _newest(connection, select(table), table, head, account, cursor, limit)
    found = tuple(shaped(DepositView, row) for row in rows)
    return Page(found, following)


def _newest(
    connection: Connection,
    query: Select[Any],
    table: Any,
    head: VenueHead,
    account: str,
    cursor: str | None,
    limit: int,
) -> tuple[list[Row[Any]], str | None]:
    """A page of an account's rows of which each entry makes one at most."""
    mine = query.where(table.c.venue == head.venue, table.c.account == account)
    return fetch_page(connection, mine, [table.c.seq], [int], cursor, limit, descending=True)
