"""Undoing unsettled trades: what voids them, what comes back, and that nothing goes below zero."""

from __future__ import annotations

from typing import Any

import pytest

from backend.domain import commands
from backend.domain.orders import Account, Conditions, TimeInForce
from backend.domain.venue_events import Event, Reason, TradesVoided, VoidReason
from backend.errors import InvalidValue
from backend.matching import dump, load
from tests.matching.venue import (
    BUYER,
    CLASS,
    HKD,
    NOW_S,
    OTHER_CLASS,
    SELLER,
    THIRD,
    WEALTH,
    WINDOW,
    Venue,
    ends,
    trades,
)

pytestmark = pytest.mark.unit

START = (WEALTH, 0)


def voided(events: list[Event]) -> TradesVoided:
    (found,) = (one for one in events if isinstance(one, TradesVoided))
    return found


def too_old(venue: Venue, first: int) -> list[Event]:
    """Void from a trade on because the chain can settle it no more."""
    venue.now += WINDOW + 1
    return venue.do(commands.VoidTrades(first, VoidReason.OLDER_THAN_WINDOW, 9, venue.now))


def test_a_void_gives_both_sides_back_what_they_gave_and_ends_their_orders() -> None:
    venue = Venue()
    venue.trade(3)
    venue.place(BUYER, 0, 1, 10, expiry=NOW_S + 9_000)
    events = too_old(venue, 1)
    assert voided(events) == TradesVoided(1, 1, 1, 0, VoidReason.OLDER_THAN_WINDOW)
    assert ends(events) == [(BUYER, 1, Reason.VOIDED)]
    for who in (BUYER, SELLER):
        assert venue.engine.balance(who, HKD) == venue.engine.balance(who, CLASS) == START
    assert venue.engine.fees_collected(HKD) == 0
    assert venue.engine.unsettled_trades() == ()
    assert venue.engine.pending_voids() == (voided(events),)


def test_trades_before_the_void_stay_and_numbers_are_never_given_again() -> None:
    venue = Venue()
    for _ in range(4):
        venue.trade()
    too_old(venue, 3)
    assert [one.number for one in venue.engine.unsettled_trades()] == [1, 2]
    venue.trade()
    assert [one.number for one in venue.engine.unsettled_trades()] == [1, 2, 5]


def test_what_was_bought_to_retire_is_no_longer_earmarked() -> None:
    venue = Venue()
    venue.place(SELLER, 1, 2, 100)
    venue.place(BUYER, 0, 2, 100, Conditions(TimeInForce.IOC, retire_on_fill=True))
    too_old(venue, 1)
    assert venue.engine.earmarked(CLASS) == 0
    assert venue.engine.balance(SELLER, CLASS) == venue.engine.balance(BUYER, CLASS) == START


def test_withdrawals_after_a_void_trade_come_back_and_those_before_stay() -> None:
    venue = Venue()
    venue.withdraw(THIRD, HKD, 5)
    venue.trade()
    venue.withdraw(THIRD, HKD, 7)
    venue.withdraw(SELLER, HKD, 9)
    assert voided(too_old(venue, 1))[:4] == (1, 1, 2, 3)
    assert venue.engine.balance(THIRD, HKD) == (WEALTH - 5, 0)
    assert venue.engine.balance(SELLER, HKD) == START
    assert [one.number for one in venue.engine.unsettled_withdrawals()] == [1]


def chain_of_trades(length: int) -> tuple[Venue, list[Account]]:
    """One tonne handed on `length` times: each seller sells what the trade before brought it."""
    venue = Venue(maker_bps=0, taker_bps=0)
    hands = [Account(bytes([9, n]) * 10) for n in range(length + 1)]
    for who in hands:
        venue.fact(commands.SetParticipant, who, 1, 2**39, 0)
    venue.deposit(hands[0], CLASS, 1_000)
    for index, buyer in enumerate(hands[1:]):
        # Each has exactly the money of its own purchase.
        venue.deposit(buyer, HKD, 1_005 + index)
        venue.place(hands[index], 1, 1, 1_000 + index)
        (made,) = trades(venue.place(buyer, 0, 1, 1_000 + index))
        assert made.number == index + 1
    return venue, hands


def test_100_dependent_trades_are_reversed_newest_first() -> None:
    venue, hands = chain_of_trades(100)
    for first in (61, 1):
        too_old(venue, first)
        engine = venue.engine
        for who in hands:
            assert all(min(amounts) >= 0 for amounts in engine.balances(who).values())
        assert engine.balance(hands[first - 1], CLASS) == (1_000, 0)
    for index, who in enumerate(hands[1:]):
        assert venue.engine.balances(who) == {HKD: (1_005 + index, 0)}


def test_a_later_void_that_begins_earlier_takes_in_the_one_the_chain_has_not_seen() -> None:
    venue, _ = chain_of_trades(10)
    venue.withdraw(THIRD, HKD, 1)
    assert voided(too_old(venue, 6))[:4] == (6, 10, 1, 1)
    assert voided(too_old(venue, 3))[:4] == (3, 10, 1, 1)
    assert [one[:4] for one in venue.engine.pending_voids()] == [(3, 10, 1, 1)]
    venue.fact(commands.NoteSettlement, 2, 0)
    assert len(venue.engine.pending_voids()) == 1
    venue.fact(commands.NoteSettlement, 10, 1)
    assert venue.engine.pending_voids() == ()


@pytest.mark.parametrize(
    ("first", "reason", "block_time"),
    [
        (3, VoidReason.OLDER_THAN_WINDOW, NOW_S + WINDOW + 1),
        (0, VoidReason.OLDER_THAN_WINDOW, NOW_S + WINDOW + 1),
        (1, VoidReason.OLDER_THAN_WINDOW, NOW_S + WINDOW),
        (1, VoidReason.AFTER_PAUSE, NOW_S + WINDOW + 1),
    ],
)
def test_a_void_without_its_proof_is_no_command_of_an_honest_journal(
    first: int, reason: int, block_time: int
) -> None:
    venue = Venue()
    venue.trade()
    venue.trade()
    digest = venue.engine.digest()
    with pytest.raises(InvalidValue):
        venue.do(commands.VoidTrades(first, reason, 1, block_time))
    assert venue.engine.digest() == digest


# ── voids that follow from a fact of the chain ───────────────────────────────────────────────


def test_a_pause_voids_the_matches_from_its_second_on() -> None:
    venue = Venue()
    for _ in range(3):
        venue.trade()
        venue.now += 10
    assert voided(venue.fact(commands.PauseVenue, NOW_S + 10))[:2] == (2, 3)


@pytest.mark.parametrize(("late", "first"), [(0, 3), (10, 2), (-10, 0)])
def test_an_exit_voids_matches_of_that_balance_later_than_a_window(late: int, first: int) -> None:
    venue = Venue()
    for _ in range(3):
        venue.trade()
        venue.now += 10
    requested_at = NOW_S + 10 - WINDOW - late
    events = venue.fact(commands.StartExit, BUYER, HKD, requested_at)
    found = [one.first for one in events if isinstance(one, TradesVoided)]
    assert found == ([first] if first else [])


def test_an_exit_leaves_trades_of_other_balances() -> None:
    venue = Venue()
    venue.trade()
    events = venue.fact(commands.StartExit, BUYER, OTHER_CLASS, NOW_S - WINDOW - 1)
    assert not [one for one in events if isinstance(one, TradesVoided)]
    events = venue.fact(commands.StartExit, THIRD, HKD, NOW_S - WINDOW - 1)
    assert not [one for one in events if isinstance(one, TradesVoided)]


def test_an_invalidation_voids_matches_of_its_nonce_later_than_a_window() -> None:
    venue = Venue()
    venue.place(SELLER, 1, 9, 100)
    for _ in range(3):
        venue.place(BUYER, 0, 1, 100)
        venue.now += 10
    events = venue.fact(commands.InvalidateNonce, SELLER, 0, NOW_S - WINDOW)
    assert ends(events) == [(SELLER, 6, Reason.INVALIDATED)]
    assert voided(events)[:2] == (2, 3)


# ── forced exits ─────────────────────────────────────────────────────────────────────────────


def test_an_executed_exit_takes_its_amount_and_trading_goes_on_after() -> None:
    venue = Venue()
    venue.fact(commands.StartExit, BUYER, HKD, NOW_S)
    venue.fact(commands.EndExit, BUYER, HKD, WEALTH)
    assert venue.engine.balance(BUYER, HKD) == (0, 0)
    venue.deposit(BUYER, HKD, 1_000)
    assert type(venue.place(BUYER, 0, 1, 10)[0]).__name__ == "OrderAccepted"


def test_an_executed_exit_first_voids_unsettled_trades_of_its_balance() -> None:
    venue = Venue(0, 0)
    venue.trade(1, 1_000)
    venue.fact(commands.StartExit, BUYER, HKD, NOW_S)
    events = venue.fact(commands.EndExit, BUYER, HKD, WEALTH)
    assert voided(events)[:2] == (1, 1)
    assert venue.engine.balance(BUYER, HKD) == (0, 0)
    assert venue.engine.balance(SELLER, HKD) == START


def test_an_exit_before_a_withdrawal_settles_shortens_the_withdrawal() -> None:
    """The chain moves min(amount, balance) when it settles: the engine holds exactly that."""
    venue = Venue()
    venue.withdraw(BUYER, HKD, 100)
    venue.fact(commands.StartExit, BUYER, HKD, NOW_S)
    venue.fact(commands.EndExit, BUYER, HKD, WEALTH)
    assert venue.engine.balance(BUYER, HKD) == (0, 0)
    # What comes in before it settles is moved by it first; nothing can be traded meanwhile.
    venue.deposit(BUYER, HKD, 30)
    assert venue.engine.balance(BUYER, HKD) == (0, 0)
    venue.deposit(BUYER, HKD, 90)
    assert venue.engine.balance(BUYER, HKD) == (20, 0)
    engine = load(dump(venue.engine))
    assert engine.account(BUYER).blocked == Reason.EXITING
    venue.fact(commands.NoteSettlement, 0, 1)
    assert venue.engine.account(BUYER).blocked == 0
    assert venue.engine.balance(BUYER, HKD) == (20, 0)


def test_the_cancel_of_an_exit_that_does_not_run_any_more_changes_nothing() -> None:
    """The contract takes it after the exit has lapsed, which the journal has ended before."""
    venue = Venue()
    venue.fact(commands.StartExit, BUYER, HKD, NOW_S)
    venue.fact(commands.EndExit, BUYER, HKD, 0)
    before = venue.engine.balances(BUYER)
    assert venue.fact(commands.EndExit, BUYER, HKD, 0) == []
    assert venue.engine.balances(BUYER) == before
    venue.trade()


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (commands.EndExit, (BUYER, CLASS, 1)),
        (commands.EndExit, (BUYER, HKD, WEALTH + 1)),
        (commands.CreditDeposit, (99, BUYER, HKD, 5)),
        (commands.CreditDeposit, (9, BUYER, HKD, 5)),
        (commands.CreditDeposit, (10, BUYER, HKD, 0)),
        (commands.NoteSettlement, (2, 0)),
        (commands.NoteSettlement, (1, 1)),
        (commands.ListAsset, (CLASS, 1)),
        (commands.ListClass, (HKD,)),
    ],
)
def test_a_fact_that_cannot_be_changes_nothing(kind: Any, values: tuple[Any, ...]) -> None:
    venue = Venue()
    venue.trade()
    venue.fact(commands.StartExit, BUYER, HKD, NOW_S)
    too_old(venue, 1)
    digest = venue.engine.digest()
    with pytest.raises(InvalidValue):
        venue.fact(kind, *values)
    assert venue.engine.digest() == digest


@pytest.mark.parametrize(
    "command",
    [
        commands.OpenVenue(7, Account(bytes(20)), 1, 1),
        commands.ActivateRules(2),
        commands.ActivateRules(0),
        commands.SetFees(101, 0),
        commands.ListAsset(1, 1, HKD, 1),
        commands.SetParticipant(0, 99, BUYER, 1, 1, 0),
    ],
)
def test_what_no_honest_journal_holds_changes_nothing(command: commands.Command) -> None:
    venue = Venue()
    digest = venue.engine.digest()
    with pytest.raises(InvalidValue):
        venue.do(command)
    assert venue.engine.digest() == digest


def test_time_never_goes_back_and_the_venue_opens_once_and_first() -> None:
    venue = Venue()
    with pytest.raises(InvalidValue, match="time_ms"):
        venue.engine.apply(NOW_S * 1_000 - 1, commands.Tick())
    fresh = load(dump(type(venue.engine)()))
    with pytest.raises(InvalidValue, match="OpenVenue"):
        fresh.apply(1, commands.Tick())


def test_rules_and_epochs_are_noted() -> None:
    venue = Venue()
    assert venue.do(commands.ActivateRules(1)) == []
    venue.do(commands.StartEpoch(b"l" * 16))
    engine = venue.engine
    assert (engine.rules, engine.epochs, engine.leader) == (1, 1, b"l" * 16)


@pytest.mark.parametrize("raw", [b"", b"i9e", b"li2ee", b"l", b"li1ei2ee", b"9:x"])
def test_a_snapshot_of_another_schema_or_torn_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidValue, match="snapshot"):
        load(raw)
