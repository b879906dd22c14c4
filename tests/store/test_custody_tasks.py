"""Tasks of custodians through the manual client and Postgres: once, four eyes, nothing lost."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from datetime import date

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from backend.bridge.accounts import connected_accounts
from backend.domain.custody_tasks import (
    MAX_REASON_BYTES,
    Task,
    TaskState,
    instructions_of,
    reason_text,
    task_request_from_json,
)
from backend.domain.instructions import BeneficiaryKind, RetirementInstruction, UseCase
from backend.domain.registry_answers import Answer, AnswerState
from backend.domain.registry_requests import (
    RegistryAccount,
    RetirementRequest,
    SerialRange,
    TransferRequest,
)
from backend.domain.trusts import Rebinding
from backend.errors import Conflict, InvalidValue, NotAuthorised, NotFound, RegistryUnavailable
from backend.registries.clients.manual import STATEMENT_SECONDS, ManualRegistryClient
from backend.registries.clients.protocol import RegistryClient
from backend.registries.clients.statement import read_statement, statement_json
from backend.registries.custody_file import load_custody, parse_custody, sample_text
from backend.store.custody_tasks import PostgresTaskBook
from backend.store.database import Database
from backend.store.trust_accounts import (
    rebindings_of,
    record_rebinding,
    record_trusts,
    terms_of,
)

CUSTODY = load_custody(None)
ACCOUNT = CUSTODY.trust("sample-vcs").account
ASKED = SerialRange("VCS:2", 100, 109)
INSTRUCTION = RetirementInstruction(
    "VCS",
    "Sample Beneficiary Ltd",
    BeneficiaryKind.ENTITY,
    "HK",
    UseCase.VOLUNTARY,
    "Other",
    "0001",
    claim_start=date(2025, 1, 1),
    claim_end=date(2025, 12, 31),
    note="a note",
)
RETIRE = RetirementRequest("retire:1:0", ACCOUNT, ASKED, INSTRUCTION, 2_000)
MOVE = TransferRequest("deliver:1", ACCOUNT, ASKED, "2002/1", 2_000, 9_000)
DONE = Answer("retire:1:0", AnswerState.DONE, "R-1", (ASKED,), date(2026, 1, 2), "C-1")
STATEMENT = b"""Block,Series,First,Last,Project,Vintage Start,Vintage End,Labels,State
B-1,VCS:2,100,199,900001,2023-01-01,2023-12-31,CCP; SDG,live
B-2,VCS:2,200,209,900001,2023-01-01,2023-12-31,,leaving
B-3,VCS:2,300,309,900001,2023-01-01,2023-12-31,,retired
"""


class Desk:
    """The manual client with a clock that a test moves."""

    def __init__(self, database: Database) -> None:
        self.now = 1_000
        self.book = PostgresTaskBook(database)
        self.client: RegistryClient = ManualRegistryClient(
            "VCS", CUSTODY, self.book, lambda: self.now
        )

    def approved(self, reference: str, answer: Answer) -> Task:
        held = self.book.answer(reference, answer, "desk one", self.now)
        number = held.proposals[-1].number
        return self.book.review(reference, number, "desk two", True, "", self.now)


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database)


# ── the flow ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.integration
def test_a_retirement_is_a_task_until_two_people_have_confirmed_it(desk: Desk) -> None:
    taken = desk.client.retire(RETIRE)
    assert (taken.state, taken.registry_reference) == (AnswerState.ACCEPTED, "")
    (task,) = desk.book.list_tasks()
    assert (task.state, task.request) == (TaskState.OPEN, RETIRE)

    held = desk.book.answer(RETIRE.reference, DONE, "desk one", 1_100, "proof.pdf", b"proof")
    assert held.state is TaskState.ANSWERED
    assert desk.client.retire(RETIRE).state is AnswerState.ACCEPTED
    with pytest.raises(NotAuthorised):
        desk.book.review(RETIRE.reference, 1, " Desk ONE ", True, "", 1_200)
    held = desk.book.review(RETIRE.reference, 1, "desk two", True, "seen", 1_200)

    assert held.state is TaskState.DONE
    answer = desk.client.look_up(RETIRE.reference)
    assert answer is not None
    assert answer.says_the_same(DONE)
    assert answer == desk.client.retire(RETIRE)
    assert desk.book.evidence(RETIRE.reference, 1) == ("proof.pdf", b"proof")
    assert desk.book.list_tasks() == []
    assert [one.reference for one in desk.book.list_tasks(TaskState.DONE)] == [RETIRE.reference]


@pytest.mark.integration
def test_l5_the_database_itself_refuses_one_persons_two_eyes(
    desk: Desk, database: Database
) -> None:
    desk.client.retire(RETIRE)
    desk.book.answer(RETIRE.reference, DONE, "desk one", 1_100)
    with pytest.raises(IntegrityError, match="four_eyes"), database.begin() as connection:
        connection.execute(
            text("UPDATE custody_task_answers SET reviewed_by = ' DESK one', approved = true")
        )


@pytest.mark.integration
def test_l10_a_task_is_opened_once_and_other_content_is_a_conflict(desk: Desk) -> None:
    desk.client.retire(RETIRE)
    desk.client.retire(RETIRE)
    desk.client.retire(replace(RETIRE, deadline=3_000))
    (task,) = desk.book.list_tasks()
    assert task.request.deadline == 3_000
    with pytest.raises(Conflict):
        desk.client.retire(replace(RETIRE, serials=SerialRange("VCS:2", 100, 110)))
    assert desk.client.look_up("retire:never") is None
    with pytest.raises(InvalidValue):
        desk.client.retire(replace(RETIRE, account=RegistryAccount("GS", "1")))


@pytest.mark.integration
def test_l10_the_same_answer_and_approval_again_change_nothing(desk: Desk) -> None:
    desk.client.retire(RETIRE)
    first = desk.book.answer(RETIRE.reference, DONE, "desk one", 1_100)
    assert desk.book.answer(RETIRE.reference, DONE, "desk one", 1_150) == first
    with pytest.raises(Conflict, match="waits"):
        desk.book.answer(RETIRE.reference, DONE, "desk three", 1_100)
    done = desk.book.review(RETIRE.reference, 1, "desk two", True, "", 1_200)
    assert desk.book.review(RETIRE.reference, 1, "desk two", True, "", 1_300) == done
    with pytest.raises(Conflict):
        desk.book.review(RETIRE.reference, 1, "desk two", False, "no", 1_300)
    with pytest.raises(Conflict, match="is done"):
        desk.book.answer(RETIRE.reference, DONE, "desk one", 1_400)
    with pytest.raises(NotFound):
        desk.book.review(RETIRE.reference, 2, "desk two", True, "", 1_300)


@pytest.mark.integration
def test_an_answer_sent_back_stays_in_the_history_and_the_task_opens_again(desk: Desk) -> None:
    desk.client.retire(RETIRE)
    wrong = replace(DONE, serials=(SerialRange("VCS:2", 200, 209),))
    desk.book.answer(RETIRE.reference, wrong, "desk one", 1_100)
    with pytest.raises(InvalidValue):
        desk.book.review(RETIRE.reference, 1, "desk two", False, "", 1_150)
    back = desk.book.review(RETIRE.reference, 1, "desk two", False, "other serials", 1_150)
    assert (back.state, back.waiting, back.standing) == (TaskState.OPEN, None, None)
    task = desk.approved(RETIRE.reference, DONE)
    assert [one.approved for one in task.proposals] == [False, True]
    assert task.proposals[0].note == "other serials"


@pytest.mark.integration
def test_a_transfer_is_confirmed_in_two_steps(desk: Desk) -> None:
    desk.client.transfer(MOVE)
    waiting = Answer(MOVE.reference, AnswerState.ACCEPTED, "T-1", expires_at=8_000)
    task = desk.approved(MOVE.reference, waiting)
    assert task.state is TaskState.OPEN
    assert desk.client.transfer(MOVE).registry_reference == "T-1"
    ended = Answer(MOVE.reference, AnswerState.EXPIRED, "T-1", reason="nobody accepted")
    assert desk.approved(MOVE.reference, ended).state is TaskState.DONE
    assert desk.client.transfer(MOVE).state is AnswerState.EXPIRED


@pytest.mark.integration
@pytest.mark.parametrize(
    ("answer", "field"),
    [
        (replace(DONE, reference="other"), "reference"),
        (Answer(RETIRE.reference, AnswerState.REJECTED, reason="x"), "state"),
        (Answer(RETIRE.reference, AnswerState.UNKNOWN, reason="x"), "state"),
        (Answer(RETIRE.reference, AnswerState.REFUSED), "reason"),
    ],
)
def test_an_answer_nobody_can_bring_is_refused(desk: Desk, answer: Answer, field: str) -> None:
    desk.client.retire(RETIRE)
    with pytest.raises(InvalidValue) as caught:
        desk.book.answer(RETIRE.reference, answer, "desk one", 1_100)
    assert caught.value.field == field


@pytest.mark.integration
def test_two_people_who_answer_at_once_leave_one_answer(desk: Desk) -> None:
    desk.client.retire(RETIRE)
    outcomes: list[str] = []

    def bring(name: str) -> None:
        try:
            desk.book.answer(RETIRE.reference, DONE, name, 1_100)
            outcomes.append("kept")
        except Conflict:
            outcomes.append("conflict")

    threads = [threading.Thread(target=bring, args=(f"desk {n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["conflict", "conflict", "conflict", "kept"]


@pytest.mark.integration
def test_a_request_without_a_deadline_gets_the_one_of_the_custody_file_once(desk: Desk) -> None:
    endless = replace(RETIRE, deadline=None)
    desk.client.retire(endless)
    desk.now = 5_000
    desk.client.retire(endless)
    (task,) = desk.book.list_tasks()
    assert task.request.deadline == 1_000 + 72 * 3600


@pytest.mark.integration
def test_a_programme_without_an_address_is_worked_on_by_tasks(database: Database) -> None:
    document = json.loads(sample_text())
    document["sample"] = False
    document["registries"][1] = {"programme": "GS", "channel": "http", "url": "http://127.0.0.1:9"}
    manual, http, _ = connected_accounts(parse_custody(document), database, lambda: 1)
    assert (str(manual.account), str(http.account)) == ("VCS:SAMPLE-1001/1", "GS:SAMPLE-2001/1")
    assert manual.client.retire(RETIRE).state is AnswerState.ACCEPTED
    assert PostgresTaskBook(database).find_task(RETIRE.reference) is not None
    with pytest.raises(RegistryUnavailable):
        http.client.inventory(http.account)


# ── statements ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.integration
def test_an_inventory_is_the_newest_approved_statement(desk: Desk) -> None:
    with pytest.raises(RegistryUnavailable) as caught:
        desk.client.inventory(ACCOUNT)
    with pytest.raises(RegistryUnavailable):
        desk.client.inventory(ACCOUNT)
    (task,) = desk.book.list_tasks()
    assert caught.value.values["reference"] == task.reference

    inventory = read_statement(ACCOUNT, 900, STATEMENT)
    held = desk.book.answer(task.reference, statement_json(inventory), "desk one", 1_000)
    desk.book.review(task.reference, held.proposals[0].number, "desk two", True, "", 1_000)
    assert desk.client.inventory(ACCOUNT) == inventory
    assert desk.book.list_tasks() == []

    desk.now = 900 + STATEMENT_SECONDS + 1
    assert desk.client.inventory(ACCOUNT).as_of == 900
    (again,) = desk.book.list_tasks()
    assert again.reference != task.reference
    with pytest.raises(InvalidValue, match="not after"):
        desk.book.answer(again.reference, statement_json(inventory), "desk one", desk.now)
    other = statement_json(replace(inventory, account=RegistryAccount("VCS", "9")))
    with pytest.raises(InvalidValue, match="is not of"):
        desk.book.answer(again.reference, other, "desk one", desk.now)


@pytest.mark.integration
def test_account_facts_are_those_of_the_custody_file(desk: Desk) -> None:
    facts = desk.client.account(ACCOUNT)
    assert (facts.holder, facts.sub_accounts) == ("Sample Trustee Limited", ("1",))
    with pytest.raises(NotFound):
        desk.client.account(RegistryAccount("VCS", "9"))


@pytest.mark.unit
def test_a_statement_is_read_by_its_header() -> None:
    inventory = read_statement(ACCOUNT, 900, STATEMENT)
    assert [str(one.serials) for one in inventory.blocks] == ["VCS:2/100-199"]
    assert [str(one.serials) for one in inventory.leaving] == ["VCS:2/200-209"]
    assert inventory.blocks[0].labels == ("CCP", "SDG")


@pytest.mark.unit
@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        (b"Series,", b"Serie,", "statement"),
        (b"100,199", b"199,100", "line 2"),
        (b"100,199", b"1e2,199", "line 2: First"),
        (b"2023-01-01", b"01/01/2023", "line 2: Vintage Start"),
        (b"leaving", b"lost", "line 3: State"),
        (b"B-1,", b",", "line 2: Block"),
        (b"200,209", b"199,209", "statement"),
        (b"\n", b"\n\xff", "statement"),
    ],
)
def test_a_statement_with_one_bad_row_is_none(old: bytes, new: bytes, place: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        read_statement(ACCOUNT, 900, STATEMENT.replace(old, new, 1))
    assert place in caught.value.field


# ── what people read ─────────────────────────────────────────────────────────────────────────


@pytest.mark.unit
def test_the_reason_to_paste_names_beneficiary_period_and_our_reference() -> None:
    assert reason_text(RETIRE) == (
        "On behalf of Sample Beneficiary Ltd (0001), HK. "
        "Claim period 2025-01-01 to 2025-12-31. a note. Ref. retire:1:0"
    )


@pytest.mark.unit
def test_a_private_beneficiary_is_not_in_the_reason_and_a_long_one_keeps_the_reference() -> None:
    private = replace(INSTRUCTION, is_public=False, salt=b"\1" * 32)
    assert "Sample" not in reason_text(replace(RETIRE, instruction=private))
    long = replace(INSTRUCTION, beneficiary="樣" * 85)
    text = reason_text(replace(RETIRE, instruction=long))
    assert len(text.encode()) <= MAX_REASON_BYTES
    assert text.endswith("Ref. retire:1:0")


@pytest.mark.unit
@pytest.mark.parametrize("request_", [RETIRE, MOVE])
def test_a_task_says_exactly_what_to_use(request_: RetirementRequest | TransferRequest) -> None:
    task = Task(request_, TaskState.OPEN, 0, None, ())
    said = dict(instructions_of(task))
    assert said["serials"] == "VCS:2/100-109"
    assert said["deadline"] == "1970-01-01 00:33 UTC"
    assert request_.reference in said.get("reason text", said.get("comment", ""))
    assert task_request_from_json(request_.as_json()) == request_


# ── trust accounts ───────────────────────────────────────────────────────────────────────────


@pytest.mark.integration
def test_every_version_of_a_trusts_terms_can_be_found_by_its_hash(database: Database) -> None:
    trust = CUSTODY.trust("sample-vcs")
    reworded = replace(trust, text="SAMPLE: other words")
    with database.begin() as connection:
        assert record_trusts(connection, CUSTODY.trusts) == len(CUSTODY.trusts)
        assert record_trusts(connection, CUSTODY.trusts) == 0
        assert record_trusts(connection, [reworded]) == 1
        old, new = terms_of(connection, trust.terms_hash), terms_of(connection, reworded.terms_hash)
    assert old is not None
    assert new is not None
    assert (old["text"], new["text"]) == (trust.text, "SAMPLE: other words")
    assert old["account"] == str(trust.account)


@pytest.mark.integration
def test_a_receipts_blocks_move_in_a_chain_of_records(database: Database) -> None:
    one, two, three = (RegistryAccount("VCS", str(number)) for number in (1, 2, 3))
    first = Rebinding("0xab", one, two, b"\1" * 32, "T-1", date(2026, 1, 1))
    second = Rebinding("0xab", two, three, b"\2" * 32, "T-2", date(2026, 2, 1))
    with database.begin() as connection:
        for rebinding in (first, second, first):
            record_rebinding(connection, rebinding)
        assert rebindings_of(connection, "0xab") == [first, second]
        with pytest.raises(Conflict, match="stand in VCS:3"):
            record_rebinding(connection, replace(first, registry_reference="T-3"))
        with pytest.raises(Conflict, match="otherwise"):
            record_rebinding(connection, replace(second, old=three, new=one))
