"""`/v1/deliveries`, `conversions`, `reserve`, `breaks`: what the bridge does; is it backed."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from backend.api.answers import many, one
from backend.api.bridge_models import (
    BreakModel,
    ConversionClaimModel,
    ConversionModel,
    DeliveryModel,
    LiabilityProofModel,
    ReserveModel,
)
from backend.api.errors import responses
from backend.api.models import Answer, PageAnswer
from backend.api.parameters import (
    AddressPath,
    BreaksQuery,
    ClassIdPath,
    ConversionIdPath,
    ConversionsQuery,
    DeliveriesQuery,
    DeliveryIdPath,
)
from backend.api.parameters import Query as Plain
from backend.store import breaks
from backend.store.queries import conversions, deliveries, reserve

router = APIRouter(prefix="/v1", tags=["bridge"])


@router.get("/deliveries", response_model=PageAnswer[DeliveryModel], responses=responses())
async def list_deliveries(request: Request, query: Annotated[DeliveriesQuery, Query()]) -> Response:
    """Deliveries, the newest first, each with its deadlines and phases."""
    wanted = query.model_dump(exclude={"min_block"})
    return await many(
        request, query, DeliveryModel, lambda db, head: deliveries.list_deliveries(db, **wanted)
    )


@router.get(
    "/deliveries/{delivery_id}",
    response_model=Answer[DeliveryModel],
    responses=responses(404),
)
async def get_delivery(
    request: Request, delivery_id: DeliveryIdPath, query: Annotated[Plain, Query()]
) -> Response:
    """One delivery."""
    return await one(
        request, query, DeliveryModel, lambda db, head: deliveries.get_delivery(db, delivery_id)
    )


@router.get("/conversions", response_model=PageAnswer[ConversionModel], responses=responses())
async def list_conversions(
    request: Request, query: Annotated[ConversionsQuery, Query()]
) -> Response:
    """Conversions, exchanges and label splits, the newest first."""
    wanted = query.model_dump(exclude={"min_block"})
    return await many(
        request,
        query,
        ConversionModel,
        lambda db, head: conversions.list_conversions(db, **wanted),
    )


@router.get(
    "/conversions/{conversion_id}",
    response_model=Answer[ConversionModel],
    responses=responses(404),
)
async def get_conversion(
    request: Request, conversion_id: ConversionIdPath, query: Annotated[Plain, Query()]
) -> Response:
    """One conversion, and how much of it was claimed."""
    return await one(
        request,
        query,
        ConversionModel,
        lambda db, head: conversions.get_conversion(db, conversion_id),
    )


@router.get(
    "/conversions/{conversion_id}/claims/{address}",
    response_model=Answer[ConversionClaimModel],
    responses=responses(404),
)
async def get_claim(
    request: Request,
    conversion_id: ConversionIdPath,
    address: AddressPath,
    query: Annotated[Plain, Query()],
) -> Response:
    """What a holder can claim, with the proof that the contract asks; 404 without a share."""
    return await one(
        request,
        query,
        ConversionClaimModel,
        lambda db, head: conversions.claim_of(db, conversion_id, address),
    )


@router.get("/reserve", response_model=Answer[ReserveModel], responses=responses(404))
async def get_reserve(request: Request, query: Annotated[Plain, Query()]) -> Response:
    """The newest reserve report: per class what is covered and what is minted, and its age."""
    return await one(request, query, ReserveModel, lambda db, head: reserve.get_reserve(db))


@router.get(
    "/reserve/liabilities/{address}/{class_id}",
    response_model=Answer[LiabilityProofModel],
    responses=responses(404),
)
async def get_liability(
    request: Request,
    address: AddressPath,
    class_id: ClassIdPath,
    query: Annotated[Plain, Query()],
) -> Response:
    """A holder's proof that the report counts their balance; 404 when it was 0 then."""
    return await one(
        request,
        query,
        LiabilityProofModel,
        lambda db, head: reserve.liability_proof(db, address, class_id),
    )


@router.get("/breaks", response_model=PageAnswer[BreakModel], responses=responses())
async def list_breaks(request: Request, query: Annotated[BreaksQuery, Query()]) -> Response:
    """Differences between registry, custody and chain, the newest first."""
    wanted = query.model_dump(exclude={"min_block"})
    return await many(request, query, BreakModel, lambda db, head: breaks.list_breaks(db, **wanted))
