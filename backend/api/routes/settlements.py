"""What the chain says of the Exchange: `/v1/settlements` and an account's balances there."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from backend.api.answers import many
from backend.api.errors import responses
from backend.api.market_models import ActModel, ActsQuery, ExchangeBalanceModel
from backend.api.models import PageAnswer
from backend.api.parameters import AddressPath, PageQuery
from backend.store.queries import exchange

router = APIRouter(prefix="/v1")


@router.get(
    "/settlements",
    tags=["market"],
    response_model=PageAnswer[ActModel],
    responses=responses(),
)
async def list_settlements(request: Request, query: Annotated[ActsQuery, Query()]) -> Response:
    """Batches, voids and anchors on chain, the newest first, as of `head`."""
    wanted = query.model_dump(exclude={"min_block"})
    return await many(request, query, ActModel, lambda db, head: exchange.list_acts(db, **wanted))


@router.get(
    "/accounts/{address}/exchange",
    tags=["accounts"],
    response_model=PageAnswer[ExchangeBalanceModel],
    responses=responses(),
)
async def list_exchange_balances(
    request: Request, address: AddressPath, query: Annotated[PageQuery, Query()]
) -> Response:
    """What the Exchange holds for the account on chain, what can be claimed, running exits.

    Trades that are matched and not settled yet are not in it: see `/v1/venue/accounts`.
    """
    page = query.model_dump(exclude={"min_block"})
    return await many(
        request,
        query,
        ExchangeBalanceModel,
        lambda db, head: exchange.balances_of(db, address, **page),
    )
