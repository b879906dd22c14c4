"""What a range of a venue's journal brought for some accounts, as facts for webhooks.

An account's lines of the statement lead to its trades, so that nothing is read of the others.
A journal is never taken back: what is undone is a later entry.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Row, select

from backend.domain.orders import KILOGRAMS_PER_TONNE, Side
from backend.domain.webhooks import Fact
from backend.store.market_tables import (
    venue_deposits,
    venue_movements,
    venue_trades,
    venue_withdrawals,
)

Order = tuple[int, int, str]


def journal_facts(
    connection: Connection, venue: int, accounts: Sequence[str], after: int, upto: int, time: int
) -> list[Fact]:
    """Facts of the entries (after, upto] about these accounts, in the order of the journal.

    `time`: Unix seconds of the newest entry, for a deposit that left no line of its own because
    withdrawals were waiting for it.
    """
    if not accounts:
        return []
    moves = venue_movements
    lines = connection.execute(
        select(moves.c.kind, moves.c.reference, moves.c.seq, moves.c.time_ms)
        .where(
            moves.c.venue == venue,
            moves.c.account.in_(accounts),
            moves.c.seq > after,
            moves.c.seq <= upto,
        )
        .distinct()
    ).all()
    times = {line.seq: line.time_ms // 1_000 for line in lines}
    traded = {line.reference for line in lines if line.kind == "trade"}
    undone = {line.reference for line in lines if line.kind == "void"}
    wanted = frozenset(accounts)
    found: list[tuple[Order, Fact]] = []
    for row in _by_number(connection, venue_trades, venue, traded | undone):
        found += _trade(row, wanted, after, upto, times)
    for row in _by_number(connection, venue_withdrawals, venue, undone):
        if row.account in wanted and row.voided_seq is not None and after < row.voided_seq <= upto:
            found.append(_withdrawal(row, "voided", row.voided_seq, times[row.voided_seq]))
    found += _accepted(connection, venue, accounts, after, upto)
    for deposit in _deposits(connection, venue, accounts, after, upto):
        found.append(_deposit(deposit, times.get(deposit.seq, time)))
    found.sort(key=lambda one: one[0])
    return [fact for _, fact in found]


def _by_number(
    connection: Connection, table: Any, venue: int, numbers: set[int]
) -> Sequence[Row[Any]]:
    if not numbers:
        return []
    return connection.execute(
        select(table).where(table.c.venue == venue, table.c.number.in_(sorted(numbers)))
    ).all()


def _trade(
    row: Row[Any], accounts: frozenset[str], after: int, upto: int, times: dict[int, int]
) -> Iterator[tuple[Order, Fact]]:
    """Each own side of a trade, when it was made and when it was undone."""
    buyer_takes = row.taker_side == int(Side.BUY)
    for role, account, nonce, fee in (
        ("maker", row.maker, row.maker_nonce, row.maker_fee),
        ("taker", row.taker, row.taker_nonce, row.taker_fee),
    ):
        if account not in accounts:
            continue
        bought = buyer_takes == (role == "taker")
        data = {
            "venue": row.venue,
            "trade": row.number,
            "account": account,
            "role": role,
            "side": "buy" if bought else "sell",
            "nonce": nonce,
            "class_id": row.instrument,
            "asset": row.asset,
            "price": row.price,
            "tonnes": row.quantity,
            "kilograms": row.quantity * KILOGRAMS_PER_TONNE,
            "fee": fee,
            "retired": row.retired and bought,
        }
        which = f"{row.venue}:{row.number}:{role}"
        if after < row.seq <= upto:
            key, time = f"trade.executed:{which}", row.time_ms // 1_000
            fact = Fact(
                key, "trade.executed", time, {**data, "seq": row.seq}, account, row.instrument
            )
            yield (row.seq, row.number, role), fact
        if row.voided_seq is not None and after < row.voided_seq <= upto:
            key, time = f"trade.voided:{which}", times[row.voided_seq]
            more = {"seq": row.voided_seq, "reason": row.void_reason}
            fact = Fact(key, "trade.voided", time, data | more, account, row.instrument)
            yield (row.voided_seq, row.number, role), fact


def _accepted(
    connection: Connection, venue: int, accounts: Sequence[str], after: int, upto: int
) -> Iterator[tuple[Order, Fact]]:
    table = venue_withdrawals
    rows = connection.execute(
        select(table).where(
            table.c.venue == venue,
            table.c.account.in_(accounts),
            table.c.seq > after,
            table.c.seq <= upto,
            table.c.number.is_not(None),
        )
    )
    for row in rows:
        yield _withdrawal(row, "accepted", row.seq, row.time_ms // 1_000)


def _withdrawal(row: Row[Any], act: str, seq: int, time: int) -> tuple[Order, Fact]:
    kind = f"withdrawal.{act}"
    data = {
        "venue": row.venue,
        "withdrawal": row.number,
        "account": row.account,
        "nonce": row.nonce,
        "asset": row.asset,
        "amount": row.amount,
        "seq": seq,
    }
    key = f"{kind}:{row.venue}:{row.number}"
    return (seq, row.number, act), Fact(key, kind, time, data, row.account)


def _deposits(
    connection: Connection, venue: int, accounts: Sequence[str], after: int, upto: int
) -> Sequence[Row[Any]]:
    table = venue_deposits
    return connection.execute(
        select(table).where(
            table.c.venue == venue,
            table.c.account.in_(accounts),
            table.c.seq > after,
            table.c.seq <= upto,
        )
    ).all()


def _deposit(row: Row[Any], time: int) -> tuple[Order, Fact]:
    data = {
        "venue": row.venue,
        "deposit": row.deposit_id,
        "account": row.account,
        "asset": row.asset,
        "amount": row.amount,
        "seq": row.seq,
    }
    key = f"deposit.credited:{row.venue}:{row.deposit_id}"
    return (row.seq, row.deposit_id, ""), Fact(key, "deposit.credited", time, data, row.account)
