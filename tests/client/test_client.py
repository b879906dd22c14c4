"""Both clients against a real API and sequencer: trade, repeat, check what they are told."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from backend.chain.keys import address_of
from backend.client.answers import read_answer
from backend.client.desk import posted
from backend.client.problems import error_of
from backend.domain.orders import asset_address
from backend.errors import (
    CausewayError,
    Conflict,
    Contradiction,
    InvalidValue,
    NotAuthorised,
    NotFound,
    NotSignedIn,
    OutcomeUnknown,
    VenueUnavailable,
)
from backend.exchange.projector import Projector
from tests.api.venue import api_over, wait_for_leader
from tests.client.kinds import KINDS, Kind
from tests.exchange.market import INSTRUMENT, MONEY, SEQUENCER_KEY, Market, trader_key

pytestmark = pytest.mark.integration

TERMS = (INSTRUMENT, MONEY)


def project(market: Market) -> None:
    Projector(market.database, 1).catch_up()


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Iterator[Kind]:
    """Blocking or asynchronous: every test below is of both."""
    made = Kind(request.param)
    yield made
    made.close()


@pytest.fixture
def client(kind: Kind, market: Market) -> Iterator[Any]:
    """A client that knows the venue's sequencer."""
    market.start()
    with api_over(market) as http:
        market.wait_funded()
        wait_for_leader(http, market)
        project(market)
        sequencer = address_of(SEQUENCER_KEY)
        yield kind.client(str(http.base_url), sequencers=[sequencer])


def test_two_traders_meet_and_read_what_is_theirs(kind: Kind, client: Any, market: Market) -> None:
    seller, buyer = kind.trader(client, 0), kind.trader(client, 1)
    resting = seller.place("sell", *TERMS, 10, 120)
    assert (resting.status, resting.resting, resting.fills) == ("accepted", 10, ())
    taken = buyer.place("buy", INSTRUMENT, asset_address(MONEY), 4, 130, time_in_force="ioc")
    assert (taken.filled, taken.ended) == (4, "filled")
    assert [(fill["price"], fill["quantity"]) for fill in taken.fills] == [("120", "4")]
    assert taken.signer == address_of(SEQUENCER_KEY)
    project(market)
    assert client.book(*TERMS)["asks"][0]["tonnes"] == "6"
    assert client.trades(*TERMS)[0]["price"] == "120"
    assert client.trade(1)["quantity"] == "4"
    assert client.markets()[0]["last_price"] == "120"
    assert [order["nonce"] for order in seller.orders()] == ["0"]
    assert seller.account()["open_orders"] == "1"
    assert buyer.trades()[0]["number"] == "1"
    assert buyer.statement()
    assert seller.cancel(0).ended == "cancelled"


def test_cancel_all_and_withdraw(kind: Kind, client: Any, market: Market) -> None:
    own = kind.trader(client, 0)
    for price in (50, 51, 52):
        own.place("buy", *TERMS, 1, price, post_only=True, self_trade="cancel_both")
    assert own.cancel_all(INSTRUMENT).events[-1]["ended"] == "3"
    moved = own.withdraw(MONEY, 1_000)
    assert moved.events[0]["amount"] == "1000"
    project(market)
    assert own.withdrawals()[0]["amount"] == "1000"
    assert moved.nonce == 4
    # Page by page it is the same list.
    assert list(own.pages("orders", limit=1)) == own.orders()
    path, token = own.desk.path("/orders"), own.sign_in()
    assert len(list(client.pages(path, {"limit": 2}, token))) == 3


def test_many_at_once_each_have_their_answer(kind: Kind, client: Any, market: Market) -> None:
    own = kind.trader(client, 0)
    orders = [own.order("buy", *TERMS, 1, 100 + number) for number in range(5)]
    forged = orders[2]._replace(signature=bytes(64) + b"\x1b")
    answers = own.place_many([*orders[:2], forged, *orders[3:]])
    assert [getattr(one, "status", None) for one in answers] == [
        "accepted",
        "accepted",
        None,
        "accepted",
        "accepted",
    ]
    assert isinstance(answers[2], NotAuthorised)


def test_a_stale_count_of_nonces_finds_the_next_free_one(
    kind: Kind, client: Any, market: Market
) -> None:
    first = kind.trader(client, 0)
    for _ in range(3):
        first.place("buy", *TERMS, 1, 50)
    # Nothing was projected since: the API still says 0.
    assert kind.trader(client, 0).place("buy", *TERMS, 1, 50).nonce == 3
    with pytest.raises(Conflict):
        first.place("buy", *TERMS, 1, 60, nonce=0)


def test_what_breaks_a_rule_is_refused_before_it_is_sent_and_uses_no_nonce(
    kind: Kind, client: Any, market: Market
) -> None:
    own = kind.trader(client, 0)
    for wrong, field in (
        ({"quantity": 0}, "quantity"),
        ({"price": -1}, "price"),
        ({"max_fee_bps": 101}, "max_fee_bps"),
        ({"side": "hold"}, "side"),
        ({"time_in_force": "forever"}, "time_in_force"),
        ({"expires_in": 31 * 86_400}, "expiry"),
    ):
        terms = {"side": "buy", "quantity": 1, "price": 5, **wrong}
        with pytest.raises(InvalidValue) as caught:
            own.place(instrument=INSTRUMENT, asset=MONEY, **terms)  # type: ignore[misc]
        assert caught.value.field == field
    assert own.place("buy", *TERMS, 1, 5).nonce == 0


def test_an_answer_about_another_order_is_no_answer(
    kind: Kind, client: Any, market: Market
) -> None:
    own = kind.trader(client, 0)
    sent, other = own.order("buy", *TERMS, 1, 50), own.order("buy", *TERMS, 2, 50)
    shown = client.post("/v1/orders", posted(sent))["results"][0]
    claim = read_answer(sent, shown)
    signer = client.check_acknowledgement(claim.acknowledgement)
    assert (claim.told["nonce"], signer) == (0, address_of(SEQUENCER_KEY))
    with pytest.raises(Contradiction):
        read_answer(other, shown)
    with pytest.raises(Contradiction):
        read_answer(sent, shown | {"seq": "1"})
    with pytest.raises(InvalidValue):
        read_answer(sent, {"status": "accepted"})


def test_an_answer_that_no_sequencer_signed_is_refused(
    kind: Kind, client: Any, market: Market
) -> None:
    own = kind.trader(kind.client(client.url, sequencers=["0x" + "11" * 20]), 0)
    with pytest.raises(NotAuthorised):
        own.place("buy", *TERMS, 1, 50)
    # It was accepted all the same: its nonce is not given out again.
    assert own.take_nonce() == 1
    trusting = kind.client(client.url)
    placed = kind.trader(trusting, 1).place("buy", *TERMS, 1, 50)
    forged = replace(placed).acknowledgement._replace(entry_hash=bytes(32))
    with pytest.raises(NotAuthorised):
        trusting.check_acknowledgement(forged)


@pytest.mark.parametrize("kind", ["blocking"], indirect=True)
def test_a_leader_that_hangs_for_a_while_places_the_order_once(kind: Kind, market: Market) -> None:
    process = market.start_process()
    with api_over(market) as http:
        client = kind.client(str(http.base_url))
        market.wait_funded()
        wait_for_leader(http, market)
        project(market)
        own = kind.trader(client, 0, patience=30.0)
        os.kill(process.pid, signal.SIGSTOP)
        timer = threading.Timer(2.5, os.kill, (process.pid, signal.SIGCONT))
        timer.start()
        placed = own.place("buy", *TERMS, 1, 50)
        timer.join()
        assert placed.status == "accepted"
        assert len([row for row in market.rows() if row.kind == 1]) == 1


def test_what_is_not_there_is_said_in_our_own_errors(
    kind: Kind, client: Any, market: Market
) -> None:
    with pytest.raises(NotFound):
        client.trade(99)
    with pytest.raises(NotSignedIn):
        client.get(f"/v1/venue/accounts/{address_of(trader_key(0))}")
    own = kind.trader(client, 0)
    token = own.sign_in()
    assert client.get("/v1/session", token=token)["account"] == own.key.address
    client.end_session(token)
    # A session that was ended elsewhere is opened anew.
    assert own.account()["open_orders"] == "0"
    token = own.sign_in()
    own.sign_out()
    with pytest.raises(NotSignedIn):
        client.get("/v1/session", token=token)
    with pytest.raises(VenueUnavailable):
        kind.client("http://127.0.0.1:9", patience=0.0).venue()


def test_an_api_that_breaks_off_before_anything_is_sent_has_accepted_nothing(
    kind: Kind,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        hanging_up = threading.Thread(target=lambda: server.accept()[0].close())
        hanging_up.start()
        refused = pytest.raises(VenueUnavailable, match="no nonce could be asked for")
        unlucky = kind.client(f"http://127.0.0.1:{port}", patience=0.0)
        with refused:
            kind.trader(unlucky, 0).withdraw(MONEY, 1_000)
        hanging_up.join()


@pytest.mark.parametrize("kind", ["asynchronous"], indirect=True)
def test_without_a_leader_patience_ends(kind: Kind, market: Market) -> None:
    market.start()
    with api_over(market) as http:
        client = kind.client(str(http.base_url))
        market.wait_funded()
        wait_for_leader(http, market)
        project(market)
        own = kind.trader(client, 0, patience=0.5)
        nonce = own.take_nonce()
        for thread in market._threads:
            thread.stop()
        with pytest.raises((VenueUnavailable, OutcomeUnknown)):
            own.place("buy", *TERMS, 1, 50, nonce=nonce)


@pytest.mark.parametrize(
    ("problem", "status", "kind"),
    [
        (None, 502, CausewayError),
        ({"type": "urn:causeway:problem:conflict", "detail": "x"}, 409, Conflict),
        ({"type": "urn:causeway:problem:unheard-of", "detail": "x"}, 503, CausewayError),
        ({"type": "urn:causeway:problem:late", "detail": "x"}, 503, VenueUnavailable),
        ({"type": "urn:causeway:problem:bad-signature", "detail": "x"}, 401, NotAuthorised),
        (
            {
                "type": "urn:causeway:problem:invalid-value",
                "errors": [{"field": "a", "value": "b", "rule": "c"}],
            },
            422,
            InvalidValue,
        ),
    ],
)
def test_problems_become_errors_of_our_tree(
    problem: Any, status: int, kind: type[CausewayError]
) -> None:
    assert isinstance(error_of(problem, status), kind)
