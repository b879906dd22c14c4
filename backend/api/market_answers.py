"""From a market query's values to an answer: waits for a journal entry, says which it shows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

from fastapi import Request
from fastapi.responses import Response
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from backend.api.answers import respond, services_of
from backend.api.market_models import VenueAnswer, VenuePageAnswer, VenueQuery
from backend.errors import MarketBehind
from backend.store.queries.market import VenueHead, venue_head
from backend.store.queries.reading import Connection, Page

#: How often a read that waits for an entry looks again.
POLL_SECONDS: Final = 0.02

T = TypeVar("T")


def venue_of(request: Request) -> int:
    """Number of the venue that this process serves."""
    number: int = request.app.state.gateway.venue
    return number


async def read_market(
    request: Request, min_seq: int | None, work: Callable[[Connection, VenueHead], T]
) -> tuple[VenueHead, T]:
    """Run queries in one snapshot that shows at least entry `min_seq`.

    Raises MarketBehind when the read models do not reach it within a second.
    """
    services, venue = services_of(request), venue_of(request)
    deadline = time.monotonic() + services.longest_wait_seconds

    def look() -> tuple[VenueHead, tuple[T] | None]:
        with services.database.read() as connection:
            head = venue_head(connection, venue)
            if min_seq is not None and head.seq < min_seq:
                return head, None
            return head, (work(connection, head),)

    while True:
        head, found = await run_in_threadpool(look)
        if found is not None:
            return head, found[0]
        if time.monotonic() >= deadline:
            raise _behind(head, min_seq or 0)
        await asyncio.sleep(POLL_SECONDS)


async def one_of_market(
    request: Request,
    query: VenueQuery,
    model: type[BaseModel],
    work: Callable[[Connection, VenueHead], Any],
    *,
    private: bool = False,
) -> Response:
    """The answer of a route that shows one thing; nothing keeps a private one."""
    head, found = await read_market(request, query.min_seq, work)
    shape = VenueAnswer[model]  # type: ignore[valid-type]
    values = {"seq": head.seq, "time_ms": head.time_ms, "data": found}
    return _sent(request, shape.model_validate(values, extra="forbid"), private)


async def page_of_market(
    request: Request,
    query: VenueQuery,
    model: type[BaseModel],
    work: Callable[[Connection, VenueHead], Page[Any]],
    *,
    private: bool = False,
) -> Response:
    """The answer of a route that shows a page of things; nothing keeps a private one."""
    head, page = await read_market(request, query.min_seq, work)
    shape = VenuePageAnswer[model]  # type: ignore[valid-type]
    values = {
        "seq": head.seq,
        "time_ms": head.time_ms,
        "data": page.items,
        "next_cursor": page.next_cursor,
    }
    return _sent(request, shape.model_validate(values, extra="forbid"), private)


def _sent(request: Request, answer: BaseModel, private: bool) -> Response:
    if not private:
        return respond(request, answer)
    return Response(
        answer.model_dump_json(),
        media_type="application/json",
        headers={"Cache-Control": "no-store"},
    )


def _behind(head: VenueHead, asked: int) -> MarketBehind:
    return MarketBehind(
        f"journal entry {asked} is not projected yet: the read models are at {head.seq}, "
        f"{asked - head.seq} behind",
        asked=asked,
        projected=head.seq,
        behind=asked - head.seq,
    )
