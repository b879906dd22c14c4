"""From a query's values to an answer: models filled, chain block stated, ETag compared."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, TypeVar

from fastapi import Request
from fastapi.responses import Response
from pydantic import BaseModel

from backend.api.models import Answer, Head, PageAnswer
from backend.api.parameters import Query
from backend.api.services import Services
from backend.store.queries.reading import ChainHead, Connection, Page

M = TypeVar("M", bound=BaseModel)


def services_of(request: Request) -> Services:
    """The process's services."""
    services: Services = request.app.state.services
    return services


def head_model(services: Services, head: ChainHead) -> Head:
    return Head(
        chain_id=head.chain_id,
        number=head.number,
        hash=head.hash,
        timestamp=head.timestamp,
        final_number=services.final_number(head),
    )


def respond(request: Request, answer: BaseModel, *, private: bool = False) -> Response:
    """JSON that may be kept if it is asked about again: 304 while it is the same; a private one
    nothing keeps.
    """
    body = answer.model_dump_json().encode()
    if private:
        headers = {"Cache-Control": "no-store"}
        return Response(body, media_type="application/json", headers=headers)
    etag = f'"{hashlib.blake2b(body, digest_size=16).hexdigest()}"'
    headers = {"ETag": etag, "Cache-Control": "no-cache"}
    known = {tag.strip().removeprefix("W/") for tag in _header(request, "if-none-match")}
    if etag in known:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/json", headers=headers)


def _header(request: Request, name: str) -> list[str]:
    return request.headers.get(name, "").split(",")


async def one(
    request: Request,
    query: Query,
    model: type[M],
    work: Callable[[Connection, ChainHead], Any],
    *,
    private: bool = False,
) -> Response:
    """The answer of a route that shows one thing."""
    services = services_of(request)
    head, found = await services.read(work, query.min_block)
    shape = Answer[model]  # type: ignore[valid-type]
    return respond(request, _filled(services, head, shape, data=found), private=private)


async def many(
    request: Request,
    query: Query,
    model: type[M],
    work: Callable[[Connection, ChainHead], Page[Any]],
    *,
    private: bool = False,
) -> Response:
    """The answer of a route that shows a page of things."""
    services = services_of(request)
    head, page = await services.read(work, query.min_block)
    shape = PageAnswer[model]  # type: ignore[valid-type]
    answer = _filled(services, head, shape, data=page.items, next_cursor=page.next_cursor)
    return respond(request, answer, private=private)


def _filled(services: Services, head: ChainHead, shape: type[M], **values: Any) -> M:
    """The answer's models from a query's values; `final` says which of them are provisional."""
    context = {"final": services.final_number(head)}
    values["head"] = head_model(services, head)
    # What a query says and the answer has no field for is a mistake here, not to be dropped.
    return shape.model_validate(values, context=context, extra="forbid")
