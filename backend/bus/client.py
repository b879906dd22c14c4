"""The NATS client: connects with the token in the URL, reconnects for ever, speaks our messages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import nats
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from backend.bus.messages import Head, head_subject
from backend.errors import BusUnavailable, InvalidValue, OutcomeUnknown, VenueUnavailable

CONNECT_SECONDS = 2
RECONNECT_PAUSE_SECONDS = 1


class Bus:
    """A connection to NATS. `url` carries the token: `nats://token@host:port`."""

    def __init__(self, client: Client, where: str) -> None:
        self._client = client
        self._where = where

    @classmethod
    async def connect(cls, url: str) -> Bus:
        """Connect once; raises BusUnavailable. A connection that is lost later comes back."""
        parts = urlsplit(url)
        where = f"nats://{parts.hostname}:{parts.port}"
        client = Client()
        seen: list[Exception] = []

        async def remember(error: Exception) -> None:
            # nats-py would log each failed attempt; the newest is enough.
            seen[:] = [error]

        connecting = client.connect(
            servers=[url],
            connect_timeout=CONNECT_SECONDS,
            allow_reconnect=True,
            max_reconnect_attempts=-1,
            reconnect_time_wait=RECONNECT_PAUSE_SECONDS,
            error_cb=remember,
            name="causeway",
        )
        try:
            # Reconnecting for ever includes the first time, which must be bounded.
            await asyncio.wait_for(connecting, CONNECT_SECONDS)
        except (OSError, nats.errors.Error, TimeoutError) as error:
            with suppress(Exception):
                await client.close()
            reason = seen[0] if seen else error
            raise BusUnavailable(f"NATS at {where} does not answer: {reason}", url=where) from error
        return cls(client, where)

    @property
    def is_connected(self) -> bool:
        """False while the connection is lost."""
        return self._client.is_connected

    @property
    def largest_body(self) -> int:
        """Bytes that the server takes in one message."""
        return self._client.max_payload

    async def publish_head(self, head: Head) -> None:
        """Tell everybody of a head; raises BusUnavailable."""
        await self.publish(head_subject(head.chain_id), head.encode())

    async def publish(self, subject: str, body: bytes) -> None:
        """Send a message to whoever listens; raises BusUnavailable."""
        try:
            await self._client.publish(subject, body)
        except (nats.errors.Error, OSError) as error:
            raise BusUnavailable(
                f"NATS at {self._where} took no message: {error}", url=self._where
            ) from error

    async def request(self, subject: str, body: bytes, timeout: float) -> bytes:
        """The answer of whoever serves the subject.

        Raises VenueUnavailable when nobody does (the request went nowhere), OutcomeUnknown when no
        answer came in time, BusUnavailable when the bus is away.
        """
        try:
            answer = await self._client.request(subject, body, timeout=timeout)
        except nats.errors.NoRespondersError:
            raise VenueUnavailable(f"nobody serves {subject}", subject=subject) from None
        except (nats.errors.TimeoutError, TimeoutError):
            raise OutcomeUnknown(
                f"{subject} did not answer in {timeout} s", subject=subject, seconds=timeout
            ) from None
        except (nats.errors.Error, OSError) as error:
            raise BusUnavailable(
                f"NATS at {self._where} took no request: {error}", url=self._where
            ) from error
        return answer.data

    async def subscribe(
        self, subject: str, handle: Callable[[bytes, str], None]
    ) -> Callable[[], Coroutine[Any, Any, None]]:
        """Call `handle(body, reply subject)` for every message; returns what ends it.

        `handle` must be quick and must not raise; wildcards as NATS has them.
        """

        async def pass_on(message: Msg) -> None:
            handle(message.data, message.reply)

        try:
            subscription = await self._client.subscribe(subject, cb=pass_on)
            await self._client.flush()
        except (nats.errors.Error, OSError, TimeoutError) as error:
            raise BusUnavailable(
                f"NATS at {self._where} took no subscription: {error}", url=self._where
            ) from error

        async def end() -> None:
            with suppress(nats.errors.Error, OSError):
                await subscription.unsubscribe()

        return end

    async def flush(self, timeout: float = 2.0) -> None:
        """Wait until the server has what was published; raises BusUnavailable."""
        try:
            await self._client.flush(int(timeout) or 1)
        except (nats.errors.Error, OSError, TimeoutError) as error:
            raise BusUnavailable(
                f"NATS at {self._where} does not answer: {error}", url=self._where
            ) from error

    async def heads(self, chain_id: int) -> AsyncGenerator[Head, None]:
        """Heads of a chain as they come; older epochs and bodies that are no head are dropped.

        Messages lost while the connection was away are not repeated: a reader looks at the store
        when it starts, and takes a head as "look again".
        """
        subscription = await self._client.subscribe(head_subject(chain_id))
        epoch = -1
        try:
            async for message in subscription.messages:
                head = _head(chain_id, message)
                if head is not None and head.epoch >= epoch:
                    epoch = head.epoch
                    yield head
        finally:
            with suppress(nats.errors.Error):
                await subscription.unsubscribe()

    async def close(self) -> None:
        """Send what is pending and disconnect."""
        try:
            if self._client.is_connected:
                await self._client.flush(1)
        except (nats.errors.Error, OSError, TimeoutError):
            pass
        finally:
            await self._client.close()


def _head(chain_id: int, message: Msg) -> Head | None:
    try:
        return Head.decode(chain_id, message.data)
    except InvalidValue:
        return None
