"""Order entry: signed messages over HTTP to the venue's leader, on a path as short as it can be.

An ASGI layer in front of the routes, because what FastAPI does for a request costs more than all
the rest of an order's way through this process. It speaks the same problems, carries the same
headers and is counted like every other route; only the line of log is left out when all went well:
the journal has it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any, Final

import orjson
import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.api.bodies import MOST_OF_ORDERS, Counted
from backend.api.errors import BrokenRule, from_bug, from_error, problem, problem_body
from backend.api.gateway import Gateway, TooMany
from backend.api.metrics import Metrics
from backend.api.middleware import REQUEST_ID, SECURITY, dress
from backend.api.order_forms import (
    CANCEL_ALL,
    CANCELS,
    NOT_TAKEN,
    ORDERS,
    WITHDRAWALS,
    Form,
    show_answer,
)
from backend.bus.venue_messages import Answer
from backend.domain.commands import TraderCommand
from backend.errors import BusUnavailable, CausewayError, InvalidValue, OutcomeUnknown
from backend.errors import VenueUnavailable as NoLeader

ROUTES: Final[Mapping[str, Form]] = {
    "/v1/orders": ORDERS,
    "/v1/cancels": CANCELS,
    "/v1/cancel-all": CANCEL_ALL,
    "/v1/withdrawals": WITHDRAWALS,
}
#: Paths that nothing else serves: another method is refused here.
_WRITE_ONLY: Final = frozenset({"/v1/cancels", "/v1/cancel-all"})
DEADLINE_HEADER: Final = "deadline-ms"
DEADLINE_MS: Final = 2_000
SHORTEST_MS, LONGEST_MS = 50, 10_000

_log = structlog.get_logger("causeway.api")
_PLAIN: Final = [
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store"),
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"Retry-After, X-Request-Id"),
    *((name.lower().encode(), value.encode()) for name, value in SECURITY.items()),
]


class OrderEntry:
    """ASGI middleware that answers POST on the paths of `ROUTES` and passes on everything else."""

    def __init__(self, app: ASGIApp, gateway: Gateway, metrics: Metrics) -> None:
        self._app, self._gateway, self._metrics = app, gateway, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        form = ROUTES.get(scope["path"]) if scope["type"] == "http" else None
        if form is None or (scope["method"] != "POST" and scope["path"] not in _WRITE_ONLY):
            await self._app(scope, receive, send)
            return
        began, path = time.perf_counter(), scope["path"]
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if REQUEST_ID.fullmatch(given) else os.urandom(16).hex()
        try:
            answer = await self._answer(form, scope, headers, receive)
        except Exception as error:
            answer = self._failed(error, path, request_id)
        if isinstance(answer, bytes):
            status = 200
            await _send_json(send, answer, request_id)
        else:
            status = answer.status_code
            await answer(scope, receive, _dressed(send, path, request_id))
            _log.info("request", path=path, status=status, request_id=request_id)
        self._metrics.requests.labels(scope["method"], path, str(status)).inc()
        self._metrics.seconds.labels(path).observe(time.perf_counter() - began)

    async def _answer(
        self, form: Form, scope: Scope, headers: Headers, receive: Receive
    ) -> bytes | Response:
        """The body of a 200, or a problem."""
        if scope["method"] != "POST":
            detail = f"{scope['path']} does not take {scope['method']}"
            return problem(405, "method-not-allowed", detail, headers={"Allow": "POST"})
        deadline = time.time() + _deadline_ms(headers.get(DEADLINE_HEADER)) / 1000
        read, is_list = form.read(await Counted(scope, receive, MOST_OF_ORDERS).whole())
        commands = [one for one in read if not isinstance(one, InvalidValue)]
        peer = scope["client"][0] if scope.get("client") else ""
        answers = iter(await self._gateway.submit(commands, peer, deadline) if commands else ())
        results = [
            _rejected(one) if isinstance(one, InvalidValue) else (one, next(answers))
            for one in read
        ]
        self._count(form, results)
        if not is_list and isinstance(results[0], tuple) and not results[0][1].journalled:
            return _problem_of(results[0][1])
        shown = [_shown(one) if isinstance(one, tuple) else one for one in results]
        return orjson.dumps({"results": shown})

    def _count(self, form: Form, results: list[Any]) -> None:
        outcomes: dict[str, int] = {}
        for one in results:
            name = one[1].code.name.lower() if isinstance(one, tuple) else "malformed"
            outcomes[name] = outcomes.get(name, 0) + 1
        for name, count in outcomes.items():
            self._metrics.commands.labels(form.name, name).inc(count)

    def _failed(self, error: Exception, path: str, request_id: str) -> Response:
        if isinstance(error, TooMany):
            self._metrics.held_back.labels("trader" if error.of_trader else "venue").inc()
            if error.of_trader:
                detail = "too many commands of this trader are under way: nothing was accepted"
                return problem(429, "too-many-requests", detail, headers={"Retry-After": "1"})
            detail = "too many commands are under way: nothing was accepted"
            return problem(503, "venue-busy", detail, headers={"Retry-After": "1"})
        if isinstance(error, OutcomeUnknown):
            detail = "no answer came in time; the same messages again get their first answers"
            return problem(504, error.code, detail)
        if isinstance(error, NoLeader | BusUnavailable):
            detail = "the venue takes no commands at this moment: nothing was accepted"
            return problem(503, NoLeader.code, detail, headers={"Retry-After": "1"})
        if isinstance(error, CausewayError):
            return from_error(error)
        _log.exception("request failed", path=path, request_id=request_id)
        return from_bug()


def _deadline_ms(text: str | None) -> int:
    if text is None:
        return DEADLINE_MS
    if text.isascii() and text.isdecimal() and len(text) <= 5:
        found = int(text)
        if SHORTEST_MS <= found <= LONGEST_MS:
            return found
    rule = f"is not {SHORTEST_MS} to {LONGEST_MS} milliseconds"
    raise InvalidValue(f"header.{DEADLINE_HEADER}", text[:20], rule)


def _shown(one: tuple[TraderCommand, Answer]) -> dict[str, Any]:
    command, answer = one
    if answer.journalled:
        return show_answer(command, answer)
    why = NOT_TAKEN[answer.code]
    return {
        "status": "rejected",
        "problem": problem_body(why.status, why.code, answer.detail or why.meaning).model_dump(),
    }


def _problem_of(answer: Answer) -> Response:
    why = NOT_TAKEN[answer.code]
    detail = answer.detail or why.meaning
    return problem(why.status, why.code, detail, headers=dict(why.headers))


def _rejected(error: InvalidValue) -> dict[str, Any]:
    broken = BrokenRule(field=error.field, value=str(error.value)[:200], rule=error.rule)
    body = problem_body(422, error.code, error.message, values=error.values, broken=[broken])
    return {"status": "rejected", "problem": body.model_dump()}


async def _send_json(send: Send, body: bytes, request_id: str) -> None:
    headers = [
        *_PLAIN,
        (b"content-length", str(len(body)).encode()),
        (b"x-request-id", request_id.encode()),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _dressed(send: Send, path: str, request_id: str) -> Send:
    async def send_dressed(message: Message) -> None:
        if message["type"] == "http.response.start":
            dress(MutableHeaders(scope=message), path, request_id)
        await send(message)

    return send_dressed
