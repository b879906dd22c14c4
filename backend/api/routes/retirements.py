"""`/v1/retirements` and `/v1/certificates`: what was retired, with serial numbers."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from backend.api.answers import many, one
from backend.api.errors import responses
from backend.api.models import (
    Answer,
    CertificateModel,
    CertificateTraceModel,
    PageAnswer,
    RetirementModel,
)
from backend.api.parameters import CertificateIdPath, RetirementsQuery
from backend.api.parameters import Query as Plain
from backend.store.queries import certificates, tracing

router = APIRouter(prefix="/v1", tags=["retirements"])


@router.get("/retirements", response_model=PageAnswer[RetirementModel], responses=responses())
async def list_retirements(
    request: Request, query: Annotated[RetirementsQuery, Query()]
) -> Response:
    """Retirements, the newest first, each with its registry status."""
    wanted = query.model_dump(exclude={"min_block"})
    return await many(
        request,
        query,
        RetirementModel,
        lambda db, head: certificates.list_retirements(db, **wanted),
    )


@router.get(
    "/certificates/{certificate_id}",
    response_model=Answer[CertificateModel],
    responses=responses(404),
)
async def get_certificate(
    request: Request, certificate_id: CertificateIdPath, query: Annotated[Plain, Query()]
) -> Response:
    """One certificate: expected serials, actual ones where the registry has confirmed them."""
    return await one(
        request,
        query,
        CertificateModel,
        lambda db, head: certificates.get_certificate(db, certificate_id),
    )


@router.get(
    "/certificates/{certificate_id}/trace",
    tags=["trace"],
    response_model=Answer[CertificateTraceModel],
    responses=responses(404),
)
async def trace_certificate(
    request: Request, certificate_id: CertificateIdPath, query: Annotated[Plain, Query()]
) -> Response:
    """A certificate back through serials and receipts to the registry's own rows."""
    return await one(
        request,
        query,
        CertificateTraceModel,
        lambda db, head: tracing.trace_certificate(db, certificate_id),
    )
