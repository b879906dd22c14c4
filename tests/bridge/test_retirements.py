"""Deposits and retirements from end to end: registry, custody and chain say the same."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from backend.domain.capabilities import QUESTIONS
from backend.domain.ledger import interval_of
from backend.domain.registry_answers import Answer
from backend.domain.registry_requests import RetirementRequest, SerialRange
from backend.domain.serials import Interval, merge
from backend.errors import (
    InvalidValue,
    NotAuthorised,
    NotEnough,
    ProgrammeForbids,
    RegistryUnavailable,
)
from backend.store.breaks import list_breaks
from backend.store.queries import ledger as kept
from tests.bridge.conftest import Forbid
from tests.bridge.ledger_office import LedgerOffice
from tests.bridge.scene import Desk, Scene, breaks_of, done
from tests.indexer.world import VCS

pytestmark = pytest.mark.integration


def test_l3_a_deposit_is_minted_once_its_credits_are_seen_reported_and_signed(
    scene: Scene, desk: Desk
) -> None:
    flow = desk.deposit(desk.issue(1, 100))
    assert flow.state == "minted"
    assert desk.balance() == 100_000
    states = [step.state for step in scene.bridge.parts.flows.history("deposit", flow.id)]
    assert states == ["noticed", "immobilised", "receipt", "minted"]


def test_l4_whole_tonnes_are_retired_at_once_an_opened_one_when_it_closes(
    scene: Scene, desk: Desk
) -> None:
    desk.deposit(desk.issue(1, 100))
    first = desk.retire(2_500)
    scene.settle(lambda: desk.confirmed() == [Interval(VCS, 1, 2)])
    assert scene.bridge.parts.flows.get("certificate", first).state == "pending"
    second = desk.retire(700)
    scene.settle(lambda: sum(one.tonnes for one in desk.confirmed()) == 3)
    assert scene.ended("certificate", first).state == "confirmed"
    # Its 200 kg of the second opened tonne wait until that one closes.
    assert not scene.bridge.parts.flows.get("certificate", second).ended
    assert desk.at_registry("retired") == [Interval(VCS, 1, 3)]


def test_l4_what_the_registry_chose_is_confirmed_and_each_serial_stands_in_one_place(
    scene: Scene, desk: Desk
) -> None:
    desk.deposit(desk.issue(1, 60))
    scene.registry.faults(seed=3, other_serials=1000, other_serials_scope="class", fail_after=300)
    certificates = [desk.retire(kilograms) for kilograms in (5_000, 7_000, 4_000)]
    for number in certificates:
        assert scene.ended("certificate", number).state == "confirmed"
    confirmed = desk.confirmed()
    assert sum(one.tonnes for one in confirmed) == 16
    assert merge(confirmed) == desk.at_registry("retired")
    assert merge(confirmed) != [Interval(VCS, 1, 16)]


def test_l3_what_two_retirements_took_is_no_shortfall_while_one_of_them_has_no_answer(
    scene: Scene, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.deposit(desk.issue(1, 60))
    scene.registry.faults(seed=3, other_serials=1000, other_serials_scope="class")
    monkeypatch.setattr(scene.bridge.signers, "sign_all", lambda: None)
    desk.retire(1_000)
    scene.settle(lambda: len(desk.at_registry("retired")) == 1)

    def lost(request: RetirementRequest) -> Answer:
        scene.clerk.says = None
        scene.clerk.retire(request)
        scene.clerk.says = lost
        raise RegistryUnavailable("the line went dead")

    scene.clerk.says = lost
    monkeypatch.setattr(scene.clerk, "look_up", lambda reference: None)
    desk.retire(1_000)
    scene.settle(lambda: sum(one.tonnes for one in desk.at_registry("retired")) == 2)
    built = scene.bridge.reserve.build()
    assert built.coverage[desk.class_id].shortfall == 2
    scene.bridge.reserve.draft(built)
    assert breaks_of(scene, desk) == []
    monkeypatch.undo()
    scene.clerk.says = None
    scene.settle(lambda: merge(desk.confirmed()) == desk.at_registry("retired"))


def test_l4_a_registry_that_refuses_for_good_is_a_recorded_failure(
    scene: Scene, desk: Desk
) -> None:
    desk.deposit(desk.issue(1, 10))
    scene.registry.faults(seed=1, refuse=1000)
    assert scene.ended("certificate", desk.retire(2_000)).state == "failed"
    scene.settle(lambda: not scene.bridge.statements.stored.open())
    (failure,) = scene.bridge.statements.stored.of_type("RegistryFailure")
    assert failure.state.value == "recorded"
    assert breaks_of(scene, desk) == []


def test_l4_what_a_programme_forbids_is_never_asked_of_its_registry(
    scene: Scene, desk: Desk, forbid: Forbid, tmp_path: Path
) -> None:
    desk.deposit(desk.issue(1, 10))
    forbid("retire_on_behalf")
    # A command burns nothing, with an instruction or without.
    file, words = tmp_path / "instruction.json", ("--from", "holder-0")
    file.write_text("{}")
    for more in ((), ("--instruction", str(file))):
        told = scene.command("retire", str(desk.class_id), "2t", *words, *more, expect=1)
        assert told["error"] == "programme-forbids"
        assert "the programme's new rules" in told["message"]
    assert desk.balance() == 10_000
    # The contract asks no programme: the retirement stands, and a person decides what follows.
    number = desk.retire(2_000)
    failed = scene.ended("certificate", number)
    assert failed.state == "failed"
    assert QUESTIONS["retire_on_behalf"] in (failed.reason or "")
    assert breaks_of(scene, desk) == ["programme-forbids"]
    retirement = f"{desk.class_id}:0"
    assert scene.bridge.parts.requests.of_flow("retirement", retirement) == []
    assert desk.at_registry("retired") == []
    # Allowed again, it goes on from where it was, and the certificate with it.
    forbid(None)
    with scene.database.read() as connection:
        (found,) = list_breaks(connection, state="open", class_id=desk.class_id).items
    scene.command(
        "breaks", "resolve", str(found.number), "--because", "in writing", "--restart", "planned"
    )
    scene.settle(lambda: scene.bridge.parts.flows.get("certificate", number).state == "confirmed")
    assert desk.at_registry("retired") == [Interval(VCS, 1, 2)]


@pytest.mark.parametrize(
    "serials", ["CDM:CN/101-200", "CCER:CCER-2024-000001/101-200", "PHCER:GZ-PHCER-7/101-200"]
)
def test_where_no_token_is_allowed_custody_serials_owners_and_retirements_are_kept(
    scene: Scene, tmp_path: Path, serials: str
) -> None:
    first = SerialRange.parse(serials)
    office = LedgerOffice(scene, tmp_path, first.space.partition(":")[0])
    with closing(office):
        ana, bo = scene.world.holders[:2]
        after = SerialRange(first.space, 201, 220)
        office.registry.issue(str(first), office.account.account)
        office.registry.issue(str(after), office.account.account)
        minted = scene.world.rpc.block_number()
        assert office.deposit("a", [first], ana).state == "kept"
        assert office.deposit("b", [after], bo).state == "kept"
        # L2: somebody else's notice of the same serials can never be true.
        again = office.deposit("c", [SerialRange(first.space, 150, 160)], bo)
        assert (again.state, "which deposit" in (again.reason or "")) == ("failed", True)

        # L5, L2: only the owner, only over what is theirs, and only once.
        with pytest.raises(NotAuthorised):
            office.order("stolen", [first], ana, signed_by=bo)
        with pytest.raises(InvalidValue, match="are not"):
            office.order("foreign", [after], ana)
        with pytest.raises(ProgrammeForbids, match="country"):
            office.order("nowhere", [first], ana, country="")

        # The registry chooses serials of both: theirs are exchanged tonne for tonne.
        office.registry.faults(other_serials=1000, other_serials_scope="class", fail_after=300)
        asked = [SerialRange(first.space, 101, 130), SerialRange(first.space, 171, 180)]
        office.order("first", asked, ana)
        assert office.order("first", asked, ana).reference == office.name("first")
        with pytest.raises(NotEnough, match="wait for retirement"):
            office.order("second", [SerialRange(first.space, 130, 131)], ana)
        order = office.settled("first")
        assert order.state == "confirmed", order
        retired = [SerialRange.parse(one) for part in order.parts for one in part.serials]
        assert sum(one.tonnes for one in retired) == 40
        assert merge(map(interval_of, retired)) == office.retired_at_registry()
        with scene.database.read() as connection:
            mine, theirs = (
                kept.holdings(connection, owner=one.address, programmes=[office.programme])
                for one in (ana, bo)
            )
        assert [(one.held, one.retired) for one in mine] == [(60, 40)]
        assert [(one.held, one.retired) for one in theirs] == [(20, 0)]
        assert office.client.inventory(office.account).tonnes == 80

        # A registry that refuses for good: nothing is retired, and the tonnes are free again.
        office.registry.faults(seed=1, refuse=1000)
        office.order("refused", list(map(SerialRange.of, theirs[0].serials)), bo)
        assert office.settled("refused").state == "failed"
        office.registry.faults()
        # One that names what was retired before: a break, and nothing changes.
        before = interval_of(SerialRange(first.space, retired[0].first, retired[0].first))
        office.client.says = lambda request: done(request, before)
        left = theirs[0].serials[0].first
        office.order("impossible", [SerialRange(first.space, left, left)], bo)
        broken = office.settled("impossible")
        assert broken.state == "broken"
        assert "were retired by" in (broken.parts[0].reason or "")
        assert scene.world.rpc.block_number() == minted


@pytest.mark.parametrize(
    ("first", "last", "kind"),
    [(1, 3, "other-quantity"), (5_001, 5_002, "impossible-retirement")],
)
def test_l4_a_registry_that_says_what_cannot_be_true_makes_a_break_and_no_record(
    scene: Scene, desk: Desk, first: int, last: int, kind: str
) -> None:
    desk.deposit(desk.issue(1, 10))
    scene.clerk.says = lambda request: done(request, desk.serials(first, last))
    assert scene.ended("certificate", desk.retire(2_000)).state == "failed"
    assert breaks_of(scene, desk) == [kind]
    assert desk.confirmed() == []
