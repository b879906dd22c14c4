"""How the prices of markets moved: what a list of them shows beside the last price."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import distinct_on

from backend.store import market_tables as tables
from backend.store.queries.market import DAY, VenueHead

HOUR: Final = 3_600
#: A trend shows so many days.
TREND_DAYS: Final = 30


@dataclass(frozen=True, slots=True)
class Trend:
    """Closing prices of a market, base units per tonne, the oldest first.

    `daily` has one for each of the last 30 days in which something traded; `day_ago` is the last
    price more than 24 hours before the journal's newest entry, None when there was none.
    """

    daily: tuple[int, ...]
    day_ago: int | None


def trends(connection: Connection, head: VenueHead) -> dict[tuple[int, int], Trend]:
    """The trend of every market by (instrument, asset); two queries."""
    candles = tables.venue_candles
    now = head.time_ms // 1_000
    rows = connection.execute(
        select(candles.c.instrument, candles.c.asset, candles.c.close)
        .where(
            candles.c.venue == head.venue,
            candles.c.seconds == DAY,
            candles.c.start > now - TREND_DAYS * DAY,
        )
        .order_by(candles.c.start)
    )
    daily: dict[tuple[int, int], list[int]] = {}
    for row in rows:
        daily.setdefault((row.instrument, row.asset), []).append(row.close)
    older = connection.execute(
        select(candles.c.instrument, candles.c.asset, candles.c.close)
        .where(
            candles.c.venue == head.venue,
            candles.c.seconds == HOUR,
            candles.c.start <= now - DAY - HOUR,
        )
        .order_by(candles.c.instrument, candles.c.asset, candles.c.start.desc())
        .ext(distinct_on(candles.c.instrument, candles.c.asset))
    )
    before = {(row.instrument, row.asset): int(row.close) for row in older}
    return {
        market: Trend(tuple(daily.get(market, ())), before.get(market))
        for market in daily.keys() | before.keys()
    }
