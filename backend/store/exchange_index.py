"""Balances of the Exchange in the index: added to, summed up anew after a rewind, checked (L7)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection

from backend.domain.events import ChainEvent
from backend.errors import IndexInconsistent
from backend.store.database import raw
from backend.store.exchange_projection import ExchangeChanges
from backend.store.exchange_tables import EXCHANGE_TABLES, exchange_balances

__all__ = [
    "EXCHANGE_TABLES",
    "add_balances",
    "check_solvency",
    "exchange_balances",
    "load",
    "sum_up",
    "touched_above",
]


def load(connection: Connection, events: Iterable[ChainEvent], changes: ExchangeChanges) -> None:
    """What stood before a range and its projection needs: who is paid the fees."""
    if not any(event[0] == "Exchange" and event[1] == "FeesCollected" for event in events):
        return
    row = (
        raw(connection)
        .execute(
            "SELECT args->>'operator', args->>'developer' FROM chain_events"
            " WHERE contract = 'Exchange' AND name = 'FeePayeesSet'"
            " ORDER BY block_number DESC, log_index DESC LIMIT 1"
        )
        .fetchone()
    )
    if row is not None:
        changes.payees = (row[0], row[1])


def add_balances(connection: Connection, changes: ExchangeChanges) -> None:
    """Add what a range gained; raises IndexInconsistent when a sum would fall below zero."""
    gained = changes.gained
    if not gained:
        return
    below = (
        raw(connection)
        .execute(
            "WITH added AS (INSERT INTO exchange_balances AS held"
            " (account, asset, balance, claimable)"
            " SELECT * FROM unnest(%s::text[], %s::numeric[], %s::numeric[], %s::numeric[])"
            " ON CONFLICT (account, asset) DO UPDATE SET"
            " balance = held.balance + excluded.balance,"
            " claimable = held.claimable + excluded.claimable"
            " RETURNING account, asset, balance, claimable)"
            " SELECT * FROM added WHERE balance < 0 OR claimable < 0 LIMIT 1",
            [
                [account for account, _ in gained],
                [str(asset) for _, asset in gained],
                [str(sums[0]) for sums in gained.values()],
                [str(sums[1]) for sums in gained.values()],
            ],
        )
        .fetchone()
    )
    if below is not None:
        account, asset, balance, claimable = below
        raise IndexInconsistent(
            f"L7: {account} would have {balance} of {asset} on the Exchange, {claimable} to claim",
            account=account,
            asset=str(asset),
            balance=str(balance),
            claimable=str(claimable),
        )


def touched_above(connection: Connection, number: int) -> list[tuple[str, int]]:
    """(account, asset) of every change above a chain block."""
    rows = raw(connection).execute(
        "SELECT DISTINCT account, asset FROM exchange_changes WHERE block_number > %s", [number]
    )
    return [(row[0], int(row[1])) for row in rows]


def sum_up(connection: Connection, keys: Sequence[tuple[str, int]]) -> None:
    """Make balances anew from the changes that are left."""
    if not keys:
        return
    columns = [[account for account, _ in keys], [str(asset) for _, asset in keys]]
    driver = raw(connection)
    wanted = "unnest(%s::text[], %s::numeric[]) AS k (account, asset)"
    driver.execute(
        f"DELETE FROM exchange_balances b USING {wanted}"
        " WHERE b.account = k.account AND b.asset = k.asset",
        columns,
    )
    driver.execute(
        "INSERT INTO exchange_balances SELECT account, asset, sum(balance), sum(claimable)"
        f" FROM exchange_changes JOIN {wanted} USING (account, asset) GROUP BY account, asset",
        columns,
    )


def check_solvency(connection: Connection, exchange: str) -> None:
    """L7 in credits: the Exchange holds at least what it owes of every class.

    Raises IndexInconsistent naming every class that breaks it. Money is held in contracts that
    are not indexed: the contract's own `solvency` says it.
    """
    rows = raw(connection).execute(
        "SELECT asset, sum(e.balance + e.claimable) AS owed, coalesce(max(b.kilograms), 0)"
        " FROM exchange_balances e LEFT JOIN balances b ON b.class_id = e.asset AND b.account = %s"
        " WHERE asset >= 2::numeric ^ 160 GROUP BY asset"
        " HAVING sum(e.balance + e.claimable) > coalesce(max(b.kilograms), 0) ORDER BY asset",
        [exchange],
    )
    breaks = [{"asset": str(int(row[0])), "owed": str(row[1]), "held": str(row[2])} for row in rows]
    if breaks:
        first = breaks[0]
        raise IndexInconsistent(
            f"L7 is broken in {len(breaks)} classes; class {first['asset']}: owed "
            f"{first['owed']} kg, held {first['held']} kg",
            breaks=breaks,
        )
