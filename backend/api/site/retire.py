"""Retire: what, for whom, publicly or not, which serials it takes; also bought for it at once."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from backend.api.market_answers import read_market, venue_of
from backend.api.site.language import Texts
from backend.api.site.market import venue_if_open
from backend.api.site.money import money_of
from backend.api.site.rendering import class_name, page, texts_of, vintage
from backend.registries.attributes import COUNTRIES
from backend.registries.programmes import programmes
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
    texts = texts_of(request)
    # A class of a programme that left the table could not be retired: it is not offered.
    offered = tuple(one for one in known if one.programme in programmes())
    return page(
        request,
        "retire.html",
        "retire",
        known=offered,
        money=[money[asset] for asset in assets],
        wanted=wanted,
        data={
            "credits": addresses.get("CarbonCredits", ""),
            "classes": {
                str(one.class_id): {
                    "name": f"{class_name(one)}, {vintage(one)}",
                    "number": one.number,
                    "programme": one.programme,
                }
                for one in offered
            },
            "programmes": {
                code: _rules(texts, code) for code in sorted({one.programme for one in offered})
            },
            "countries": sorted(COUNTRIES),
            "assets": [money[asset].as_json() for asset in assets],
        },
    )


def _rules(texts: Texts, code: str) -> dict[str, Any]:
    """What a programme asks of an instruction, as the form follows it."""
    rules = programmes()[code].rules
    return {
        "beneficiary_required": rules.beneficiary_required,
        "identifier_required": rules.identifier_required,
        "claim_required": rules.claim_required,
        "private_allowed": rules.private_allowed,
        "kinds": rules.kinds,
        "countries": rules.countries,
        "uses": rules.uses,
        "reasons": rules.reasons,
        "plain_reason": rules.plain_reason,
        "schemes": [{"name": one.name, "periods": one.periods} for one in rules.schemes],
        "notices": [texts.notice(code, one) for one in rules.notices],
    }


def _read(
    connection: Connection, head: VenueHead, number: int
) -> tuple[tuple[ClassSummary, ...], list[int], dict[str, str]]:
    venue = venue_if_open(connection, number)
    assets = [one.asset for one in venue.assets if one.listed] if venue else []
    known = classes.list_classes(connection, limit=MAX_LIMIT).items
    return known, assets, deployment(connection)
