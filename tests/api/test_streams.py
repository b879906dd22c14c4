"""The stream: numbered, without gaps over lost messages and new leaders, bounded, private."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from backend.api import stream_hub, streams
from backend.bus.client import Bus
from backend.bus.venue_messages import committed_subject, encode_committed
from backend.chain.keys import named_key
from backend.client import Client, Trader
from backend.domain.orders import asset_address
from backend.exchange.projector import Projector
from tests.api.venue import api_over, wait_for_leader
from tests.exchange.market import INSTRUMENT, MONEY, Market, trader_key

pytestmark = pytest.mark.integration

ASSET = asset_address(MONEY)
BOOK = {"op": "subscribe", "channel": "book", "instrument": str(INSTRUMENT), "asset": ASSET}
TRADES = {**BOOK, "channel": "trades"}


@pytest.fixture
def client(market: Market, monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx.Client]:
    """The API before a venue with a leader; heartbeats are quick."""
    monkeypatch.setattr(streams, "HEARTBEAT_SECONDS", 0.3)
    market.start()
    with api_over(market) as client:
        market.wait_funded()
        wait_for_leader(client, market)
        yield client


def opened(client: httpx.Client, **options: Any) -> ClientConnection:
    url = str(client.base_url).replace("http", "ws", 1).rstrip("/") + "/v1/stream"
    return connect(url, proxy=None, compression=None, **options)


def say(socket: ClientConnection, **message: Any) -> None:
    socket.send(json.dumps(message))


def hear(socket: ClientConnection, *kinds: str, seconds: float = 15) -> dict[str, Any]:
    """The next message that is no heartbeat, or of the kinds asked for."""
    deadline = time.monotonic() + seconds
    while True:
        found = json.loads(socket.recv(timeout=deadline - time.monotonic()))
        if found["type"] in kinds or (not kinds and found["type"] != "heartbeat"):
            return dict(found)


def collect(socket: ClientConnection, until: int) -> list[dict[str, Any]]:
    """Everything until a heartbeat says that it was told up to a number."""
    found = []
    while True:
        one = json.loads(socket.recv(timeout=60))
        if one["type"] != "heartbeat":
            found.append(one)
        elif int(one["seq"]) >= until:
            return found


def place(market: Market, count: int, first_nonce: int = 0) -> int:
    """Orders of trader 0 (sells) and 1 (buys) that match in pairs; number of the last entry."""
    commands = []
    for number in range(count):
        side = 1 - number % 2
        commands.append(
            market.order(1 - side, first_nonce + number // 2, side=side, price=100 + number // 20)
        )
    for at in range(0, count, 50):
        market.send(*commands[at : at + 50])
    return market.journal.tail().seq


def tape(market: Market) -> list[tuple[str, str]]:
    from backend.domain.venue_events import Traded, decode_events

    return [
        (str(row.seq), str(event.number))
        for row in market.rows()
        for event in decode_events(row.events)
        if isinstance(event, Traded)
    ]


def test_trades_are_told_as_they_happen_with_their_numbers(
    client: httpx.Client, market: Market
) -> None:
    with opened(client) as socket:
        say(socket, **TRADES)
        begun = hear(socket, "subscribed")
        last = place(market, 20)
        told = collect(socket, last)
    trades = [one for one in told if one["type"] == "trade"]
    assert [(one["seq"], one["number"]) for one in trades] == tape(market)
    assert all(int(one["seq"]) > int(begun["seq"]) for one in trades)
    assert trades[0]["channel"] == "trades"
    assert trades[0]["price"] == "100"
    assert "trader" not in trades[0]


def test_a_replay_from_a_number_joins_the_live_part_without_gap_or_double(
    client: httpx.Client, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_hub, "CHUNK", 7)
    place(market, 60)
    with opened(client) as socket:
        say(socket, **TRADES, **{"from": "1"})
        last = place(market, 60, first_nonce=30)
        told = collect(socket, last)
        first = tape(market)[0]
    trades = [(one["seq"], one["number"]) for one in told if one["type"] == "trade"]
    assert trades == tape(market)
    with opened(client) as socket:
        say(socket, **TRADES, **{"from": str(int(first[0]) + 1)})
        again = collect(socket, last)
    assert [(one["seq"], one["number"]) for one in again if one["type"] == "trade"] == trades[1:]


def test_a_book_begins_with_a_snapshot_and_follows(client: httpx.Client, market: Market) -> None:
    market.send(*(market.order(0, nonce, side=1, price=200 + nonce) for nonce in range(5)))
    Projector(market.database, 1).catch_up()
    market.send(market.order(0, 5, side=1, price=200), market.order(1, 0, price=150, quantity=2))
    with opened(client) as socket:
        say(socket, **BOOK)
        snapshot = hear(socket, "snapshot")
        market.send(market.order(1, 1, price=201, quantity=3))
        told = collect(socket, market.journal.tail().seq)
    sides: dict[str, dict[str, int]] = {
        "buy": {price: int(tonnes) for price, tonnes in snapshot["bids"]},
        "sell": {price: int(tonnes) for price, tonnes in snapshot["asks"]},
    }
    for one in told:
        if one["type"] == "level_change":
            assert int(one["seq"]) > int(snapshot["seq"])
            levels = sides[one["side"]]
            levels[one["price"]] = levels.get(one["price"], 0) + int(one["change"])
    Projector(market.database, 1).catch_up()
    asset = f"/v1/markets/{INSTRUMENT}/{ASSET}/book"
    now = client.get(asset).json()["data"]
    for name, levels in (("bids", sides["buy"]), ("asks", sides["sell"])):
        kept = {level["price"]: int(level["tonnes"]) for level in now[name]}
        assert kept == {price: tonnes for price, tonnes in levels.items() if tonnes}


def test_orders_are_told_to_their_account_alone(market: Market) -> None:
    market.start()
    with api_over(market) as client, Client(str(client.base_url)) as reader:
        market.wait_funded()
        wait_for_leader(client, market)
        token = Trader(reader, named_key("one", trader_key(1))).sign_in()
        with opened(client) as socket:
            say(socket, op="subscribe", channel="orders")
            assert hear(socket, "error")["code"] == "not-signed-in"
            say(socket, op="subscribe", channel="orders", token="wrong")
            assert hear(socket, "error")["code"] == "not-signed-in"
            say(socket, op="subscribe", channel="orders", token=token)
            hear(socket, "subscribed")
            told = collect(socket, place(market, 6))
        fills = [one for one in told if one["type"] == "fill"]
        assert [(one["nonce"], one["side"]) for one in fills] == [
            ("0", "buy"),
            ("1", "buy"),
            ("2", "buy"),
        ]
        resting = [one for one in told if one["type"] == "resting"]
        assert not resting, "only trader 0's orders rested, and they are not told to trader 1"


def test_a_session_that_ends_ends_the_private_part(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "HEARTBEAT_SECONDS", 0.1)
    monkeypatch.setattr(streams, "SESSION_BEATS", 1)
    with api_over(market) as client, Client(str(client.base_url)) as reader:
        own = Trader(reader, named_key("one", trader_key(1)))
        with opened(client) as socket:
            say(socket, op="subscribe", channel="orders", token=own.sign_in())
            hear(socket, "subscribed")
            own.sign_out()
            ended = hear(socket, "unsubscribed")
            assert ended["reason"] == "not-signed-in"


def test_what_the_bus_loses_is_read_in_the_journal(
    client: httpx.Client, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = client.app.state.gateway  # type: ignore[attr-defined]
    hub = client.app.state.hub  # type: ignore[attr-defined]
    with opened(client) as socket:
        say(socket, **TRADES)
        hear(socket, "subscribed")
        heard = hub._hear
        dropped = itertools.count()

        def lossy(committed: Any) -> None:
            if next(dropped) % 2:
                heard(committed)

        gateway._listeners.clear()
        gateway._listeners.add(lossy)
        last = place(market, 100)
        told = collect(socket, last)
    assert next(dropped) > 1
    trades = [(one["seq"], one["number"]) for one in told if one["type"] == "trade"]
    assert trades == tape(market)


def test_messages_of_older_epochs_are_dropped(client: httpx.Client, market: Market) -> None:
    last = place(market, 4)
    row = market.journal.read(last, 1)[0]
    with opened(client) as socket:
        say(socket, **TRADES)
        hear(socket, "subscribed")
        next_epoch = place(market, 2, first_nonce=2)
        collect(socket, next_epoch)
        client.app.state.hub.epoch = 5  # type: ignore[attr-defined]

        async def publish_old() -> None:
            bus = await Bus.connect(market.nats_url)
            for body in encode_committed(4, next_epoch + 1, [(row.entry, row.events)]):
                await bus.publish(committed_subject(market.chain_id, 1, 4), body)
            await bus.close()

        asyncio.run(publish_old())
        with pytest.raises(TimeoutError):
            hear(socket, seconds=1.5)


def test_a_new_leader_goes_on_where_the_old_one_was_killed(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "HEARTBEAT_SECONDS", 0.3)
    market.start_process()
    with api_over(market) as client, opened(client) as socket:
        market.wait_funded()
        wait_for_leader(client, market)
        say(socket, **TRADES)
        hear(socket, "subscribed")
        place(market, 10)
        market._processes[0].kill()
        market.start_process()
        gateway = client.app.state.gateway  # type: ignore[attr-defined]
        market.wait_for(lambda: gateway.leader is not None and gateway.leader.epoch == 2)
        last = place(market, 10, first_nonce=5)
        told = collect(socket, last)
    trades = [(one["seq"], one["number"]) for one in told if one["type"] == "trade"]
    assert trades == tape(market)
    assert len(trades) == 10


def test_who_does_not_read_is_dropped_and_told_why(
    client: httpx.Client, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "MOST_WAITING", 50)
    monkeypatch.setattr(streams, "SLOWEST_SECONDS", 0.5)
    hear_one, large = streams.Stream._hear, {"trades": [" " * 400_000] * 3}

    def loud(self: streams.Stream, told: Any) -> None:
        # Nobody reads `lazy`, but kernel buffers come first: its share is made large.
        lazy = stream_hub.Topic("trades") in self._topics
        hear_one(self, told._replace(everybody=large) if lazy else told)

    monkeypatch.setattr(streams.Stream, "_hear", loud)
    app, nonce, seen = client.app, 0, 0  # type: ignore[attr-defined]
    with opened(client, max_queue=1, close_timeout=0.2) as lazy, opened(client) as keen:
        say(lazy, op="subscribe", channel="trades")
        say(keen, **TRADES)
        hear(keen, "subscribed")
        deadline = time.monotonic() + 60
        while app.state.streams > 1 and time.monotonic() < deadline:
            last = place(market, 20, first_nonce=nonce)
            nonce += 10
            seen += sum(one["type"] == "trade" for one in collect(keen, last))
        assert app.state.streams == 1
        assert seen == nonce, "the other one goes on"
        assert 'streams_dropped_total{reason="slow"} 1.0' in client.get("/metrics").text


def test_who_is_too_far_behind_is_sent_to_a_snapshot(
    client: httpx.Client, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = place(market, 20)
    monkeypatch.setattr(streams, "MOST_REPLAYED", 5)
    with opened(client) as socket:
        say(socket, **TRADES, **{"from": "1"})
        needed = hear(socket)
        assert needed["type"] == "snapshot_needed"
        assert needed["oldest"] == str(last - 4)
        say(socket, **TRADES, **{"from": needed["oldest"]})
        assert hear(socket)["type"] == "subscribed"


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("no json", "invalid-value"),
        ("[]", "invalid-value"),
        ('{"op": "dance"}', "invalid-value"),
        ('{"op": "subscribe"}', "invalid-value"),
        ('{"op": "subscribe", "channel": "gossip"}', "invalid-value"),
        ('{"op": "subscribe", "channel": "book"}', "invalid-value"),
        ('{"op": "subscribe", "channel": "book", "instrument": "x", "asset": "0x1"}', "invalid-"),
        ('{"op": "subscribe", "channel": "trades", "from": "0"}', "invalid-value"),
        ('{"op": "subscribe", "channel": "trades", "from": "99999"}', "invalid-value"),
        ('{"op": "subscribe", "channel": "trades", "from": "-1"}', "invalid-value"),
        ('{"op": "subscribe", "channel": "trades", "more": "1"}', "invalid-value"),
    ],
)
def test_nonsense_is_answered_and_ends_nothing(market: Market, message: str, code: str) -> None:
    with api_over(market) as client, opened(client) as socket:
        socket.send(message)
        assert hear(socket, "error")["code"].startswith(code)
        say(socket, op="ping")
        assert hear(socket)["type"] == "pong"


def test_bytes_are_no_message_and_streams_are_bounded(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "MOST_STREAMS", 1)
    monkeypatch.setattr(streams, "MOST_TOPICS", 1)
    with api_over(market) as client, opened(client) as socket:
        socket.send(b"\x00\x01")
        assert hear(socket, "error")["code"] == "invalid-value"
        say(socket, op="subscribe", channel="trades")
        assert hear(socket)["type"] == "subscribed"
        say(socket, **TRADES)
        assert hear(socket)["type"] == "error"
        say(socket, op="unsubscribe", channel="trades")
        assert hear(socket)["type"] == "unsubscribed"
        say(socket, **TRADES)
        assert hear(socket)["type"] == "subscribed"
        with opened(client) as second, pytest.raises(ConnectionClosed) as closed:
            second.recv(timeout=5)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1013
