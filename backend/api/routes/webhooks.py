"""`/v1/webhooks`: an account's endpoints, their deliveries, replays and secrets."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from backend.api.answers import services_of
from backend.api.errors import responses
from backend.api.session import session_account
from backend.api.webhook_models import (
    DeliveriesAnswer,
    DeliveryOfEvent,
    EndpointAnswer,
    EndpointModel,
    EndpointPath,
    EndpointsAnswer,
    EventDeliveriesQuery,
    QueuedAnswer,
    QueuedModel,
    ReplayRequest,
    SecretAnswer,
    SecretModel,
    SecretRequest,
    WebhookChange,
    WebhookRequest,
)
from backend.domain.webhooks import check_types
from backend.errors import InvalidValue
from backend.hooks.signing import show_secret
from backend.hooks.target import read_target
from backend.store import webhooks
from backend.store.queries.reading import Connection
from backend.store.webhooks import Endpoint

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])
#: Whose session the request carries: every endpoint belongs to an account.
Own = Annotated[str, Depends(session_account)]
_PROBLEMS = responses(400, 401)
_OF_ONE = responses(400, 401, 404)
T = TypeVar("T")


@router.post("", status_code=201, response_model=SecretAnswer, responses=_PROBLEMS)
async def create_endpoint(request: Request, account: Own, body: WebhookRequest) -> Response:
    """Register an endpoint for facts from now on; the answer has its secret, this once."""
    _check_url(request, body.url)
    types = check_types(body.types)
    made, secret = await _written(
        request,
        lambda db: webhooks.add_endpoint(
            db, account, body.url, types, body.classes, body.description
        ),
    )
    return _answer(_with_secret(made, secret), 201)


@router.get("", response_model=EndpointsAnswer, responses=_PROBLEMS)
async def list_endpoints(request: Request, account: Own) -> Response:
    """The account's endpoints: state, what waits, since when it fails."""
    found = await _written(request, lambda db: webhooks.list_endpoints(db, account))
    return _answer(EndpointsAnswer(data=[EndpointModel.model_validate(one) for one in found]))


@router.get("/{endpoint}", response_model=EndpointAnswer, responses=_OF_ONE)
async def get_endpoint(request: Request, account: Own, endpoint: EndpointPath) -> Response:
    """One endpoint."""
    return _one(await _written(request, lambda db: webhooks.get_endpoint(db, account, endpoint)))


@router.patch("/{endpoint}", response_model=EndpointAnswer, responses=_OF_ONE)
async def change_endpoint(
    request: Request, account: Own, endpoint: EndpointPath, body: WebhookChange
) -> Response:
    """Change an endpoint, switch it off, or on again."""
    values: dict[str, Any] = body.model_dump(exclude_none=True)
    if body.url is not None:
        _check_url(request, body.url)
    if body.types is not None:
        values["types"] = check_types(body.types)
    changed = await _written(
        request, lambda db: webhooks.change_endpoint(db, account, endpoint, **values)
    )
    return _one(changed)


@router.delete("/{endpoint}", status_code=204, response_model=None, responses=_OF_ONE)
async def remove_endpoint(request: Request, account: Own, endpoint: EndpointPath) -> Response:
    """Forget an endpoint with its events."""
    await _written(request, lambda db: webhooks.remove_endpoint(db, account, endpoint))
    return Response(status_code=204, headers={"Cache-Control": "no-store"})


@router.post("/{endpoint}/secret", response_model=SecretAnswer, responses=_OF_ONE)
async def rotate_secret(
    request: Request, account: Own, endpoint: EndpointPath, body: SecretRequest
) -> Response:
    """A new secret. The one before signs too until the overlap ends."""
    overlap = timedelta(seconds=body.overlap_seconds)
    made, secret = await _written(
        request, lambda db: webhooks.rotate_secret(db, account, endpoint, overlap)
    )
    return _answer(_with_secret(made, secret))


@router.get("/{endpoint}/deliveries", response_model=DeliveriesAnswer, responses=_OF_ONE)
async def list_deliveries(
    request: Request,
    account: Own,
    endpoint: EndpointPath,
    query: Annotated[EventDeliveriesQuery, Query()],
) -> Response:
    """Events of the last 30 days with attempts and answers, the newest first."""
    wanted = query.model_dump(exclude={"min_block"})
    page = await _written(
        request, lambda db: webhooks.list_deliveries(db, account, endpoint, **wanted)
    )
    items = [DeliveryOfEvent.model_validate(one) for one in page.items]
    return _answer(DeliveriesAnswer(data=items, next_cursor=page.next_cursor))


@router.post("/{endpoint}/replay", response_model=QueuedAnswer, responses=_OF_ONE)
async def replay(
    request: Request, account: Own, endpoint: EndpointPath, body: ReplayRequest
) -> Response:
    """Send one event again, or all from one on, in their order and under their ids."""
    if (body.sequence is None) == (body.from_sequence is None):
        raise InvalidValue("sequence", body.sequence, "is needed, or from_sequence: one of them")
    first = body.sequence or body.from_sequence or 0
    count = await _written(
        request, lambda db: webhooks.replay(db, account, endpoint, first, body.sequence)
    )
    return _answer(QueuedAnswer(data=QueuedModel(sequence=first, events=count)))


@router.post("/{endpoint}/ping", response_model=QueuedAnswer, responses=_OF_ONE)
async def ping(request: Request, account: Own, endpoint: EndpointPath) -> Response:
    """Send a test event, behind what waits."""
    sequence = await _written(request, lambda db: webhooks.ping(db, account, endpoint))
    return _answer(QueuedAnswer(data=QueuedModel(sequence=sequence, events=1)))


def _check_url(request: Request, url: str) -> None:
    read_target(url, private=request.app.state.webhook_private)


async def _written(request: Request, work: Callable[[Connection], T]) -> T:
    """In one transaction that sees the newest state."""
    database = services_of(request).database

    def run() -> T:
        with database.begin() as connection:
            return work(connection)

    return await run_in_threadpool(run)


def _one(found: Endpoint) -> Response:
    return _answer(EndpointAnswer(data=EndpointModel.model_validate(found)))


def _with_secret(made: Endpoint, secret: bytes) -> SecretAnswer:
    shown = EndpointModel.model_validate(made).model_dump()
    return SecretAnswer(data=SecretModel(**shown, secret=show_secret(secret)))


def _answer(body: BaseModel, status: int = 200) -> Response:
    """What no cache may keep."""
    return Response(
        body.model_dump_json(),
        status,
        media_type="application/json",
        headers={"Cache-Control": "no-store"},
    )
