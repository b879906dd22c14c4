"""A venue behind the API: the real sequencer as a process, the real API in this one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import httpx

from backend.api.app import create_app
from backend.domain.commands import TraderCommand
from backend.domain.orders import typed
from backend.settings import Settings
from tests.api.conftest import asked
from tests.exchange.market import Market


def signed(command: TraderCommand) -> dict[str, Any]:
    """A command as it is posted: the message by its EIP-712 names, and its signature."""
    message, signature = command
    _, primary, fields = typed(message)
    name = {"CancelAll": "cancel_all"}.get(primary, primary.lower())
    shown = {
        field: "0x" + value.hex() if isinstance(value, bytes) else str(value)
        for field, value in fields.items()
    }
    return {name: shown, "signature": "0x" + signature.hex()}


def settings_of(market: Market, **others: Any) -> Settings:
    return Settings(
        database_url=None, nats_url=market.nats_url, chain_url=None, chain_id=market.chain_id
    ).model_copy(update=others)


@contextlib.contextmanager
def api_over(market: Market, **others: Any) -> Iterator[httpx.Client]:
    """A client of an API process over the market; `client.base_url` says where it is."""
    app = create_app(settings_of(market, **others), database=market.database)
    with asked(app) as client:
        # The port was not known before; sign-in messages name it.
        app.state.sign_in_domains = frozenset({client.base_url.netloc.decode()})
        client.app = app  # type: ignore[attr-defined]
        yield client


def wait_for_leader(client: httpx.Client, market: Market) -> None:
    """Until the API has heard of a leader."""
    gateway = client.app.state.gateway  # type: ignore[attr-defined]
    market.wait_for(lambda: gateway.leader is not None)
