"""Flows, requests and statements of the bridge: once, in one order, with all their history."""

from __future__ import annotations

from datetime import date

import pytest

from backend.domain.deliveries import TYPES, Rejection, signing_domain
from backend.domain.instructions import BeneficiaryKind, RetirementInstruction, UseCase
from backend.domain.registry_answers import Answer, AnswerState
from backend.domain.registry_requests import RegistryAccount, RetirementRequest, SerialRange
from backend.domain.reserve import ClassReserve, Liabilities, Liability, LiveBlock, ReserveTree
from backend.domain.serials import Interval, Series
from backend.errors import Conflict, InvalidValue, NotFound
from backend.store.breaks import Breaks, list_breaks
from backend.store.custody import Approval, Custody
from backend.store.database import Database
from backend.store.flows import Flows
from backend.store.registry_requests import RegistryRequests
from backend.store.reserve_trees import ReserveTrees, StoredTrees, newest_recorded
from backend.store.statements import Statements, StatementState

pytestmark = pytest.mark.integration

INSTRUCTION = RetirementInstruction(
    "VCS", "A Ltd", BeneficiaryKind.ENTITY, "HK", UseCase.VOLUNTARY, "offset"
)
REQUEST = RetirementRequest(
    "ret-1-0", RegistryAccount("VCS", "1"), SerialRange("VCS:2", 1, 9), INSTRUCTION
)
DONE = Answer("ret-1-0", AnswerState.DONE, "R-1", (SerialRange("VCS:2", 1, 9),), date(2026, 2, 28))


def test_a_flow_is_made_once_and_moved_only_by_who_saw_its_state(database: Database) -> None:
    flows = Flows(database)
    first = flows.begin("retirement", "1", "planned", {"a": 1}, class_id=2**200, tonnes=9)
    again = flows.begin("retirement", "1", "planned", {"a": 2})
    assert again == first
    assert flows.due() == [("retirement", "1")]
    moved = flows.move(first, "asked", reason="so", wait=60)
    assert flows.due() == []
    with pytest.raises(Conflict):
        flows.move(first, "failed", ended=True)
    flows.hurry("retirement", "1")
    assert flows.due() == [("retirement", "1")]
    flows.retry(moved, "no answer")
    assert flows.get("retirement", "1").attempts == 1
    ended = flows.move(moved, "confirmed", ended=True)
    flows.hurry("retirement", "1")
    assert flows.due() == []
    assert ended.content == {"a": 1}
    history = [(step.state, step.reason) for step in flows.history("retirement", "1")]
    assert history == [("planned", None), ("asked", "so"), ("confirmed", None)]
    with pytest.raises(NotFound):
        flows.get("delivery", "1")


def test_a_registry_that_answers_late_twice_or_otherwise_makes_a_break_not_a_wrong_state(
    database: Database,
) -> None:
    Flows(database).begin("retirement", "1", "planned", {})
    requests = RegistryRequests(database)
    assert requests.keep("retirement", "1", REQUEST) == requests.keep("retirement", "1", REQUEST)
    other = RetirementRequest("ret-1-0", REQUEST.account, SerialRange("VCS:2", 2, 9), INSTRUCTION)
    with pytest.raises(Conflict):
        requests.keep("retirement", "1", other)
    assert requests.hear(DONE).answer == DONE
    assert requests.hear(Answer("ret-1-0", AnswerState.UNKNOWN)).answer == DONE
    late = requests.hear(Answer("ret-1-0", AnswerState.REFUSED, reason="no such block"))
    assert late.stops
    assert late.answer == DONE
    requests.hear(Answer("ret-1-0", AnswerState.REFUSED, reason="no such block"))
    assert requests.get("ret-1-0").answer == DONE
    with database.read() as connection:
        found = list_breaks(connection, state="open").items
    assert [(one.kind, one.flow) for one in found] == [("contradiction", "1")]
    breaks = Breaks(database)
    with pytest.raises(InvalidValue):
        breaks.resolve(found[0].number, " ")
    breaks.resolve(found[0].number, "the registry erred and said so in writing")
    with pytest.raises(Conflict):
        breaks.resolve(found[0].number, "something else")
    with database.read() as connection:
        assert list_breaks(connection, state="open").items == ()


def test_a_statement_is_read_back_with_the_digest_that_was_signed(database: Database) -> None:
    rejection = Rejection(7, "the recipient refused", b"e" * 32)
    domain = signing_domain(1, "0x" + "11" * 20)
    key = "0x" + rejection.digest(domain).hex()
    statements = Statements(database)
    statements.draft(key, "Rejection", 1, domain.contract, rejection.message(), flow=("d", "7"))
    Custody(database).approve(key, Approval("0x" + "22" * 20, "custodian", b"s" * 65))
    held = statements.draft(key, "Rejection", 1, domain.contract, rejection.message())
    assert held.message(TYPES) == rejection.message()
    assert [one.role for one in held.approvals] == ["custodian"]
    statements.set_state(key, StatementState.RECORDED)
    with pytest.raises(Conflict):
        statements.set_state(key, StatementState.FAILED)
    assert statements.open() == []
    assert [one.id for one in statements.of_flow("d", "7")] == [key]


def test_the_trees_of_a_report_come_back_with_the_same_roots(database: Database) -> None:
    block = LiveBlock.of(Interval(Series("VCS", (2,)), 1, 9), b"a" * 32)
    reserve = ReserveTree((ClassReserve(2**200, 12, (block,)),))
    owed = Liabilities.of([Liability(2**200, "0x" + "33" * 20, 9_000)])
    report = StoredTrees("0x01", 1, 2, 3, reserve, owed, {})
    reports = ReserveTrees(database)
    reports.keep(report)
    reports.keep(report)
    found = reports.get("0x01")
    assert found.reserve.tree.root == reserve.tree.root
    assert found.liabilities.tree.root == owed.tree.root
    with database.read() as connection:
        assert newest_recorded(connection) is None


def test_an_instruction_is_found_by_the_hash_that_the_certificate_binds(
    database: Database,
) -> None:
    requests = RegistryRequests(database)
    key = requests.keep_instruction(INSTRUCTION)
    assert requests.instruction(key) == INSTRUCTION
    assert requests.instruction("0x00") is None
