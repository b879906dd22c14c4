"""The market: every instrument and what it trades at, filtered, sorted, linkable."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from backend.api.market_answers import read_market, venue_of
from backend.api.site.money import Money, money_of
from backend.api.site.rendering import page
from backend.errors import NotFound
from backend.store.queries import classes, market
from backend.store.queries.classes import ClassSummary
from backend.store.queries.market import MarketSummary, Venue, VenueHead
from backend.store.queries.market_trends import Trend, trends
from backend.store.queries.reading import MAX_LIMIT, Connection

#: A page shows at most so many; filters find the rest.
MOST_SHOWN: Final = 200
_BPS: Final = 10_000
_NO_TREND: Final = Trend((), None)
SORTS: Final = ("name", "volume", "price", "change")

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class Line:
    """One market as the list shows it."""

    credit_class: ClassSummary
    summary: MarketSummary
    trend: Trend
    money: Money

    @property
    def change_bps(self) -> int | None:
        """Last price against that of a day ago, in hundredths of a percent, towards zero (L11)."""
        last, before = self.summary.last_price, self.trend.day_ago
        if last is None or not before:
            return None
        moved = (abs(last - before) * _BPS) // before
        return moved if last >= before else -moved

    @property
    def points(self) -> str:
        """The sparkline as points of a polyline in a box of 96 by 24."""
        prices = self.trend.daily
        low, high = min(prices), max(prices)
        spread, steps = max(high - low, 1), max(len(prices) - 1, 1)
        return " ".join(
            f"{2 + index * 92 // steps},{22 - (price - low) * 20 // spread}"
            for index, price in enumerate(prices)
        )


@dataclass(frozen=True, slots=True)
class Filters:
    """What the reader asked for; empty means all."""

    query: str = ""
    programme: str = ""
    label: str = ""
    vintage: str = ""
    asset: str = ""
    sort: str = "volume"

    def admits(self, line: Line) -> bool:
        found = line.credit_class
        words = f"{found.programme} {found.project} {found.project_name or ''}".casefold()
        return (
            all(word in words for word in self.query.casefold().split())
            and self.programme in ("", found.programme)
            and (not self.label or self.label in (found.cohort or ()))
            and (not self.vintage or _covers(found, self.vintage))
            and self.asset in ("", line.money.symbol)
        )


def _covers(found: ClassSummary, year: str) -> bool:
    wanted = int(year) if year.isascii() and year.isdigit() else -1
    return found.vintage_start.year <= wanted <= found.vintage_end.year


@router.get("/market")
async def market_page(
    request: Request,
    q: Annotated[str, Query(max_length=80)] = "",
    programme: Annotated[str, Query(max_length=32)] = "",
    label: Annotated[str, Query(max_length=64)] = "",
    vintage: Annotated[str, Query(max_length=4)] = "",
    asset: Annotated[str, Query(max_length=16)] = "",
    sort: Annotated[str, Query(max_length=8)] = "volume",
) -> Response:
    """Every class against every settlement asset that it can trade in."""
    head, (venue, known, summaries, moved) = await read_market(
        request, None, lambda db, head: _read(db, head, venue_of(request))
    )
    listed = [one.asset for one in venue.assets if one.listed] if venue else []
    money = await money_of(request, {*listed, *(one.asset for one in summaries.values())})
    lines = [
        Line(found, summaries.get(key) or _quiet(*key), moved.get(key, _NO_TREND), money[key[1]])
        for found in known
        for key in ((found.class_id, asset) for asset in money)
    ]
    filters = Filters(
        q.strip(), programme, label, vintage, asset, sort if sort in SORTS else "name"
    )
    shown = _sorted([line for line in lines if filters.admits(line)], filters.sort)
    return page(
        request,
        "market.html",
        "market",
        head=head,
        venue=venue,
        lines=shown[:MOST_SHOWN],
        count=len(shown),
        filters=filters,
        sorts=SORTS,
        programmes=sorted({found.programme for found in known}),
        labels=sorted({code for found in known for code in found.cohort or ()}),
        vintages=sorted({found.vintage_end.year for found in known}, reverse=True),
        symbols=sorted({one.symbol for one in money.values()}),
    )


_Read = tuple[
    Venue | None,
    tuple[ClassSummary, ...],
    dict[tuple[int, int], MarketSummary],
    dict[tuple[int, int], Trend],
]


def venue_if_open(connection: Connection, number: int) -> Venue | None:
    """The venue; None before it has opened: pages stand without one."""
    try:
        return market.get_venue(connection, number)
    except NotFound:
        return None


def _read(connection: Connection, head: VenueHead, number: int) -> _Read:
    venue = venue_if_open(connection, number)
    found = market.list_markets(connection, head, limit=MAX_LIMIT)
    summaries = {(one.instrument, one.asset): one for one in found.items}
    known = classes.list_classes(connection, limit=MAX_LIMIT).items
    return venue, known, summaries, trends(connection, head)


def _quiet(instrument: int, asset: int) -> MarketSummary:
    """A market that never had an order: there is nothing in it that could be halted."""
    values: dict[str, Any] = dict.fromkeys(field.name for field in fields(MarketSummary))
    sums = ("trades", "tonnes", "turnover", "day_trades", "day_tonnes", "day_turnover")
    values |= dict.fromkeys(sums, 0)
    values |= {"instrument": instrument, "asset": asset, "halted_for": ()}
    return MarketSummary(**values)


def _sorted(lines: list[Line], sort: str) -> list[Line]:
    """By what was asked for, the most first; what has no such figure comes last, by its name."""

    def name(line: Line) -> tuple[str, int, str]:
        found = line.credit_class
        return found.project_name or found.project, found.number, line.money.symbol

    def figure(line: Line) -> int | None:
        if sort == "volume":
            return line.summary.day_tonnes or (0 if line.summary.last_price else None)
        return line.summary.last_price if sort == "price" else line.change_bps

    ordered = sorted(lines, key=name)
    if sort == "name":
        return ordered

    def rank(line: Line) -> tuple[bool, int]:
        value = figure(line)
        return value is None, -(value or 0)

    return sorted(ordered, key=rank)
