"""Sign-In with Ethereum: a signed EIP-4361 message for a bearer token, and who holds one.

A nonce carries its own end and an HMAC, so handing them out stores nothing that a stranger could
fill up; the secret of it and the sessions are in the database: any API process knows them, they
outlive restarts, and a session can be ended. Private routes depend on `require_account` (the
address is in their path) or `session_account`.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from typing import Annotated

from eth_abi.abi import encode
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from backend.api.answers import services_of
from backend.api.errors import responses
from backend.api.models import Integer
from backend.api.parameters import AddressPath
from backend.api.services import Services
from backend.chain.keys import recover
from backend.domain.sign_in import check_sign_in, parse_sign_in, personal_digest
from backend.errors import ChainRejected, InvalidValue, NotSignedIn
from backend.settings import Settings
from backend.store import sessions

NONCE_SECONDS = 600
SESSION_SECONDS = 86_400
#: A wallet's clock may be so far ahead of ours.
SKEW_SECONDS = 60
_MAC_BYTES = 16
_NONCE_BYTES = 5 + 11 + _MAC_BYTES
#: isValidSignature(bytes32,bytes), and what it answers for yes (EIP-1271).
_IS_VALID = bytes.fromhex("1626ba7e")

router = APIRouter(prefix="/v1/session", tags=["session"])
_bearer = HTTPBearer(auto_error=False, description="Token of `POST /v1/session`.")


class NonceAnswer(BaseModel):
    """What a sign-in message must contain."""

    nonce: str = Field(description="Good once.")
    expires_at: Integer = Field(description="Unix seconds; sign and present it before.")
    chain_id: Integer
    domains: list[str] = Field(description="Any of these is this service; check yours is there.")


class SignInRequest(BaseModel):
    """A signed message."""

    model_config = ConfigDict(extra="forbid")

    message: str = Field(max_length=4096, description="The EIP-4361 text, exactly as signed.")
    signature: str = Field(
        pattern="^0x([0-9a-fA-F]{2}){1,4096}$", description="Of personal_sign, or by EIP-1271."
    )


class SessionAnswer(BaseModel):
    """A session: send `Authorization: Bearer <token>`."""

    token: str
    account: str
    expires_at: Integer = Field(description="Unix seconds.")


class SessionState(BaseModel):
    """Whose session it is."""

    account: str


async def session_account(
    request: Request,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> str:
    """The checksummed address whose session the request carries; NotSignedIn without one."""
    return await account_of_token(
        services_of(request), credentials.credentials if credentials else None
    )


async def require_account(
    address: AddressPath, account: Annotated[str, Depends(session_account)]
) -> str:
    """The address in the path, when the session is its own; NotSignedIn otherwise."""
    if account != address:
        raise NotSignedIn("the session is another account's", account=account, asked=address)
    return account


async def account_of_token(services: Services, token: str | None) -> str:
    """Whose session a token opens; raises NotSignedIn."""
    if not token:
        raise NotSignedIn("a session is needed: sign in at /v1/session")
    hashed = _hash(token)

    def find() -> str | None:
        with services.database.read() as connection:
            return sessions.session_account(connection, hashed, _now())

    account = await run_in_threadpool(find)
    if account is None:
        raise NotSignedIn("the session has ended: sign in at /v1/session")
    return account


def sign_in_domains(settings: Settings) -> frozenset[str]:
    """Authorities that are this service; never taken from a request, which may be relayed."""
    if settings.sign_in_domains is not None:
        return frozenset(part.strip() for part in settings.sign_in_domains.split(","))
    hosts = {"127.0.0.1", "localhost"}
    if settings.api_host not in ("0.0.0.0", "::"):
        hosts.add(settings.api_host)
    return frozenset(f"{host}:{settings.api_port}" for host in hosts)


@router.get("/nonce", response_model=NonceAnswer, responses=responses())
async def get_nonce(request: Request) -> Response:
    """A nonce for a sign-in message; it is good for ten minutes and once."""
    services = services_of(request)
    ends = _now() + NONCE_SECONDS
    body = ends.to_bytes(5, "big") + secrets.token_bytes(11)
    mac = _mac(await _secret(request, services), body)
    return _answer(
        NonceAnswer(
            nonce=(body + mac).hex(),
            expires_at=ends,
            chain_id=services.chain_id,
            domains=sorted(_domains(request)),
        )
    )


@router.post("", response_model=SessionAnswer, responses=responses(400, 401))
async def sign_in(request: Request, body: SignInRequest) -> Response:
    """Open a session of the account that signed the message."""
    services, now = services_of(request), _now()
    message = parse_sign_in(body.message)
    check_sign_in(
        message,
        domains=_domains(request),
        chain_id=services.chain_id,
        time=now,
        skew=SKEW_SECONDS,
    )
    _check_nonce(await _secret(request, services), message.nonce, now)
    signature = bytes.fromhex(body.signature[2:])
    digest = personal_digest(body.message)
    if not await run_in_threadpool(_signed, services, message.address, digest, signature):
        raise NotSignedIn("the signature is not the account's", account=message.address)
    ends = min(now + SESSION_SECONDS, message.expiration_time or now + SESSION_SECONDS)
    token = secrets.token_urlsafe(32)

    def keep() -> None:
        with services.database.begin() as connection:
            sessions.open_session(
                connection, _hash(token), message.nonce, message.address, now, ends
            )

    await run_in_threadpool(keep)
    return _answer(SessionAnswer(token=token, account=message.address, expires_at=ends))


@router.get("", response_model=SessionState, responses=responses(401))
async def get_session(account: Annotated[str, Depends(session_account)]) -> Response:
    """Whose session the token is."""
    return _answer(SessionState(account=account))


@router.delete("", status_code=204, response_model=None, responses=responses(401))
async def sign_out(
    request: Request,
    account: Annotated[str, Depends(session_account)],
    credentials: Annotated[HTTPAuthorizationCredentials, Depends(_bearer)],
) -> Response:
    """End the session."""
    database = services_of(request).database

    def close() -> None:
        with database.begin() as connection:
            sessions.close_session(connection, _hash(credentials.credentials))

    await run_in_threadpool(close)
    return Response(status_code=204, headers={"Cache-Control": "no-store"})


def _signed(services: Services, account: str, digest: bytes, signature: bytes) -> bool:
    """By the account's key, or by its contract when it has one that says so (EIP-1271)."""
    try:
        if recover(digest, signature) == account:
            return True
    except InvalidValue:
        pass
    if services.chain is None:
        return False
    asked = _IS_VALID + encode(["bytes32", "bytes"], [digest, signature])
    try:
        return services.chain.eth_call(account, asked) == _IS_VALID + bytes(28)
    except ChainRejected:
        return False


def _check_nonce(secret: bytes, nonce: str, now: int) -> None:
    """Raises InvalidValue unless this service made the nonce, not too long ago."""
    try:
        raw = bytes.fromhex(nonce)
    except ValueError:
        raw = b""
    body, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
    # Upper-case hex would be the same bytes under another name, and so good twice.
    known = len(raw) == _NONCE_BYTES and nonce == raw.hex()
    if not known or not hmac.compare_digest(mac, _mac(secret, body)):
        raise InvalidValue("message.Nonce", nonce, "was not given out by this service")
    if int.from_bytes(body[:5], "big") < now:
        raise InvalidValue("message.Nonce", nonce, "is older than ten minutes: ask for a new one")


async def _secret(request: Request, services: Services) -> bytes:
    """The shared secret, read once a process."""
    state = request.app.state
    if not hasattr(state, "sign_in_secret"):

        def read() -> bytes:
            with services.database.begin() as connection:
                return sessions.shared_secret(connection)

        state.sign_in_secret = await run_in_threadpool(read)
    secret: bytes = state.sign_in_secret
    return secret


def _domains(request: Request) -> frozenset[str]:
    domains: frozenset[str] = request.app.state.sign_in_domains
    return domains


def _mac(secret: bytes, body: bytes) -> bytes:
    return hmac.digest(secret, body, "sha256")[:_MAC_BYTES]


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _now() -> int:
    return int(time.time())


def _answer(body: BaseModel) -> Response:
    """What no cache may keep."""
    return Response(
        body.model_dump_json(), media_type="application/json", headers={"Cache-Control": "no-store"}
    )
