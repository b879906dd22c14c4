"""Sessions of the API: who signed in, until when, and the secret that all its processes share.

Only the SHA-256 of a token is kept, so a copy of the database opens no session. A session holds
the nonce it was opened with for as long as the nonce could be presented again.
"""

from __future__ import annotations

import secrets

from sqlalchemy import Connection, delete, select, update
from sqlalchemy.dialects.postgresql import insert

from backend.errors import Conflict
from backend.store.tables import api_secrets, api_sessions

_SIGN_IN = "sign-in"


def shared_secret(connection: Connection) -> bytes:
    """The secret that authenticates nonces; made by whichever process asks first."""
    wanted = select(api_secrets.c.secret).where(api_secrets.c.name == _SIGN_IN)
    found = connection.execute(wanted).scalar()
    if found is None:
        made = {"name": _SIGN_IN, "secret": secrets.token_bytes(32)}
        connection.execute(insert(api_secrets).values(made).on_conflict_do_nothing())
        found = connection.execute(wanted).scalar_one()
    return bytes(found)


def open_session(
    connection: Connection, token_hash: bytes, nonce: str, account: str, now: int, expires_at: int
) -> None:
    """Keep a session. Raises Conflict when its nonce has opened one before.

    `expires_at` is later than the nonce's own end, so old rows can go when a new one comes.
    """
    connection.execute(delete(api_sessions).where(api_sessions.c.kept_until < now))
    row = {
        "token_hash": token_hash,
        "nonce": nonce,
        "account": account,
        "expires_at": expires_at,
        "kept_until": expires_at + KEPT_SECONDS,
    }
    made = connection.execute(
        insert(api_sessions)
        .values(row)
        .on_conflict_do_nothing(index_elements=["nonce"])
        .returning(api_sessions.c.nonce)
    )
    if made.first() is None:
        raise Conflict("the nonce has been used: ask for a new one", nonce=nonce)


#: A session's row outlives it by so much, longer than any nonce lives.
KEPT_SECONDS = 3_600


def session_account(connection: Connection, token_hash: bytes, now: int) -> str | None:
    """Whose session this is; None when there is none, or it has ended."""
    sessions = api_sessions.c
    found: str | None = connection.execute(
        select(sessions.account).where(sessions.token_hash == token_hash, sessions.expires_at > now)
    ).scalar()
    return found


def close_session(connection: Connection, token_hash: bytes) -> None:
    """End a session now; its nonce stays used."""
    sessions = api_sessions.c
    connection.execute(
        update(api_sessions).where(sessions.token_hash == token_hash).values(expires_at=0)
    )
