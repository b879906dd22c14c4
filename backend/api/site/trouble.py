"""What a browser is shown instead of a page: nothing here, a value that is none, no service.

The same problems as the API's (RFC 9457), in words and in the reader's language. Programs and
everything below `/v1` get them as they are.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from backend.api.errors import PREFIX
from backend.api.site.rendering import page
from backend.errors import CausewayError

_CERTIFICATE: Final = re.compile(r"/certificates/(\d{1,40})")
_RETRY_SECONDS: Final = 5


def install(app: FastAPI) -> None:
    """Give browsers a page where the handlers of `errors` give a problem."""
    for kind in (CausewayError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, _told(app.exception_handlers[kind]))


def _told(handler: Any) -> Any:
    async def handle(request: Request, error: Exception) -> Response:
        answer: Response = await handler(request, error)
        return as_page(request, answer) if _wants_page(request) else answer

    return handle


def _wants_page(request: Request) -> bool:
    path = request.url.path
    if path.startswith(("/v1/", "/static/")):
        return False
    return "text/html" in request.headers.get("accept", "")


def as_page(request: Request, answer: Response) -> Response:
    """A problem as a page: its status stays, a service that comes back is asked again."""
    problem = json.loads(bytes(answer.body))
    status = answer.status_code
    certificate = _CERTIFICATE.fullmatch(request.url.path)
    made = page(
        request,
        "trouble.html",
        status=status,
        kind="certificate" if certificate and status == 404 else _kind(status),
        number=certificate[1] if certificate else "",
        code=problem["type"].removeprefix(PREFIX),
        detail=problem["detail"],
        again=_RETRY_SECONDS if status == 503 and request.method == "GET" else None,
    )
    made.headers["Cache-Control"] = "no-store"
    if "retry-after" in answer.headers:
        made.headers["Retry-After"] = answer.headers["retry-after"]
    return made


def _kind(status: int) -> str:
    """Which of our words fit a status."""
    if status in (404, 503):
        return str(status)
    return "422" if status < 500 else "500"
