"""`/v1/duplicates`: projects that may be credited under two programmes or bridges."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from backend.api.answers import many, one
from backend.api.duplicate_models import DuplicateCaseModel
from backend.api.errors import responses
from backend.api.models import Answer, PageAnswer
from backend.api.parameters import DuplicateIdPath, DuplicatesQuery
from backend.api.parameters import Query as Plain
from backend.store.queries import duplicates

router = APIRouter(prefix="/v1/duplicates", tags=["registry"])


@router.get("", response_model=PageAnswer[DuplicateCaseModel], responses=responses())
async def list_duplicates(request: Request, query: Annotated[DuplicatesQuery, Query()]) -> Response:
    """Cases with their evidence and decisions, the newest first; an open one blocks minting."""
    wanted = query.model_dump(exclude={"min_block"})
    return await many(
        request, query, DuplicateCaseModel, lambda db, head: duplicates.list_cases(db, **wanted)
    )


@router.get("/{case_id}", response_model=Answer[DuplicateCaseModel], responses=responses(404))
async def get_duplicate(
    request: Request, case_id: DuplicateIdPath, query: Annotated[Plain, Query()]
) -> Response:
    """One case."""
    return await one(
        request, query, DuplicateCaseModel, lambda db, head: duplicates.get_case(db, case_id)
    )
