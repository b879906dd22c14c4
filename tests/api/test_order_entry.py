"""Order entry over HTTP against a real sequencer: answers, acknowledgements, refusals."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from backend.api import gateway as gateway_module
from backend.chain.keys import address_of, recover
from backend.domain.acknowledgements import Acknowledgement, decode_path, verify_acknowledgement
from backend.domain.journal import decode_entry, hash_entry
from backend.domain.orders import Conditions, TimeInForce
from tests.api.venue import api_over, signed, wait_for_leader
from tests.exchange.market import MONEY, SEQUENCER_KEY, Market

pytestmark = pytest.mark.integration


@pytest.fixture
def client(market: Market) -> Iterator[httpx.Client]:
    """The API before a venue whose traders 0 to 3 have money and credits."""
    market.start()
    with api_over(market) as client:
        market.wait_funded()
        wait_for_leader(client, market)
        yield client


@pytest.fixture
def mortal(market: Market) -> Iterator[httpx.Client]:
    """The same with the leader in a process of its own, which can be stopped and killed."""
    market.start_process()
    with api_over(market) as client:
        market.wait_funded()
        wait_for_leader(client, market)
        yield client


def place(client: httpx.Client, *commands: Any, path: str = "/v1/orders", **options: Any) -> Any:
    """The answer to one command, or to a list of several."""
    bodies = [signed(command) for command in commands]
    plural = {"/v1/orders": "orders", "/v1/cancels": "cancels", "/v1/withdrawals": "withdrawals"}
    body = bodies[0] if len(bodies) == 1 else {plural[path]: bodies}
    return client.post(path, json=body, **options)


def result(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    (found,) = answer.json()["results"]
    return dict(found)


def test_an_order_rests_and_the_next_one_fills_it(client: httpx.Client, market: Market) -> None:
    resting = result(place(client, market.order(0, 0, side=1, price=120, quantity=10)))
    assert (resting["status"], resting["filled"], resting["resting"]) == ("accepted", "0", "10")
    assert [event["type"] for event in resting["events"]] == ["accepted", "resting"]
    taking = result(place(client, market.order(1, 0, side=0, price=150, quantity=4)))
    assert (taking["filled"], taking["resting"], taking["ended"]) == ("4", "0", "filled")
    (fill,) = [event for event in taking["events"] if event["type"] == "fill"]
    assert (fill["price"], fill["quantity"], fill["number"]) == ("120", "4", "1")
    assert fill["maker"] is False
    assert "trader" not in fill, "whom it traded with is not told"


def test_an_answer_is_acknowledged_and_the_acknowledgement_holds(
    client: httpx.Client, market: Market
) -> None:
    command = market.order(0, 0, price=77)
    found = result(place(client, command))
    entry = bytes.fromhex(found["entry"][2:])
    assert decode_entry(entry).command == command
    assert market.journal.read(int(found["seq"]), 1)[0].entry == entry
    assert hash_entry(entry).hex() == found["entry_hash"][2:]
    given = found["acknowledgement"]
    path = decode_path(bytes.fromhex(given["path"][2:]))
    held = Acknowledgement(
        int(found["seq"]), hash_entry(entry), path, bytes.fromhex(given["signature"][2:])
    )
    verify_acknowledgement(market.domain, held, [address_of(SEQUENCER_KEY)], recover)


def test_the_same_order_again_gets_the_first_answer(client: httpx.Client, market: Market) -> None:
    command = market.order(0, 0, price=90)
    first, again = result(place(client, command)), result(place(client, command))
    assert (first["repeated"], again["repeated"]) == (False, True)
    for field in ("status", "seq", "entry", "events", "filled", "resting"):
        assert again[field] == first[field]


def test_another_order_under_a_used_nonce_is_a_conflict(
    client: httpx.Client, market: Market
) -> None:
    result(place(client, market.order(0, 0, price=90)))
    answer = place(client, market.order(0, 0, price=91))
    assert answer.status_code == 409
    assert answer.json()["type"] == "urn:causeway:problem:conflict"


def test_what_the_rules_refuse_is_journalled_with_its_reason(
    client: httpx.Client, market: Market
) -> None:
    found = result(place(client, market.order(0, 0, price=10**25, quantity=10)))
    assert (found["status"], found["reason"]) == ("refused", "not_enough")
    assert market.journal.read(int(found["seq"]), 1), "it used its nonce"


@pytest.mark.parametrize(
    ("nonce", "status", "kind"),
    [(1_025, 422, "nonce-too-far"), (2**48 - 1, 422, "nonce-too-far"), (1_023, 200, "")],
)
def test_a_nonce_is_near_the_lowest_unused_one(
    client: httpx.Client, market: Market, nonce: int, status: int, kind: str
) -> None:
    answer = place(client, market.order(0, nonce))
    assert answer.status_code == status
    assert answer.json().get("type", "").endswith(kind)


def test_a_signature_of_somebody_else_is_refused_and_uses_nothing(
    client: httpx.Client, market: Market
) -> None:
    command = market.order(0, 0)
    forged = command._replace(signature=market.sign(1, command.order))
    answer = place(client, forged)
    assert answer.status_code == 401
    assert answer.json()["type"] == "urn:causeway:problem:bad-signature"
    assert result(place(client, command))["repeated"] is False


def test_a_compact_signature_is_the_same_order(client: httpx.Client, market: Market) -> None:
    for nonce in range(8):
        command = market.order(0, nonce)
        raw = command.signature
        flag = (raw[64] - 27) << 7
        body = signed(command)
        body["signature"] = "0x" + (raw[:32] + bytes([raw[32] | flag]) + raw[33:64]).hex()
        assert result(client.post("/v1/orders", json=body))["repeated"] is False
        assert result(place(client, command))["repeated"] is True
        body["signature"] = "0x" + (raw[:64] + bytes([raw[64] - 27])).hex()
        assert result(client.post("/v1/orders", json=body))["repeated"] is True


def test_one_bad_order_of_a_list_does_not_stop_the_others(
    client: httpx.Client, market: Market
) -> None:
    good, other = market.order(0, 0, side=1, quantity=3), market.order(1, 0, quantity=3)
    forged = market.order(2, 0)._replace(signature=market.sign(1, market.order(2, 0).order))
    crooked = signed(market.order(2, 1)) | {"order": {"trader": "0x12"}}
    tall = signed(market.order(2, 2))
    tall["order"] = tall["order"] | {"quantity": str(2**53)}
    body = {"orders": [signed(good), crooked, signed(forged), 7, tall, signed(other)]}
    answer = client.post("/v1/orders", json=body)
    assert answer.status_code == 200, answer.text
    found = answer.json()["results"]
    statuses = [one["status"] for one in found]
    assert statuses == ["accepted", "rejected", "rejected", "rejected", "rejected", "accepted"]
    assert found[5]["filled"] == "3", "in their order: the last meets the first"
    assert found[2]["problem"]["type"] == "urn:causeway:problem:bad-signature"
    (broken,) = found[4]["problem"]["errors"]
    assert broken == {
        "field": "orders[4].order.quantity",
        "value": str(2**53),
        "rule": "is not 1 to 2^53 − 1",
    }
    assert found[1]["problem"]["errors"][0]["field"] == "orders[1].order"


def test_too_many_or_too_long_is_refused(client: httpx.Client, market: Market) -> None:
    one = signed(market.order(0, 0))
    assert client.post("/v1/orders", json={"orders": [one] * 51}).status_code == 422
    assert client.post("/v1/orders", content=b"{").status_code == 422
    assert client.post("/v1/orders", content=b" " * 200_000).status_code == 413


def test_cancels_withdrawals_and_cancel_all(client: httpx.Client, market: Market) -> None:
    for nonce in range(3):
        result(place(client, market.order(0, nonce, price=50 + nonce)))
    cancelled = result(place(client, market.cancel(0, 1), path="/v1/cancels"))
    assert cancelled["ended"] == "cancelled"
    early = result(place(client, market.cancel(0, 9), path="/v1/cancels"))
    assert [event["type"] for event in early["events"]] == ["nonce_used"]
    several = place(client, market.cancel(0, 0), market.cancel(0, 7), path="/v1/cancels")
    assert [one["status"] for one in several.json()["results"]] == ["accepted", "accepted"]
    cleared = result(place(client, market.cancel_all(0, 3), path="/v1/cancel-all"))
    assert cleared["events"][-1]["ended"] == "1"
    moved = result(place(client, market.withdraw(0, 4, MONEY, 1_000), path="/v1/withdrawals"))
    assert moved["events"][0]["type"] == "withdrawal"
    assert moved["events"][0]["amount"] == "1000"


def test_every_condition_of_an_order_is_understood(client: httpx.Client, market: Market) -> None:
    fok = Conditions(TimeInForce.FOK).pack()
    found = result(place(client, market.order(0, 0, conditions=fok, quantity=5)))
    assert (found["status"], found["reason"]) == ("refused", "cannot_fill")
    result(place(client, market.order(1, 0, side=1, price=100, quantity=5)))
    post_only = Conditions(post_only=True).pack()
    found = result(place(client, market.order(0, 1, conditions=post_only, price=100)))
    assert found["reason"] == "would_cross"
    retiring = Conditions(TimeInForce.IOC, retire_on_fill=True).pack()
    command = market.order(0, 2, conditions=retiring, details_hash=bytes([5]) * 32, quantity=2)
    found = result(place(client, command))
    assert found["filled"] == "2"
    assert [e["retired"] for e in found["events"] if e["type"] == "fill"] == [True]


def test_a_pre_signed_order_has_no_signature(client: httpx.Client, market: Market) -> None:
    command = market.order(0, 0, signature_kind=1)
    body = signed(command)
    body["signature"] = None
    answer = client.post("/v1/orders", json=body)
    # The chain has not seen this digest, whatever the leader calls it: it is not accepted.
    assert answer.status_code != 200 or result(answer)["status"] == "refused"
    body["signature"] = "0x" + "11" * 65
    assert client.post("/v1/orders", json=body).json()["errors"][0]["field"] == "signature"


def test_without_a_leader_nothing_is_accepted_and_it_says_so(market: Market) -> None:
    with api_over(market) as client:
        answer = place(client, market.order(0, 0))
    assert answer.status_code == 503
    assert answer.json()["type"] == "urn:causeway:problem:venue-unavailable"
    assert answer.headers["retry-after"] == "1"
    assert "nothing was accepted" in answer.json()["detail"]


def test_a_leader_that_hangs_leaves_the_outcome_unknown_and_repeating_tells_it(
    mortal: httpx.Client, market: Market
) -> None:
    (process,) = market._processes
    command = market.order(0, 0)
    os.kill(process.pid, signal.SIGSTOP)
    try:
        answer = place(mortal, command, headers={"Deadline-Ms": "300"})
    finally:
        os.kill(process.pid, signal.SIGCONT)
    assert answer.status_code == 504
    assert answer.json()["type"] == "urn:causeway:problem:outcome-unknown"

    def settled() -> Any:
        again = place(mortal, command)
        return again.status_code == 200 and again

    assert result(market.wait_for(settled))["status"] == "accepted"
    market.check()


def test_a_deadline_that_makes_no_sense_is_refused(client: httpx.Client, market: Market) -> None:
    for text in ("0", "49", "10001", "soon", "-5", "1e3", "٥٠٠"):
        answer = place(client, market.order(0, 0), headers={"Deadline-Ms": text.encode()})
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] == "header.deadline-ms"


def test_bounds_refuse_at_once_and_are_freed_again(
    client: httpx.Client, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway_module, "MOST_PER_TRADER", 10)
    orders = [market.order(0, nonce) for nonce in range(11)]
    answer = place(client, *orders)
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "1"
    assert place(client, *orders[:10]).status_code == 200, "what is answered counts no more"
    monkeypatch.setattr(gateway_module, "MOST_PER_VENUE", 5)
    assert place(client, *orders[:6]).status_code == 503
    text = client.get("/metrics").text
    assert 'causeway_api_held_back_total{bound="trader"} 1.0' in text
    assert 'causeway_api_commands_total{kind="order",outcome="accepted"} 10.0' in text


def test_a_kill_of_the_leader_loses_and_doubles_no_acknowledged_order(
    mortal: httpx.Client, market: Market
) -> None:
    market.start_process()
    first = market._processes[0]
    acknowledged: dict[int, str] = {}
    killed = threading.Event()

    def send(nonce: int) -> None:
        command = market.order(nonce % 4, nonce // 4, side=nonce % 2, price=100)
        while True:
            answer = place(mortal, command)
            if answer.status_code == 200:
                acknowledged[nonce] = result(answer)["seq"]
                return
            assert answer.status_code in (503, 504), answer.text
            killed.wait(0.05)

    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(send, nonce) for nonce in range(400)]
        market.wait_for(lambda: len(acknowledged) > 60)
        first.kill()
        for one in waiting:
            one.result(timeout=60)
    market.check()
    rows = [row for row in market.rows() if row.kind == 1]
    assert len(rows) == len({(row.trader, row.nonce) for row in rows}) == 400
    assert {str(row.seq) for row in rows} == set(acknowledged.values())


def test_a_path_that_only_takes_post_says_so(client: httpx.Client) -> None:
    for path in ("/v1/cancels", "/v1/cancel-all"):
        answer = client.get(path)
        assert answer.status_code == 405
        assert answer.headers["allow"] == "POST"


def test_answers_carry_the_headers_of_every_other_route(
    client: httpx.Client, market: Market
) -> None:
    answer = place(client, market.order(0, 0), headers={"X-Request-Id": "my-request-1"})
    assert answer.headers["x-request-id"] == "my-request-1"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"] == "application/json"
    wrong = place(client, market.order(0, 10_000))
    assert wrong.headers["x-content-type-options"] == "nosniff"
    assert len(wrong.headers["x-request-id"]) == 32
    metrics = client.get("/metrics").text
    assert 'route="/v1/orders",status="200"' in metrics
