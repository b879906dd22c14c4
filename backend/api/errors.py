"""Errors as problem details (RFC 9457): the only place that knows HTTP status codes of errors."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from backend import errors
from backend.errors import CausewayError

MEDIA_TYPE = "application/problem+json"
PREFIX = "urn:causeway:problem:"
#: A value that is echoed is cut at this length.
MOST_SHOWN = 200

#: The nearest class in the tree decides.
STATUS: dict[type[CausewayError], int] = {
    CausewayError: 500,
    errors.RuleError: 422,
    errors.SerialsOverlap: 409,
    errors.Conflict: 409,
    errors.Contradiction: 409,
    errors.DuplicateOpen: 409,
    errors.NotAuthorised: 403,
    errors.NotSignedIn: 401,
    errors.NotFound: 404,
    errors.TooLarge: 413,
    errors.ServiceError: 503,
    # Not a failure of the service: whoever asks for a chain block far ahead raises no alarm.
    errors.IndexBehind: 409,
    errors.ChainRejected: 502,
    errors.OutcomeUnknown: 504,
    errors.LocalError: 500,
}
_TITLES = {
    "invalid-value": "A value breaks a rule",
    "invalid-request": "The request breaks a rule",
    "not-found": "Nothing has this identifier",
    "no-such-route": "There is no such route",
    "method-not-allowed": "The route does not take this method",
    "index-behind": "The chain index is behind",
    "market-behind": "The market's read models are behind",
    "bad-signature": "The signature is not the trader's",
    "conflict": "The same identifier belongs to something else",
    "late": "The deadline passed before it was taken",
    "nonce-gone": "The nonce is long past",
    "nonce-too-far": "The nonce is too far ahead",
    "outcome-unknown": "No answer came in time",
    "too-large": "The request is too large",
    "too-many-requests": "Too much of one trader is under way",
    "venue-busy": "The venue has too much to do",
    "venue-unavailable": "The venue takes no commands at this moment",
    "not-admitted": "The trader is not admitted",
    "not-signed-in": "This is shown to its account alone",
    "database-unavailable": "The database does not answer",
    "internal": "Something went wrong here",
    "http": "The request cannot be taken as it came",
}
#: Codes of problems that no error of the tree stands for: what HTTP and order entry say themselves.
OF_THE_API: dict[str, int] = {
    "invalid-request": 422,
    "no-such-route": 404,
    "method-not-allowed": 405,
    "http": 400,
    "bad-signature": 401,
    "not-admitted": 403,
    "nonce-gone": 410,
    "nonce-too-far": 422,
    "too-many-requests": 429,
    "internal": 500,
    "late": 503,
    "venue-busy": 503,
}
_log = structlog.get_logger("causeway.api")


class BrokenRule(BaseModel):
    """One value of the request that breaks a rule."""

    field: str = Field(description="Where: `path.class_id`, `query.limit` …")
    value: str = Field(description="What it said, cut at 200 characters.")
    rule: str = Field(description="What is wrong with it.")


class Problem(BaseModel):
    """RFC 9457 problem details."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": PREFIX + "not-found",
                    "title": "Nothing has this identifier",
                    "status": 404,
                    "detail": "no class has the id 7",
                    "values": {"class_id": "7"},
                    "errors": [],
                }
            ]
        }
    )

    type: str = Field(description="Stable identifier of the kind of problem, a URN.")
    title: str
    status: int
    detail: str
    values: dict[str, Any] = Field(description="The facts behind it; integers as strings.")
    errors: list[BrokenRule] = Field(description="Every value that breaks a rule.")


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What a route declares in OpenAPI for its problems."""
    return {
        status: {"description": HTTPStatus(status).phrase, "content": problem_content(status)}
        for status in sorted({*statuses, 409, 422, 503})
    }


def problem_content(status: int) -> dict[str, Any]:
    """The content of a problem's answer in OpenAPI; each type it may have is an example."""
    examples = {
        code: {"$ref": f"#/components/examples/{code}"}
        for code, (at, _) in sorted(reference().items())
        if at == status
    }
    shape = {"$ref": "#/components/schemas/Problem"}
    return {MEDIA_TYPE: {"schema": shape, "examples": examples}}


def problem_examples() -> dict[str, Any]:
    """An example of every type of problem: the components that `problem_content` names."""
    return {
        code: {"summary": meaning, "value": problem_body(status, code, meaning).model_dump()}
        for code, (status, meaning) in sorted(reference().items())
    }


def reference() -> dict[str, tuple[int, str]]:
    """Every code that a problem may have: its status, and what it means."""
    found = {code: (status, _TITLES.get(code, code)) for code, status in OF_THE_API.items()}
    kinds: list[type[CausewayError]] = [CausewayError]
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        status = next(STATUS[one] for one in kind.__mro__ if one in STATUS)
        meaning = (kind.__doc__ or kind.code).strip().splitlines()[0]
        if kind.__module__ == errors.__name__:
            found[kind.code] = (status, meaning)
    return found


def status_of(error: CausewayError) -> int:
    """HTTP status by the nearest class of the tree."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def _plain(value: Any) -> Any:
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value)


def problem_body(
    status: int,
    code: str,
    detail: str,
    *,
    values: dict[str, Any] | None = None,
    broken: Sequence[BrokenRule] = (),
) -> Problem:
    """One problem."""
    return Problem(
        type=PREFIX + code,
        title=_TITLES.get(code, HTTPStatus(status).phrase),
        status=status,
        detail=detail,
        values=_plain(values or {}),
        errors=list(broken),
    )


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    values: dict[str, Any] | None = None,
    broken: Sequence[BrokenRule] = (),
    headers: dict[str, str] | None = None,
) -> Response:
    """One problem as an answer that no cache keeps."""
    body = problem_body(status, code, detail, values=values, broken=broken)
    return JSONResponse(
        body.model_dump(),
        status,
        {"Cache-Control": "no-store", **(headers or {})},
        media_type=MEDIA_TYPE,
    )


def from_error(error: CausewayError) -> Response:
    """A domain error as a problem. Failures of services keep their addresses to themselves."""
    status = status_of(error)
    if isinstance(error, errors.IndexBehind):
        return problem(
            status, error.code, error.message, values=error.values, headers={"Retry-After": "1"}
        )
    if status >= 500:
        _log.error("request failed", code=error.code, reason=error.message)
        detail = (type(error).__doc__ or error.code).splitlines()[0]
        headers = {"Retry-After": "5"} if status == 503 else {}
        return problem(status, error.code, detail, headers=headers)
    if isinstance(error, errors.NotSignedIn):
        headers = {"WWW-Authenticate": "Bearer"}
        return problem(status, error.code, error.message, values=error.values, headers=headers)
    broken = []
    if isinstance(error, errors.InvalidValue):
        broken = [BrokenRule(field=error.field, value=_cut(error.value), rule=error.rule)]
    return problem(status, error.code, error.message, values=error.values, broken=broken)


def _cut(value: Any) -> str:
    return str(value)[:MOST_SHOWN]


def _rule(message: str) -> str:
    return message.removeprefix("Value error, ")


async def _on_causeway_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, CausewayError)
    return from_error(error)


async def _on_invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    broken = [
        BrokenRule(
            field=".".join(map(str, found["loc"])),
            value=_cut(found.get("input")),
            rule=_rule(found["msg"]),
        )
        for found in error.errors()
    ]
    detail = "; ".join(f"{b.field}: {b.value!r}: {b.rule}" for b in broken[:3])
    return problem(422, "invalid-request", detail, broken=broken)


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    codes = {404: "no-such-route", 405: "method-not-allowed"}
    detail = {
        404: f"there is nothing at {request.url.path}",
        405: f"{request.url.path} does not take {request.method}",
    }.get(error.status_code, str(error.detail))
    return problem(
        error.status_code,
        codes.get(error.status_code, "http"),
        detail,
        headers=dict(error.headers or {}),
    )


def from_bug() -> Response:
    """What nobody foresaw, without a word of it: the log has the rest."""
    return problem(500, "internal", "the failure is in this service's log")


def install(app: FastAPI) -> None:
    """Make every error of the app a problem."""
    app.add_exception_handler(CausewayError, _on_causeway_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http)
