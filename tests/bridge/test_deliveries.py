"""Deliveries from end to end: delivered once, or the holder has the tokens again (L8)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backend.bridge.certificates import CertificateFlow
from backend.bridge.delivery_flow import DeliveryFlow
from backend.domain.capabilities import QUESTIONS
from backend.domain.deliveries import Refund, State
from backend.domain.registry_requests import SerialRange
from backend.domain.serials import Interval
from backend.registries.clients.http import HttpRegistryClient
from tests.bridge.conftest import Forbid
from tests.bridge.scene import BUYER, Desk, Scene, breaks_of, done
from tests.chain_time import pass_time
from tests.indexer.world import VCS

pytestmark = pytest.mark.integration

DAY = 86_400


def delivery(scene: Scene, number: str) -> State:
    return scene.bridge.deliveries.on_chain(number).phase.state


def test_l2_what_was_delivered_leaves_the_register_and_is_minted_again_when_deposited_again(
    scene: Scene, desk: Desk
) -> None:
    desk.deposit(desk.issue(1, 20))
    number = desk.deliver(5)
    reference = scene.settle(lambda: scene.waiting_transfer(number))
    assert scene.registry.answer_transfer(reference, "accept").status_code == 200
    assert scene.ended("delivery", number).state == "finalised"
    assert delivery(scene, number) is State.FINALISED
    assert desk.balance() == 15_000
    # The buyer sends the same credits back into trust: the same serials make tokens again.
    serials = SerialRange.of(desk.serials(1, 5))
    scene.move_back(serials)
    assert desk.deposit(serials, holder=1).state == "minted"
    assert desk.balance(1) == 5_000
    assert desk.at_registry("live") == [Interval(VCS, 1, 20)]


def test_l8_what_is_final_is_told_by_the_index_and_not_by_a_chain_that_has_gone_on(
    scene: Scene, desk: Desk
) -> None:
    desk.deposit(desk.issue(1, 20))
    services = replace(scene.bridge.parts.services, confirmations=2)
    parts = replace(scene.bridge.parts, services=services)
    deliveries, certificates = DeliveryFlow(parts, scene.bridge.permits), CertificateFlow(parts)
    desk.deliver(5, stepping=False)
    who = scene.world.holders[0]
    scene.world.send_all([scene.world.retire(who, desk.class_id, 1_000)])
    scene.indexer.advance()
    # Chain blocks that the index has not seen: who knows which of its own they replaced.
    scene.world.rpc.call("anvil_mine", 5)
    assert (deliveries.discover(), certificates.discover()) == (0, 0)
    scene.indexer.advance()
    assert (deliveries.discover(), certificates.discover()) == (1, 1)


def test_l8_a_number_that_stands_for_another_request_by_now_is_left_alone_and_reported(
    scene: Scene, desk: Desk
) -> None:
    desk.deposit(desk.issue(1, 20))
    number = desk.deliver(5, stepping=False)
    scene.indexer.advance()
    scene.bridge.discover()
    held = scene.bridge.parts.flows.get("delivery", number)
    for stale in (
        replace(held, first_position=(held.first_position or 0) + 7),
        replace(held, content={**held.content, "holder": scene.world.holders[1].address}),
        replace(held, content={**held.content, "recipient": "SOMEBODY-ELSE"}),
    ):
        scene.bridge.deliveries.advance(stale, scene.world.keys["custodian"])
        scene.sender.advance()
    assert delivery(scene, number) is State.REQUESTED
    assert breaks_of(scene, desk) == ["delivery-replaced"]
    scene.bridge.deliveries.advance(held, scene.world.keys["custodian"])
    scene.sender.advance()
    assert delivery(scene, number) is State.BEGUN


def test_l8_a_delivery_that_the_recipient_rejects_is_refunded_on_the_same_serials(
    scene: Scene, desk: Desk
) -> None:
    desk.deposit(desk.issue(1, 20))
    number = desk.deliver(5)
    reference = scene.settle(lambda: scene.waiting_transfer(number))
    scene.registry.answer_transfer(reference, "reject")
    scene.settle(lambda: delivery(scene, number) is State.REJECTED)
    desk.refund(number)
    assert scene.ended("delivery", number).state == "refunded"
    assert desk.balance() == 20_000
    owed = scene.bridge.reserve.build().liabilities
    supply = scene.world.contracts.total_supply(desk.class_id)
    mine = [entry for entry in owed.entries if entry.class_id == desk.class_id]
    assert sum(entry.kilograms for entry in mine) == supply == 20_000
    # The refund stands at the back: what is retired next are the tonnes in front of it.
    certificate = desk.retire(15_000)
    assert scene.ended("certificate", certificate).state == "confirmed"
    assert desk.confirmed() == [Interval(VCS, 6, 20)]
    last = desk.retire(5_000)
    assert scene.ended("certificate", last).state == "confirmed"
    assert desk.at_registry("retired") == [Interval(VCS, 1, 20)]


def test_l4_a_registry_that_says_it_retired_serials_of_an_open_delivery_makes_a_break(
    scene: Scene, desk: Desk
) -> None:
    desk.deposit(desk.issue(1, 10))
    number = desk.deliver(5)
    reference = scene.settle(lambda: scene.waiting_transfer(number))
    scene.clerk.says = lambda request: done(request, desk.serials(1, 2))
    certificate = desk.retire(2_000)
    scene.settle(lambda: breaks_of(scene, desk) == ["retired-in-delivery"])
    assert desk.confirmed() == []
    # Delivered as well: the registry contradicts itself, and nothing is recorded.
    scene.registry.answer_transfer(reference, "accept")
    assert scene.ended("certificate", certificate).state == "failed"
    assert set(breaks_of(scene, desk)) == {"retired-in-delivery", "impossible-retirement"}
    assert desk.confirmed() == []


def test_l2_serials_of_a_delivery_that_the_registry_retired_are_confirmed_after_its_refund(
    scene: Scene, desk: Desk
) -> None:
    desk.deposit(desk.issue(1, 10))
    number = desk.deliver(5)
    reference = scene.settle(lambda: scene.waiting_transfer(number))
    scene.clerk.insists = True
    scene.clerk.says = lambda request: done(request, desk.serials(1, 2))
    certificate = desk.retire(2_000)
    scene.settle(lambda: breaks_of(scene, desk) == ["retired-in-delivery"])
    scene.registry.answer_transfer(reference, "reject")
    scene.settle(lambda: delivery(scene, number) is State.REJECTED)
    desk.refund(number)
    assert scene.ended("certificate", certificate).state == "confirmed"
    assert desk.confirmed() == [Interval(VCS, 1, 2)]


@pytest.mark.parametrize("begun", [False, True])
def test_l8_a_delivery_whose_serials_the_registry_retired_itself_is_rejected_and_refunded_at_once(
    scene: Scene, desk: Desk, begun: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.deposit(desk.issue(1, 10))
    # The worker has not seen the request yet when the registry chooses its serials for a
    # retirement that was asked of others.
    monkeypatch.setattr(scene.bridge.deliveries, "discover", lambda: 0)
    number = desk.deliver(5)
    if begun:
        custodian = scene.world.keys["custodian"]
        scene.world.send_all([scene.world.sign(custodian, "Deliveries", "begin", int(number))])
    scene.clerk.says = lambda request: HttpRegistryClient.retire(
        scene.clerk, replace(request, serials=SerialRange.of(desk.serials(2, 3)))
    )
    certificate = desk.retire(2_000)
    scene.settle(lambda: breaks_of(scene, desk) == ["retired-in-delivery"])
    monkeypatch.undo()
    scene.settle(lambda: delivery(scene, number) is State.REJECTED)
    assert not scene.bridge.parts.requests.of_flow("delivery", number)
    desk.refund(number)
    assert scene.ended("certificate", certificate).state == "confirmed"
    assert scene.ended("delivery", number).state == "refunded"
    assert desk.confirmed() == [Interval(VCS, 2, 3)]
    assert breaks_of(scene, desk) == ["retired-in-delivery"]


def test_l8_a_delivery_that_the_programme_forbids_is_never_begun_and_waits_for_its_refund(
    scene: Scene, desk: Desk, forbid: Forbid
) -> None:
    desk.deposit(desk.issue(1, 10))
    number = desk.deliver(4, stepping=False)
    forbid("transfer")
    flows, requests = scene.bridge.parts.flows, scene.bridge.parts.requests
    scene.settle(lambda: breaks_of(scene, desk) == ["programme-forbids"])
    flow = flows.get("delivery", number)
    assert QUESTIONS["transfer"] in (flow.reason or "")
    now = scene.bridge.deliveries.on_chain(number)
    assert now.phase.state is State.REQUESTED
    assert now.phase.refund(now.periods, now.phase.deadline(now.periods)) is Refund.ORDINARY
    # Neither does a command burn or begin anything.
    words = ("--from", "holder-0", "--account", BUYER)
    for command in (("deliver", str(desk.class_id), "1", *words), ("delivery", "begin", number)):
        assert scene.command(*command, expect=1)["error"] == "programme-forbids"
    assert desk.balance() == 6_000
    # Begun in spite of it, by another machine: the registry is still not asked.
    custodian = scene.world.keys["custodian"]
    scene.world.forget_nonces(custodian)
    begun = scene.world.sign(custodian, "Deliveries", "begin", int(number))
    scene.world.send_all([begun])
    flows.hurry("delivery", number)
    scene.step()
    assert delivery(scene, number) is State.BEGUN
    assert QUESTIONS["transfer"] in (flows.get("delivery", number).reason or "")
    assert requests.of_flow("delivery", number) == []
    assert desk.at_registry("live") == [Interval(VCS, 1, 10)]


def test_a_delivery_to_the_trust_account_itself_burns_nothing(scene: Scene, desk: Desk) -> None:
    desk.deposit(desk.issue(1, 2))
    words = ("--from", "holder-0", "--account", "TRUST-1/1")
    told = scene.command("deliver", str(desk.class_id), "1", *words, expect=1)
    assert told["error"] == "programme-forbids"
    assert "TRUST-1/1 is a trust account itself" in told["message"]
    assert desk.balance() == 2_000


def test_l8_a_stuck_delivery_is_refunded_with_every_process_of_the_operator_stopped(
    scene: Scene, desk: Desk
) -> None:
    desk.deposit(desk.issue(1, 10))
    number = desk.deliver(4, stepping=False)
    pass_time(scene.world.rpc.call, 10 * DAY)
    desk.refund(number, stepping=False)
    assert delivery(scene, number) is State.REFUNDED
    assert desk.balance() == 10_000
