"""Asking another process of the venue over the bus, on a connection opened when it is needed."""

from __future__ import annotations

from backend.bus.client import Bus

#: The longest wait for an answer: it may have to read its chain first.
ANSWER_SECONDS = 5.0


class Asker:
    """`await asker(body)` is the answer of whoever serves the subject; raises ServiceError."""

    def __init__(self, url: str, subject: str, seconds: float = ANSWER_SECONDS) -> None:
        self._url, self._subject, self._seconds = url, subject, seconds
        self._bus: Bus | None = None

    async def __call__(self, body: bytes) -> bytes:
        if self._bus is None:
            self._bus = await Bus.connect(self._url)
        return await self._bus.request(self._subject, body, self._seconds)
