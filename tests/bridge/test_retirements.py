"""Deposits and retirements from end to end: registry, custody and chain say the same."""

from __future__ import annotations

from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from backend.bridge.holdings import ConnectedAccount
from backend.bridge.receipts import Terms
from backend.bridge.service import Bridge
from backend.domain.capabilities import QUESTIONS
from backend.domain.instructions import BeneficiaryKind, RetirementInstruction, UseCase
from backend.domain.registry_answers import AnswerState
from backend.domain.registry_requests import RegistryAccount, RetirementRequest, SerialRange
from backend.domain.serials import Interval, merge
from backend.registries.custody_file import parse_custody
from backend.registries.programmes import programme_data
from backend.store.breaks import list_breaks
from backend.store.transactions import PostgresTransactionLog
from tests.bridge.conftest import Forbid
from tests.bridge.scene import Desk, Scene, breaks_of, custody_document, done
from tests.indexer.world import VCS
from tests.registries.simulator_process import SimulatorProcess

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
def test_where_no_token_is_allowed_custody_serials_and_retirements_are_kept(
    scene: Scene, tmp_path: Path, serials: str
) -> None:
    kept = SerialRange.parse(serials)
    programme = kept.space.partition(":")[0]
    account = RegistryAccount(programme, "KEPT-1")
    document = custody_document()
    named = {"programme": programme, "account": account.account, "sub_account": ""}
    document["trusts"] = [{**document["trusts"][0], **named}]
    document["trusts"][0].pop("consent")
    custody = parse_custody(document)
    (trust,) = custody.trusts
    registry = SimulatorProcess(tmp_path, programme)
    registry.start()
    with closing(registry.client()) as client, ExitStack() as afterwards:
        afterwards.callback(registry.stop)
        registry.open_account(account.account)
        registry.issue(serials, account.account)
        bridge = Bridge(
            scene.database,
            scene.world.contracts,
            scene.sender,
            PostgresTransactionLog(scene.database),
            custody=custody,
            accounts=[ConnectedAccount(account, client)],
        )
        minted = scene.world.rpc.block_number()
        to, terms = scene.world.holders[0].address, Terms(trust.account_id, trust.terms_hash)
        bridge.deposits.give_notice(f"kept-{programme}", str(account), [kept], to, terms)
        flow = bridge.parts.flows.get("deposit", f"kept-{programme}")
        while not flow.ended:
            bridge.deposits.advance(flow)
            flow = bridge.parts.flows.get("deposit", flow.id)
        assert (flow.state, flow.tonnes) == ("kept", 100)
        assert "no tokens" in (flow.reason or "")
        # In custody by the registry's own word, and nothing of it is on its way to the chain.
        held = bridge.holdings.now(bridge.services.chain_time())
        assert kept in [*held.other, *(SerialRange.of(one.serials) for one in held.holdings)]
        assert "receipt" not in flow.content
        assert scene.world.rpc.block_number() == minted

        # A retirement of a part: asked once, kept with the registry's reference and serials.
        part = SerialRange(kept.space, 101, 110)
        said = RetirementInstruction(
            programme,
            "Sample Ltd",
            BeneficiaryKind.ENTITY,
            "CN",
            UseCase.VOLUNTARY,
            programme_data(programme).rules.plain_reason,
        )
        request = RetirementRequest(f"kept-{programme}-1", account, part, said)
        requests = bridge.parts.requests
        for _ in range(2):
            requests.keep("deposit", flow.id, request)
            requests.hear(client.retire(request))
        (stored,) = requests.of_flow("deposit", flow.id)
        assert stored.answer is not None
        assert (stored.answer.state, stored.answer.serials) == (AnswerState.DONE, (part,))
        assert stored.answer.registry_reference
        assert client.inventory(account).tonnes == 90


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
