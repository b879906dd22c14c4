"""What the projector writes: a run of journal entries as rows, in one transaction with its seq.

The row of `venue_state` is locked first, so that two projectors take turns, and moves with the
rows it speaks of: a kill between two statements leaves a run as a whole or not (L10).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, LiteralString

from eth_utils.address import to_checksum_address
from sqlalchemy import Connection

from backend.domain.orders import NO_DETAILS, Account, Order
from backend.domain.venue_events import Traded
from backend.errors import JournalInconsistent
from backend.store.copying import copy_lines
from backend.store.database import raw
from backend.store.market_candles import write_candles
from backend.store.market_projection import (
    Answered,
    MarketProjection,
    OrderKey,
    Touched,
    touched,
)
from backend.store.market_rows import (
    MarketRow,
    OrderRow,
    TradeRow,
    TraderRow,
    VenueState,
    WithdrawalRow,
)
from backend.store.market_tables import MARKET_TABLES

_COLUMNS = {table.name: [column.name for column in table.columns] for table in MARKET_TABLES}
_STATE_COLUMNS = _COLUMNS["venue_state"][1:]
_Row = tuple[Any, ...]
_NULL = "\\N"


@lru_cache(maxsize=262_144)
def address_of(account: bytes) -> str:
    """An account as it stands in the tables: checksummed."""
    return to_checksum_address(account)


@lru_cache(maxsize=262_144)
def account_at(address: str) -> Account:
    """The inverse of `address_of`."""
    return Account(bytes.fromhex(address[2:]))


def projected_seq(connection: Connection, venue: int) -> int:
    """The entry that the read models are true at, 0 before the first."""
    row = raw(connection).execute("SELECT seq FROM venue_state WHERE venue = %s", [venue])
    found = row.fetchone()
    return found[0] if found else 0


def lock_state(connection: Connection, venue: int) -> VenueState:
    """The venue's state, held against other projectors until the transaction ends."""
    driver = raw(connection)
    driver.execute(
        f"INSERT INTO venue_state ({', '.join(_COLUMNS['venue_state'])})"
        " VALUES (%s, 0, 0, 0, 0, '', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, NULL, NULL, NULL)"
        " ON CONFLICT DO NOTHING",
        [venue],
    )
    row = driver.execute(
        f"SELECT {', '.join(_STATE_COLUMNS)} FROM venue_state WHERE venue = %s FOR UPDATE",
        [venue],
    ).fetchone()
    assert row is not None
    state = VenueState(*row)
    state.exchange = account_at(row[4]) if row[4] else bytes(20)
    return state


def write_run(
    connection: Connection, venue: int, state: VenueState, run: Sequence[Answered]
) -> VenueState:
    """Add entries right after `state` (from `lock_state`, in this transaction).

    Raises JournalInconsistent when an entry cannot follow from what came before it.
    """
    projection = _load(connection, venue, state, touched(run))
    projection.apply(run)
    _write_new(connection, venue, projection)
    _write_changed(connection, venue, projection)
    _write_sums(connection, venue, projection)
    write_candles(connection, venue, projection.candles, projection.candles_undone)
    _write_state(connection, venue, projection.state)
    return projection.state


def clear_market(connection: Connection, venue: int) -> None:
    """Forget everything that was projected of a venue; the projector begins anew."""
    lock_state(connection, venue)
    for table in MARKET_TABLES:
        connection.execute(table.delete().where(table.c.venue == venue))


def check_market(connection: Connection, venue: int) -> None:
    """L7 over everything projected; raises JournalInconsistent naming every asset that breaks it.

    What was deposited, less what exits took, is what accounts have, what was charged, what was
    bought to retire and what withdrawals hold; no account has reserved more than it has.
    """
    rows = raw(connection).execute(
        "WITH moves AS (SELECT asset, amount FROM venue_deposits WHERE venue = %(venue)s"
        " UNION ALL SELECT asset, -amount FROM venue_exits WHERE venue = %(venue)s AND amount > 0"
        " UNION ALL SELECT asset, -total FROM venue_balances WHERE venue = %(venue)s"
        " UNION ALL SELECT asset, -held FROM venue_withdrawals WHERE venue = %(venue)s"
        " UNION ALL SELECT asset, -maker_fee - taker_fee FROM venue_trades"
        " WHERE venue = %(venue)s AND voided_seq IS NULL"
        " UNION ALL SELECT instrument, -1000 * quantity FROM venue_trades"
        " WHERE venue = %(venue)s AND voided_seq IS NULL AND retired)"
        " SELECT asset, sum(amount) FROM moves GROUP BY asset HAVING sum(amount) <> 0"
        " OR EXISTS (SELECT FROM venue_balances b WHERE b.venue = %(venue)s"
        " AND b.asset = moves.asset AND NOT (0 <= reserved AND reserved <= total)) ORDER BY asset",
        {"venue": venue},
    )
    breaks = [{"asset": str(row[0]), "missing": str(row[1])} for row in rows]
    if breaks:
        raise JournalInconsistent(
            f"L7 is broken in {len(breaks)} assets of venue {venue}; of asset "
            f"{breaks[0]['asset']} {breaks[0]['missing']} are missing",
            breaks=breaks,
        )


# ── what stood before ────────────────────────────────────────────────────────────────────────


def _load(connection: Connection, venue: int, state: VenueState, need: Touched) -> MarketProjection:
    projection = MarketProjection(state)
    for first, last in need.trades:
        # A run may void trades that it made itself: those have no row yet.
        for row in _load_trades(connection, venue, first, last):
            projection.trades[row.trade.number] = row
            need.add_trade(row.trade)
    if need.withdrawals:
        for withdrawal in _load_withdrawals(connection, venue, state.settled_withdrawal):
            projection.wait(withdrawal)
            need.balances.add((withdrawal.account, withdrawal.asset))
    projection.orders = _load_orders(connection, venue, need.orders)
    rows = raw(connection).execute(
        "SELECT account, b.asset, total, reserved FROM venue_balances b"
        " JOIN unnest(%s::text[], %s::numeric[]) AS wanted (account, asset)"
        " USING (account, asset) WHERE venue = %s",
        [
            [address_of(account) for account, _ in need.balances],
            [str(asset) for _, asset in need.balances],
            venue,
        ],
    )
    for account, asset, total, reserved in rows:
        projection.balances[account_at(account), int(asset)] = [int(total), int(reserved)]
    rows = raw(connection).execute(
        "SELECT account, lowest_unused, used FROM venue_traders"
        " WHERE venue = %s AND account = ANY(%s)",
        [venue, [address_of(account) for account in need.traders]],
    )
    for account, lowest, used in rows:
        projection.traders[account_at(account)] = TraderRow(lowest, set(used))
    return projection


def _load_orders(
    connection: Connection, venue: int, keys: Iterable[OrderKey]
) -> dict[OrderKey, OrderRow]:
    wanted = list(keys)
    rows = raw(connection).execute(
        "SELECT account, nonce, instrument, asset, side, quantity, price, max_fee_bps, signed_at,"
        " expiry, conditions, details_hash, signature_kind, seq, time_ms, state, remaining,"
        " filled, voided, reason, last_seq FROM venue_orders"
        " JOIN unnest(%s::text[], %s::bigint[]) AS wanted (account, nonce)"
        " USING (account, nonce) WHERE venue = %s",
        [[address_of(trader) for trader, _ in wanted], [nonce for _, nonce in wanted], venue],
    )
    return {(account_at(row[0]), row[1]): OrderRow(_order(row), *row[13:]) for row in rows}


def _order(row: _Row) -> Order:
    details = NO_DETAILS if row[11] is None else bytes.fromhex(row[11][2:])
    return Order(
        account_at(row[0]),
        row[1],
        int(row[2]),
        int(row[3]),
        row[4],
        row[5],
        int(row[6]),
        row[7],
        row[8],
        row[9],
        row[10],
        details,
        row[12],
    )


def _load_trades(connection: Connection, venue: int, first: int, last: int) -> list[TradeRow]:
    rows = raw(connection).execute(
        "SELECT number, instrument, asset, price, quantity, maker, maker_nonce, taker,"
        " taker_nonce, taker_side, maker_fee, taker_fee, retired, seq, time_ms FROM venue_trades"
        " WHERE venue = %s AND number BETWEEN %s AND %s AND voided_seq IS NULL",
        [venue, first, last],
    )
    return [
        TradeRow(
            Traded(
                row[0],
                int(row[1]),
                int(row[2]),
                int(row[3]),
                row[4],
                account_at(row[5]),
                row[6],
                account_at(row[7]),
                row[8],
                row[9],
                int(row[10]),
                int(row[11]),
                int(row[12]),
            ),
            row[13],
            row[14],
        )
        for row in rows
    ]


def _load_withdrawals(connection: Connection, venue: int, settled: int) -> list[WithdrawalRow]:
    """Those that are neither settled nor voided."""
    rows = raw(connection).execute(
        "SELECT account, nonce, asset, amount, held, seq, time_ms, number, after_trade"
        " FROM venue_withdrawals WHERE venue = %s AND number > %s AND voided_seq IS NULL"
        " ORDER BY number",
        [venue, settled],
    )
    return [
        WithdrawalRow(account_at(row[0]), row[1], int(row[2]), int(row[3]), int(row[4]), *row[5:])
        for row in rows
    ]


# ── what stands after ────────────────────────────────────────────────────────────────────────


def _line(*values: Any) -> str:
    return "\t".join(_NULL if value is None else str(value) for value in values)


def _write_new(connection: Connection, venue: int, done: MarketProjection) -> None:
    def copy(table: str, lines: list[str]) -> None:
        copy_lines(connection, table, _COLUMNS[table], lines)

    copy("venue_orders", [_order_line(venue, row) for row in done.orders.values() if row.new])
    copy("venue_trades", [_trade_line(venue, row) for row in done.trades.values() if row.new])
    copy(
        "venue_movements",
        [
            f"{venue}\t{address_of(m[0])}\t{m[1]}\t{m[2]}\t{m[3]}\t{m[4]}\t{m[5]}\t{m[6]}\t{m[7]}"
            f"\t{_NULL if m[8] is None else m[8]}"
            for m in done.movements
        ],
    )
    withdrawals = [row for row in done.withdrawals.values() if row.new]
    copy(
        "venue_withdrawals",
        [_withdrawal_line(venue, row) for row in (*withdrawals, *done.refused_withdrawals)],
    )
    copy(
        "venue_deposits",
        [
            _line(venue, event.deposit_id, address_of(event.account), event.asset, event.amount, at)
            for event, at in done.deposits
        ],
    )
    copy(
        "venue_exits",
        [
            _line(venue, at, address_of(event.account), event.asset, event.requested_at, None, None)
            for event, at in done.exits_started
        ],
    )


def _order_line(venue: int, row: OrderRow) -> str:
    order = row.order
    details = _NULL if order.details_hash == NO_DETAILS else "0x" + order.details_hash.hex()
    reason = _NULL if row.reason is None else int(row.reason)
    return (
        f"{venue}\t{address_of(order.trader)}\t{order.nonce}\t{order.instrument}\t{order.asset}\t"
        f"{int(order.side)}\t{order.quantity}\t{order.price}\t{order.max_fee_bps}\t"
        f"{order.signed_at}\t{order.expiry}\t{int(order.conditions)}\t{details}\t"
        f"{int(order.signature_kind)}\t{row.state}\t{reason}\t{row.remaining}\t{row.filled}\t"
        f"{row.voided}\t{row.seq}\t{row.time_ms}\t{row.last_seq}"
    )


def _trade_line(venue: int, row: TradeRow) -> str:
    trade = row.trade
    return (
        f"{venue}\t{trade[0]}\t{row.seq}\t{row.time_ms}\t{trade[1]}\t{trade[2]}\t{trade[3]}\t"
        f"{trade[4]}\t{address_of(trade[5])}\t{trade[6]}\t{address_of(trade[7])}\t{trade[8]}\t"
        f"{int(trade[9])}\t{trade[10]}\t{trade[11]}\t{'t' if trade[12] else 'f'}\t"
        + _line(row.voided_seq, _number(row.void_reason))
    )


def _withdrawal_line(venue: int, row: WithdrawalRow) -> str:
    return _line(
        venue,
        address_of(row.account),
        row.nonce,
        row.number,
        row.asset,
        row.amount,
        row.held,
        row.after_trade,
        _number(row.reason),
        row.seq,
        row.time_ms,
        row.voided_seq,
        _number(row.void_reason),
    )


def _number(reason: int | None) -> int | None:
    return None if reason is None else int(reason)


def _write_changed(connection: Connection, venue: int, done: MarketProjection) -> None:
    """Rows that were there and say something else now."""
    after = [row for row in done.orders.values() if not row.new]
    _unnest(
        connection,
        "UPDATE venue_orders o SET state = n.state, reason = n.reason, remaining = n.remaining,"
        " filled = n.filled, voided = n.voided, last_seq = n.last_seq"
        " FROM unnest(%s::text[], %s::bigint[], %s::text[], %s::smallint[], %s::bigint[],"
        " %s::bigint[], %s::bigint[], %s::bigint[]) AS n"
        " (account, nonce, state, reason, remaining, filled, voided, last_seq)"
        " WHERE o.venue = %s AND o.account = n.account AND o.nonce = n.nonce",
        [
            (
                address_of(row.order.trader),
                row.order.nonce,
                row.state,
                _number(row.reason),
                row.remaining,
                row.filled,
                row.voided,
                row.last_seq,
            )
            for row in after
        ],
        venue,
    )
    voided = [
        (number, row.voided_seq, _number(row.void_reason))
        for number, row in done.trades.items()
        if not row.new
    ]
    _unnest(
        connection,
        "UPDATE venue_trades t SET voided_seq = n.seq, void_reason = n.reason"
        " FROM unnest(%s::bigint[], %s::bigint[], %s::smallint[]) AS n (number, seq, reason)"
        " WHERE t.venue = %s AND t.number = n.number",
        voided,
        venue,
    )
    pending = [
        (number, str(row.held), row.voided_seq, _number(row.void_reason))
        for number, row in done.withdrawals.items()
        if not row.new
    ]
    _unnest(
        connection,
        "UPDATE venue_withdrawals w SET held = n.held, voided_seq = n.seq, void_reason = n.reason"
        " FROM unnest(%s::bigint[], %s::numeric[], %s::bigint[], %s::smallint[])"
        " AS n (number, held, seq, reason) WHERE w.venue = %s AND w.number = n.number"
        " AND (w.held, w.voided_seq) IS DISTINCT FROM (n.held, n.seq)",
        pending,
        venue,
    )
    for event, seq in done.exits_ended:
        raw(connection).execute(
            "UPDATE venue_exits SET ended_seq = %s, amount = %s WHERE venue = %s"
            " AND account = %s AND asset = %s::numeric AND ended_seq IS NULL AND seq <= %s",
            [seq, str(event.amount), venue, address_of(event.account), str(event.asset), seq],
        )


def _unnest(
    connection: Connection, statement: LiteralString, rows: Sequence[_Row], venue: int
) -> None:
    """Run a statement over columns; a run that changes nothing sends nothing."""
    if rows:
        columns = [list(column) for column in zip(*rows, strict=True)]
        raw(connection).execute(statement, [*columns, venue])


def _write_sums(connection: Connection, venue: int, done: MarketProjection) -> None:
    """Balances, traders, assets and instruments: one row each, whatever happened to it."""
    _unnest(
        connection,
        "INSERT INTO venue_balances AS held (venue, account, asset, total, reserved)"
        " SELECT v.venue, n.* FROM unnest(%s::text[], %s::numeric[], %s::numeric[],"
        " %s::numeric[]) AS n, (VALUES (%s::integer)) AS v (venue)"
        " ON CONFLICT (venue, account, asset) DO UPDATE SET total = excluded.total,"
        " reserved = excluded.reserved WHERE (held.total, held.reserved)"
        " IS DISTINCT FROM (excluded.total, excluded.reserved)",
        [
            (address_of(account), str(asset), str(total), str(reserved))
            for (account, asset), (total, reserved) in done.balances.items()
        ],
        venue,
    )
    _unnest(
        connection,
        "INSERT INTO venue_traders (venue, account, lowest_unused, used)"
        " SELECT v.venue, n.account, n.lowest, n.used::bigint[]"
        " FROM unnest(%s::text[], %s::bigint[], %s::text[]) AS n (account, lowest, used),"
        " (VALUES (%s::integer)) AS v (venue) ON CONFLICT (venue, account) DO UPDATE SET"
        " lowest_unused = excluded.lowest_unused, used = excluded.used",
        [
            (address_of(account), row.lowest_unused, "{" + ",".join(map(str, row.used)) + "}")
            for account, row in done.traders.items()
        ],
        venue,
    )
    _unnest(
        connection,
        "INSERT INTO venue_assets (venue, asset, listed, seq)"
        " SELECT v.venue, n.* FROM unnest(%s::numeric[], %s::boolean[], %s::bigint[]) AS n,"
        " (VALUES (%s::integer)) AS v (venue) ON CONFLICT (venue, asset) DO UPDATE SET"
        " listed = excluded.listed, seq = excluded.seq",
        [(str(asset), listed, seq) for asset, (listed, seq) in done.assets.items()],
        venue,
    )
    _unnest(
        connection,
        "INSERT INTO venue_instruments (venue, instrument, seq)"
        " SELECT v.venue, n.* FROM unnest(%s::numeric[], %s::bigint[]) AS n,"
        " (VALUES (%s::integer)) AS v (venue) ON CONFLICT DO NOTHING",
        [(str(instrument), seq) for instrument, seq in done.instruments.items()],
        venue,
    )
    _unnest(
        connection,
        "UPDATE venue_instruments i SET flags = n.flags"
        " FROM unnest(%s::numeric[], %s::smallint[]) AS n (instrument, flags)"
        " WHERE i.venue = %s AND i.instrument = n.instrument",
        [(str(instrument), flags) for instrument, flags in done.class_flags.items()],
        venue,
    )
    _write_markets(connection, venue, done.markets)


def _write_markets(
    connection: Connection, venue: int, markets: dict[tuple[int, int], MarketRow]
) -> None:
    _unnest(
        connection,
        "INSERT INTO venue_markets AS m (venue, instrument, asset, last_trade, last_price,"
        " last_time_ms, trades, tonnes, turnover) SELECT v.venue, n.* FROM unnest(%s::numeric[],"
        " %s::numeric[], %s::bigint[], %s::numeric[], %s::bigint[], %s::bigint[], %s::bigint[],"
        " %s::numeric[]) AS n, (VALUES (%s::integer)) AS v (venue)"
        " ON CONFLICT (venue, instrument, asset) DO UPDATE SET"
        " last_trade = coalesce(excluded.last_trade, m.last_trade),"
        " last_price = coalesce(excluded.last_price, m.last_price),"
        " last_time_ms = coalesce(excluded.last_time_ms, m.last_time_ms),"
        " trades = m.trades + excluded.trades, tonnes = m.tonnes + excluded.tonnes,"
        " turnover = m.turnover + excluded.turnover",
        [
            (
                str(instrument),
                str(asset),
                row.last_trade,
                None if row.last_price is None else str(row.last_price),
                row.last_time_ms,
                row.trades,
                row.tonnes,
                str(row.turnover),
            )
            for (instrument, asset), row in markets.items()
        ],
        venue,
    )
    for (instrument, asset), row in markets.items():
        if row.undone:
            # The newest trade that still stands; the market may have none left.
            raw(connection).execute(
                "UPDATE venue_markets m SET (last_trade, last_price, last_time_ms) ="
                " (SELECT number, price, time_ms FROM venue_trades t WHERE t.venue = m.venue"
                " AND t.instrument = m.instrument AND t.asset = m.asset AND voided_seq IS NULL"
                " ORDER BY number DESC LIMIT 1)"
                " WHERE venue = %s AND instrument = %s::numeric AND asset = %s::numeric",
                [venue, str(instrument), str(asset)],
            )


def _write_state(connection: Connection, venue: int, state: VenueState) -> None:
    columns = ", ".join(f"{name} = %s" for name in _STATE_COLUMNS)
    values = [getattr(state, name) for name in _STATE_COLUMNS]
    values[_STATE_COLUMNS.index("exchange")] = address_of(state.exchange)
    values[_STATE_COLUMNS.index("halt_reason")] = _number(state.halt_reason)
    raw(connection).execute(
        f"UPDATE venue_state SET {columns} WHERE venue = %s",
        [*values, venue],
    )
