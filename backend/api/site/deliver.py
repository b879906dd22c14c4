"""Deliver: tokens back to a registry account, each request with its state and its refund."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from backend.api.answers import services_of
from backend.api.site.rendering import class_name, page, vintage
from backend.store.queries import classes, deliveries
from backend.store.queries.reading import MAX_LIMIT, deployment

router = APIRouter(include_in_schema=False)
_SHOWN = 30


@router.get("/deliver")
async def deliver_page(request: Request) -> Response:
    """The newest deliveries of everybody, and the form that a wallet brings to life."""
    head, (newest, known, addresses) = await services_of(request).read(
        lambda db, head: (
            deliveries.list_deliveries(db, limit=_SHOWN).items,
            classes.list_classes(db, limit=MAX_LIMIT).items,
            deployment(db),
        )
    )
    names = {one.class_id: f"{class_name(one)}, {vintage(one)}" for one in known}
    return page(
        request,
        "deliver.html",
        "deliver",
        head=head,
        newest=newest,
        names=names,
        data={
            "deliveries": addresses.get("Deliveries", ""),
            "classes": {str(key): name for key, name in names.items()},
        },
    )
