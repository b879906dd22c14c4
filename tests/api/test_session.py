"""Sign-In with Ethereum: who gets a session, for what text, for how long, and how it ends."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from eth_utils.address import to_checksum_address
from fastapi import Depends, FastAPI
from sqlalchemy import select, update

from backend.api import session as sessions_api
from backend.api.app import create_app
from backend.chain.keys import Key, named_key, sign_digest
from backend.domain.sign_in import SignIn, personal_digest
from backend.settings import Settings
from backend.store.database import Database
from backend.store.tables import api_sessions
from tests.api.conftest import asked

DOMAIN = "registry.example"
HOLDER = named_key("holder", bytes([1]) * 32)
STRANGER = named_key("stranger", bytes([2]) * 32)

pytestmark = pytest.mark.integration


def settings(**others: Any) -> Settings:
    return Settings(
        database_url=None, nats_url=None, chain_url=None, sign_in_domains=DOMAIN
    ).model_copy(update=others)


def app_over(database: Database, **others: Any) -> FastAPI:
    """The app with one private route, as its owner would write it."""
    app = create_app(settings(**others), database=database)

    @app.get("/private/{address}")
    async def private(account: str = Depends(sessions_api.require_account)) -> dict[str, str]:
        return {"account": account}

    return app


@pytest.fixture
def client(database: Database) -> Iterator[httpx.Client]:
    with asked(app_over(database)) as client:
        yield client


def message(client: httpx.Client, key: Key = HOLDER) -> SignIn:
    """A message that the service accepts."""
    given = client.get("/v1/session/nonce").json()
    return SignIn(
        domain=given["domains"][0],
        address=key.address,
        uri=f"https://{DOMAIN}/login",
        chain_id=int(given["chain_id"]),
        nonce=given["nonce"],
        issued_at=int(time.time()),
    )


def present(client: httpx.Client, text: str, key: Key = HOLDER) -> httpx.Response:
    signature = "0x" + sign_digest(key.private_key, personal_digest(text)).hex()
    return client.post("/v1/session", json={"message": text, "signature": signature})


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_a_signed_message_opens_what_is_private_to_its_account(client: httpx.Client) -> None:
    opened = present(client, message(client).text())
    assert opened.status_code == 200, opened.text
    assert opened.headers["cache-control"] == "no-store"
    headers = bearer(opened.json()["token"])
    assert client.get("/v1/session", headers=headers).json() == {"account": HOLDER.address}
    own = client.get(f"/private/{HOLDER.address.lower()}", headers=headers)
    assert own.json() == {"account": HOLDER.address}
    other = client.get(f"/private/{STRANGER.address}", headers=headers)
    assert other.status_code == 401
    assert other.json()["type"] == "urn:causeway:problem:not-signed-in"


@pytest.mark.parametrize(
    "headers", [{}, bearer("never given out"), {"Authorization": "Basic eDp5"}]
)
def test_without_a_session_nothing_private_is_shown(
    client: httpx.Client, headers: dict[str, str]
) -> None:
    answer = client.get(f"/private/{HOLDER.address}", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


def test_a_nonce_opens_one_session_only(client: httpx.Client) -> None:
    text = message(client).text()
    first = present(client, text)
    assert first.status_code == 200
    again = present(client, text)
    assert again.status_code == 409
    client.delete("/v1/session", headers=bearer(first.json()["token"]))
    assert present(client, text).status_code == 409, "signing out does not free the nonce"


def test_a_nonce_in_capitals_is_not_a_second_nonce(client: httpx.Client) -> None:
    first = message(client)
    assert present(client, first.text()).status_code == 200
    assert present(client, replace(first, nonce=first.nonce.upper()).text()).status_code == 422


def test_signing_out_ends_the_session(client: httpx.Client) -> None:
    headers = bearer(present(client, message(client).text()).json()["token"])
    assert client.delete("/v1/session", headers=headers).status_code == 204
    assert client.get("/v1/session", headers=headers).status_code == 401


def test_a_session_is_known_to_every_process_and_after_a_restart(database: Database) -> None:
    with asked(app_over(database)) as client:
        prepared = message(client)
        token = present(client, message(client).text()).json()["token"]
    with asked(app_over(database)) as client:
        assert client.get("/v1/session", headers=bearer(token)).status_code == 200
        assert present(client, prepared.text()).status_code == 200, "a nonce of another process"


def test_the_database_holds_no_token(client: httpx.Client, database: Database) -> None:
    token = present(client, message(client).text()).json()["token"]
    with database.read() as connection:
        (row,) = connection.execute(select(api_sessions)).all()
    assert token not in repr(row)
    assert token.encode() not in row.token_hash


def test_a_session_ends_with_its_time(client: httpx.Client, database: Database) -> None:
    soon = int(time.time()) + 5
    opened = present(client, replace(message(client), expiration_time=soon).text())
    assert opened.json()["expires_at"] == str(soon)
    headers = bearer(opened.json()["token"])
    assert client.get("/v1/session", headers=headers).status_code == 200
    with database.begin() as connection:
        connection.execute(update(api_sessions).values(expires_at=int(time.time())))
    assert client.get("/v1/session", headers=headers).status_code == 401


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"domain": "phishing.example"}, "domain"),
        ({"uri": "https://phishing.example/login"}, "URI"),
        ({"uri": f"https://{DOMAIN}.phishing.example/"}, "URI"),
        ({"chain_id": 1}, "Chain ID"),
        ({"nonce": "0" * 64}, "Nonce"),
        ({"nonce": "12345678"}, "Nonce"),
        ({"issued_at": int(time.time()) + 86_400}, "Issued At"),
        ({"expiration_time": int(time.time()) - 1}, "Expiration Time"),
        ({"not_before": int(time.time()) + 86_400}, "Not Before"),
    ],
)
def test_a_message_for_elsewhere_or_another_time_is_refused(
    client: httpx.Client, changes: dict[str, Any], field: str
) -> None:
    answer = present(client, replace(message(client), **changes).text())
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == f"message.{field}"


def test_an_old_nonce_is_refused(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    old = message(client)
    real = time.time()
    monkeypatch.setattr(sessions_api, "_now", lambda: int(real) + sessions_api.NONCE_SECONDS + 1)
    answer = present(client, old.text())
    assert answer.status_code == 422
    assert "older than ten minutes" in answer.json()["detail"]


def test_a_signature_of_somebody_else_opens_nothing(client: httpx.Client) -> None:
    text = message(client).text()
    assert present(client, text, STRANGER).status_code == 401
    assert present(client, text).status_code == 200, "the failed try did not use the nonce"


def test_the_domain_comes_from_the_settings_and_never_from_the_request(
    client: httpx.Client,
) -> None:
    phished = replace(message(client), domain="evil.example", uri="https://evil.example").text()
    signature = "0x" + sign_digest(HOLDER.private_key, personal_digest(phished)).hex()
    answer = client.post(
        "/v1/session",
        json={"message": phished, "signature": signature},
        headers={"Host": "evil.example"},
    )
    assert answer.status_code == 422


def test_a_contract_wallet_signs_in_by_eip_1271(anvil: Any, database: Database) -> None:
    # Code that answers EIP-1271's magic value to whatever it is asked.
    wallet = to_checksum_address("0x" + "c0de" * 10)
    anvil.rpc("anvil_setCode", wallet, "0x631626ba7e60e01b5f5260205ff3")
    app = app_over(database, chain_url=anvil.url)
    with asked(app) as client:
        text = replace(message(client), address=wallet).text()
        assert present(client, text, STRANGER).json()["account"] == wallet
        codeless = replace(message(client), address=HOLDER.address).text()
        assert present(client, codeless, STRANGER).status_code == 401
