"""The stream of a venue for programs: every message once, in order, through lost connections.

`Subscriptions` holds the rules and does no I/O; `Stream` and `AsyncStream` carry them over a
WebSocket. After a break each subscription goes on from the entry it was told last; what was told
of that entry is left out of the repetition, so that nothing comes twice. A book begins anew with a
`snapshot` after every break: take it in the place of what you have.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Self

import orjson
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import ClientConnection as SyncConnection
from websockets.sync.client import connect

from backend.client.problems import error_of
from backend.domain.orders import asset_address
from backend.errors import InvalidValue, ServiceError, VenueUnavailable

CHANNELS: Final = ("book", "trades", "orders")
#: Seconds before each further try to connect; the last one goes on for ever.
PAUSES: Final = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0)
#: The service beats every five seconds: two beats without a word and the connection is dead.
SILENCE_SECONDS: Final = 12.0
_LOST: Final = (ConnectionClosed, WebSocketException, OSError, TimeoutError)

Message = dict[str, Any]


@dataclass
class _Subscription:
    """One channel and how far it was told: `told` messages of entry `seq`."""

    wish: dict[str, str]
    token: Callable[[], str] | None = None
    seq: int | None = None
    told: int = 0
    repeating: int = 0

    def request(self) -> bytes:
        asked = {"op": "subscribe", **self.wish}
        if self.token is not None:
            asked["token"] = self.token()
        self.repeating = 0
        if self.seq is not None and self.wish["channel"] != "book":
            asked["from"] = str(self.seq)
            self.repeating = self.told
        return orjson.dumps(asked)

    def concerns(self, message: Message) -> bool:
        if message.get("channel") != self.wish["channel"]:
            return False
        market = self.wish.get("instrument"), self.wish.get("asset", "").lower()
        named = message.get("instrument"), str(message.get("asset", "")).lower()
        return market[0] is None or named[0] is None or market == named

    def is_new(self, message: Message) -> bool:
        """Count the message; False when it was told before the connection broke."""
        seq = int(message["seq"])
        if self.seq == seq and self.repeating:
            self.repeating -= 1
            return False
        self.told = self.told + 1 if self.seq == seq else 1
        self.seq, self.repeating = seq, 0
        return True

    def told_up_to(self, seq: int) -> None:
        """Everything of this channel up to an entry was told: the one after it comes next."""
        if self.seq is None or seq >= self.seq:
            self.seq, self.told, self.repeating = seq + 1, 0, 0


@dataclass
class Subscriptions:
    """What a stream was asked for, and which of the messages that come are new. No I/O."""

    held: list[_Subscription] = field(default_factory=list)

    def add(
        self,
        channel: str,
        instrument: int | None = None,
        asset: int | str | None = None,
        *,
        from_seq: int | None = None,
        token: Callable[[], str] | None = None,
    ) -> _Subscription:
        """Raises InvalidValue for a channel that is none, or without what it needs."""
        if channel not in CHANNELS:
            raise InvalidValue("channel", channel, f"is none of {', '.join(CHANNELS)}")
        if (instrument is None) != (asset is None):
            raise InvalidValue("asset", asset, "comes with an instrument, and the reverse")
        if channel == "book" and instrument is None:
            raise InvalidValue("instrument", instrument, "is what a book needs")
        if channel == "orders" and token is None:
            raise InvalidValue("token", token, "is what one's own orders need")
        wish = {"channel": channel}
        if instrument is not None and asset is not None:
            named = asset_address(asset) if isinstance(asset, int) else asset
            wish |= {"instrument": str(instrument), "asset": named}
        made = _Subscription(wish, token)
        if from_seq is not None:
            made.seq = from_seq
        self.held.append(made)
        return made

    def requests(self) -> list[bytes]:
        """What to send after connecting."""
        return [one.request() for one in self.held]

    def take(self, text: str | bytes) -> Message | None:
        """The message if it is new to the caller, None otherwise. Raises what an error names."""
        message: Message = orjson.loads(text)
        kind = message["type"]
        if kind == "error":
            raise error_of({"type": message["code"], **message}, 422)
        if kind in ("heartbeat", "subscribed"):
            for one in self.held:
                if kind == "heartbeat" or one.concerns(message):
                    one.told_up_to(int(message["seq"]))
            return None
        if kind in ("pong", "unsubscribed"):
            return None
        if kind == "snapshot_needed":
            # Too far behind to be told: the caller reads the routes and goes on from now.
            for one in self.held:
                if one.concerns(message):
                    one.seq, one.told = None, 0
            return message
        for one in self.held:
            if one.concerns(message):
                return message if one.is_new(message) else None
        return message


def _address(url: str) -> str:
    scheme, _, rest = url.rstrip("/").partition("://")
    if scheme not in ("http", "https") or not rest:
        raise InvalidValue("url", url, "is not http://… or https://…")
    return f"{'wss' if scheme == 'https' else 'ws'}://{rest}/v1/stream"


def _pause(failures: int) -> float:
    return PAUSES[min(failures, len(PAUSES)) - 1]


class Stream:
    """Messages of one API, iterated; connects by itself and again after every break.

    `patience`: seconds without a connection after which iterating raises VenueUnavailable.
    """

    def __init__(self, url: str, *, patience: float = 60.0) -> None:
        self._url = _address(url)
        self._patience = patience
        self._subscriptions = Subscriptions()
        self._socket: SyncConnection | None = None
        self._opened = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *reason: object) -> None:
        self.close()

    def subscribe(self, channel: str, *market: Any, **options: Any) -> None:
        """`channel` is book, trades or orders; see Subscriptions.add for the rest.

        `from_seq` is the first journal entry wanted; without it messages begin now.
        """
        made = self._subscriptions.add(channel, *market, **options)
        if self._socket is not None:
            # On a connection that has just broken it is asked for with the others, after it.
            with contextlib.suppress(*_LOST):
                self._socket.send(made.request().decode())

    def close(self) -> None:
        """Leave."""
        self._drop()

    def __iter__(self) -> Iterator[Message]:
        lost_at, failures = time.monotonic(), 0
        while True:
            try:
                socket = self._connected()
                message = self._subscriptions.take(socket.recv(timeout=SILENCE_SECONDS))
                lost_at, failures = time.monotonic(), 0
            except _LOST as error:
                self._drop()
                failures += 1
                if time.monotonic() - lost_at > self._patience:
                    raise _gone(self._url, error) from error
                time.sleep(_pause(failures))
                continue
            if message is not None:
                yield message

    def _connected(self) -> SyncConnection:
        if self._socket is None:
            connecting = connect(self._url, open_timeout=10, max_size=None, proxy=None)
            socket = self._opened.enter_context(connecting)
            for request in self._subscriptions.requests():
                socket.send(request.decode())
            self._socket = socket
        return self._socket

    def _drop(self) -> None:
        self._socket = None
        with contextlib.suppress(*_LOST):
            self._opened.close()


class AsyncStream:
    """As Stream, without blocking the event loop: `async with`, `async for`."""

    def __init__(self, url: str, *, patience: float = 60.0) -> None:
        self._url = _address(url)
        self._patience = patience
        self._subscriptions = Subscriptions()
        self._socket: ClientConnection | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *reason: object) -> None:
        await self._drop()

    async def subscribe(self, channel: str, *market: Any, **options: Any) -> None:
        """As Stream.subscribe."""
        made = self._subscriptions.add(channel, *market, **options)
        if self._socket is not None:
            with contextlib.suppress(*_LOST):
                await self._socket.send(made.request().decode())

    async def __aiter__(self) -> AsyncIterator[Message]:
        lost_at, failures = time.monotonic(), 0
        while True:
            try:
                socket = await self._connected()
                async with asyncio.timeout(SILENCE_SECONDS):
                    text = await socket.recv()
                message = self._subscriptions.take(text)
                lost_at, failures = time.monotonic(), 0
            except _LOST as error:
                await self._drop()
                failures += 1
                if time.monotonic() - lost_at > self._patience:
                    raise _gone(self._url, error) from error
                await asyncio.sleep(_pause(failures))
                continue
            if message is not None:
                yield message

    async def _connected(self) -> ClientConnection:
        if self._socket is None:
            socket = await connect_async(self._url, open_timeout=10, max_size=None, proxy=None)
            for request in self._subscriptions.requests():
                await socket.send(request.decode())
            self._socket = socket
        return self._socket

    async def _drop(self) -> None:
        socket, self._socket = self._socket, None
        if socket is not None:
            with contextlib.suppress(*_LOST):
                await socket.close()


def _gone(url: str, error: BaseException) -> ServiceError:
    return VenueUnavailable(f"the stream at {url} cannot be reached: {error!r}", url=url)
