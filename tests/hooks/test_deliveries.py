"""Events are delivered in order, at least once, whatever the receiver answers or is killed."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import text

from backend.domain.webhooks import Fact
from backend.errors import Conflict, InvalidValue, NotFound
from backend.hooks.deliverer import Deliverer
from backend.hooks.signing import show_secret, verify_webhook
from backend.store import webhooks
from backend.store.database import Database
from backend.store.webhook_events import MAX_BYTES, event_text, write_events
from tests.api.history import address
from tests.hooks.receiver import Receiver, receiving

pytestmark = pytest.mark.integration

ACCOUNT = address(1)


def endpoint(database: Database, url: str, types: tuple[str, ...] = ("*",)) -> tuple[str, str]:
    """Its id and its secret."""
    with database.begin() as connection:
        made, secret = webhooks.add_endpoint(connection, ACCOUNT, url, types)
    return made.id, show_secret(secret)


def tell(database: Database, name: str, *numbers: int) -> None:
    facts = [Fact(f"test:{one}", "class.hold", 1_780_000_000, {"number": one}) for one in numbers]
    with database.begin() as connection:
        write_events(connection, [(name, fact) for fact in facts])


def found(database: Database, name: str) -> webhooks.Endpoint:
    with database.read() as connection:
        return webhooks.get_endpoint(connection, ACCOUNT, name)


def deliveries(database: Database, name: str) -> dict[int, webhooks.Delivery]:
    with database.read() as connection:
        page = webhooks.list_deliveries(connection, ACCOUNT, name)
    return {one.sequence: one for one in page.items}


def make_due(database: Database, **columns: str) -> None:
    """Let time pass: the wait is over, and what else the columns say (SQL)."""
    values = ", ".join(f"{name} = {value}" for name, value in columns.items())
    with database.begin() as connection:
        connection.execute(
            text(f"UPDATE webhook_endpoints SET due_at = now(){', ' * bool(values)}{values}")
        )


def wait_for(condition: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain"
        time.sleep(0.02)


def test_events_arrive_signed_in_their_order_and_once(
    database: Database, receiver: Receiver
) -> None:
    name, secret = endpoint(database, receiver.url)
    tell(database, name, 1, 2)
    # Told again, by whoever does not know that it was: nothing new.
    tell(database, name, 2, 3)
    deliverer = Deliverer(database, private=True)
    deliverer.finish()
    deliverer.finish()
    assert receiver.sequences == [1, 2, 3]
    for number, request in enumerate(receiver.requests, 1):
        event = verify_webhook(request.headers, request.body, [secret])
        assert request.id == event["id"] == f"evt_{name[3:]}_{number}"
        assert event["type"] == "class.hold"
        assert event["timestamp"] == "2026-05-28T20:26:40Z"
        assert event["data"] == {"number": str(number)}
    assert found(database, name).waiting == 0
    kept = deliveries(database, name)[1]
    assert kept.state == "delivered"
    assert [(one.status, one.answer) for one in kept.attempts] == [(200, "thanks")]


def test_a_failure_holds_what_comes_after_until_it_is_taken(
    database: Database, receiver: Receiver
) -> None:
    receiver.answers = [500, 302]
    name, _ = endpoint(database, receiver.url)
    tell(database, name, 1, 2)
    deliverer = Deliverer(database, private=True)
    deliverer.finish()
    assert receiver.sequences == [1]
    deliverer.finish()
    assert receiver.sequences == [1], "the next attempt waits"
    assert found(database, name).failing_since is not None
    make_due(database)
    deliverer.finish()
    assert receiver.sequences == [1, 1], "redirects are not followed"
    make_due(database)
    deliverer.finish()
    assert receiver.sequences == [1, 1, 1, 2]
    assert len({one.id for one in receiver.requests[:3]}) == 1
    tried = deliveries(database, name)[1].attempts
    assert [one.status for one in tried] == [500, 302, 200]
    assert tried[1].error == "HTTP 302: redirects are not followed"
    assert found(database, name).failing_since is None


def test_pauses_grow_until_the_endpoint_is_given_up_with_a_reason(
    database: Database, receiver: Receiver
) -> None:
    receiver.answers = [500] * 12
    name, _ = endpoint(database, receiver.url)
    tell(database, name, 1)
    deliverer, pauses = Deliverer(database, private=True), []
    for _ in range(10):
        deliverer.finish()
        with database.begin() as connection:
            query = text("SELECT extract(epoch FROM due_at - now()) FROM webhook_endpoints")
            pauses.append(float(connection.execute(query).scalar_one()))
        make_due(database)
    wanted = [5, 10, 30, 60, 300, 900, 1_800, 3_600, 3_600, 3_600]
    # A slow machine has waited a part of it already.
    assert all(most - 5 < pause <= most for pause, most in zip(pauses, wanted, strict=True))
    assert found(database, name).state == "active"
    make_due(database, failing_since="now() - interval '3 days'")
    deliverer.finish()
    given_up = found(database, name)
    assert given_up.state == "disabled"
    assert given_up.reason is not None
    assert given_up.reason.startswith("nothing was delivered since ")
    assert given_up.reason.endswith("HTTP 500")
    # What happens meanwhile is kept; switched on again it all arrives in order.
    tell(database, name, 2)
    deliverer.finish()
    assert set(receiver.sequences) == {1}
    receiver.answers = []
    with database.begin() as connection:
        webhooks.change_endpoint(connection, ACCOUNT, name, active=True)
    deliverer.finish()
    assert receiver.sequences[-2:] == [1, 2]


def test_410_gone_disables_at_once(database: Database, receiver: Receiver) -> None:
    receiver.answers = [410]
    name, _ = endpoint(database, receiver.url)
    tell(database, name, 1)
    Deliverer(database, private=True).finish()
    assert found(database, name).reason == "the receiver answered 410 Gone"


def test_an_answer_that_does_not_come_or_does_not_end_is_a_failure_or_cut(
    database: Database, receiver: Receiver
) -> None:
    name, _ = endpoint(database, receiver.url)
    tell(database, name, 1)
    answering = threading.Event()
    receiver.before = lambda: answering.wait(30) and None
    Deliverer(database, private=True, timeout=0.3).finish()
    answering.set()
    assert [one.error for one in deliveries(database, name)[1].attempts] == [
        "no answer within 0.3 s"
    ]
    receiver.text = b"\x00\xff<" + b"x" * 200_000
    make_due(database)
    Deliverer(database, private=True).finish()
    last = deliveries(database, name)[1].attempts[-1]
    assert last.status == 200
    assert len(last.answer) == 1_024


def test_a_private_address_is_not_sent_to_unless_the_deployment_allows_it(
    database: Database, receiver: Receiver
) -> None:
    name, _ = endpoint(database, receiver.url)
    tell(database, name, 1)
    Deliverer(database, private=False).finish()
    assert receiver.requests == []
    assert "private network" in str(deliveries(database, name)[1].attempts[0].error)


def test_one_slow_endpoint_does_not_hold_up_another(database: Database, receiver: Receiver) -> None:
    slow, _ = endpoint(database, receiver.url)
    with receiving() as other:
        fast, _ = endpoint(database, other.url)
        answering = threading.Event()
        receiver.before = lambda: answering.wait(30) and None
        tell(database, slow, 1)
        tell(database, fast, 1, 2)
        deliverer = Deliverer(database, private=True)
        deliverer.step()
        wait_for(lambda: other.sequences == [1, 2])
        # Held by this deliverer: no second one sends the same.
        Deliverer(database, private=True).finish()
        answering.set()
        deliverer.finish()
    assert receiver.sequences == [1]


def test_a_secret_is_rotated_without_a_message_that_one_side_cannot_verify(
    database: Database, receiver: Receiver
) -> None:
    name, old = endpoint(database, receiver.url)
    with database.begin() as connection:
        _, made = webhooks.rotate_secret(connection, ACCOUNT, name, timedelta(hours=1))
    new = show_secret(made)
    tell(database, name, 1)
    Deliverer(database, private=True).finish()
    first = receiver.requests[0]
    for known in (old, new):
        assert verify_webhook(first.headers, first.body, [known])
    with database.begin() as connection:
        connection.execute(text("UPDATE webhook_endpoints SET secret_before_until = now()"))
    tell(database, name, 2)
    Deliverer(database, private=True).finish()
    assert len(receiver.requests[1].headers["webhook-signature"].split(" ")) == 1
    assert verify_webhook(receiver.requests[1].headers, receiver.requests[1].body, [new])


def test_a_replay_sends_the_same_again_under_the_same_ids(
    database: Database, receiver: Receiver
) -> None:
    name, _ = endpoint(database, receiver.url)
    tell(database, name, 1, 2, 3)
    deliverer = Deliverer(database, private=True)
    deliverer.finish()
    with database.begin() as connection:
        assert webhooks.replay(connection, ACCOUNT, name, 2) == 2
    deliverer.finish()
    with database.begin() as connection:
        assert webhooks.replay(connection, ACCOUNT, name, 1, 1) == 1
        assert webhooks.ping(connection, ACCOUNT, name) == 4
    deliverer.finish()
    assert receiver.sequences == [1, 2, 3, 2, 3, 1, 4]
    bodies = {one.id: one.body for one in receiver.requests}
    assert all(bodies[one.id] == one.body for one in receiver.requests)
    assert receiver.requests[-1].event["type"] == "ping"
    with pytest.raises(InvalidValue), database.begin() as connection:
        webhooks.replay(connection, ACCOUNT, name, 99)
    with pytest.raises(NotFound), database.begin() as connection:
        webhooks.replay(connection, address(2), name, 1)
    with database.begin() as connection:
        webhooks.change_endpoint(connection, ACCOUNT, name, active=False)
    with pytest.raises(Conflict), database.begin() as connection:
        webhooks.replay(connection, ACCOUNT, name, 1)


def test_a_kill_between_sending_and_recording_repeats_the_event_under_its_id(
    database: Database, receiver: Receiver
) -> None:
    name, _ = endpoint(database, receiver.url)
    tell(database, name, 1, 2)
    killed = threading.Event()
    receiver.before = lambda: killed.wait(60) and None
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.hooks.deliver_and_die", database.url],
        env={**os.environ, "PYTHONPATH": os.getcwd()},
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: receiver.requests, 60)
    finally:
        child.kill()
        child.wait()
    killed.set()
    assert deliveries(database, name)[1].attempts == ()
    deliverer = Deliverer(database, private=True)

    def both_came() -> bool:
        deliverer.finish()
        return receiver.sequences == [1, 1, 2]

    wait_for(both_came)
    assert receiver.requests[0].id == receiver.requests[1].id
    assert receiver.requests[0].body == receiver.requests[1].body


def test_an_account_has_so_many_endpoints_and_no_text_is_too_long(database: Database) -> None:
    for _ in range(webhooks.MOST_PER_ACCOUNT):
        endpoint(database, "https://hooks.example.com/")
    with pytest.raises(Conflict):
        endpoint(database, "https://hooks.example.com/")
    long = Fact("k", "class.hold", 0, {"reason": "x" * 100_000, "tonnes": 5})
    written = event_text("ep_1", 1, long)
    assert len(written) < MAX_BYTES
    assert '"tonnes":"5","truncated":true' in written
