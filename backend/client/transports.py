"""Flows carried out over HTTP: blocking, or on an event loop."""

from __future__ import annotations

import asyncio
import time
from typing import Any, TypeVar

import httpx

from backend.client.flows import Answer, Flow, Pause, Request
from backend.errors import CausewayError, ServiceError, VenueUnavailable

T = TypeVar("T")


class Blocking:
    """Carries flows out in the calling thread."""

    def __init__(self, url: str, timeout: float) -> None:
        self._url = url
        self._http = httpx.Client(base_url=url, timeout=timeout, trust_env=False)

    def run(self, flow: Flow[T]) -> T:
        """What the flow returns, or raises."""
        answer: Answer | None = None
        failed: CausewayError | None = None
        while True:
            try:
                wish = flow.send(answer) if failed is None else flow.throw(failed)
            except StopIteration as ended:
                found: T = ended.value
                return found
            answer = failed = None
            if isinstance(wish, Pause):
                time.sleep(wish.seconds)
                continue
            try:
                answer = _answer(self._http.request(**_words(wish)))
            except httpx.TransportError as error:
                failed = _failure(_where(self._url, wish), error)

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()


class Concurrent:
    """Carries flows out on the running event loop; any number at once."""

    def __init__(self, url: str, timeout: float) -> None:
        self._url = url
        self._http = httpx.AsyncClient(base_url=url, timeout=timeout, trust_env=False)

    async def run(self, flow: Flow[T]) -> T:
        """What the flow returns, or raises."""
        answer: Answer | None = None
        failed: CausewayError | None = None
        while True:
            try:
                wish = flow.send(answer) if failed is None else flow.throw(failed)
            except StopIteration as ended:
                found: T = ended.value
                return found
            answer = failed = None
            if isinstance(wish, Pause):
                await asyncio.sleep(wish.seconds)
                continue
            try:
                answer = _answer(await self._http.request(**_words(wish)))
            except httpx.TransportError as error:
                failed = _failure(_where(self._url, wish), error)

    async def close(self) -> None:
        """Give the connections back."""
        await self._http.aclose()


def _words(wish: Request) -> dict[str, Any]:
    return {
        "method": wish.method,
        "url": wish.path,
        "params": dict(wish.params) or None,
        "headers": dict(wish.headers),
        "content": wish.content,
    }


def _where(url: str, wish: Request) -> str:
    return url if wish.path.startswith("/") else wish.path


def _answer(came: httpx.Response) -> Answer:
    return Answer(came.status_code, came.content, came.headers.get("Retry-After"))


def _failure(url: str, error: httpx.TransportError) -> CausewayError:
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
        message = f"{url} does not answer: {error}; nothing was accepted"
        failed: CausewayError = VenueUnavailable(message, url=url)
    else:
        message = f"{url} broke off: {error!r}; what it did is not known"
        failed = ServiceError(message, url=url)
    failed.__cause__ = error
    return failed
