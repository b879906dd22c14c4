"""`/v1/classes`: classes, their serials, who holds them, what was retired of them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from backend.api.answers import many, one
from backend.api.class_models import AlertModel, ClassDetail, UpcomingModel
from backend.api.errors import responses
from backend.api.models import (
    Answer,
    ClassBlockModel,
    ClassModel,
    HolderModel,
    PageAnswer,
    RetirementModel,
)
from backend.api.parameters import ClassesQuery, ClassIdPath, PageQuery, UpcomingQuery
from backend.api.parameters import Query as Plain
from backend.bridge import class_facts
from backend.bridge.class_facts import day_of
from backend.store.queries import accounts, alerts, certificates, classes
from backend.store.queries.reading import ChainHead, Connection
from backend.store.queries.upcoming import upcoming

router = APIRouter(prefix="/v1/classes", tags=["classes"])


@router.get("", response_model=PageAnswer[ClassModel], responses=responses())
async def list_classes(request: Request, query: Annotated[ClassesQuery, Query()]) -> Response:
    """Classes in the order of their first mints."""
    wanted = query.model_dump(exclude={"min_block"})
    return await many(
        request, query, ClassModel, lambda db, head: classes.list_classes(db, **wanted)
    )


@router.get("/{class_id}", response_model=Answer[ClassDetail], responses=responses(404))
async def get_class(
    request: Request, class_id: ClassIdPath, query: Annotated[Plain, Query()]
) -> Response:
    """One class: counters, supply, labels, dated facts, attributes of its newest import."""
    return await one(request, query, ClassDetail, lambda db, head: _detail(db, head, class_id))


def _detail(connection: Connection, head: ChainHead, class_id: int) -> dict[str, Any]:
    found = class_facts.of_class(connection, class_id, day_of(head.timestamp or 0))
    return {
        "credit_class": found.detail.credit_class,
        "facts": found.detail.facts,
        "attributes": found.attributes,
        "article6": found.uses,
        "corsia": found.corsia,
        "unreadable": found.unreadable,
    }


@router.get(
    "/{class_id}/blocks", response_model=PageAnswer[ClassBlockModel], responses=responses(404)
)
async def list_class_blocks(
    request: Request, class_id: ClassIdPath, query: Annotated[PageQuery, Query()]
) -> Response:
    """Blocks by position: the serials that were minted, and those that stand there now."""
    page = query.model_dump(exclude={"min_block"})
    return await many(
        request,
        query,
        ClassBlockModel,
        lambda db, head: classes.class_blocks(db, class_id, **page),
    )


@router.get("/{class_id}/upcoming", response_model=Answer[UpcomingModel], responses=responses(404))
async def get_upcoming(
    request: Request, class_id: ClassIdPath, query: Annotated[UpcomingQuery, Query()]
) -> Response:
    """The serials that a retirement of so many kilograms would consume now, in their order."""
    return await one(
        request, query, UpcomingModel, lambda db, head: upcoming(db, class_id, query.kilograms)
    )


@router.get("/{class_id}/holders", response_model=PageAnswer[HolderModel], responses=responses(404))
async def list_class_holders(
    request: Request, class_id: ClassIdPath, query: Annotated[PageQuery, Query()]
) -> Response:
    """Accounts that hold the class or have retired of it, the largest holding first."""
    page = query.model_dump(exclude={"min_block"})
    return await many(
        request,
        query,
        HolderModel,
        lambda db, head: accounts.holders_of(db, classes.get_class(db, class_id).class_id, **page),
    )


@router.get(
    "/{class_id}/retirements",
    response_model=PageAnswer[RetirementModel],
    responses=responses(404),
)
async def list_class_retirements(
    request: Request, class_id: ClassIdPath, query: Annotated[PageQuery, Query()]
) -> Response:
    """Retirements of the class, the newest first."""
    page = query.model_dump(exclude={"min_block"})
    return await many(
        request,
        query,
        RetirementModel,
        lambda db, head: certificates.list_retirements(
            db, class_id=classes.get_class(db, class_id).class_id, **page
        ),
    )


@router.get("/{class_id}/alerts", response_model=PageAnswer[AlertModel], responses=responses(404))
async def list_alerts(
    request: Request, class_id: ClassIdPath, query: Annotated[PageQuery, Query()]
) -> Response:
    """Holds, labels, invalidations, reserves that are short: dated, the newest first."""
    page = query.model_dump(exclude={"min_block"})

    def found(connection: Connection, head: ChainHead) -> Any:
        classes.get_class(connection, class_id)
        return alerts.alerts_of_class(connection, class_id, **page)

    return await many(request, query, AlertModel, found)
