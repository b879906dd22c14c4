"""A quote costs what the matcher then charges for a market order against the same book (L11)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.commands import SetFees, SetParticipant
from backend.domain.orders import Account, Conditions, TimeInForce
from backend.domain.quotes import MOST_FILLS, MOST_LEVELS, Offer, Purchase, walk
from backend.domain.quotes import Venue as Charging
from backend.domain.venue_events import Reason
from backend.errors import InvalidValue, NotEnough
from backend.matching import Engine
from tests.matching.venue import BUYER, HKD, SELLER, THIRD, Venue, reason_of, trades

pytestmark = pytest.mark.unit

#: Somebody whose money is no more than what a quote says is needed.
EXACT = Account(b"\x09" * 20)
IOC = Conditions(TimeInForce.IOC)

asks = st.lists(
    st.tuples(
        st.sampled_from((SELLER, THIRD)),
        st.integers(1, 9),
        # Few prices, so that levels have several orders; odd, so that every fee is rounded.
        st.sampled_from((99_991, 100_003, 100_003, 123_457)),
        # A cap below the maker's fee, if that was raised since: such an order ends unmatched.
        st.sampled_from((3, 25, 50)),
        # Seconds that it stands.
        st.sampled_from((5, 3_600)),
    ),
    max_size=12,
)


def offers_of(engine: Engine) -> list[Offer]:
    """The resting sell orders, cheapest and oldest first."""
    found = [one for one in engine.open_orders() if one.order.side == 1]
    found.sort(key=lambda one: one.order.price)
    return [
        Offer(one.order.price, one.remaining, one.order.max_fee_bps, one.order.expiry)
        for one in found
    ]


def quoted(venue: Venue, tonnes: int) -> Purchase:
    maker, taker = venue.engine.fees
    return walk(offers_of(venue.engine), HKD, tonnes, Charging(maker, taker, 300), venue.now)


@given(asks, st.integers(1, 60), st.sampled_from(((0, 0), (10, 20), (37, 3), (1, 100))))
def test_l11_a_quote_costs_what_the_matcher_charges(
    book: list[tuple[Account, int, int, int, int]], tonnes: int, fees: tuple[int, int]
) -> None:
    venue = Venue(0, 0)
    for who, quantity, price, cap, seconds in book:
        venue.place(who, 1, quantity, price, max_fee_bps=cap, expiry=venue.now + seconds)
    venue.now += 6
    venue.do(SetFees(*fees))
    standing = [one for one in book if one[4] > 6 and one[3] >= fees[0]]
    there = sum(quantity for _, quantity, *_ in standing)
    if there < tonnes:
        with pytest.raises(NotEnough) as raised:
            quoted(venue, tonnes)
        assert raised.value.values == {"asked": tonnes, "available": there}
        events = venue.place(BUYER, 0, tonnes, 999_999, IOC, max_fee_bps=100)
        assert sum(one.quantity for one in trades(events)) == there
        return
    found = quoted(venue, tonnes)
    venue.fact(SetParticipant, EXACT, 1, 2**39, 0)
    venue.deposit(EXACT, HKD, found.needed)
    wanted = {"max_fee_bps": found.max_fee_bps}
    events = trades(venue.place(EXACT, 0, tonnes, found.worst_price, IOC, **wanted))
    assert sum(one.quantity for one in events) == tonnes
    assert sum(one.price * one.quantity for one in events) == found.notional
    assert sum(one.taker_fee for one in events) == found.fee
    assert len(events) == sum(one.fills for one in found.levels)
    assert venue.engine.balance(EXACT, HKD) == (found.needed - found.notional - found.fee, 0)
    assert found.levels[0].price <= found.average_price <= found.worst_price


def test_with_one_base_unit_less_than_a_quote_needs_the_order_is_refused() -> None:
    venue = Venue()
    venue.place(SELLER, 1, 2, 100_003)
    venue.place(THIRD, 1, 2, 100_007)
    found = quoted(venue, 3)
    venue.fact(SetParticipant, EXACT, 1, 2**39, 0)
    venue.deposit(EXACT, HKD, found.needed - 1)
    wanted = {"max_fee_bps": found.max_fee_bps}
    events = venue.place(EXACT, 0, 3, found.worst_price, IOC, **wanted)
    assert reason_of(events) == Reason.NOT_ENOUGH


def test_each_fill_of_a_level_has_a_fee_of_its_own() -> None:
    venue = Venue(10, 20)
    for _ in range(3):
        venue.place(SELLER, 1, 1, 999)
    (level,) = quoted(venue, 3).levels
    # 999 × 20 / 10,000 is 1.998 for each of them: 3, and not the 5 of 2,997 together.
    assert (level.fills, level.notional, level.fee) == (3, 2_997, 3)


@pytest.mark.parametrize("tonnes", [0, -1, 2**53])
def test_tonnes_that_no_order_may_have_are_not_quoted(tonnes: int) -> None:
    with pytest.raises(InvalidValue):
        quoted(Venue(), tonnes)


def test_a_quote_takes_so_many_offers_and_no_more() -> None:
    book, venue = [Offer(100, 1, 100, 9)] * (MOST_FILLS + 1), Charging(10, 20, 300)
    assert walk(book, HKD, MOST_FILLS, venue, 0).tonnes == MOST_FILLS
    with pytest.raises(InvalidValue):
        walk(book, HKD, MOST_FILLS + 1, venue, 0)


def test_a_quote_lists_so_many_prices_and_no_more() -> None:
    book = [Offer(100 + number, 1, 100, 9) for number in range(MOST_LEVELS + 1)]
    venue = Charging(10, 20, 300)
    assert len(walk(book, HKD, MOST_LEVELS, venue, 0).levels) == MOST_LEVELS
    with pytest.raises(InvalidValue):
        walk(book, HKD, MOST_LEVELS + 1, venue, 0)


@pytest.mark.parametrize("dead", [Offer(99, 1, 100, 4), Offer(99, 1, 9, 9)])
def test_offers_that_nobody_gets_count_for_nothing(dead: Offer) -> None:
    book = [*[dead] * (MOST_FILLS + 1), Offer(100, 1, 100, 9)]
    found = walk(book, HKD, 1, Charging(10, 20, 300), 5)
    assert (found.worst_price, found.levels[0].fills) == (100, 1)
