"""When the reserve keeper builds a report, and when it gives up a draft (L3)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from backend.bridge import reserve
from backend.bridge.statements import KINDS
from backend.domain.registry_requests import SerialRange, TransferRequest
from backend.store.statements import Statement, StatementState
from tests.bridge.scene import BUYER, TRUST, Desk, Scene

pytestmark = pytest.mark.integration


def drafts(scene: Scene) -> list[Statement]:
    return [one for one in scene.bridge.statements.stored.open() if one.type == "ReserveReport"]


def test_a_receipt_that_waits_lets_nothing_be_built_again_until_something_came_in(
    scene: Scene, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.deposit(desk.issue(1, 10))
    scene.settle(lambda: not drafts(scene))
    keeper = scene.bridge.reserve
    built: list[Any] = []
    build = keeper.build
    monkeypatch.setattr(keeper, "build", lambda *held: built.append(held) or build(*held))
    for _ in range(3):
        assert keeper.tend(uncovered=True) is None
    assert len(built) == 1
    desk.issue(11, 20)
    assert keeper.tend(uncovered=True) is not None
    assert len(built) == 2
    scene.settle(lambda: not drafts(scene))


def test_l3_a_draft_that_covers_more_than_there_is_by_now_gives_way_to_a_true_one(
    scene: Scene, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.deposit(desk.issue(1, 10))
    scene.settle(lambda: not drafts(scene))
    keeper = scene.bridge.reserve
    desk.issue(11, 20)
    (untrue,) = [keeper.tend(uncovered=True)]
    assert untrue is not None
    assert untrue.state is StatementState.DRAFTED
    # Two tonnes leave the account before anybody signs: nobody can sign the draft any more.
    gone = SerialRange.of(desk.serials(11, 12))
    answer = scene.clerk.transfer(TransferRequest(f"gone-{gone.first}", TRUST, gone, BUYER))
    scene.registry.answer_transfer(answer.registry_reference, "accept")
    scene.bridge.signers.sign_all()
    assert scene.bridge.statements.stored.get(untrue.id).approvals == ()
    assert keeper.tend(uncovered=True) == untrue
    monkeypatch.setattr(reserve, "REBUILD_SECONDS", 0)
    true = keeper.tend(uncovered=True)
    assert true is not None
    assert true.id != untrue.id
    stored = scene.bridge.statements.stored
    assert stored.get(untrue.id).state is StatementState.SUPERSEDED
    monkeypatch.undo()
    scene.settle(lambda: not drafts(scene))
    assert stored.get(true.id).state is StatementState.RECORDED, stored.get(true.id)
    assert keeper.newest().sequence == keeper.current().sequence


def test_a_report_that_is_due_is_not_renewed_with_one_of_the_same_age(
    scene: Scene, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.deposit(desk.issue(1, 10))
    scene.settle(lambda: not drafts(scene))
    keeper = scene.bridge.reserve
    newest = keeper.current()
    monkeypatch.setattr(reserve, "RENEW_AT", (0, 1))
    looked = keeper._holdings.now
    monkeypatch.setattr(
        keeper._holdings, "now", lambda now: replace(looked(now), as_of=newest.as_of)
    )
    built: list[Any] = []
    build = keeper.build
    monkeypatch.setattr(keeper, "build", lambda *held: built.append(held) or build(*held))
    for _ in range(3):
        assert keeper.tend() is None
    assert len(built) == 1
    monkeypatch.setattr(reserve, "REBUILD_SECONDS", 0)
    monkeypatch.setattr(
        keeper._holdings, "now", lambda now: replace(looked(now), as_of=newest.as_of + 1)
    )
    assert keeper.tend() is not None


def test_drafts_of_a_sequence_that_is_taken_are_given_up_though_their_root_is_the_newest_ones(
    scene: Scene, desk: Desk
) -> None:
    desk.deposit(desk.issue(1, 10))
    scene.settle(lambda: not drafts(scene))
    keeper = scene.bridge.reserve
    older = keeper.draft(keeper.build())
    scene.settle(lambda: not drafts(scene))
    stored = scene.bridge.statements
    again = older.message(KINDS["ReserveReport"].types) | {"asOf": keeper.current().as_of - 1}
    stored.draft("ReserveReport", again)
    keeper.tend()
    assert not drafts(scene)


def test_a_registry_whose_clock_stands_behind_the_chains_gets_no_report_after_report(
    scene: Scene, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.deposit(desk.issue(1, 10))
    scene.settle(lambda: not drafts(scene))
    keeper = scene.bridge.reserve
    newest, longest = keeper.current(), keeper.max_age()
    looked = keeper._holdings.now
    gained = longest // 7 - 1
    monkeypatch.setattr(
        keeper._holdings, "now", lambda now: replace(looked(now), as_of=newest.as_of + gained)
    )
    monkeypatch.setattr(keeper._services.__class__, "chain_time", lambda _: newest.as_of + longest)
    assert keeper.tend() is None
    gained += 2
    monkeypatch.setattr(reserve, "REBUILD_SECONDS", 0)
    renewed = keeper.tend()
    assert renewed is not None
    scene.bridge.statements.stored.set_state(renewed.id, StatementState.FAILED, "of this test")
