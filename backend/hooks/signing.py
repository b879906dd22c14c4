"""Signatures of webhooks by the Standard Webhooks scheme, made and verified.

`webhook-signature` holds one `v1,` and base64 of HMAC-SHA256 per valid secret, spaces between,
over `<webhook-id>.<webhook-timestamp>.<body>`. A secret is shown as `whsec_` and its base64.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from backend.errors import InvalidValue, NotAuthorised

PREFIX: Final = "whsec_"
#: Seconds that a message's time may be away from ours, as the scheme's own libraries have it.
TOLERANCE: Final = 300
_VERSION: Final = "v1"
_LONGEST_TIME: Final = 12


def show_secret(secret: bytes) -> str:
    """`whsec_…`, as it is handed out."""
    return PREFIX + base64.b64encode(secret).decode()


def read_secret(shown: str) -> bytes:
    """The inverse; raises InvalidValue, which does not show it."""
    try:
        secret = base64.b64decode(shown.removeprefix(PREFIX), validate=True)
    except (ValueError, binascii.Error):
        secret = b""
    if not 24 <= len(secret) <= 64:
        raise InvalidValue("secret", "(not shown)", "is not whsec_ and base64 of 24 to 64 bytes")
    return secret


def sign(secrets: Sequence[bytes], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers of a message."""
    signed = " ".join(_signature(secret, message_id, timestamp, body) for secret in secrets)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signed,
    }


def verify_webhook(
    headers: Mapping[str, str],
    body: bytes,
    secrets: Sequence[str],
    now: float | None = None,
    tolerance: int = TOLERANCE,
) -> dict[str, Any]:
    """The event in `body`, once it is certain who sent it and that it is fresh.

    `headers` in any case; `body` exactly as it came; `secrets` are those that may have signed, two
    while one is being rotated; `now` in Unix seconds. Raises NotAuthorised saying why; nothing of
    the body may be used then. The same `webhook-id` may come again: handle it once.
    """
    found = {name.lower(): value for name, value in headers.items()}
    missing = [name for name in _HEADERS if not found.get(name)]
    if missing:
        raise NotAuthorised(f"the message has no {missing[0]}", header=missing[0])
    message_id, said, signatures = (found[name] for name in _HEADERS)
    if not (said.isascii() and said.isdigit() and len(said) <= _LONGEST_TIME):
        raise NotAuthorised("webhook-timestamp is no time in Unix seconds", timestamp=said)
    age = (time.time() if now is None else now) - int(said)
    if abs(age) > tolerance:
        when = "too old" if age > 0 else "in the future"
        raise NotAuthorised(f"the message is {when}: {abs(age):.0f} s", timestamp=said)
    given = signatures.split(" ")
    good = False
    for secret in map(read_secret, secrets):
        wanted = _signature(secret, message_id, int(said), body).encode()
        for one in given:
            # Every pair is compared, in a time that does not depend on the content.
            good |= hmac.compare_digest(wanted, one.encode())
    if not good:
        raise NotAuthorised("no signature of the message is by a known secret", id=message_id)
    event: dict[str, Any] = orjson.loads(body)
    return event


_HEADERS: Final = ("webhook-id", "webhook-timestamp", "webhook-signature")


def _signature(secret: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    content = f"{message_id}.{timestamp}.".encode() + body
    mac = hmac.digest(secret, content, hashlib.sha256)
    return f"{_VERSION},{base64.b64encode(mac).decode()}"
