"""Verdicts, JSON and spans: what can be decided without a chain."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.audit import AuditReport, CodeReport, LawReport, Status, as_json, exit_code
from backend.audit.calls import as_message
from backend.audit.custody import Spans
from backend.audit.ledger import class_identity
from backend.audit.report import LAWS, Findings
from backend.domain import custody
from backend.domain.classes import CreditClass, UnitType
from backend.domain.events import ChainEvent
from backend.domain.serials import Interval, Series

pytestmark = pytest.mark.unit

VCS = Series("VCS", (2,))
EVENT = ChainEvent("Trust", "BlockRegistered", {}, 7, "0xb", "0xt", 0, 3)


def a_report(code: Status = Status.HOLDS, **statuses: Status) -> AuditReport:
    laws = {law: LawReport(statuses.get(law, Status.HOLDS), "", {}) for law in LAWS}
    return AuditReport(31337, 9, "0xh", CodeReport(code, "", {}), laws)


@pytest.mark.parametrize(
    ("report", "plain", "strict"),
    [
        (a_report(), 0, 0),
        (a_report(L9=Status.NOT_CHECKED), 0, 1),
        (a_report(code=Status.NOT_CHECKED), 0, 1),
        (a_report(L2=Status.BROKEN), 1, 1),
        (a_report(code=Status.BROKEN), 1, 1),
    ],
)
def test_the_exit_code_follows_breaks_and_strictness(
    report: AuditReport, plain: int, strict: int
) -> None:
    assert (exit_code(report), exit_code(report, strict=True)) == (plain, strict)


def test_a_break_wins_over_a_gap_and_a_gap_over_holding() -> None:
    findings = Findings()
    assert findings.verdict("L1", "all agrees") == LawReport(Status.HOLDS, "all agrees", {})
    findings.gap("L1", "nobody looked")
    assert findings.verdict("L1", "all agrees").status is Status.NOT_CHECKED
    findings.broken("L1", "one is short", EVENT, ("VCS:2/1-2",), kilograms=-5)
    law = findings.verdict("L1", "all agrees")
    assert law.status is Status.BROKEN
    assert law.reason == "1 found, the first: one is short; nobody looked"


def test_every_integer_of_a_report_is_a_string() -> None:
    findings = Findings()
    findings.count("L2", blocks=2**70)
    findings.broken("L2", "taken twice", EVENT, ("VCS:2/1-2",), tonnes=2, class_id=2**255)
    findings.broken("L2", "no event ever touched it")
    laws = {law: findings.verdict(law, "") for law in LAWS}
    report = AuditReport(31337, 9, "0xh", CodeReport(Status.HOLDS, "", {}), laws)
    found = as_json(report)
    assert found["block"] == "9"
    assert found["laws"]["L2"]["figures"] == {"blocks": str(2**70)}
    assert found["laws"]["L2"]["breaks"] == [
        {
            "what": "taken twice",
            "transaction": "0xt",
            "block": "7",
            "serials": ["VCS:2/1-2"],
            "amounts": {"tonnes": "2", "class_id": str(2**255)},
        },
        {
            "what": "no event ever touched it",
            "transaction": None,
            "block": None,
            "serials": [],
            "amounts": {},
        },
    ]


@given(
    held=st.lists(st.tuples(st.integers(1, 60), st.integers(0, 9)), max_size=8),
    asked=st.tuples(st.integers(1, 70), st.integers(0, 30)),
)
def test_spans_find_exactly_the_serials_that_are_held(
    held: list[tuple[int, int]], asked: tuple[int, int]
) -> None:
    intervals = [Interval(VCS, first, first + more) for first, more in held]
    question = Interval(VCS, asked[0], sum(asked))
    found = Spans.of(intervals).within(question)
    naive = {
        serial
        for interval in intervals
        for serial in range(interval.first, interval.last + 1)
        if question.first <= serial <= question.last
    }
    serials = [serial for part in found for serial in range(part.first, part.last + 1)]
    assert serials == sorted(naive)
    assert Spans.of(intervals).within(Interval(Series("VCS", (1,)), 1, 99)) == []


def test_a_class_is_recomputed_from_what_its_event_says() -> None:
    one = CreditClass(
        "VCS", "1340", UnitType.CREDIT, date(2020, 1, 1), date(2020, 12, 31), ("ccp", "removal")
    )
    message = custody.class_message(one)
    event = message | {"cohort": ["0x" + code.hex() for code in message["cohort"]]}
    expected = ("0x" + one.project_hash.hex(), "0x" + one.vintage_hash.hex(), one.token_id)
    assert class_identity(event) == expected


def test_decoded_calls_become_what_was_signed() -> None:
    decoded = {
        "classId": 5,
        "firstPosition": 0,
        "tonnes": 2,
        "actual": [{"series": {"programme": "VCS", "codes": [2]}, "first": 1, "last": 2}],
        "registryReference": "R-1",
        "registryDate": 20260401,
        "evidenceHash": "0x" + "11" * 32,
    }
    signed = custody.RegistryRetirement(5, 0, (Interval(VCS, 1, 2),), "R-1", 20260401, b"\x11" * 32)
    assert as_message(custody.TYPES, "RegistryRetirement", decoded) == signed.message()
