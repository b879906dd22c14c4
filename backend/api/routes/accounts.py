"""`/v1/accounts`: what an address may do, holds, did."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from backend.api.answers import many, one
from backend.api.class_models import AlertModel
from backend.api.errors import responses
from backend.api.models import AccountModel, Answer, HoldingModel, MovementModel, PageAnswer
from backend.api.parameters import AddressPath, MovementsQuery, PageQuery
from backend.api.parameters import Query as Plain
from backend.store.queries import accounts, alerts

router = APIRouter(prefix="/v1/accounts", tags=["accounts"])


@router.get("/{address}", response_model=Answer[AccountModel], responses=responses())
async def get_account(
    request: Request, address: AddressPath, query: Annotated[Plain, Query()]
) -> Response:
    """Admission of an address and the sums of what it holds; `unknown` is an answer."""
    return await one(
        request, query, AccountModel, lambda db, head: accounts.get_account(db, address, head)
    )


@router.get("/{address}/holdings", response_model=PageAnswer[HoldingModel], responses=responses())
async def list_holdings(
    request: Request, address: AddressPath, query: Annotated[PageQuery, Query()]
) -> Response:
    """Classes the account holds or has retired, by class id."""
    page = query.model_dump(exclude={"min_block"})
    return await many(
        request, query, HoldingModel, lambda db, head: accounts.holdings_of(db, address, **page)
    )


@router.get("/{address}/movements", response_model=PageAnswer[MovementModel], responses=responses())
async def list_movements(
    request: Request, address: AddressPath, query: Annotated[MovementsQuery, Query()]
) -> Response:
    """Every change of the account's balances, the newest first."""
    page = query.model_dump(exclude={"min_block"})
    return await many(
        request, query, MovementModel, lambda db, head: accounts.movements_of(db, address, **page)
    )


@router.get("/{address}/alerts", response_model=PageAnswer[AlertModel], responses=responses())
async def list_alerts(
    request: Request, address: AddressPath, query: Annotated[PageQuery, Query()]
) -> Response:
    """Alerts of the classes that the account holds, in its wallet or at the Exchange."""
    page = query.model_dump(exclude={"min_block"})
    return await many(
        request,
        query,
        AlertModel,
        lambda db, head: alerts.alerts_of_holder(db, address, **page),
    )
