"""Keys that lie in a signing service: names and addresses here, secrets there (docs/signer.md)."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import orjson
from eth_utils.crypto import keccak

from backend.chain.abi import checksum
from backend.chain.keys import Key, address_of, check_name, recover
from backend.errors import (
    CausewayError,
    InvalidValue,
    LocalError,
    NotAuthorised,
    NotFound,
    SignerUnavailable,
)

#: Seconds for one signature; the leader of a venue waits for it.
TIMEOUT_SECONDS: Final = 5.0
_CODES: Final[dict[str, type[CausewayError]]] = {one.code: one for one in (NotFound, NotAuthorised)}


@dataclass(frozen=True, slots=True)
class RemoteKey(Key):
    """A key that another process signs with."""

    service: SigningService = field(repr=False, compare=False)

    def sign(self, digest: bytes) -> bytes:
        return self._checked(digest, "sign-digest", {"digest": "0x" + digest.hex()})

    def sign_transaction(self, unsigned: bytes) -> bytes:
        asked = {"transaction": "0x" + unsigned.hex()}
        return self._checked(keccak(unsigned), "sign-transaction", asked)

    def _checked(self, digest: bytes, operation: str, asked: dict[str, str]) -> bytes:
        """A signature that is this key's over what was asked: nothing else is passed on."""
        found = self.service.ask("POST", f"/v1/keys/{self.name}/{operation}", asked)
        try:
            signature = bytes.fromhex(found["signature"][2:])
            signer = recover(digest, signature)
        except (InvalidValue, KeyError, TypeError, ValueError) as error:
            raise SignerUnavailable(f"the signer answers no signature: {error}") from error
        if signer != self.address:
            raise SignerUnavailable(
                f"the signer signed with {signer}, not with {self.name}", key=self.name
            )
        return signature


class SigningService:
    """A signing service at `unix:/path` or `https://host`, by a token; safe between threads.

    `purpose` is told with every request. Raises SignerUnavailable when it does not answer,
    NotAuthorised when its policy refuses.
    """

    def __init__(
        self, url: str, token: str, *, purpose: str = "", authority: Path | None = None
    ) -> None:
        self.url = url
        parts = urlsplit(url)
        headers = {"Authorization": f"Bearer {token}"}
        options: dict[str, Any] = {"headers": headers, "timeout": TIMEOUT_SECONDS}
        self._socket = Path(parts.path) if parts.scheme == "unix" else None
        if parts.scheme == "unix":
            transport = httpx.HTTPTransport(uds=parts.path)
            self._http = httpx.Client(base_url="http://signer", transport=transport, **options)
        elif parts.scheme == "https":
            verify: Any = True if authority is None else str(authority)
            self._http = httpx.Client(base_url=url, verify=verify, trust_env=False, **options)
        else:
            raise InvalidValue("CAUSEWAY_SIGNER_URL", url, "is neither unix:/path nor https://…")
        self._purpose = purpose

    def ask(self, method: str, path: str, body: dict[str, str] | None = None) -> Any:
        """What it answers."""
        if self._socket is not None and not self._socket.exists():
            raise SignerUnavailable(f"no signer listens at {self._socket}", url=self.url)
        content = None if body is None else orjson.dumps({**body, "purpose": self._purpose})
        try:
            answer = self._http.request(method, path, content=content)
            found = orjson.loads(answer.content)
        except (httpx.TransportError, orjson.JSONDecodeError) as error:
            message = f"the signer at {self.url} does not answer: {error}"
            raise SignerUnavailable(message, url=self.url) from error
        if answer.status_code != 200:
            detail = found.get("detail", "") if isinstance(found, dict) else ""
            kind = _CODES.get(found.get("code", "") if isinstance(found, dict) else "")
            raise (kind or SignerUnavailable)(f"the signer refuses: {detail}", url=self.url)
        return found

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()


class RemoteKeys:
    """The keys that a signing service lets this client use, by name."""

    def __init__(self, service: SigningService) -> None:
        self._service = service
        self._lock = threading.Lock()
        self._known: dict[str, RemoteKey] = {}

    def get(self, name: str) -> RemoteKey:
        """The key of a role; NotFound when the service has none or lets this client not use it."""
        check_name(name)
        with self._lock:
            if name not in self._known:
                self._known = {key.name: key for key in self._read()}
            found = self._known.get(name)
        if found is None:
            raise NotFound(f"the signer has no key {name} for this client", name=name)
        return found

    def by_address(self, address: str) -> RemoteKey:
        """The key of an address; NotFound when it is not there."""
        wanted = checksum(address)
        for key in self.list():
            if key.address == wanted:
                return key
        raise NotFound(f"no key of the signer signs for {wanted}", address=wanted)

    def list(self) -> Sequence[RemoteKey]:
        """Every key, ordered by name."""
        return self._read()

    def create_if_missing(self, name: str) -> RemoteKey:
        """As `get`: keys are made at the signer, by who runs it."""
        try:
            return self.get(name)
        except NotFound as error:
            raise LocalError(
                f"there is no key {name}: make it at the signer (`causeway signer create {name}`)",
                name=name,
            ) from error

    def add(self, name: str, private_key: bytes) -> RemoteKey:
        """The key that is there when it is the same; LocalError otherwise: none is sent there."""
        found = self.create_if_missing(name)
        if found.address != address_of(private_key):
            raise LocalError(f"the signer's key {name} is another one", name=name)
        return found

    def _read(self) -> Sequence[RemoteKey]:
        listed = self._service.ask("GET", "/v1/keys")["keys"]
        made = [RemoteKey(one["name"], checksum(one["address"]), self._service) for one in listed]
        return sorted(made, key=lambda key: key.name)
