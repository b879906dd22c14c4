"""Who may do what with a delivery until when: no phase strands the holder (L8)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.deliveries import (
    BEGIN_MARGIN,
    Finalisation,
    Periods,
    Phase,
    Refund,
    Rejection,
    State,
    signing_domain,
)
from backend.errors import InvalidValue

pytestmark = pytest.mark.unit

DAY = 86_400
PERIODS = Periods(10 * DAY, 14 * DAY, 7 * DAY)


def test_l8_a_request_nobody_begins_is_refunded_at_the_deadline_and_not_before() -> None:
    phase = Phase(State.REQUESTED, 1_000)
    deadline = 1_000 + 10 * DAY
    assert phase.can_begin(PERIODS, deadline - BEGIN_MARGIN)
    assert not phase.can_begin(PERIODS, deadline - BEGIN_MARGIN + 1)
    assert phase.refund(PERIODS, deadline - 1) is Refund.NONE
    assert phase.refund(PERIODS, deadline) is Refund.ORDINARY
    assert not phase.can_end()
    assert phase.can_reject()


def test_l8_a_begun_delivery_is_refunded_by_a_later_report_or_disputed_at_the_second_deadline() -> (
    None
):
    phase = Phase(State.DISPATCHED, 1_000, 2_000, 2_000 + 14 * DAY)
    assert phase.refund(PERIODS, phase.expires_at) is Refund.NONE
    assert not phase.refunded_by_report(phase.expires_at)
    assert phase.refunded_by_report(phase.expires_at + 1)
    assert phase.refund(PERIODS, phase.second_deadline(PERIODS)) is Refund.DISPUTED
    assert phase.can_end()


def test_l8_what_was_rejected_is_refunded_at_once_and_what_ended_never() -> None:
    assert Phase(State.REJECTED, 1).refund(PERIODS, 2) is Refund.ORDINARY
    for state in (State.FINALISED, State.REFUNDED, State.REFUNDED_DISPUTED):
        assert Phase(state, 1, 1, 1).refund(PERIODS, 2**40) is Refund.NONE
        assert not state.is_open


@given(st.sampled_from([s for s in State if s.is_open]), st.integers(0, 2**36))
def test_l8_every_open_delivery_has_a_moment_from_which_the_holder_needs_nobody(
    state: State, requested: int
) -> None:
    begun = requested + 1 if state is not State.REQUESTED else 0
    expires = begun + PERIODS.transfer if begun else 0
    phase = Phase(state, requested, begun, expires)
    end = requested + PERIODS.request + PERIODS.transfer + PERIODS.grace + 1
    assert phase.refund(PERIODS, end) is not Refund.NONE
    assert not phase.can_begin(PERIODS, end)


def test_l5_what_is_signed_binds_the_contract_and_refuses_bad_texts_and_dates() -> None:
    one, other = (signing_domain(1, "0x" + digit * 40) for digit in "12")
    done = Finalisation(1, "T-1", 20260228, b"e" * 32)
    assert len({done.digest(one), done.digest(other)}) == 2
    assert Rejection(1, "recipient refused", b"e" * 32).digest(one) != done.digest(one)
    with pytest.raises(InvalidValue, match="registry_reference"):
        Finalisation(1, "", 20260228, b"e" * 32)
    with pytest.raises(InvalidValue, match="day"):
        Finalisation(1, "T-1", 20260230, b"e" * 32)
    with pytest.raises(InvalidValue, match="control"):
        Rejection(1, "a\nb", b"e" * 32)
