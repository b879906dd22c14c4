"""Reading a Causeway API: one method per route, problems as the errors of our own tree."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final, Self
from urllib.parse import quote, urlsplit

import httpx
import orjson
from eth_utils.crypto import keccak

from backend.chain.keys import recover
from backend.chain.rpc import Rpc
from backend.domain.acknowledgements import (
    Acknowledgement,
    acknowledgement_digest,
    verify_acknowledgement,
)
from backend.domain.eip712 import SigningDomain
from backend.domain.orders import asset_address, exchange_domain
from backend.errors import (
    CausewayError,
    InvalidValue,
    NotAuthorised,
    RuleError,
    ServiceError,
    VenueUnavailable,
)

_KEYS: Final = keccak(b"keys()")[:4]
PREFIX: Final = "urn:causeway:problem:"
#: Codes of problems that are no class of ours: the class that stands for them.
_OTHERS: Final[Mapping[str, type[CausewayError]]] = {
    "bad-signature": NotAuthorised,
    "invalid-request": RuleError,
    "late": VenueUnavailable,
    "venue-busy": VenueUnavailable,
    "too-many-requests": VenueUnavailable,
}


class Client:
    """One API at `url`. Integers come as decimal strings, as the API says them.

    Who may have signed acknowledgements is what `sequencers` names, or the Exchange on the chain
    at `chain_url`; with neither it is whoever signed the first, and a change is refused.
    """

    def __init__(
        self,
        url: str,
        *,
        sequencers: Collection[str] = (),
        chain_url: str | None = None,
        timeout: float = 15.0,
    ) -> None:
        self.url = url.rstrip("/")
        self._http = httpx.Client(base_url=self.url, timeout=timeout, trust_env=False)
        self._sequencers = set(sequencers)
        self._chain_url = chain_url
        self._domain: SigningDomain | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *reason: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    @property
    def authority(self) -> str:
        """`host:port` of the API as this client was told it; what a sign-in is for."""
        return urlsplit(self.url).netloc

    # ── routes ───────────────────────────────────────────────────────────────────────────────

    def venue(self) -> dict[str, Any]:
        """Fees, limits, settlement assets, and what messages are signed for."""
        return self._data("/v1/venue")

    def markets(self, **query: Any) -> list[dict[str, Any]]:
        """Markets that ever had an order."""
        return self._page("/v1/markets", query)

    def book(self, instrument: int, asset: int | str, **query: Any) -> dict[str, Any]:
        """Both sides of a market from the best price on, and the `seq` they are true at."""
        found = self.get(f"{_market(instrument, asset)}/book", query)
        return {"seq": found["seq"], **found["data"]}

    def trades(self, instrument: int, asset: int | str, **query: Any) -> list[dict[str, Any]]:
        """The tape of a market, the newest first."""
        return self._page(f"{_market(instrument, asset)}/trades", query)

    def trade(self, number: int) -> dict[str, Any]:
        """One trade by its number."""
        return self._data(f"/v1/trades/{number}")

    def health(self) -> dict[str, Any]:
        """Whether the answers can be relied on; an unwell service answers too."""
        found: dict[str, Any] = self._sent("GET", "/v1/health", well=(200, 503))
        return found

    def get(
        self, path: str, query: Mapping[str, Any] | None = None, token: str | None = None
    ) -> dict[str, Any]:
        """A route's answer as it is. `token` is of a session."""
        wanted = {name: str(value) for name, value in (query or {}).items() if value is not None}
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        found: dict[str, Any] = self._sent("GET", path, params=wanted, headers=headers)
        return found

    def pages(
        self, path: str, query: Mapping[str, Any] | None = None, token: str | None = None
    ) -> Iterator[dict[str, Any]]:
        """Every item of a list, page by page."""
        cursor: str | None = None
        while True:
            page = self.get(path, {**(query or {}), "cursor": cursor}, token)
            yield from page["data"]
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def post(self, path: str, body: Any, headers: Mapping[str, str] | None = None) -> Any:
        """What a route answers to a body; raises the error that its problem names."""
        given = {"Content-Type": "application/json", **(headers or {})}
        return self._sent("POST", path, content=orjson.dumps(body), headers=given)

    def end_session(self, token: str) -> None:
        """Sign out."""
        self._sent("DELETE", "/v1/session", headers={"Authorization": f"Bearer {token}"})

    # ── what is signed ───────────────────────────────────────────────────────────────────────

    @property
    def domain(self) -> SigningDomain:
        """The EIP-712 domain of the venue's Exchange, asked for once."""
        if self._domain is None:
            venue = self.venue()
            self._domain = exchange_domain(int(venue["chain_id"]), venue["exchange"])
        return self._domain

    def check_acknowledgement(self, given: Acknowledgement) -> str:
        """Who signed it. Raises NotAuthorised unless that is a sequencer of the venue."""
        if not self._sequencers and self._chain_url:
            self._sequencers.add(_sequencer_on_chain(self._chain_url, self.domain.contract))
        signer = recover(acknowledgement_digest(self.domain, given.root), given.signature)
        verify_acknowledgement(self.domain, given, sorted(self._sequencers or {signer}), recover)
        self._sequencers.add(signer)
        return signer

    # ── steps ────────────────────────────────────────────────────────────────────────────────

    def _data(self, path: str) -> dict[str, Any]:
        found: dict[str, Any] = self.get(path)["data"]
        return found

    def _page(self, path: str, query: Mapping[str, Any]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get(path, query)["data"]
        return found

    def _sent(self, method: str, path: str, well: tuple[int, ...] = (200, 204), **how: Any) -> Any:
        try:
            answer = self._http.request(method, path, **how)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            message = f"the API at {self.url} does not answer: {error}; nothing was accepted"
            raise VenueUnavailable(message, url=self.url) from error
        except httpx.TransportError as error:
            message = f"the API at {self.url} broke off: {error!r}; what it did is not known"
            raise ServiceError(message, url=self.url) from error
        if answer.status_code not in well:
            raise error_of(_json(answer), answer.status_code)
        return _json(answer) if answer.content else None


def error_of(problem: Any, status: int = 500) -> CausewayError:
    """The error of our tree that a problem stands for."""
    if not isinstance(problem, dict):
        return ServiceError(f"the API answered {status} without a problem", status=status)
    code = str(problem.get("type", "")).removeprefix(PREFIX)
    values = {str(name): value for name, value in (problem.get("values") or {}).items()}
    broken = problem.get("errors") or []
    if code in (InvalidValue.code, "invalid-request") and broken:
        first = broken[0]
        return InvalidValue(first["field"], first["value"], first["rule"])
    fallback: type[CausewayError] = ServiceError if status >= 500 else RuleError
    kind = _OTHERS.get(code) or _by_code(CausewayError).get(code) or fallback
    made = kind(str(problem.get("detail", code)))
    made.values = values | {"code": code, "status": status}
    return made


def _by_code(root: type[CausewayError]) -> dict[str, type[CausewayError]]:
    found = {root.code: root}
    for kind in root.__subclasses__():
        found |= _by_code(kind)
    return found


def _json(answer: httpx.Response) -> Any:
    try:
        return orjson.loads(answer.content)
    except orjson.JSONDecodeError:
        return None


def _market(instrument: int, asset: int | str) -> str:
    address = asset_address(asset) if isinstance(asset, int) else asset
    return f"/v1/markets/{instrument}/{quote(address, safe='')}"


def _sequencer_on_chain(chain_url: str, exchange: str) -> str:
    """The sequencer that the Exchange accepts."""
    rpc = Rpc(chain_url)
    try:
        answer = rpc.eth_call(exchange, _KEYS)
    finally:
        rpc.close()
    return "0x" + answer[12:32].hex()
