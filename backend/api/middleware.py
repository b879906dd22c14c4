"""Round every request: an id, security headers, one line of log, counted and timed."""

from __future__ import annotations

import re
import time
import uuid

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.api.errors import from_bug
from backend.api.metrics import Metrics

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
_log = structlog.get_logger("causeway.api")

#: Pages load our own style sheet and scripts and talk to nobody else; nothing inline runs, nothing
#: frames them. A wallet is an extension of the browser: it needs no permission here.
PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
DATA_POLICY = "default-src 'none'; frame-ancestors 'none'"
SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Surroundings:
    """ASGI middleware. Queries are never logged: they may hold a certificate's private texts."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        began, status, started = time.perf_counter(), 500, False

        async def send_dressed(message: Message) -> None:
            nonlocal status, started
            if message["type"] == "http.response.start":
                status, started = message["status"], True
                dress(MutableHeaders(scope=message), scope["path"], request_id)
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, send_dressed)
            except Exception:
                _log.exception("request failed", path=scope["path"])
                if started:
                    raise
                await from_bug()(scope, receive, send_dressed)
            finally:
                self._record(scope, status, time.perf_counter() - began)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        # The template, not the path: an address must not become a label of its own.
        route = getattr(scope.get("route"), "path", "unmatched")
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        self._metrics.requests.labels(method, route, str(status)).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        _log.info(
            "request",
            method=method,
            path=scope["path"],
            route=route,
            status=status,
            milliseconds=round(seconds * 1000, 1),
        )


_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"}


def dress(headers: MutableHeaders, path: str, request_id: str) -> None:
    for name, value in SECURITY.items():
        headers[name] = value
    is_page = headers.get("content-type", "").startswith("text/html")
    headers["Content-Security-Policy"] = PAGE_POLICY if is_page else DATA_POLICY
    headers["X-Request-Id"] = request_id
    headers.setdefault("Cache-Control", "no-cache")
    if path.startswith("/v1/") or path == "/openapi.json":
        # Public and read-only: pages of wallets and auditors may read it.
        headers["Access-Control-Allow-Origin"] = "*"
        headers["Access-Control-Expose-Headers"] = "ETag, Retry-After, X-Request-Id"
