"""`/v1/registry` and `/v1/imports`: what the registries' exports say."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from backend.api.answers import many, one
from backend.api.errors import responses
from backend.api.models import (
    Answer,
    ContradictionModel,
    ImportDetail,
    ImportModel,
    LotModel,
    PageAnswer,
    RegistryBlockModel,
)
from backend.api.parameters import (
    BlocksQuery,
    ContradictionsQuery,
    ImportIdPath,
    LotsQuery,
    PageQuery,
)
from backend.api.parameters import Query as Plain
from backend.store.queries import registry
from backend.store.queries.reading import Page

router = APIRouter(prefix="/v1", tags=["registry"])


@router.get(
    "/registry/blocks", response_model=PageAnswer[RegistryBlockModel], responses=responses()
)
async def list_registry_blocks(
    request: Request, query: Annotated[BlocksQuery, Query()]
) -> Response:
    """Imported blocks of serials, what of them is in trust, and why others cannot be."""
    wanted = query.model_dump(exclude={"min_block"})
    return await many(
        request, query, RegistryBlockModel, lambda db, head: registry.list_blocks(db, **wanted)
    )


@router.get("/registry/lots", response_model=PageAnswer[LotModel], responses=responses())
async def list_registry_lots(request: Request, query: Annotated[LotsQuery, Query()]) -> Response:
    """Active imported credits grouped as classes would group them, the largest first."""
    wanted = query.model_dump(exclude={"min_block"})
    return await many(
        request,
        query,
        LotModel,
        lambda db, head: Page(tuple(registry.list_lots(db, **wanted)), None),
    )


@router.get(
    "/registry/contradictions",
    response_model=PageAnswer[ContradictionModel],
    responses=responses(),
)
async def list_contradictions(
    request: Request, query: Annotated[ContradictionsQuery, Query()]
) -> Response:
    """Exports that cannot both be true, the newest first."""
    wanted = query.model_dump(exclude={"min_block"})
    return await many(
        request,
        query,
        ContradictionModel,
        lambda db, head: registry.list_contradictions(db, **wanted),
    )


@router.get("/imports", response_model=PageAnswer[ImportModel], responses=responses())
async def list_imports(request: Request, query: Annotated[PageQuery, Query()]) -> Response:
    """Imported files, the newest first."""
    page = query.model_dump(exclude={"min_block"})
    return await many(
        request, query, ImportModel, lambda db, head: registry.list_imports(db, **page)
    )


@router.get("/imports/{import_id}", response_model=Answer[ImportDetail], responses=responses(404))
async def get_import(
    request: Request, import_id: ImportIdPath, query: Annotated[Plain, Query()]
) -> Response:
    """One imported file with its figures and every row it refused."""
    return await one(
        request, query, ImportDetail, lambda db, head: registry.get_import(db, import_id)
    )
