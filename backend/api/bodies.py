"""How long the body of a request may be: one table for every route, and the 413 that says so.

A body is counted while it is read, so that none is kept that is too long. (The framework has such a
limit as well, but answers it in plain text, outside of what every answer of ours carries.)
"""

from __future__ import annotations

import re
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.api.errors import from_error
from backend.domain.custody_tasks import MAX_FILE_BYTES
from backend.errors import TooLarge

#: Bytes of everything that is not named below.
MOST_BYTES: Final = 65_536
#: Fifty orders are some 45 KB.
MOST_OF_ORDERS: Final = 128 * 1024
_OTHERS: Final = (
    # A form of four short texts and two hashes is far below this.
    (re.compile(r"/certificates/[^/]+"), 16_384),
    # A file of the most that a task takes, as base64 and with the words around it.
    (re.compile(r"/v1/operator/tasks/[^/]+/answers"), MAX_FILE_BYTES * 4 // 3 + MOST_BYTES),
)


def most_bytes(path: str) -> int:
    """How long a body may be that is sent to a path; order entry has its own limit."""
    return next((most for named, most in _OTHERS if named.fullmatch(path)), MOST_BYTES)


class Counted:
    """A body as it is received. Raises TooLarge instead of handing out more than `most` bytes,
    and before any of it when the request itself says that it is longer.
    """

    def __init__(self, scope: Scope, receive: Receive, most: int) -> None:
        self._receive, self._most, self._read = receive, most, 0
        length = Headers(scope=scope).get("content-length", "")
        self._announced = int(length[:20]) if length.isdecimal() else 0
        self.error: TooLarge | None = None

    async def __call__(self) -> Message:
        if self._announced > self._most:
            raise self._refusal()
        message = await self._receive()
        self._read += len(message.get("body", b""))
        if self._read > self._most:
            raise self._refusal()
        return message

    async def whole(self) -> bytes:
        """All of it."""
        message = await self()
        body: bytes = message.get("body", b"")
        while message.get("more_body", False):
            message = await self()
            body += message.get("body", b"")
        return body

    def _refusal(self) -> TooLarge:
        said = f"a request to this address is at most {self._most:,} bytes"
        self.error = TooLarge(said, most_bytes=self._most)
        return self.error


class BodyLimit:
    """ASGI middleware that bounds every body; order entry, in front of it, bounds its own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = Counted(scope, receive, most_bytes(scope["path"]))
        started = False

        async def send_unless_refused(message: Message) -> None:
            nonlocal started
            # The framework makes of every error in a body a 400: what is said is the refusal.
            if started or body.error is None or message.get("status") == 413:
                started = True
                await send(message)

        await self._app(scope, body, send_unless_refused)
        if body.error is not None and not started:
            await from_error(body.error)(scope, receive, send)
