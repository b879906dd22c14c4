"""What one owns and every way in and out: a page whose figures only its owner's wallet brings."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from backend.api.market_answers import read_market, venue_of
from backend.api.site.market import venue_if_open
from backend.api.site.money import money_of
from backend.api.site.rendering import class_name, page, vintage
from backend.store.queries import classes
from backend.store.queries.classes import ClassSummary
from backend.store.queries.market import Venue, VenueHead
from backend.store.queries.reading import MAX_LIMIT, Connection, deployment

router = APIRouter(include_in_schema=False)


@router.get("/portfolio")
async def portfolio_page(request: Request) -> Response:
    """The frame of the portfolio; its script asks the wallet and the API."""
    number = venue_of(request)
    _, (venue, known, addresses) = await read_market(
        request, None, lambda db, head: _read(db, head, number)
    )
    money = await money_of(request, {one.asset for one in venue.assets} if venue else set())
    return page(
        request,
        "portfolio.html",
        "portfolio",
        venue=venue,
        data={
            "exchange": addresses.get("Exchange", ""),
            "credits": addresses.get("CarbonCredits", ""),
            "window": venue.window_seconds if venue else 0,
            "assets": [one.as_json() for one in money.values()],
            "classes": {str(one.class_id): f"{class_name(one)} {vintage(one)}" for one in known},
        },
    )


def _read(
    connection: Connection, head: VenueHead, number: int
) -> tuple[Venue | None, tuple[ClassSummary, ...], dict[str, str]]:
    venue = venue_if_open(connection, number)
    known = classes.list_classes(connection, limit=MAX_LIMIT).items
    return venue, known, deployment(connection)
