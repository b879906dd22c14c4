"""`/v1/receipts` and `/v1/serials`: what is in trust, and where one serial number went."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from backend.api.answers import many, one
from backend.api.errors import responses
from backend.api.models import (
    Answer,
    PageAnswer,
    ReceiptDetail,
    ReceiptModel,
    SerialTraceModel,
)
from backend.api.parameters import Query as Plain
from backend.api.parameters import ReceiptIdPath, ReceiptsQuery, SerialPath, SeriesPath
from backend.store.queries import receipts, tracing

router = APIRouter(prefix="/v1")


@router.get(
    "/receipts",
    tags=["custody"],
    response_model=PageAnswer[ReceiptModel],
    responses=responses(),
)
async def list_receipts(request: Request, query: Annotated[ReceiptsQuery, Query()]) -> Response:
    """Custody receipts: those not on chain yet, then the newest first."""
    wanted = query.model_dump(exclude={"min_block"})
    return await many(
        request, query, ReceiptModel, lambda db, head: receipts.list_receipts(db, **wanted)
    )


@router.get(
    "/receipts/{receipt_id}",
    tags=["custody"],
    response_model=Answer[ReceiptDetail],
    responses=responses(404),
)
async def get_receipt(
    request: Request, receipt_id: ReceiptIdPath, query: Annotated[Plain, Query()]
) -> Response:
    """One receipt: its serials, its signers, what became of it."""
    return await one(
        request, query, ReceiptDetail, lambda db, head: receipts.get_receipt(db, receipt_id)
    )


@router.get(
    "/serials/{series}/{number}",
    tags=["trace"],
    response_model=Answer[SerialTraceModel],
    responses=responses(404),
)
async def trace_serial(
    request: Request,
    series: SeriesPath,
    number: SerialPath,
    query: Annotated[Plain, Query()],
) -> Response:
    """One serial: registry rows, receipt, class and position, certificates or holders."""
    return await one(
        request,
        query,
        SerialTraceModel,
        lambda db, head: tracing.trace_serial(db, tracing.resolve_series(db, series), number),
    )
