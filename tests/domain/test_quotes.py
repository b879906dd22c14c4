"""Quotes: whose each line is, what no source says, and the date at the registry by its steps."""

from __future__ import annotations

from datetime import date

import pytest
from eth_utils.address import to_checksum_address
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.deliveries import Periods
from backend.domain.fees import Occasion
from backend.domain.positions import Positions, consume
from backend.domain.quotes import (
    Action,
    Charges,
    DeliveryTerms,
    Level,
    Payer,
    Purchase,
    Taking,
    Total,
    TotalCost,
    Unit,
    Venue,
    delivery_parts,
    delivery_steps,
    programme_parts,
    service_steps,
    taking_of,
    total_cost,
    whole_tonnes,
)
from backend.errors import InvalidValue
from backend.registries.fee_schedules import fee_schedules

pytestmark = pytest.mark.unit

NOW, VALID = 1_800_000_000, 60
ASSET = 0xAAAA
ADDRESS = to_checksum_address(f"0x{ASSET:040x}")
ON = date(2026, 11, 29)
BOUGHT = Purchase(ASSET, 3, (Level(100, 2, 1, 1), Level(101, 1, 1, 0)), 50, 50)
VENUE = Venue(10, 50, 600)
HOUR = 3_600


def programme(code: str, occasion: Occasion, payer: Payer, tonnes: int = 10) -> Charges:
    parts = programme_parts(fee_schedules(), code, occasion, tonnes, ON, payer)
    return Charges(parts, service_steps(72, "custody file: task_hours"))


def retiring(charges: Charges, taking: Taking) -> TotalCost:
    return total_cost(Action.RETIRE, 7, NOW, VALID, taking=taking, charges=charges)


def test_a_purchase_is_credits_and_fee_and_says_until_when_it_holds() -> None:
    found = total_cost(Action.BUY, 7, NOW, VALID, purchase=BOUGHT, venue=VENUE)
    assert [(one.name, one.amount) for one in found.parts] == [
        ("credits", 301),
        ("exchange-fee", 1),
    ]
    assert found.totals == (Total(ADDRESS, Unit.BASE_UNIT, 302),)
    assert (found.quoted_at, found.valid_until) == (NOW, NOW + VALID)
    assert (found.kilograms, found.visibility, found.is_complete) == (3_000, None, True)


def test_a_known_fee_of_the_programme_is_the_holders_only_where_it_is_passed_on() -> None:
    for payer, totals in ((Payer.OPERATOR, ()), (Payer.HOLDER, (Total("USD", Unit.MILL, 1_500),))):
        found = retiring(programme("ACR", Occasion.RETIREMENT, payer), whole_tonnes(10))
        assert {one.name: one.amount for one in found.parts} == {
            "ACR:activation": 1_500,
            "ACR:retirement": None,
        }
        assert found.totals == totals
        # An amount that nobody knows is the operator's trouble where the operator pays.
        assert found.is_complete is (payer is Payer.OPERATOR)


def test_a_programme_without_a_schedule_has_one_line_without_an_amount() -> None:
    found = retiring(programme("GS", Occasion.RETIREMENT, Payer.HOLDER), whole_tonnes(1))
    (line,) = found.parts
    assert (line.name, line.amount, line.currency) == ("GS:retirement", None, None)
    assert "no fee schedule of GS" in line.how
    assert (found.totals, found.is_complete) == ((), False)


def test_what_nobody_knows_is_in_no_total() -> None:
    found = retiring(programme("VCS", Occasion.RETIREMENT, Payer.HOLDER), whole_tonnes(1))
    assert [(one.currency, one.amount) for one in found.parts] == [("USD", None)]
    assert (found.totals, found.is_complete) == ((), False)


def test_two_currencies_are_two_totals() -> None:
    charges = programme("ACR", Occasion.RETIREMENT, Payer.HOLDER, 3)
    found = total_cost(
        Action.BUY_AND_RETIRE,
        7,
        NOW,
        VALID,
        purchase=BOUGHT,
        venue=VENUE,
        taking=whole_tonnes(3),
        charges=charges,
    )
    assert found.totals == (
        Total(ADDRESS, Unit.BASE_UNIT, 302),
        Total("USD", Unit.MILL, 450),
    )


def test_the_date_at_the_registry_is_the_quotes_end_and_every_step_at_its_longest() -> None:
    charges = programme("VCS", Occasion.RETIREMENT, Payer.OPERATOR)
    held = retiring(charges, whole_tonnes(10)).visibility
    assert held is not None
    assert held.at_latest == NOW + VALID + 72 * HOUR
    bought = total_cost(
        Action.BUY_AND_RETIRE,
        7,
        NOW,
        VALID,
        purchase=BOUGHT,
        venue=VENUE,
        taking=whole_tonnes(3),
        charges=charges,
    ).visibility
    assert bought is not None
    assert [one.name for one in bought.steps] == ["settlement-window", "at-registry"]
    assert bought.at_latest == held.at_latest + 600


def test_the_date_counts_from_the_chains_time_where_that_is_ahead() -> None:
    charges = programme("VCS", Occasion.RETIREMENT, Payer.OPERATOR)
    for since, from_then in ((NOW - 1, NOW), (NOW + 11 * 24 * HOUR, NOW + 11 * 24 * HOUR)):
        found = total_cost(
            Action.RETIRE, 7, NOW, VALID, taking=whole_tonnes(1), charges=charges, since=since
        )
        assert found.visibility is not None
        assert found.visibility.at_latest == from_then + VALID + 72 * HOUR
        assert (found.quoted_at, found.valid_until) == (NOW, NOW + VALID)


def test_without_a_promise_of_the_registry_there_is_no_date() -> None:
    charges = Charges((), service_steps(None, "custody file: service_hours"))
    for venue in (None, VENUE):
        found = total_cost(
            Action.RETIRE, 7, NOW, VALID, venue=venue, taking=whole_tonnes(1), charges=charges
        ).visibility
        assert found is not None
        assert (found.at_latest, found.steps, found.kilograms) == (None, (), 1_000)


def test_a_delivery_has_the_contracts_deadlines_and_its_fee() -> None:
    terms = DeliveryTerms(Periods(10 * 24 * HOUR, 14 * 24 * HOUR, 7 * 24 * HOUR), ASSET, 55)
    charges = Charges(delivery_parts(terms), delivery_steps(terms))
    found = total_cost(Action.DELIVER, 7, NOW, VALID, taking=whole_tonnes(2), charges=charges)
    assert found.totals == (Total(ADDRESS, Unit.BASE_UNIT, 55),)
    assert found.visibility is not None
    # Begun 48 hours before the first deadline, transferred 14 days later.
    assert found.visibility.at_latest == NOW + VALID + (8 + 14) * 24 * HOUR
    assert delivery_parts(DeliveryTerms(terms.periods, 0, 0)) == ()


def test_a_delivery_without_a_chain_to_ask_has_neither_fee_nor_date() -> None:
    (line,) = delivery_parts(None)
    assert (line.amount, line.payer) == (None, Payer.HOLDER)
    assert delivery_steps(None) == ()


@pytest.mark.parametrize(
    ("dust", "kilograms", "tonnes", "still_open"),
    [
        (0, 2_000, 2, 0),
        (0, 2_300, 2, 300),
        # 200 kg are left of the open tonne: it stays open, closes, or closes and another opens.
        (200, 1_150, 1, 150),
        (200, 1_200, 2, 0),
        (200, 1_500, 2, 300),
        (200, 200, 1, 0),
    ],
)
def test_the_registry_sees_a_tonne_when_it_closes(
    dust: int, kilograms: int, tonnes: int, still_open: int
) -> None:
    state = Positions(10, 3, 2, dust)
    assert taking_of(state, consume(state, kilograms)[1]) == Taking(kilograms, tonnes, still_open)


@given(st.integers(0, 999), st.integers(1, 7_000))
def test_what_stays_open_is_less_than_a_tonne_and_the_rest_lies_in_tonnes_that_are_whole(
    dust: int, kilograms: int
) -> None:
    state = Positions(20, 3, 2, dust)
    after, taken = consume(state, kilograms)
    found = taking_of(state, taken)
    assert 0 <= found.open_kilograms < 1_000
    assert bool(found.open_kilograms) <= bool(after.dust)
    # Every kilogram of a whole tonne was somebody's: this retirement's, or an earlier part of it.
    assert 0 <= found.registry_tonnes * 1_000 - (kilograms - found.open_kilograms) < 1_000


def test_an_amount_that_is_none_is_not_quoted() -> None:
    with pytest.raises(InvalidValue):
        whole_tonnes(0)
