"""The registry's JSON API, as docs/registry-api.md describes it; faults happen at this edge."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from functools import wraps
from hmac import compare_digest
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from backend.domain.registry_requests import SerialRange, check_reference, check_text
from backend.errors import CausewayError, Conflict, InvalidValue, NotAuthorised, NotFound, RuleError
from backend.registries.simulator import exports
from backend.registries.simulator.admin import Admin
from backend.registries.simulator.ledger import Ledger, Piece
from backend.registries.simulator.operations import RETIREMENT, TRANSFER, Operations

MAX_BODY_BYTES = 65_536
_STATUS: tuple[tuple[type[CausewayError], int], ...] = (
    (NotAuthorised, 401),
    (NotFound, 404),
    (Conflict, 409),
    (RuleError, 400),
)
Handler = Callable[[Request, dict[str, Any]], Response]


class _Cut(Response):
    """An answer that breaks off: it promises more bytes than come, so no client takes it."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-length", b"4096"), (b"connection", b"close")],
            }
        )
        await send({"type": "http.response.body", "body": b'{"ref', "more_body": False})


def create_app(ledger: Ledger, token: str, admin_token: str) -> Starlette:
    """The service over one book. An empty token asks for none."""
    return Starlette(routes=_Api(ledger, token, admin_token).routes())


class _Api:
    def __init__(self, ledger: Ledger, token: str, admin_token: str) -> None:
        self._ledger = ledger
        self._operations = Operations(ledger)
        self._admin = Admin(ledger, self._operations)
        self._token, self._admin_token = token, admin_token

    def routes(self) -> list[Route]:
        """Each path once; account holders' under /v1, the administrator's under /admin."""
        public, admin = self._public, self._administered
        return [
            Route("/v1/health", self._health),
            Route("/v1/accounts/{account}", public(self._account)),
            Route("/v1/accounts/{account}/blocks", public(self._blocks)),
            Route("/v1/retirements", public(self._retire), methods=["POST"]),
            Route("/v1/transfers", public(self._transfer), methods=["POST"]),
            Route("/v1/operations", public(self._look_up)),
            Route("/v1/operations/{number}", public(self._operation)),
            Route("/v1/transfers/{number}/accept", public(self._accept), methods=["POST"]),
            Route("/v1/transfers/{number}/reject", public(self._reject), methods=["POST"]),
            Route("/v1/exports/{layout}", public(self._export)),
            *(
                Route(f"/admin/{path}", admin(step), methods=[method])
                for method, path, step in self._admin.steps()
            ),
        ]

    # ── edges ────────────────────────────────────────────────────────────────────────────────

    def _public(self, handler: Handler) -> Callable[[Request], Any]:
        @wraps(handler)
        async def endpoint(request: Request) -> Response:
            return await self._answer(request, self._token, handler, may_close=True)

        return endpoint

    def _administered(self, step: Callable[[dict[str, Any]], Any]) -> Callable[[Request], Any]:
        def handler(request: Request, body: dict[str, Any]) -> Response:
            return JSONResponse(step(body))

        async def endpoint(request: Request) -> Response:
            return await self._answer(request, self._admin_token, handler, may_close=False)

        return endpoint

    async def _answer(
        self, request: Request, token: str, handler: Handler, may_close: bool
    ) -> Response:
        try:
            given = request.headers.get("authorization", "").removeprefix("Bearer ")
            if token and not compare_digest(given.encode(), token.encode()):
                raise NotAuthorised("the bearer token is missing or not the registry's")
            if may_close and (end := self._ledger.closed_until()) is not None:
                wait = max(1, end - self._ledger.now_ms() // 1000)
                problem = {"error": "maintenance", "message": f"closed for {wait} s more"}
                return JSONResponse(problem, 503, {"Retry-After": str(wait)})
            body = await _body(request)
            return await run_in_threadpool(handler, request, body)
        except CausewayError as error:
            status = next((code for kind, code in _STATUS if isinstance(error, kind)), 500)
            problem = {"error": error.code, "message": error.message, **error.values}
            return JSONResponse(problem, status)

    async def _health(self, request: Request) -> Response:
        end = self._ledger.closed_until()
        return JSONResponse(
            {
                "programme": self._ledger.programme,
                "time": self._ledger.now_ms() // 1000,
                "open": end is None,
            }
        )

    def _disturbed(self, call: str, reference: str, step: Callable[[], dict[str, Any]]) -> Response:
        """Run a step with the faults that its reference and this attempt draw."""
        attempt = self._ledger.attempt(reference, call)
        faults, key = self._ledger.faults, f"{call}:{reference}"
        if faults.strikes("slow", key, attempt):
            time.sleep(faults.slow_ms / 1000)
        if faults.strikes("fail_before", key, attempt):
            return JSONResponse({"error": "internal", "message": "please try again"}, 500)
        answer = step()
        if faults.strikes("fail_after", key, attempt):
            return JSONResponse({"error": "internal", "message": "please try again"}, 500)
        if faults.strikes("cut_after", key, attempt):
            return _Cut()
        return JSONResponse(answer, 202 if answer.get("state") in ("queued", "pending") else 200)

    # ── account holders ──────────────────────────────────────────────────────────────────────

    def _account(self, request: Request, body: dict[str, Any]) -> Response:
        row = self._ledger.account(request.path_params["account"])
        return JSONResponse(
            {
                "account": row["account"],
                "holder": row["holder"],
                "is_open": bool(row["is_open"]),
                "holds_for_others": bool(row["holds_for_others"]),
                "sub_accounts": json.loads(row["sub_accounts"]),
                "as_of": self._ledger.now_ms() // 1000,
            }
        )

    def _blocks(self, request: Request, body: dict[str, Any]) -> Response:
        account = request.path_params["account"]
        sub_account = request.query_params.get("sub_account", "")
        with self._ledger.transaction():
            self._operations.do_what_is_due()
            self._ledger.account(account, sub_account)
            document = {
                "account": account,
                "sub_account": sub_account,
                "as_of": self._ledger.now_ms() // 1000,
                "blocks": [self._block(one) for one in self._ledger.held(account, sub_account)],
                "leaving": [
                    self._block(one) for one in self._ledger.held(account, sub_account, "leaving")
                ],
            }
        return self._disturbed("blocks", f"{account}/{sub_account}", lambda: document)

    def _block(self, piece: Piece) -> dict[str, Any]:
        row = self._ledger.issuance(piece.issuance)
        return {
            "block": piece.block_id,
            "serials": str(piece.serials),
            "tonnes": piece.serials.tonnes,
            "project": row["project"],
            "vintage_start": row["vintage_start"],
            "vintage_end": row["vintage_end"],
            "labels": json.loads(row["labels"]),
        }

    def _retire(self, request: Request, body: dict[str, Any]) -> Response:
        content = _content(body, "instruction")
        if not isinstance(content["instruction"], dict):
            raise InvalidValue("instruction", content["instruction"], "is not an object")
        if not isinstance(content["instruction"].get("beneficiary"), str):
            raise InvalidValue("beneficiary", None, "is missing")
        return self._disturbed(
            "retire", content["reference"], lambda: self._operations.ask(RETIREMENT, content)
        )

    def _transfer(self, request: Request, body: dict[str, Any]) -> Response:
        content = _content(body, "recipient")
        expires_at = content["expires_at"] = body.get("expires_at")
        if expires_at is not None and type(expires_at) is not int:
            raise InvalidValue("expires_at", expires_at, "is not a number of seconds")
        check_text("recipient", content["recipient"], required=True)
        return self._disturbed(
            "transfer", content["reference"], lambda: self._operations.ask(TRANSFER, content)
        )

    def _look_up(self, request: Request, body: dict[str, Any]) -> Response:
        reference = check_reference(request.query_params.get("reference", ""))
        attempt = self._ledger.attempt(reference, "find")
        faults = self._ledger.faults

        def step() -> dict[str, Any]:
            stale = faults.strikes("stale", reference, attempt)
            found = self._operations.find(reference, as_taken=stale)
            listed = [] if found is None else [found]
            if faults.strikes("repeated", reference, attempt):
                listed *= 2
            return {"operations": listed}

        return self._disturbed("look_up", reference, step)

    def _operation(self, request: Request, body: dict[str, Any]) -> Response:
        return JSONResponse(self._operations.by_number(request.path_params["number"]))

    def _accept(self, request: Request, body: dict[str, Any]) -> Response:
        number = request.path_params["number"]
        return JSONResponse(self._operations.answer_transfer(number, True, ""))

    def _reject(self, request: Request, body: dict[str, Any]) -> Response:
        reason = check_text("reason", str(body.get("reason", "")))
        number = request.path_params["number"]
        return JSONResponse(self._operations.answer_transfer(number, False, reason))

    def _export(self, request: Request, body: dict[str, Any]) -> Response:
        self._operations.do_what_is_due()
        text = exports.export(self._ledger, request.path_params["layout"])
        return PlainTextResponse(text, media_type="text/csv")


async def _body(request: Request) -> dict[str, Any]:
    """The JSON object of a request, {} when it has none."""
    raw = await request.body()
    if len(raw) > MAX_BODY_BYTES:
        raise InvalidValue("body", len(raw), f"is longer than {MAX_BODY_BYTES} bytes")
    if not raw:
        return {}
    try:
        body = json.loads(raw)
    except ValueError as error:
        raise InvalidValue("body", raw[:80], f"is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise InvalidValue("body", raw[:80], "is not a JSON object")
    return body


def _content(body: Mapping[str, Any], needed: str) -> dict[str, Any]:
    """What makes a request what it is: the same reference must always come with the same."""
    for name in ("reference", "account", "serials", needed):
        if name not in body:
            raise InvalidValue(name, None, "is missing")
    for name in ("reference", "account", "serials"):
        if not isinstance(body[name], str):
            raise InvalidValue(name, body[name], "is not a text")
    return {
        "reference": check_reference(body["reference"]),
        "account": check_text("account", body["account"], required=True),
        "sub_account": check_text("sub_account", str(body.get("sub_account", ""))),
        "serials": str(SerialRange.parse(body["serials"])),
        needed: body[needed],
    }
