"""One market: depth, tape, chart, what the credits are, the order ticket."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from backend.api.market_answers import read_market, venue_of
from backend.api.market_models import AssetPath, InstrumentPath
from backend.api.site.market import Line
from backend.api.site.money import money_of
from backend.api.site.rendering import page
from backend.errors import NotFound
from backend.store.queries import alerts, classes, market
from backend.store.queries.alerts import Alert
from backend.store.queries.classes import ClassBlock, ClassDetail
from backend.store.queries.market import Book, MarketSummary, TapeTrade, Venue, VenueHead
from backend.store.queries.market_trends import Trend, trends
from backend.store.queries.reading import Connection

LEVELS: Final = 12
TRADES: Final = 30
BLOCKS: Final = 20
ALERTS: Final = 10

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class _Found:
    """What one snapshot says of a market."""

    venue: Venue
    summary: MarketSummary
    book: Book
    trades: tuple[TapeTrade, ...]
    trend: Trend
    detail: ClassDetail
    blocks: tuple[ClassBlock, ...]
    alerts: tuple[Alert, ...]


@router.get("/market/{instrument}")
async def instrument_page(request: Request, instrument: InstrumentPath) -> Response:
    """An instrument in the asset that it traded most in, or the first that is listed."""

    def find(db: Connection, head: VenueHead) -> int:
        venue = market.get_venue(db, venue_of(request))
        traded = market.list_markets(db, head, instrument=instrument).items
        if traded:
            return max(traded, key=lambda one: (one.day_tonnes, one.tonnes)).asset
        listed = [one.asset for one in venue.assets if one.listed]
        if not listed:
            raise NotFound("no settlement asset is listed", venue=str(venue.venue))
        return listed[0]

    _, asset = await read_market(request, None, find)
    money = (await money_of(request, {asset}))[asset]
    return RedirectResponse(f"/market/{instrument}/{money.address}", 307)


@router.get("/market/{instrument}/{asset}")
async def market_page(request: Request, instrument: InstrumentPath, asset: AssetPath) -> Response:
    """The market as it stands; the page's script goes on from there."""
    number = int(asset, 16)
    head, found = await read_market(
        request, None, lambda db, head: _read(db, head, venue_of(request), instrument, number)
    )
    listed = {one.asset for one in found.venue.assets if one.listed} | {number}
    money = await money_of(request, listed)
    line = Line(found.detail.credit_class, found.summary, found.trend, money[number])
    return page(
        request,
        "instrument.html",
        "market",
        head=head,
        found=found,
        line=line,
        money=money[number],
        others=[one for key, one in sorted(money.items()) if key != number],
        most=max((level.tonnes for level in (*found.book.bids, *found.book.asks)), default=1),
        data={"instrument": str(instrument), "asset": money[number].as_json()},
    )


def _read(
    connection: Connection, head: VenueHead, venue: int, instrument: int, asset: int
) -> _Found:
    return _Found(
        market.get_venue(connection, venue),
        market.get_market(connection, head, instrument, asset),
        market.get_book(connection, head, instrument, asset, LEVELS),
        market.tape(connection, head, instrument, asset, limit=TRADES).items,
        trends(connection, head).get((instrument, asset), Trend((), None)),
        classes.get_class_detail(connection, instrument),
        classes.class_blocks(connection, instrument, limit=BLOCKS).items,
        alerts.alerts_of_class(connection, instrument, limit=ALERTS).items,
    )
