"""The landing page and the API reference."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from backend.api.answers import services_of
from backend.api.site.assets import packed
from backend.api.site.rendering import page
from backend.store.queries import overview

router = APIRouter(include_in_schema=False)


@router.get("/")
async def landing_page(request: Request) -> Response:
    """What this is, how it stands, where to go on."""
    head, found = await services_of(request).read(lambda db, head: overview.get_overview(db))
    return page(request, "landing.html", head=head, overview=found)


@router.get("/docs")
async def reference_page(request: Request) -> Response:
    """The API reference, from the OpenAPI schema, without anything from elsewhere."""
    answer = page(request, "reference.html", same_for_all=True, schema=request.app.openapi())
    return packed(request, answer)
