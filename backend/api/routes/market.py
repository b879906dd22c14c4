"""`/v1/venue`, `/v1/markets`, `/v1/trades`, `/v1/orders/…`: what anybody may know of the market."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from backend.api.answers import services_of
from backend.api.errors import responses
from backend.api.market_answers import one_of_market, page_of_market, read_market, venue_of
from backend.api.market_models import (
    AssetPath,
    BookModel,
    BookQuery,
    CandleModel,
    CandlesQuery,
    InstrumentPath,
    MarketModel,
    MarketsQuery,
    NoncePath,
    TapeTradeModel,
    TradeModel,
    TradePath,
    TraderPath,
    VenueAnswer,
    VenueModel,
    VenueOrderModel,
    VenuePage,
    VenuePageAnswer,
    VenueQuery,
)
from backend.api.session import account_of_token
from backend.domain import orders as rules
from backend.errors import NotFound, NotSignedIn
from backend.store.queries import market, orders
from backend.store.queries.market import Venue, VenueHead
from backend.store.queries.reading import Connection

router = APIRouter(prefix="/v1", tags=["market"])
_bearer = HTTPBearer(auto_error=False, description="Token of `POST /v1/session`.")
_TYPES = {
    **rules.ORDER_TYPES,
    **rules.WITHDRAWAL_TYPES,
    **rules.CANCEL_TYPES,
    **rules.CANCEL_ALL_TYPES,
}
_SECONDS = {"1m": 60, "1h": 3_600, "1d": 86_400}
_LIMITS = {
    "max_quantity": rules.MAX_QUANTITY,
    "max_balance": rules.MAX_BALANCE,
    "max_fee_bps": rules.MAX_FEE_BPS,
    "max_order_seconds": rules.MAX_ORDER_SECONDS,
    "max_nonce": rules.MAX_NONCE,
    "nonce_window": rules.NONCE_WINDOW,
    "kilograms_per_tonne": rules.KILOGRAMS_PER_TONNE,
}


@router.get("/venue", response_model=VenueAnswer[VenueModel], responses=responses(404))
async def get_venue(request: Request, query: Annotated[VenueQuery, Query()]) -> Response:
    """The venue: what to sign, fees, limits, settlement assets, whether it trades."""
    return await one_of_market(
        request,
        query,
        VenueModel,
        lambda db, head: _described(market.get_venue(db, venue_of(request))),
    )


def _described(venue: Venue) -> dict[str, Any]:
    """The venue with what is the same for every venue."""
    types = {
        name: [{"name": field, "type": kind} for field, kind in fields]
        for name, fields in _TYPES.items()
    }
    domain = {
        "name": rules.EXCHANGE_NAME,
        "version": rules.EXCHANGE_VERSION,
        "chain_id": venue.chain_id,
        "verifying_contract": venue.exchange,
    }
    fixed = {"signing_domain": domain, "signing_types": types, "limits": _LIMITS}
    return asdict(venue) | fixed


@router.get("/markets", response_model=VenuePageAnswer[MarketModel], responses=responses())
async def list_markets(request: Request, query: Annotated[MarketsQuery, Query()]) -> Response:
    """Markets that ever had an order: last price, best prices, volumes."""
    wanted = query.model_dump(exclude={"min_seq"})
    if query.asset is not None:
        wanted["asset"] = int(query.asset, 16)
    return await page_of_market(
        request, query, MarketModel, lambda db, head: market.list_markets(db, head, **wanted)
    )


@router.get(
    "/markets/{instrument}/{asset}",
    response_model=VenueAnswer[MarketModel],
    responses=responses(404),
)
async def get_market(
    request: Request,
    instrument: InstrumentPath,
    asset: AssetPath,
    query: Annotated[VenueQuery, Query()],
) -> Response:
    """One market: last price, best prices, volumes."""
    return await one_of_market(
        request,
        query,
        MarketModel,
        lambda db, head: market.get_market(db, head, instrument, int(asset, 16)),
    )


@router.get(
    "/markets/{instrument}/{asset}/book",
    response_model=VenueAnswer[BookModel],
    responses=responses(404),
)
async def get_book(
    request: Request,
    instrument: InstrumentPath,
    asset: AssetPath,
    query: Annotated[BookQuery, Query()],
) -> Response:
    """The order book by price level; the stream goes on from its `seq`."""
    return await one_of_market(
        request,
        query,
        BookModel,
        lambda db, head: market.get_book(db, head, instrument, int(asset, 16), query.levels),
    )


@router.get(
    "/markets/{instrument}/{asset}/trades",
    response_model=VenuePageAnswer[TapeTradeModel],
    responses=responses(404),
)
async def list_trades(
    request: Request,
    instrument: InstrumentPath,
    asset: AssetPath,
    query: Annotated[VenuePage, Query()],
) -> Response:
    """The tape: trades of a market, the newest first."""
    page = query.model_dump(exclude={"min_seq"})
    return await page_of_market(
        request,
        query,
        TapeTradeModel,
        lambda db, head: market.tape(db, head, instrument, int(asset, 16), **page),
    )


@router.get(
    "/markets/{instrument}/{asset}/candles",
    response_model=VenuePageAnswer[CandleModel],
    responses=responses(404),
)
async def list_candles(
    request: Request,
    instrument: InstrumentPath,
    asset: AssetPath,
    query: Annotated[CandlesQuery, Query()],
) -> Response:
    """Prices and sums by minute, hour or day, the newest first."""
    page = query.model_dump(exclude={"min_seq", "interval"})
    wanted = {"seconds": _SECONDS[query.interval], **page}
    return await page_of_market(
        request,
        query,
        CandleModel,
        lambda db, head: market.candles_of(db, head, instrument, int(asset, 16), **wanted),
    )


@router.get("/trades/{number}", response_model=VenueAnswer[TradeModel], responses=responses(404))
async def get_trade(
    request: Request, number: TradePath, query: Annotated[VenueQuery, Query()]
) -> Response:
    """One trade with its parties, fees and state."""
    return await one_of_market(
        request, query, TradeModel, lambda db, head: market.get_trade(db, head, number)
    )


@router.get(
    "/orders/{trader}/{nonce}",
    response_model=VenueAnswer[VenueOrderModel],
    responses=responses(401, 404),
)
async def get_order(
    request: Request,
    trader: TraderPath,
    nonce: NoncePath,
    query: Annotated[VenueQuery, Query()],
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> Response:
    """One order: its trader's alone until it trades, then public as on chain."""

    def find(db: Connection, head: VenueHead) -> orders.OrderView | None:
        try:
            return orders.get_order(db, head, trader, nonce)
        except NotFound:
            return None

    _, found = await read_market(request, query.min_seq, find)
    if found is None or not found.filled + found.voided:
        # Whether there is an order at all is its trader's to know.
        token = credentials.credentials if credentials else None
        account = await account_of_token(services_of(request), token)
        if account != trader:
            raise NotSignedIn("the order is another account's", account=account, asked=trader)
    return await one_of_market(
        request,
        query,
        VenueOrderModel,
        lambda db, head: orders.get_order(db, head, trader, nonce),
        private=True,
    )
