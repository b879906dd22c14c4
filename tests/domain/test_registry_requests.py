"""Requests to registries and their answers: late, twice, or other than asked."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.instructions import BeneficiaryKind, RetirementInstruction, UseCase
from backend.domain.registry_answers import Answer, AnswerState, BreakKind, follow
from backend.domain.registry_requests import (
    RegistryAccount,
    RetirementRequest,
    SerialRange,
    TransferRequest,
    request_from_json,
)
from backend.domain.serials import Interval, Series
from backend.errors import Conflict, InvalidValue

pytestmark = pytest.mark.unit

ACCOUNT = RegistryAccount("VCS", "1001", "7")
ASKED = SerialRange("VCS:2", 100, 109)
INSTRUCTION = RetirementInstruction(
    "VCS",
    "Sample Beneficiary Ltd",
    BeneficiaryKind.ENTITY,
    "HK",
    UseCase.VOLUNTARY,
    "Environmental Benefit",
    claim_start=date(2025, 1, 1),
    claim_end=date(2025, 12, 31),
)
RETIRE = RetirementRequest("retire:1:0", ACCOUNT, ASKED, INSTRUCTION, 1_800_000_000)
MOVE = TransferRequest("deliver:1", ACCOUNT, ASKED, "2002", expires_at=1_800_000_000)
ACCEPTED = Answer("retire:1:0", AnswerState.ACCEPTED, "R-1")
DONE = Answer("retire:1:0", AnswerState.DONE, "R-1", (ASKED,), date(2026, 1, 2), "C-1")
UNKNOWN = Answer("retire:1:0", AnswerState.UNKNOWN, reason="no answer in 5 s")
REFUSED = Answer("retire:1:0", AnswerState.REFUSED, reason="account closed")


@pytest.mark.parametrize("request_", [RETIRE, MOVE])
def test_a_request_survives_json(request_: RetirementRequest | TransferRequest) -> None:
    assert request_from_json(request_.as_json()) == request_


@pytest.mark.parametrize("answer", [ACCEPTED, DONE, UNKNOWN, REFUSED])
def test_an_answer_survives_json(answer: Answer) -> None:
    assert Answer.from_json(answer.as_json()) == answer


def test_a_range_is_the_interval_of_its_series_or_a_ledgers_text() -> None:
    interval = Interval(Series("CDM", (0x5257,)), 5, 9)
    assert SerialRange.of(interval).interval == interval
    assert SerialRange.parse("CDM:RW/5-9") == SerialRange.of(interval)
    ledger = SerialRange.parse("CCER:any text / of the issuer/5-9")
    assert ledger.space == "CCER:any text / of the issuer"
    assert SerialRange.parse("CERCARBONO:X/0-9").tonnes == 10
    with pytest.raises(InvalidValue, match="no series on chain"):
        _ = ledger.interval


@pytest.mark.parametrize("text", ["VCS:2", "VCS:2/9-5", "VCS:2/0-1", "VCS:2/1", "x/1-2", "/1-2"])
def test_a_range_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue):
        SerialRange.parse(text)


def test_an_account_is_named_by_its_text_and_its_hash() -> None:
    assert str(ACCOUNT) == "VCS:1001/7"
    assert RegistryAccount.parse("VCS:1001/7") == ACCOUNT
    assert ACCOUNT.id != RegistryAccount.parse("VCS:1001").id
    with pytest.raises(InvalidValue):
        RegistryAccount.parse("VCS:10 01")


def test_done_without_reference_serials_or_date_is_no_answer() -> None:
    for missing in ({"registry_reference": ""}, {"serials": ()}, {"registry_date": None}):
        with pytest.raises(InvalidValue):
            replace(DONE, **missing)
    with pytest.raises(InvalidValue):
        replace(REFUSED, serials=(ASKED,))


def test_l10_the_same_answer_twice_changes_nothing() -> None:
    printed_again = replace(DONE, evidence=b"\1" * 32)
    assert follow(RETIRE, DONE, printed_again) == (DONE, ())


def test_unknown_replaces_nothing_that_was_known() -> None:
    assert follow(RETIRE, None, UNKNOWN) == (UNKNOWN, ())
    assert follow(RETIRE, ACCEPTED, UNKNOWN) == (ACCEPTED, ())
    assert follow(RETIRE, UNKNOWN, DONE) == (DONE, ())


def test_l4_a_final_answer_never_changes_and_the_contradiction_is_named() -> None:
    answer, breaks = follow(RETIRE, REFUSED, DONE)
    assert answer == REFUSED
    assert [one.kind for one in breaks] == [BreakKind.CONTRADICTION]
    other = replace(DONE, serials=(SerialRange("VCS:2", 200, 209),))
    answer, breaks = follow(RETIRE, DONE, other)
    assert answer == DONE
    assert "VCS:2/200-209" in breaks[0].detail
    assert follow(RETIRE, DONE, ACCEPTED) == (DONE, ())


def test_other_serials_are_reported_but_stop_nothing() -> None:
    other = replace(DONE, serials=(SerialRange("VCS:2", 200, 204), SerialRange("VCS:2", 300, 304)))
    followed = follow(RETIRE, ACCEPTED, other)
    assert [one.kind for one in followed.breaks] == [BreakKind.OTHER_SERIALS]
    assert not followed.stops


def test_serials_in_pieces_that_continue_each_other_are_the_ones_asked() -> None:
    pieces = (SerialRange("VCS:2", 105, 109), SerialRange("VCS:2", 100, 104))
    assert follow(RETIRE, None, replace(DONE, serials=pieces)).breaks == ()


def test_too_few_or_repeated_serials_stop() -> None:
    short = follow(RETIRE, None, replace(DONE, serials=(SerialRange("VCS:2", 100, 104),)))
    assert {one.kind for one in short.breaks} == {
        BreakKind.OTHER_QUANTITY,
        BreakKind.OTHER_SERIALS,
    }
    assert short.stops
    twice = (SerialRange("VCS:2", 100, 104), SerialRange("VCS:2", 104, 108))
    repeated = follow(RETIRE, None, replace(DONE, serials=twice))
    assert BreakKind.SERIAL_TWICE in {one.kind for one in repeated.breaks}


def test_another_reference_of_the_registry_is_a_break() -> None:
    followed = follow(RETIRE, ACCEPTED, replace(DONE, registry_reference="R-2"))
    assert [one.kind for one in followed.breaks] == [BreakKind.OTHER_REFERENCE]


def test_an_answer_to_another_request_is_refused() -> None:
    with pytest.raises(Conflict):
        follow(MOVE, None, DONE)


@given(st.lists(st.sampled_from([UNKNOWN, ACCEPTED, DONE, REFUSED]), min_size=1, max_size=8))
def test_whatever_the_order_the_first_final_answer_stands(heard: list[Answer]) -> None:
    known: Answer | None = None
    for answer in heard:
        known = follow(RETIRE, known, answer).answer
    final = [answer for answer in heard if answer.state.is_final]
    assert known is not None
    if final:
        assert known == final[0]
    else:
        assert known.state is (AnswerState.ACCEPTED if ACCEPTED in heard else AnswerState.UNKNOWN)
