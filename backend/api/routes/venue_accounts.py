"""`/v1/venue/accounts/{address}`: what an account has and did at the venue, for itself alone."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from backend.api.errors import responses
from backend.api.market_answers import one_of_market, page_of_market
from backend.api.market_models import (
    AccountTradeModel,
    AccountTradesQuery,
    ExitModel,
    OrdersQuery,
    StatementModel,
    StatementQuery,
    VenueAccountModel,
    VenueAnswer,
    VenueDepositModel,
    VenueOrderModel,
    VenuePage,
    VenuePageAnswer,
    VenueQuery,
    VenueWithdrawalModel,
)
from backend.api.session import require_account
from backend.errors import InvalidValue
from backend.store.queries import orders, venue_accounts

router = APIRouter(prefix="/v1/venue/accounts", tags=["venue accounts"])
#: The address in the path; a session of its own opens it.
Own = Annotated[str, Depends(require_account)]
_PROBLEMS = responses(401, 403)


@router.get("/{address}", response_model=VenueAnswer[VenueAccountModel], responses=_PROBLEMS)
async def get_account(
    request: Request, account: Own, query: Annotated[VenueQuery, Query()]
) -> Response:
    """Balances, the next nonce, how many orders are open."""
    return await one_of_market(
        request,
        query,
        VenueAccountModel,
        lambda db, head: venue_accounts.get_account(db, head, account),
        private=True,
    )


@router.get(
    "/{address}/orders", response_model=VenuePageAnswer[VenueOrderModel], responses=_PROBLEMS
)
async def list_orders(
    request: Request, account: Own, query: Annotated[OrdersQuery, Query()]
) -> Response:
    """Orders of the account, refused ones too, the newest first."""
    wanted = query.model_dump(exclude={"min_seq"})
    return await page_of_market(
        request,
        query,
        VenueOrderModel,
        lambda db, head: orders.orders_of(db, head, account, **wanted),
        private=True,
    )


@router.get(
    "/{address}/trades", response_model=VenuePageAnswer[AccountTradeModel], responses=_PROBLEMS
)
async def list_trades(
    request: Request, account: Own, query: Annotated[AccountTradesQuery, Query()]
) -> Response:
    """Trades of the account's orders, the newest first."""
    wanted = query.model_dump(exclude={"min_seq"})
    return await page_of_market(
        request,
        query,
        AccountTradeModel,
        lambda db, head: venue_accounts.trades_of(db, head, account, **wanted),
        private=True,
    )


@router.get(
    "/{address}/statement", response_model=VenuePageAnswer[StatementModel], responses=_PROBLEMS
)
async def list_statement(
    request: Request, account: Own, query: Annotated[StatementQuery, Query()]
) -> Response:
    """Every change of the account's totals and what it left, the newest first."""
    if query.asset is not None and query.class_id is not None:
        raise InvalidValue("asset", query.asset, "cannot be asked for beside a class_id")
    asset = query.class_id if query.asset is None else int(query.asset, 16)
    page = query.model_dump(exclude={"min_seq", "asset", "class_id"})
    return await page_of_market(
        request,
        query,
        StatementModel,
        lambda db, head: venue_accounts.statement_of(db, head, account, asset=asset, **page),
        private=True,
    )


@router.get(
    "/{address}/withdrawals",
    response_model=VenuePageAnswer[VenueWithdrawalModel],
    responses=_PROBLEMS,
)
async def list_withdrawals(
    request: Request, account: Own, query: Annotated[VenuePage, Query()]
) -> Response:
    """Withdrawals of the account and how far each is, the newest first."""
    page = query.model_dump(exclude={"min_seq"})
    return await page_of_market(
        request,
        query,
        VenueWithdrawalModel,
        lambda db, head: venue_accounts.withdrawals_of(db, head, account, **page),
        private=True,
    )


@router.get("/{address}/exits", response_model=VenuePageAnswer[ExitModel], responses=_PROBLEMS)
async def list_exits(
    request: Request, account: Own, query: Annotated[VenuePage, Query()]
) -> Response:
    """Forced exits of the account, the newest first."""
    page = query.model_dump(exclude={"min_seq"})
    return await page_of_market(
        request,
        query,
        ExitModel,
        lambda db, head: venue_accounts.exits_of(db, head, account, **page),
        private=True,
    )


@router.get(
    "/{address}/deposits", response_model=VenuePageAnswer[VenueDepositModel], responses=_PROBLEMS
)
async def list_deposits(
    request: Request, account: Own, query: Annotated[VenuePage, Query()]
) -> Response:
    """Deposits that the venue has credited, the newest first."""
    page = query.model_dump(exclude={"min_seq"})
    return await page_of_market(
        request,
        query,
        VenueDepositModel,
        lambda db, head: venue_accounts.deposits_of(db, head, account, **page),
        private=True,
    )
