"""`/v1/stream`: a WebSocket with books, the tape and one's own orders, numbered by the journal.

The client says what it wants, the service answers `subscribed` with a number and then tells
everything above it, in order. Who does not read fast enough is told so and dropped: what waits for
one client is bounded. A stream that broke is taken up again with `from`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import Any, Final

import msgspec
import orjson
import structlog
from fastapi import APIRouter, WebSocket
from starlette.concurrency import run_in_threadpool
from starlette.websockets import WebSocketDisconnect, WebSocketState

from backend.api.order_forms import read_account, read_uint
from backend.api.services import Services
from backend.api.session import account_of_token
from backend.api.stream_hub import Hub, Told, Topic
from backend.domain.orders import account_of
from backend.errors import CausewayError, InvalidValue, NotSignedIn
from backend.store.queries import market

HEARTBEAT_SECONDS: Final = 5.0
#: Sessions are looked at again every so many heartbeats.
SESSION_BEATS: Final = 6
#: What may wait for one client (one message may end the 5,000 orders that an account may have
#: open), and how long one message may take to leave.
MOST_WAITING: Final = 12_000
SLOWEST_SECONDS: Final = 10.0
MOST_TOPICS: Final = 100
MOST_STREAMS: Final = 1_000
#: Entries that are replayed at most; who is further behind starts from a read.
MOST_REPLAYED: Final = 20_000
#: Levels a side in a snapshot.
MOST_LEVELS: Final = 10_000
_TRY_AGAIN, _NOT_ALLOWED = 1013, 1008

router = APIRouter()
_log = structlog.get_logger("causeway.api")


class Wish(msgspec.Struct, forbid_unknown_fields=True):
    """What a client sends."""

    op: str
    channel: str | None = None
    instrument: str | None = None
    asset: str | None = None
    from_: str | None = msgspec.field(default=None, name="from")
    token: str | None = None


_wish = msgspec.json.Decoder(Wish).decode


class _Slow(Exception):
    """The client does not read what it is sent."""


@router.websocket("/v1/stream")
async def stream(socket: WebSocket) -> None:
    """One client."""
    state = socket.app.state
    metrics = state.metrics
    await socket.accept()
    if state.streams >= MOST_STREAMS:
        metrics.dropped.labels("full").inc()
        await socket.close(_TRY_AGAIN, "too many streams here")
        return
    state.streams += 1
    metrics.subscribers.set(state.streams)
    try:
        await Stream(socket, state.hub, state.services).run()
    finally:
        state.streams -= 1
        metrics.subscribers.set(state.streams)


class Stream:
    """One connection: what it has subscribed to, and what waits for it."""

    def __init__(self, socket: WebSocket, hub: Hub, services: Services) -> None:
        self._socket, self._hub, self._services = socket, hub, services
        #: Entry up to which a topic was told; live entries above it follow.
        self._topics: dict[Topic, int] = {}
        #: Topics that are being caught up with: live entries are left to the replay.
        self._replaying: set[Topic] = set()
        self._tokens: dict[Topic, str] = {}
        self._waiting: deque[str] = deque()
        self._something = asyncio.Event()
        self._room = asyncio.Event()
        self._overflowed = False

    async def run(self) -> None:
        """Until the client leaves, breaks the rules or is too slow."""
        async with self._hub.following(self._hear):
            tasks = [
                asyncio.create_task(one) for one in (self._listen(), self._send(), self._beat())
            ]
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                failure = next((task.exception() for task in done if task.exception()), None)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        await self._finish(failure)

    async def _finish(self, failure: BaseException | None) -> None:
        code, reason = 1000, ""
        if isinstance(failure, _Slow):
            code, reason = _TRY_AGAIN, "slow: messages were not read fast enough"
            self._socket.app.state.metrics.dropped.labels("slow").inc()
        elif isinstance(failure, CausewayError):
            code, reason = _TRY_AGAIN, failure.code
            self._socket.app.state.metrics.dropped.labels("failed").inc()
        elif failure is not None and not isinstance(failure, WebSocketDisconnect):
            _log.error("a stream failed", exc_info=failure)
            code, reason = 1011, "internal"
        if self._socket.application_state is WebSocketState.CONNECTED:
            # A client that reads nothing does not read this either: it is not waited for.
            with contextlib.suppress(Exception):
                await asyncio.wait_for(self._socket.close(code, reason), 1.0)

    # ── what goes out ────────────────────────────────────────────────────────────────────────

    def _hear(self, told: Told) -> None:
        for topic, after in self._topics.items():
            if told.seq > after and topic not in self._replaying:
                self._tell(topic, told)

    def _tell(self, topic: Topic, told: Told) -> None:
        self._topics[topic] = told.seq
        for text in told.for_topic(topic):
            self._put(text)

    def _put(self, text: str) -> None:
        if len(self._waiting) >= MOST_WAITING:
            self._overflowed = True
        else:
            self._waiting.append(text)
        self._something.set()

    def _say(self, **message: Any) -> None:
        self._put(orjson.dumps(message).decode())

    async def _send(self) -> None:
        while True:
            await self._something.wait()
            self._something.clear()
            while self._waiting:
                if self._overflowed:
                    raise _Slow
                try:
                    async with asyncio.timeout(SLOWEST_SECONDS):
                        await self._socket.send_text(self._waiting.popleft())
                except TimeoutError:
                    raise _Slow from None
                self._room.set()
            if self._overflowed:
                raise _Slow

    async def _beat(self) -> None:
        beats = 0
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            beats += 1
            if beats % SESSION_BEATS == 0:
                await self._check_sessions()
            if not self._replaying:
                self._say(type="heartbeat", seq=str(self._hub.seq), epoch=str(self._hub.epoch))

    async def _check_sessions(self) -> None:
        for topic, token in tuple(self._tokens.items()):
            try:
                await account_of_token(self._services, token)
            except NotSignedIn as error:
                self._drop(topic)
                self._say(type="unsubscribed", channel=topic.channel, reason=error.code)

    # ── what comes in ────────────────────────────────────────────────────────────────────────

    async def _listen(self) -> None:
        while True:
            try:
                text = await self._socket.receive_text()
            except KeyError:
                self._refuse(InvalidValue("message", "bytes", "is no text"))
                continue
            try:
                await self._obey(_read(text))
            except CausewayError as error:
                self._refuse(error)

    def _refuse(self, error: CausewayError) -> None:
        values = {name: str(value) for name, value in error.values.items()}
        self._say(type="error", code=error.code, detail=error.message, values=values)

    async def _obey(self, wish: Wish) -> None:
        if wish.op == "ping":
            self._say(type="pong")
        elif wish.op in ("subscribe", "unsubscribe"):
            topic = await self._topic(wish)
            if wish.op == "subscribe":
                await self._subscribe(topic, wish)
            else:
                self._drop(topic)
                self._say(type="unsubscribed", channel=topic.channel, reason="asked")
        else:
            raise InvalidValue("op", wish.op[:80], "is not subscribe, unsubscribe or ping")

    async def _topic(self, wish: Wish) -> Topic:
        if wish.channel == "orders":
            account = await account_of_token(self._services, wish.token)
            return Topic("orders", account=account_of(account))
        if wish.channel not in ("book", "trades"):
            raise InvalidValue("channel", wish.channel, "is not book, trades or orders")
        if wish.channel == "trades" and wish.instrument is None and wish.asset is None:
            return Topic("trades")
        instrument = _number("instrument", wish.instrument)
        asset = int.from_bytes(read_account("asset", wish.asset or ""), "big")
        return Topic(wish.channel, (instrument, asset))

    def _drop(self, topic: Topic) -> None:
        self._topics.pop(topic, None)
        self._tokens.pop(topic, None)

    async def _subscribe(self, topic: Topic, wish: Wish) -> None:
        if topic not in self._topics and len(self._topics) >= MOST_TOPICS:
            raise InvalidValue("channel", len(self._topics), "are all that one stream may have")
        now = self._hub.seq
        if wish.from_ is not None:
            after = _number("from", wish.from_) - 1
            if not 0 <= after <= now:
                raise InvalidValue("from", wish.from_, f"is not 1 to {now + 1}, the next entry")
        elif topic.channel == "book":
            after = await self._snapshot(topic)
        else:
            after = now
        if now - after > MOST_REPLAYED:
            self._say(
                type="snapshot_needed",
                channel=topic.channel,
                seq=str(now),
                oldest=str(now - MOST_REPLAYED + 1),
            )
            return
        if topic.channel == "orders" and wish.token:
            self._tokens[topic] = wish.token
        self._say(type="subscribed", seq=str(after), **_named(topic))
        self._topics[topic] = after
        self._replaying.add(topic)
        try:
            await self._replay(topic)
        except BaseException:
            self._drop(topic)
            raise
        finally:
            self._replaying.discard(topic)

    async def _replay(self, topic: Topic) -> None:
        """Tell a topic what it missed; from where the hub stands on it is told as it comes."""
        while self._topics.get(topic, self._hub.seq) < self._hub.seq:
            for told in await self._hub.read(self._topics[topic] + 1):
                await self._wait_for_room()
                if topic not in self._topics:
                    return
                self._tell(topic, told)

    async def _wait_for_room(self) -> None:
        """A replay fills half of what may wait, so that live messages find room."""
        while len(self._waiting) > MOST_WAITING // 2:
            self._room.clear()
            await self._room.wait()

    async def _snapshot(self, topic: Topic) -> int:
        """Tell the whole book as the read model has it; the entry it is true at."""
        assert topic.market is not None
        instrument, asset = topic.market
        venue = self._services.venue

        def read() -> tuple[int, market.Book]:
            with self._services.database.read() as connection:
                head = market.venue_head(connection, venue)
                return head.seq, market.get_book(connection, head, instrument, asset, MOST_LEVELS)

        seq, book = await run_in_threadpool(read)
        self._say(
            type="snapshot",
            seq=str(seq),
            bids=[[str(level.price), str(level.tonnes)] for level in book.bids],
            asks=[[str(level.price), str(level.tonnes)] for level in book.asks],
            **_named(topic),
        )
        return seq


def _read(text: str) -> Wish:
    try:
        return _wish(text)
    except msgspec.DecodeError as error:
        raise InvalidValue("message", text[:200], f"is refused: {error}") from None


def _number(field: str, text: str | None) -> int:
    try:
        return read_uint(text or "")
    except ValueError as error:
        raise InvalidValue(field, text, str(error)) from None


def _named(topic: Topic) -> dict[str, str]:
    named = {"channel": topic.channel}
    if topic.market is not None:
        named |= {"instrument": str(topic.market[0]), "asset": f"0x{topic.market[1]:040x}"}
    return named
