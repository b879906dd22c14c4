"""The app: services, routes, errors, surroundings; and the process that serves it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any

import structlog
import uvicorn
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from backend.api import errors, session, streams
from backend.api.bodies import BodyLimit
from backend.api.errors import Problem, problem_content, problem_examples
from backend.api.examples import add_examples, operations
from backend.api.gateway import Gateway
from backend.api.metrics import Metrics
from backend.api.middleware import Surroundings
from backend.api.order_schema import add_order_entry
from backend.api.orders import OrderEntry
from backend.api.routes import (
    accounts,
    bridge,
    classes,
    custody,
    duplicates,
    health,
    ledger,
    market,
    operator,
    programmes,
    quotes,
    registry,
    retirements,
    sandbox,
    settlements,
    venue_accounts,
    webhooks,
)
from backend.api.services import Services
from backend.api.site import SITE, trouble
from backend.api.stream_hub import Hub
from backend.chain.rpc import Rpc
from backend.registries.custody_file import load_custody
from backend.sandbox.sandbox import Sandbox
from backend.settings import Settings
from backend.store.database import Database

TITLE = "Causeway"
VERSION = "0.1.0"
#: As many as the thread pool has threads: a read never waits for a connection of another's.
POOL_SIZE = 20
#: Health waits this long for the node, and no longer.
CHAIN_TIMEOUT_SECONDS = 1.0
#: A stream's client says short things.
STREAM_MESSAGE_BYTES = 16_384
DESCRIPTION = """\
Carbon credits held in trust at a registry, mirrored by tokens, retired for ever with serials.

What changes the registry is signed by wallets and sent to the chain; what is traded is signed by
wallets and sent here. Nothing here moves what nobody signed.
Every answer names the chain block it is true at (`head`); everything in it can be checked against
the chain without this service. Integers are decimal strings. Lists are pages: pass `next_cursor`
as `cursor`. Errors are problem details (RFC 9457) with a stable `type`.
"""
_TAGS = [
    {"name": "classes", "description": "Credits that are interchangeable: one token id each."},
    {"name": "accounts", "description": "What an address may do, holds and did."},
    {"name": "custody", "description": "Receipts: credits in trust, signed by two parties."},
    {"name": "bridge", "description": "Deliveries back, conversions, the reserve, breaks."},
    {"name": "ledger", "description": "Credits in custody without tokens: owners, retirements."},
    {"name": "retirements", "description": "What was retired for ever, and its certificates."},
    {"name": "trace", "description": "From a serial to its certificate, and back."},
    {"name": "registry", "description": "What the off-chain registries' exports say."},
    {"name": "market", "description": "The venue: rules, markets, books, trades."},
    {"name": "quotes", "description": "What it costs in all, and until when the answer holds."},
    {"name": "venue accounts", "description": "What an account has and did at the venue."},
    {"name": "orders", "description": "Signed orders, cancels and withdrawals to the venue."},
    {"name": "operator", "description": "Signatures, tasks and decisions of those with a role."},
    {"name": "webhooks", "description": "Signed events to an endpoint of one's own."},
    {"name": "session", "description": "Sign-In with Ethereum: reading what is one's own."},
    {"name": "service", "description": "Whether the answers can be relied on."},
]
_SANDBOX_TAG = {"name": "sandbox", "description": "Faucets and triggers, on a local chain only."}


def create_app(
    settings: Settings, *, database: Database | None = None, playground: Sandbox | None = None
) -> FastAPI:
    """The app over the services that the settings name; a database that is given stays open.

    The routes of a sandbox are there only with a `playground`, which exists on local chains alone.
    Raises LocalError when no database is configured. Without a chain or a bus health says `off`,
    and reads that wait for a chain block poll.
    """
    opened = database or Database(settings.require_database_url(), pool_size=POOL_SIZE)
    chain = None
    if settings.chain_url is not None:
        chain = Rpc(settings.chain_url, timeout=CHAIN_TIMEOUT_SECONDS, patience=0.0)
    services = Services(
        opened,
        chain,
        settings.nats_url,
        settings.chain_id,
        settings.confirmations,
        settings.venue,
        settings.rpc_for_wallets,
    )
    gateway, metrics = Gateway(settings.nats_url, settings.chain_id, settings.venue), Metrics()

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with services.following(), gateway.running():
            yield
        if database is None:
            opened.close()

    app = FastAPI(
        title=TITLE,
        version=VERSION,
        description=DESCRIPTION,
        openapi_tags=_TAGS + ([_SANDBOX_TAG] if playground else []),
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        redirect_slashes=False,
    )
    app.state.services, app.state.metrics = services, metrics
    app.state.gateway, app.state.hub, app.state.streams = gateway, Hub(gateway, opened), 0
    app.state.webhook_private = settings.webhooks_may_be_private
    app.state.custody = load_custody(settings.custody)
    app.state.quote_seconds = settings.quote_seconds
    app.state.sign_in_domains = session.sign_in_domains(settings)
    errors.install(app)
    trouble.install(app)
    _include_routes(app, playground)
    app.add_middleware(BodyLimit)
    app.add_middleware(Surroundings, metrics=metrics)
    app.add_middleware(OrderEntry, gateway=gateway, metrics=metrics)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def _include_routes(app: FastAPI, playground: Sandbox | None) -> None:
    for module in (
        classes,
        accounts,
        custody,
        bridge,
        ledger,
        retirements,
        registry,
        duplicates,
        programmes,
        health,
        operator,
        session,
        market,
        quotes,
        venue_accounts,
        settlements,
        webhooks,
        streams,
    ):
        app.include_router(module.router)
    if playground is not None:
        app.state.sandbox = playground
        app.include_router(sandbox.router)
    for page in SITE:
        app.include_router(page.router)


def _openapi(app: FastAPI) -> dict[str, Any]:
    """The schema, with the shape of every problem in it, and examples."""
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            tags=app.openapi_tags,
            routes=app.routes,
        )
        shapes = schema["components"]["schemas"]
        made = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        shapes.update(made.pop("$defs", {}))
        shapes["Problem"] = made
        schema["components"]["examples"] = problem_examples()
        add_order_entry(schema)
        _add_refusal_of_long_bodies(schema)
        add_examples(schema)
        for name in ("HTTPValidationError", "ValidationError"):
            shapes.pop(name, None)
        app.openapi_schema = schema
    return app.openapi_schema


def _add_refusal_of_long_bodies(schema: dict[str, Any]) -> None:
    for _, operation in operations(schema):
        if "requestBody" in operation:
            description = HTTPStatus(413).phrase
            refusal = {"description": description, "content": problem_content(413)}
            operation["responses"].setdefault("413", refusal)


def serve(settings: Settings, playground: Sandbox | None = None) -> None:
    """Serve until SIGTERM or SIGINT; requests under way are answered first."""
    if not structlog.is_configured():
        structlog.configure(
            processors=[
                structlog.contextvars.merge_contextvars,
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(),
            ]
        )
    app = create_app(settings, playground=playground)
    uvicorn.run(
        app,
        host=settings.api_host,
        port=settings.api_port,
        log_level="warning",
        access_log=False,
        server_header=False,
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        ws_max_size=STREAM_MESSAGE_BYTES,
        # Small messages compress badly, and the processor is what a busy venue lacks.
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=10,
    )
