"""Retire: what, for whom, publicly or not, which serials it takes; also bought for it at once."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from backend.api.market_answers import read_market, venue_of
from backend.api.site.market import venue_if_open
from backend.api.site.money import money_of
from backend.api.site.rendering import class_name, page, vintage
from backend.store.queries import classes
from backend.store.queries.classes import ClassSummary
from backend.store.queries.market import VenueHead
from backend.store.queries.reading import MAX_LIMIT, Connection, deployment

router = APIRouter(include_in_schema=False)


@router.get("/retire")
async def retire_page(request: Request) -> Response:
    """The form; `?class=` chooses what is retired."""
    _, (known, assets, addresses) = await read_market(
        request, None, lambda db, head: _read(db, head, venue_of(request))
    )
    money = await money_of(request, set(assets))
    wanted = request.query_params.get("class", "")
    return page(
        request,
        "retire.html",
        "retire",
        known=known,
        money=[money[asset] for asset in assets],
        wanted=wanted,
        data={
            "credits": addresses.get("CarbonCredits", ""),
            "classes": {str(one.class_id): f"{class_name(one)}, {vintage(one)}" for one in known},
            "numbers": {str(one.class_id): one.number for one in known},
            "assets": [money[asset].as_json() for asset in assets],
        },
    )


def _read(
    connection: Connection, head: VenueHead, number: int
) -> tuple[tuple[ClassSummary, ...], list[int], dict[str, str]]:
    venue = venue_if_open(connection, number)
    assets = [one.asset for one in venue.assets if one.listed] if venue else []
    known = classes.list_classes(connection, limit=MAX_LIMIT).items
    return known, assets, deployment(connection)
