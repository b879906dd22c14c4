"""Candles in Postgres: what a run's trades add, and anew where trades were undone."""

from __future__ import annotations

from collections.abc import Mapping, Set

from sqlalchemy import Connection

from backend.store.database import raw
from backend.store.market_projection import CandleKey
from backend.store.market_rows import Candle


def write_candles(
    connection: Connection,
    venue: int,
    candles: Mapping[CandleKey, Candle],
    undone: Set[CandleKey],
) -> None:
    """Add a run's trades, which have their rows already; an undone candle is counted anew."""
    added = [
        (
            *(str(key[0]), str(key[1]), key[2], key[3]),
            *map(str, (candle.open, candle.high, candle.low, candle.close)),
            *(candle.trades, candle.tonnes, str(candle.turnover)),
        )
        for key, candle in candles.items()
        if key not in undone
    ]
    if added:
        raw(connection).execute(
            "INSERT INTO venue_candles AS c SELECT %s::integer, n.* FROM unnest(%s::numeric[],"
            " %s::numeric[], %s::integer[], %s::bigint[], %s::numeric[], %s::numeric[],"
            " %s::numeric[], %s::numeric[], %s::bigint[], %s::bigint[], %s::numeric[]) AS n"
            " ON CONFLICT (venue, instrument, asset, seconds, start) DO UPDATE SET"
            " high = greatest(c.high, excluded.high), low = least(c.low, excluded.low),"
            " close = excluded.close, trades = c.trades + excluded.trades,"
            " tonnes = c.tonnes + excluded.tonnes, turnover = c.turnover + excluded.turnover",
            [venue, *(list(column) for column in zip(*added, strict=True))],
        )
    for key in sorted(undone):
        _count_anew(connection, venue, key)


def _count_anew(connection: Connection, venue: int, key: CandleKey) -> None:
    instrument, asset, seconds, start = key
    place = [venue, str(instrument), str(asset), seconds, start]
    driver = raw(connection)
    driver.execute(
        "DELETE FROM venue_candles WHERE venue = %s AND instrument = %s::numeric"
        " AND asset = %s::numeric AND seconds = %s AND start = %s",
        place,
    )
    driver.execute(
        "INSERT INTO venue_candles SELECT venue, instrument, asset, %s, %s,"
        " (array_agg(price ORDER BY number))[1], max(price), min(price),"
        " (array_agg(price ORDER BY number DESC))[1], count(*), sum(quantity),"
        " sum(quantity * price) FROM venue_trades WHERE venue = %s AND instrument = %s::numeric"
        " AND asset = %s::numeric AND voided_seq IS NULL AND time_ms >= %s AND time_ms < %s"
        " GROUP BY venue, instrument, asset",
        [seconds, start, *place[:3], start * 1_000, (start + seconds) * 1_000],
    )
