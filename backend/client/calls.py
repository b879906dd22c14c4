"""The API's routes as flows, and what a client remembers of its venue. No I/O."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final
from urllib.parse import quote, urlsplit

import orjson
from eth_utils.crypto import keccak

from backend.chain.keys import recover
from backend.client.flows import Flow, Request, asked, repeated
from backend.domain.acknowledgements import (
    Acknowledgement,
    acknowledgement_digest,
    verify_acknowledgement,
)
from backend.domain.eip712 import SigningDomain
from backend.domain.orders import asset_address, exchange_domain
from backend.errors import ServiceError

_KEYS: Final = keccak(b"keys()")[:4]
JSON: Final = {"Content-Type": "application/json"}


class Calls:
    """One API at `url`: a flow per route.

    `patience`: seconds for which a read that failed is tried again. `sequencers` and `chain_url`
    say who may have signed acknowledgements, see Client.
    """

    def __init__(
        self, url: str, sequencers: Collection[str], chain_url: str | None, patience: float
    ) -> None:
        self.url = url.rstrip("/")
        self.patience = patience
        self._sequencers = set(sequencers)
        self._chain_url = chain_url
        self._domain: SigningDomain | None = None

    @property
    def authority(self) -> str:
        """`host:port` of the API as this client was told it; what a sign-in is for."""
        return urlsplit(self.url).netloc

    # ── any route ────────────────────────────────────────────────────────────────────────────

    def get(
        self, path: str, query: Mapping[str, Any] | None = None, token: str | None = None
    ) -> Flow[dict[str, Any]]:
        wanted = {name: _shown(value) for name, value in (query or {}).items() if value is not None}
        request = Request("GET", path, wanted, bearer(token))
        found: dict[str, Any] = (yield from repeated(lambda: asked(request), self.patience))[0]
        return found

    def post(self, path: str, body: Any, headers: Mapping[str, str] | None = None) -> Flow[Any]:
        given = {**JSON, **(headers or {})}
        return asked(Request("POST", path, headers=given, content=orjson.dumps(body)))

    def send(self, method: str, path: str, body: Any) -> Flow[Any]:
        """A request whose effect is of once however often it is sent: tried again like a read."""
        request = Request(method, path, headers=JSON, content=orjson.dumps(body))
        return (yield from repeated(lambda: asked(request), self.patience))[0]

    def data(self, path: str, query: Mapping[str, Any] | None = None) -> Flow[Any]:
        found = yield from self.get(path, query)
        return found["data"]

    # ── routes ───────────────────────────────────────────────────────────────────────────────

    def book(self, instrument: int, asset: int | str, query: Mapping[str, Any]) -> Flow[Any]:
        found = yield from self.get(f"{market(instrument, asset)}/book", query)
        return {"seq": found["seq"], **found["data"]}

    def quote(self, action: str, query: Mapping[str, Any]) -> Flow[Any]:
        wanted = dict(query)
        if isinstance(wanted.get("asset"), int):
            wanted["asset"] = asset_address(wanted["asset"])
        found = yield from self.get(f"/v1/quotes/{quote(action, safe='')}", wanted)
        return {name: value for name, value in found.items() if name != "data"} | found["data"]

    def health(self) -> Flow[Any]:
        return asked(Request("GET", "/v1/health", well=(200, 503)))

    def end_session(self, token: str) -> Flow[Any]:
        return asked(Request("DELETE", "/v1/session", headers=bearer(token)))

    # ── what is signed ───────────────────────────────────────────────────────────────────────

    def domain(self) -> Flow[SigningDomain]:
        """The EIP-712 domain of the venue's Exchange, asked for once."""
        if self._domain is None:
            venue = yield from self.data("/v1/venue")
            self._domain = exchange_domain(int(venue["chain_id"]), venue["exchange"])
        return self._domain

    def check_acknowledgement(self, given: Acknowledgement) -> Flow[str]:
        domain = yield from self.domain()
        if not self._sequencers and self._chain_url:
            self._sequencers.add((yield from _sequencer(self._chain_url, domain.contract)))
        signer = recover(acknowledgement_digest(domain, given.root), given.signature)
        verify_acknowledgement(domain, given, sorted(self._sequencers or {signer}), recover)
        self._sequencers.add(signer)
        return signer


class Paging:
    """Where one is in a list that comes page by page."""

    def __init__(self, query: Mapping[str, Any] | None) -> None:
        self._query = dict(query or {})
        self.ended = False

    @property
    def query(self) -> dict[str, Any]:
        """What to ask for next."""
        return self._query

    def take(self, page: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The items of a page that came."""
        cursor = page["next_cursor"]
        self._query["cursor"], self.ended = cursor, cursor is None
        items: list[dict[str, Any]] = page["data"]
        return items


def market(instrument: int, asset: int | str) -> str:
    """The path of a market."""
    address = asset_address(asset) if isinstance(asset, int) else asset
    return f"/v1/markets/{instrument}/{quote(address, safe='')}"


def bearer(token: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _sequencer(chain_url: str, exchange: str) -> Flow[str]:
    """The sequencer that the Exchange on the chain accepts."""
    call = {"to": exchange, "data": "0x" + _KEYS.hex()}
    body = {"jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": [call, "latest"]}
    answer = yield from asked(Request("POST", chain_url, headers=JSON, content=orjson.dumps(body)))
    result = answer.get("result") if isinstance(answer, dict) else None
    if not isinstance(result, str) or len(result) < 66:
        message = f"the chain at {chain_url} does not say who {exchange}'s sequencer is"
        raise ServiceError(message, url=chain_url, answer=str(answer)[:200])
    return "0x" + result[26:66]
