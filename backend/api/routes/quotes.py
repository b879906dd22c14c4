"""`/v1/quotes/…`: what it costs in all, before anything is signed; no wallet, no session."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from backend.api.answers import one
from backend.api.errors import responses
from backend.api.market_answers import one_of_market
from backend.api.market_models import VenueAnswer
from backend.api.models import Answer
from backend.api.quote_models import DeliverQuery, PurchaseQuery, QuoteModel, RetireQuery
from backend.api.quoting import Quoter, delivery_terms, quoter_of
from backend.domain.quotes import TotalCost

router = APIRouter(prefix="/v1/quotes", tags=["quotes"])


@router.get("/buy", response_model=VenueAnswer[QuoteModel], responses=responses(404))
async def quote_buying(request: Request, query: Annotated[PurchaseQuery, Query()]) -> Response:
    """Tonnes of an instrument bought now: what the matcher would charge against the book at `seq`.

    `not-enough` names `asked` and `available` tonnes when the book does not fill it; `conflict` the
    `reason` for which every order would be refused now (`halted`, `paused`, `class_halted`,
    `unknown_asset`).
    """
    return await _of_a_purchase(request, query, Quoter.buy)


@router.get("/buy-and-retire", response_model=VenueAnswer[QuoteModel], responses=responses(404))
async def quote_buying_and_retiring(
    request: Request, query: Annotated[PurchaseQuery, Query()]
) -> Response:
    """Tonnes bought now and retired with one signature; refused as a purchase is."""
    return await _of_a_purchase(request, query, Quoter.buy_and_retire)


async def _of_a_purchase(
    request: Request, query: PurchaseQuery, quote: Callable[..., TotalCost]
) -> Response:
    """The answer of a route that quotes from the book."""
    wanted = (query.instrument, int(query.asset, 16), query.tonnes)
    quoter = quoter_of(request)
    return await one_of_market(
        request,
        query,
        QuoteModel,
        lambda db, head: quote(quoter, db, head, *wanted),
        private=True,
    )


@router.get("/retire", response_model=Answer[QuoteModel], responses=responses(404))
async def quote_retiring(request: Request, query: Annotated[RetireQuery, Query()]) -> Response:
    """Kilograms that one holds, retired now; the wallet pays the transaction's gas besides."""
    quoter = quoter_of(request)
    return await one(
        request,
        query,
        QuoteModel,
        lambda db, head: quoter.retire(db, query.class_id, query.kilograms),
        private=True,
    )


@router.get("/deliver", response_model=Answer[QuoteModel], responses=responses(404))
async def quote_delivering(request: Request, query: Annotated[DeliverQuery, Query()]) -> Response:
    """Whole tonnes delivered to a registry account; the wallet pays the gas besides."""
    quoter, terms = quoter_of(request), await delivery_terms(request)
    return await one(
        request,
        query,
        QuoteModel,
        lambda db, head: quoter.deliver(db, query.class_id, query.tonnes, terms),
        private=True,
    )
