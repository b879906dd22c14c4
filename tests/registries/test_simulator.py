"""The simulated registry through its client: both as they are used, the registry as a process."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from backend.domain.credits import BlockRecord
from backend.domain.registry_answers import Answer, AnswerState, BreakKind, follow
from backend.domain.registry_requests import (
    RegistryAccount,
    RetirementRequest,
    SerialRange,
    TransferRequest,
)
from backend.errors import (
    Conflict,
    InvalidValue,
    NotAuthorised,
    NotFound,
    RegistryUnavailable,
)
from backend.registries.clients.http import HttpRegistryClient
from backend.registries.clients.protocol import RegistryClient
from backend.registries.clients.statement import read_statement
from backend.registries.reader import open_export
from tests.registries.conftest import INSTRUCTION
from tests.registries.simulator_process import TOKEN, SimulatorProcess

pytestmark = pytest.mark.integration


class Desk:
    """A trust account with a sub-account and one block of 1,000 t, and a recipient's account."""

    def __init__(self, simulator: SimulatorProcess, number: int, acceptance: str = "manual"):
        self.simulator, self.number = simulator, number
        self.account = RegistryAccount("VCS", f"{number}1", "7")
        self.recipient = f"{number}2"
        simulator.open_account(self.account.account, "7", holds_for_others=True)
        simulator.open_account(self.recipient, acceptance=acceptance)
        self.first = number * 10_000 + 1
        simulator.issue(f"VCS:2/{self.first}-{self.first + 999}", self.account.account, "7")

    def range(self, first: int, last: int) -> SerialRange:
        """Serials of the block, counted from 1."""
        return SerialRange("VCS:2", self.first + first - 1, self.first + last - 1)

    def retirement(self, first: int, last: int, name: str = "a") -> RetirementRequest:
        reference = f"retire:{self.number}:{name}"
        return RetirementRequest(reference, self.account, self.range(first, last), INSTRUCTION)

    def transfer(self, first: int, last: int, name: str = "t") -> TransferRequest:
        reference = f"deliver:{self.number}:{name}"
        return TransferRequest(reference, self.account, self.range(first, last), self.recipient)


@pytest.fixture
def desk(simulator: SimulatorProcess, number: int) -> Desk:
    return Desk(simulator, number)


@pytest.fixture
def client(simulator: SimulatorProcess) -> Iterator[HttpRegistryClient]:
    with closing(simulator.client()) as opened:
        yield opened


def persist(client: RegistryClient, request: RetirementRequest | TransferRequest) -> Answer:
    """What a job does: ask and ask again until the answer is final."""
    known: Answer | None = None
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        try:
            if isinstance(request, RetirementRequest):
                heard = client.retire(request)
            else:
                heard = client.transfer(request)
            known = follow(request, known, heard).answer
            if not known.state.is_final:
                found = client.look_up(request.reference)
                known = known if found is None else follow(request, known, found).answer
        except RegistryUnavailable:
            pass
        if known is not None and known.state.is_final:
            return known
        time.sleep(0.02)
    raise AssertionError(f"{request.reference} is {known} after 90 s")


def test_an_account_says_whose_it_is_and_what_it_holds(desk: Desk, client: RegistryClient) -> None:
    facts = client.account(desk.account)
    assert (facts.is_open, facts.holds_for_others, facts.sub_accounts) == (True, True, ("7",))
    inventory = client.inventory(desk.account)
    assert [block.serials for block in inventory.blocks] == [desk.range(1, 1000)]
    assert inventory.holding(desk.range(5, 9)) == inventory.blocks[0]
    assert abs(inventory.as_of - time.time()) < 30
    with pytest.raises(NotFound):
        client.account(replace(desk.account, sub_account="8"))
    with pytest.raises(InvalidValue):
        client.inventory(replace(desk.account, programme="GS"))


def test_a_retirement_splits_the_block_and_names_serials_date_and_certificate(
    desk: Desk, client: RegistryClient
) -> None:
    answer = client.retire(desk.retirement(101, 150))
    assert answer.state is AnswerState.DONE
    assert answer.serials == (desk.range(101, 150),)
    assert answer.registry_reference.startswith("VCS-R-")
    assert answer.certificate_id.startswith("VCS-C-")
    held = client.inventory(desk.account)
    assert [one.serials for one in held.blocks] == [desk.range(1, 100), desk.range(151, 1000)]
    assert len({one.block_id for one in held.blocks}) == 2


def test_l10_the_same_reference_again_retires_nothing_more(
    desk: Desk, client: RegistryClient
) -> None:
    request = desk.retirement(1, 10)
    first = client.retire(request)
    assert client.retire(request) == first
    assert client.look_up(request.reference) == replace(
        first,
        evidence=client.look_up(request.reference).evidence,  # type: ignore[union-attr]
    )
    assert client.inventory(desk.account).tonnes == 990
    with pytest.raises(Conflict):
        client.retire(replace(request, serials=desk.range(1, 11)))


def test_a_reference_nobody_used_is_not_found(client: RegistryClient) -> None:
    assert client.look_up("retire:never") is None


@pytest.mark.parametrize(
    ("first", "last", "account", "why"),
    [(990, 1001, None, "one live block"), (1, 5, "404", "no account"), (1, 5, "2", "one live")],
)
def test_what_cannot_be_done_is_refused_for_ever_with_a_reason(
    desk: Desk, client: RegistryClient, first: int, last: int, account: str | None, why: str
) -> None:
    request = desk.retirement(first, last)
    if account == "404":
        request = replace(request, account=RegistryAccount("VCS", "no-such"))
    elif account == "2":
        request = replace(request, account=RegistryAccount("VCS", desk.recipient))
    answer = client.retire(request)
    assert (answer.state, why in answer.reason) == (AnswerState.REFUSED, True)
    assert client.retire(request).state is AnswerState.REFUSED


def test_a_transfer_waits_for_its_recipient(desk: Desk, client: RegistryClient) -> None:
    request = desk.transfer(1, 100)
    pending = client.transfer(request)
    assert pending.state is AnswerState.ACCEPTED
    assert pending.expires_at is not None
    held = client.inventory(desk.account)
    assert (held.tonnes, [one.serials for one in held.leaving]) == (900, [desk.range(1, 100)])
    assert desk.simulator.answer_transfer(pending.registry_reference, "accept").is_success
    assert desk.simulator.answer_transfer(pending.registry_reference, "accept").is_success
    assert desk.simulator.answer_transfer(pending.registry_reference, "reject").status_code == 409
    done = client.look_up(request.reference)
    assert done is not None
    assert follow(request, pending, done) == (done, ())
    assert (done.state, done.serials) == (AnswerState.DONE, (desk.range(1, 100),))
    there = client.inventory(RegistryAccount("VCS", desk.recipient))
    assert [one.serials for one in there.blocks] == [desk.range(1, 100)]


@pytest.mark.parametrize("how", ["reject", "expire"])
def test_a_transfer_that_nobody_took_gives_the_credits_back(
    desk: Desk, client: RegistryClient, how: str
) -> None:
    request = replace(desk.transfer(1, 100), expires_at=int(time.time()) + 10**6)
    pending = client.transfer(request)
    if how == "reject":
        desk.simulator.answer_transfer(pending.registry_reference, "reject")
    else:
        desk.simulator.admin("POST", "clock", {"seconds": 10**6 + 60})
    answer = client.transfer(request)
    desk.simulator.admin("POST", "clock", {"seconds": 0})
    assert answer.state is (AnswerState.REJECTED if how == "reject" else AnswerState.EXPIRED)
    assert client.inventory(desk.account).tonnes == 1000
    assert desk.simulator.answer_transfer(pending.registry_reference, "accept").status_code == 409


def test_a_recipient_who_changes_their_mind_gets_what_waits(
    desk: Desk, client: RegistryClient
) -> None:
    request = desk.transfer(1, 100)
    for _ in range(2):
        assert client.transfer(request).state is AnswerState.ACCEPTED
    desk.simulator.open_account(desk.recipient, acceptance="accept")
    assert client.transfer(request).state is AnswerState.DONE


def test_a_move_between_sub_accounts_needs_nobodys_acceptance(
    desk: Desk, client: RegistryClient
) -> None:
    request = replace(desk.transfer(1, 100), recipient=desk.account.account)
    assert client.transfer(request).state is AnswerState.DONE
    assert client.inventory(replace(desk.account, sub_account="")).tonnes == 100


@pytest.mark.parametrize("scope", ["block", "class"])
def test_the_registry_may_choose_other_serials(
    desk: Desk, client: RegistryClient, scope: str
) -> None:
    desk.simulator.issue(
        f"VCS:2/{desk.first + 5000}-{desk.first + 5009}", desk.account.account, "7"
    )
    desk.simulator.faults(other_serials=1000, other_serials_scope=scope)
    request = desk.retirement(1, 20)
    answer = client.retire(request)
    followed = follow(request, None, answer)
    assert [one.kind for one in followed.breaks] == [BreakKind.OTHER_SERIALS]
    assert (followed.stops, answer.tonnes) == (False, 20)
    assert client.inventory(desk.account).tonnes == 990


@pytest.mark.parametrize("fault", ["fail_before", "fail_after", "cut_after"])
def test_an_answer_that_fails_is_unknown_and_the_repeat_finds_out(
    desk: Desk, client: RegistryClient, fault: str
) -> None:
    desk.simulator.faults(**{fault: 1000})
    request = desk.retirement(1, 10)
    assert client.retire(request).state is AnswerState.UNKNOWN
    with pytest.raises(RegistryUnavailable):
        client.look_up(request.reference)
    desk.simulator.faults()
    known = client.look_up(request.reference)
    assert (known is None) == (fault == "fail_before")
    assert client.retire(request).state is AnswerState.DONE
    assert client.inventory(desk.account).tonnes == 990


def test_a_slow_answer_is_unknown_although_it_was_done(desk: Desk) -> None:
    desk.simulator.faults(slow=1000, slow_ms=600)
    request = desk.retirement(1, 10)
    with closing(desk.simulator.client(timeout_seconds=0.2)) as hasty:
        assert hasty.retire(request).state is AnswerState.UNKNOWN
    desk.simulator.faults()
    time.sleep(0.7)
    with closing(desk.simulator.client()) as patient:
        found = patient.look_up(request.reference)
    assert found is not None
    assert found.state is AnswerState.DONE


def test_during_maintenance_nothing_is_known(desk: Desk, client: RegistryClient) -> None:
    now = int(time.time()) + 2 * 10**6
    desk.simulator.admin("PUT", "maintenance", {"windows": [[0, now + 10**9]]})
    assert client.retire(desk.retirement(1, 10)).state is AnswerState.UNKNOWN
    with pytest.raises(RegistryUnavailable) as caught:
        client.inventory(desk.account)
    assert int(caught.value.values["retry_after"]) > 0
    desk.simulator.admin("PUT", "maintenance", {"windows": [[0, 1]]})
    assert client.retire(desk.retirement(1, 10)).state is AnswerState.DONE


def test_what_is_queued_is_done_in_another_order(desk: Desk, client: RegistryClient) -> None:
    desk.simulator.faults(seed=3, queued=1000, queue_seconds=3600)
    requests = [desk.retirement(n * 10 + 1, n * 10 + 10, str(n)) for n in range(20)]
    assert {client.retire(one).state for one in requests} == {AnswerState.ACCEPTED}
    desk.simulator.admin("POST", "clock", {"seconds": 1800})
    states = [client.retire(one).state for one in requests]
    assert set(states) == {AnswerState.ACCEPTED, AnswerState.DONE}
    assert states != sorted(states, key=lambda state: state is AnswerState.ACCEPTED)
    desk.simulator.admin("POST", "clock", {"seconds": 1900})
    assert {client.retire(one).state for one in requests} == {AnswerState.DONE}


def test_a_lookup_that_lists_twice_or_shows_the_past_does_no_harm(
    desk: Desk, client: RegistryClient
) -> None:
    request = desk.retirement(1, 10)
    done = client.retire(request)
    desk.simulator.faults(repeated=1000, stale=1000)
    shown = client.look_up(request.reference)
    assert shown is not None
    assert shown.state is AnswerState.ACCEPTED
    assert follow(request, done, shown) == (done, ())
    desk.simulator.faults(repeated=1000)
    again = client.look_up(request.reference)
    assert again is not None
    assert again.says_the_same(done)


def test_without_its_token_nobody_gets_an_answer(desk: Desk) -> None:
    with (
        closing(HttpRegistryClient("VCS", desk.simulator.url)) as stranger,
        pytest.raises(NotAuthorised),
    ):
        stranger.inventory(desk.account)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert httpx.get(f"{desk.simulator.url}/admin/book", headers=headers).status_code == 401


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"[]", "body"),
        (b"{", "body"),
        (b"{}", "reference"),
        (
            b'{"reference":"a","account":"1","serials":"VCS:2/1-2","instruction":{}}',
            "beneficiary",
        ),
        (
            b'{"reference":"a b","account":"1","serials":"VCS:2/1-2",'
            b'"instruction":{"beneficiary":"x"}}',
            "reference",
        ),
        (
            b'{"reference":"a","account":"1","serials":"VCS:2/2-1",'
            b'"instruction":{"beneficiary":"x"}}',
            "serials",
        ),
    ],
)
def test_a_request_of_another_form_is_refused_by_name(
    simulator: SimulatorProcess, body: bytes, field: str
) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    answer = httpx.post(f"{simulator.url}/v1/retirements", content=body, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["field"] == field


def test_its_export_is_read_by_the_importer(
    desk: Desk, client: RegistryClient, tmp_path: Path
) -> None:
    client.retire(desk.retirement(101, 150))
    headers = {"Authorization": f"Bearer {TOKEN}"}
    text = httpx.get(f"{desk.simulator.url}/v1/exports/verra-vcu-export", headers=headers).text
    path = tmp_path / "export.csv"
    path.write_text(text)
    with open_export(path) as export:
        records = [one for one in export if isinstance(one, BlockRecord)]
    assert len(records) == len(text.splitlines()) - 1
    mine = [one for one in records if desk.range(1, 1000).contains(SerialRange.of(one.interval))]
    assert [(SerialRange.of(one.interval), one.status.is_final) for one in mine] == [
        (desk.range(1, 100), False),
        (desk.range(101, 150), True),
        (desk.range(151, 1000), False),
    ]
    assert mine[1].facts.beneficiary == INSTRUCTION.beneficiary


def test_its_block_inventory_is_a_statement_of_the_account(
    desk: Desk, client: RegistryClient
) -> None:
    client.retire(desk.retirement(101, 150))
    client.transfer(desk.transfer(151, 160))
    headers = {"Authorization": f"Bearer {TOKEN}"}
    raw = httpx.get(f"{desk.simulator.url}/v1/exports/block-inventory", headers=headers).content
    asked = client.inventory(desk.account)
    assert read_statement(desk.account, asked.as_of, raw) == asked
    assert len(asked.leaving) == 1


def test_l10_kill_9_in_the_middle_loses_and_doubles_nothing(tmp_path: Path) -> None:
    simulator = SimulatorProcess(tmp_path)
    simulator.start()
    try:
        desk = Desk(simulator, 9, acceptance="accept")
        simulator.faults(
            seed=11, fail_before=100, fail_after=100, cut_after=100, refuse=50, queued=300,
            queue_seconds=1, other_serials=300, repeated=200, stale=200,
        )  # fmt: skip
        rng = random.Random(11)
        requests: list[RetirementRequest | TransferRequest] = []
        for n in range(18):
            make = desk.transfer if rng.random() < 0.4 else desk.retirement
            requests.append(make(n * 20 + 1, n * 20 + 1 + rng.randrange(20), f"k{n}"))
        answers: dict[str, Answer] = {}

        def work(part: list[RetirementRequest | TransferRequest]) -> None:
            with closing(simulator.client(timeout_seconds=2)) as client:
                for one in part:
                    answers[one.reference] = persist(client, one)

        workers = [threading.Thread(target=work, args=(requests[n::3],)) for n in range(3)]
        for worker in workers:
            worker.start()
        for _ in range(2):
            time.sleep(0.4)
            simulator.kill()
            simulator.start()
        for worker in workers:
            worker.join(timeout=120)
        book = simulator.admin("GET", "book")
    finally:
        simulator.stop()

    assert len(answers) == len(requests)
    assert book["partition_breaks"] == []
    assert len(book["operations"]) == len(requests)
    for shown in book["operations"]:
        answer = answers[shown["reference"]]
        assert shown["state"] == answer.state.value
        assert shown["serials"] == [str(one) for one in answer.serials]
        taken = [one for one in book["pieces"] if one["operation"] == shown["reference"]]
        if shown["kind"] == "retirement":
            assert sorted(one["serials"] for one in taken) == sorted(shown["serials"])
    moved = sum(
        answers[one.reference].tonnes for one in requests if isinstance(one, TransferRequest)
    )
    there = [one for one in book["pieces"] if one["account"] == desk.recipient]
    assert sum(SerialRange.parse(one["serials"]).tonnes for one in there) == moved > 0
    assert {one["state"] for one in book["pieces"]} == {"live", "retired"}
