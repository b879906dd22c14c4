"""The client's stream: every message once, through connections that are cut anywhere."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.api import streams
from backend.chain.keys import named_key
from backend.client import AsyncStream, Client, Stream, Trader
from backend.client.streaming import Subscriptions
from backend.domain.orders import asset_address
from backend.errors import InvalidValue, VenueUnavailable
from backend.exchange.projector import Projector
from tests.api.venue import api_over, wait_for_leader
from tests.exchange.market import INSTRUMENT, MONEY, Market, trader_key

# ── the rules, without I/O ───────────────────────────────────────────────────────────────────


def _message(channel: str, seq: int, index: int) -> dict[str, Any]:
    return {"type": "x", "channel": channel, "seq": str(seq), "index": index}


@pytest.mark.unit
@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=12),
    st.lists(st.integers(1, 9), max_size=6),
    st.booleans(),
)
def test_what_is_told_again_after_a_break_comes_once(
    entries: list[int], cuts: list[int], beats: bool
) -> None:
    """`entries`: messages per entry from 1 on; `cuts`: how many arrive before each break."""
    subscriptions = Subscriptions()
    subscriptions.add("trades", from_seq=1)
    whole = [_message("trades", seq, i) for seq, n in enumerate(entries, 1) for i in range(n)]
    heard: list[dict[str, Any]] = []
    for room in [*cuts, 1_000]:
        asked = json.loads(subscriptions.requests()[0])
        start = int(asked["from"])
        assert start <= len(entries) + 1
        replies: list[dict[str, Any]] = [
            {"type": "subscribed", "channel": "trades", "seq": str(start - 1)}
        ]
        for seq in range(start, len(entries) + 1):
            replies += [one for one in whole if one["seq"] == str(seq)]
            if beats:
                replies.append({"type": "heartbeat", "seq": str(seq)})
        for reply in replies[:room]:
            taken = subscriptions.take(json.dumps(reply))
            if taken is not None:
                heard.append(taken)
    assert heard == whole


@pytest.mark.unit
def test_a_subscription_that_was_never_told_anything_misses_nothing_either() -> None:
    subscriptions = Subscriptions()
    subscriptions.add("trades")
    assert "from" not in json.loads(subscriptions.requests()[0])
    subscriptions.take(json.dumps({"type": "subscribed", "channel": "trades", "seq": "41"}))
    assert json.loads(subscriptions.requests()[0])["from"] == "42"


@pytest.mark.unit
@pytest.mark.parametrize(
    ("words", "field"),
    [
        (("news",), "channel"),
        (("book",), "instrument"),
        (("trades", 1 << 200), "asset"),
        (("orders",), "token"),
    ],
)
def test_a_subscription_that_cannot_be_is_refused(words: tuple[Any, ...], field: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        Subscriptions().add(*words)
    assert caught.value.field == field


@pytest.mark.unit
def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidValue):
        Stream("ftp://somewhere")


# ── a real API behind a wire that breaks ─────────────────────────────────────────────────────


class Wire:
    """Forwards to the API and can be cut: connections end without a goodbye."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def cut(self) -> None:
        held, self._open = self._open, []
        for one in held:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def close(self) -> None:
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._target)
                self._open += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=_pump, args=(source, sink), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while chunk := source.recv(4096):
            sink.sendall(chunk)


@pytest.fixture
def api(market: Market, monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx.Client]:
    monkeypatch.setattr(streams, "HEARTBEAT_SECONDS", 0.3)
    market.start()
    with api_over(market) as client:
        market.wait_funded()
        wait_for_leader(client, market)
        Projector(market.database, 1).catch_up()
        yield client


def _trade(api: httpx.Client, pairs: int, wire: Wire) -> None:
    """Trades of one tonne each; the wire is cut in between, again and again."""
    chance = random.Random(7)
    with Client(str(api.base_url)) as client:
        seller, buyer = (Trader(client, named_key(f"t{n}", trader_key(n))) for n in (0, 1))
        for _ in range(pairs):
            seller.place("sell", INSTRUMENT, MONEY, quantity=1, price=100)
            buyer.place("buy", INSTRUMENT, MONEY, quantity=1, price=100)
            if chance.random() < 0.4:
                wire.cut()


@pytest.mark.integration
def test_every_trade_comes_once_over_a_wire_that_is_cut(api: httpx.Client) -> None:
    wire = Wire(api.base_url.host, api.base_url.port or 80)
    try:
        with Stream(wire.url) as stream:
            stream.subscribe("trades", INSTRUMENT, asset_address(MONEY))
            messages = iter(stream)
            first: list[dict[str, Any]] = []
            began = threading.Thread(target=lambda: first.append(next(messages)))
            began.start()
            _trade(api, 1, wire)
            began.join(20)
            trading = threading.Thread(target=_trade, args=(api, 15, wire))
            trading.start()
            numbers = [int(first[0]["number"])]
            while len(numbers) < 16:
                message = next(messages)
                if message["type"] == "trade":
                    numbers.append(int(message["number"]))
            trading.join()
    finally:
        wire.close()
    assert numbers == list(range(numbers[0], numbers[0] + 16))


@pytest.mark.integration
def test_a_book_is_whole_again_after_every_break_without_blocking_the_loop(
    api: httpx.Client,
) -> None:
    wire = Wire(api.base_url.host, api.base_url.port or 80)
    book: dict[tuple[str, str], int] = {}

    async def follow() -> None:
        async with AsyncStream(wire.url) as stream:
            await stream.subscribe("book", INSTRUMENT, MONEY)
            snapshots = 0
            async for message in stream:
                if message["type"] == "snapshot":
                    snapshots += 1
                    book.clear()
                    for side in ("bids", "asks"):
                        for price, tonnes in message[side]:
                            book[side, price] = int(tonnes)
                    if snapshots == 1:
                        await asyncio.to_thread(rest, 90)
                        wire.cut()
                        await asyncio.to_thread(rest, 91)
                elif message["type"] == "level_change":
                    side = "bids" if message["side"] == "buy" else "asks"
                    key = (side, message["price"])
                    book[key] = book.get(key, 0) + int(message["change"])
                if snapshots > 1 and book.get(("bids", "91")) and book.get(("bids", "90")):
                    return

    def rest(price: int) -> None:
        with Client(str(api.base_url)) as client:
            Trader(client, named_key("t1", trader_key(1))).place(
                "buy", INSTRUMENT, MONEY, quantity=2, price=price
            )
        Projector(api.app.state.services.database, 1).catch_up()  # type: ignore[attr-defined]

    try:
        asyncio.run(asyncio.wait_for(follow(), 30))
    finally:
        wire.close()
    assert book["bids", "90"] == 2
    assert book["bids", "91"] == 2


@pytest.mark.integration
def test_a_stream_that_nobody_serves_gives_up_and_says_where() -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    with Stream(f"http://127.0.0.1:{port}", patience=0.5) as stream:
        stream.subscribe("trades")
        with pytest.raises(VenueUnavailable, match=str(port)):
            next(iter(stream))
