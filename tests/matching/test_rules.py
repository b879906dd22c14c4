"""What the rules refuse, each with its Reason, and what each condition of an order does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from backend.domain import commands
from backend.domain.orders import (
    CancelAll,
    Conditions,
    SelfTrade,
    TimeInForce,
    Withdrawal,
    message_digest,
)
from backend.domain.venue_events import (
    AllCancelled,
    HaltReason,
    NonceUsed,
    OrderAccepted,
    OrderEnded,
    OrderRested,
    Reason,
    Refused,
)
from backend.errors import InvalidValue
from backend.matching import NonceState, dump, load, rulebook
from tests.matching.venue import (
    BUYER,
    CLASS,
    DOMAIN,
    HKD,
    NOW_S,
    OTHER_CLASS,
    SELLER,
    SIGNATURE,
    SKEW,
    THIRD,
    WEALTH,
    Venue,
    ends,
    reason_of,
    trades,
)

pytestmark = pytest.mark.unit

IOC = Conditions(TimeInForce.IOC)
FOK = Conditions(TimeInForce.FOK)
POST_ONLY = Conditions(post_only=True)


def refusing(prepare: Callable[[Venue], Any], known_market: bool, **changes: Any) -> int:
    """The reason for which a plain buy order is refused after `prepare`."""
    venue = Venue()
    if known_market:
        venue.place(THIRD, 0, 1, 10)
    prepare(venue)
    before = venue.engine.balance(BUYER, HKD)
    order = venue.order(BUYER, 0, 5, 100_000, **changes)
    reason = reason_of(venue.do(commands.PlaceOrder(order, SIGNATURE)))
    # A refusal uses the nonce and changes nothing else.
    assert venue.engine.nonce_state(BUYER, order.nonce) is NonceState.USED
    assert venue.engine.balance(BUYER, HKD) == before
    assert venue.engine.open_orders(BUYER) == []
    return reason


CASES: list[tuple[Reason, Callable[[Venue], Any], dict[str, Any]]] = [
    (Reason.HALTED, lambda v: v.do(commands.Halt(HaltReason.OPERATOR, 0)), {}),
    (Reason.PAUSED, lambda v: v.fact(commands.PauseVenue, NOW_S), {}),
    (Reason.FROZEN, lambda v: v.fact(commands.SetParticipant, BUYER, 1, 2**39, 1), {}),
    (Reason.NOT_ADMITTED, lambda v: v.fact(commands.SetParticipant, BUYER, 0, 2**39, 0), {}),
    (Reason.NOT_ADMITTED, lambda v: v.fact(commands.SetParticipant, BUYER, 1, NOW_S - 1, 0), {}),
    (Reason.EXITING, lambda v: v.fact(commands.StartExit, BUYER, OTHER_CLASS, NOW_S), {}),
    (Reason.UNKNOWN_ASSET, lambda v: None, {"asset": HKD + 1}),
    (Reason.UNKNOWN_ASSET, lambda v: v.fact(commands.ListAsset, HKD, 0), {}),
    (Reason.UNKNOWN_INSTRUMENT, lambda v: None, {"instrument": CLASS + 99}),
    (Reason.CLASS_HALTED, lambda v: v.fact(commands.FlagClass, CLASS, 1), {}),
    (Reason.FEE_ABOVE_CAP, lambda v: None, {"max_fee_bps": 19}),
    (Reason.FEE_ABOVE_CAP, lambda v: v.do(commands.SetFees(51, 0)), {}),
    (Reason.SIGNED_AHEAD, lambda v: None, {"signed_at": NOW_S + SKEW + 1}),
    (Reason.EXPIRED, lambda v: None, {"signed_at": NOW_S - 10, "expiry": NOW_S - 1}),
    (Reason.INVALIDATED, lambda v: v.fact(commands.InvalidateNonce, BUYER, 0, NOW_S), {}),
    (Reason.NOT_PRE_SIGNED, lambda v: None, {"signature_kind": 1}),
    (Reason.NOT_ENOUGH, lambda v: None, {"price": WEALTH}),
    (Reason.NOT_ENOUGH, lambda v: v.withdraw(BUYER, HKD, WEALTH), {"nonce": 1}),
    (
        Reason.WOULD_CROSS,
        lambda v: v.place(SELLER, 1, 1, 100_000),
        {"conditions": POST_ONLY.pack()},
    ),
    (Reason.CANNOT_FILL, lambda v: None, {"conditions": FOK.pack()}),
    (
        Reason.CANNOT_FILL,
        lambda v: v.place(SELLER, 1, 4, 100_000),
        {"conditions": FOK.pack()},
    ),
]


@pytest.mark.parametrize("known_market", [False, True])
@pytest.mark.parametrize(
    ("reason", "prepare", "changes"), CASES, ids=[case[0].name for case in CASES]
)
def test_an_order_is_refused_for_its_reason(
    reason: Reason, prepare: Callable[[Venue], Any], changes: dict[str, Any], known_market: bool
) -> None:
    """Also in a market that has a book, where a plain order would take the shortcut."""
    assert refusing(prepare, known_market, **changes) == reason


def test_too_many_open_orders_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.matching.placing.MAX_OPEN_ORDERS", 3)
    monkeypatch.setattr(rulebook, "MAX_OPEN_ORDERS", 3)
    venue = Venue()
    for _ in range(3):
        venue.place(BUYER, 0, 1, 10)
    assert reason_of(venue.place(BUYER, 0, 1, 10)) == Reason.TOO_MANY_OPEN


def test_the_first_rule_in_the_order_of_the_rulebook_gives_the_reason() -> None:
    """All broken at once, then mended one by one: the reasons come in the documented order."""
    venue = Venue()
    order = {"max_fee_bps": 1, "signature_kind": 1, "price": WEALTH}
    venue.do(commands.Halt(HaltReason.OPERATOR, 0))
    venue.fact(commands.PauseVenue, NOW_S)
    venue.fact(commands.SetParticipant, BUYER, 0, 0, 1)
    venue.fact(commands.StartExit, BUYER, HKD, NOW_S)
    venue.fact(commands.ListAsset, HKD, 0)
    venue.fact(commands.FlagClass, CLASS, 2)
    mends: list[tuple[Reason, Callable[[], Any]]] = [
        (Reason.HALTED, lambda: venue.do(commands.Resume())),
        (Reason.PAUSED, lambda: venue.fact(commands.UnpauseVenue, NOW_S)),
        (Reason.FROZEN, lambda: venue.fact(commands.SetParticipant, BUYER, 0, 0, 0)),
        (Reason.NOT_ADMITTED, lambda: venue.fact(commands.SetParticipant, BUYER, 1, 2**39, 0)),
        (Reason.EXITING, lambda: venue.fact(commands.EndExit, BUYER, HKD, 0)),
        (Reason.UNKNOWN_ASSET, lambda: venue.fact(commands.ListAsset, HKD, 1)),
        (Reason.CLASS_HALTED, lambda: venue.fact(commands.FlagClass, CLASS, 0)),
        (Reason.FEE_ABOVE_CAP, lambda: order.pop("max_fee_bps")),
        (Reason.NOT_PRE_SIGNED, lambda: order.pop("signature_kind")),
        (Reason.NOT_ENOUGH, lambda: order.pop("price")),
    ]
    for reason, mend in mends:
        assert reason_of(venue.place(BUYER, 0, 5, 100_000, **order)) == reason
        mend()
    assert venue.place(BUYER, 0, 5, 100_000, **order)[-1] == OrderRested(
        BUYER, 10, CLASS, HKD, 0, 100_000, 5
    )


def test_a_pause_lasts_until_the_second_it_ended_on_chain() -> None:
    venue = Venue()
    venue.fact(commands.PauseVenue, NOW_S)
    venue.fact(commands.UnpauseVenue, NOW_S + 5)
    venue.now += 4
    assert reason_of(venue.place(BUYER, 0, 1, 10)) == Reason.PAUSED
    venue.now += 1
    assert type(venue.place(BUYER, 0, 1, 10)[0]) is OrderAccepted


def test_a_pre_signed_order_is_accepted_once_the_chain_holds_its_digest() -> None:
    venue = Venue()
    order = venue.order(BUYER, 0, 1, 10, signature_kind=1)
    venue.fact(commands.NotePreSignature, BUYER, message_digest(DOMAIN, order))
    assert type(venue.do(commands.PlaceOrder(order, SIGNATURE))[0]) is OrderAccepted
    assert venue.engine.account(BUYER).pre_signed == set()


# ── matching ─────────────────────────────────────────────────────────────────────────────────


def test_price_comes_before_time_and_the_maker_sets_the_price() -> None:
    venue = Venue()
    venue.place(SELLER, 1, 1, 102)
    venue.place(SELLER, 1, 1, 101)
    venue.place(SELLER, 1, 2, 101)
    made = trades(venue.place(BUYER, 0, 4, 105))
    assert [(one.price, one.quantity, one.maker_nonce) for one in made] == [
        (101, 1, 1), (101, 2, 2), (102, 1, 0),
    ]  # fmt: skip


def test_each_side_pays_its_own_fee_rounded_down() -> None:
    venue = Venue(maker_bps=7, taker_bps=13)
    venue.place(SELLER, 1, 3, 99_999)
    (made,) = trades(venue.place(BUYER, 0, 3, 100_500))
    assert (made.maker_fee, made.taker_fee) == (209, 389)
    assert venue.engine.balance(BUYER, HKD) == (WEALTH - 299_997 - 389, 0)
    assert venue.engine.balance(SELLER, HKD) == (WEALTH + 299_997 - 209, 0)
    assert venue.engine.balance(BUYER, CLASS) == (WEALTH + 3_000, 0)
    assert venue.engine.fees_collected(HKD) == 598


def test_a_partly_filled_order_rests_with_what_is_left_and_reserves_only_that() -> None:
    venue = Venue()
    venue.place(SELLER, 1, 2, 100_000)
    events = venue.place(BUYER, 0, 5, 110_000)
    assert events[-1] == OrderRested(BUYER, 0, CLASS, HKD, 0, 110_000, 3)
    assert venue.engine.balance(BUYER, HKD)[1] == 330_000 + 330_000 * 50 // 10_000
    state = venue.engine.open_order(BUYER, 0)
    assert state is not None
    assert state.remaining == 3
    assert ends(venue.cancel(BUYER, 0)) == [(BUYER, 3, Reason.CANCELLED)]
    assert venue.engine.balance(BUYER, HKD)[1] == 0


def test_ioc_takes_what_there_is_and_ends() -> None:
    venue = Venue()
    assert ends(venue.place(BUYER, 0, 5, 100, IOC)) == [(BUYER, 5, Reason.REMAINDER)]
    venue.place(SELLER, 1, 2, 100)
    events = venue.place(BUYER, 0, 5, 100, IOC)
    assert sum(one.quantity for one in trades(events)) == 2
    assert ends(events)[-1] == (BUYER, 3, Reason.REMAINDER)
    assert venue.engine.open_orders() == []


def test_fok_fills_whole_across_levels() -> None:
    venue = Venue()
    venue.place(SELLER, 1, 2, 100)
    venue.place(SELLER, 1, 3, 101)
    assert reason_of(venue.place(BUYER, 0, 5, 100, FOK)) == Reason.CANNOT_FILL
    assert len(trades(venue.place(BUYER, 0, 5, 101, FOK))) == 2


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        (SelfTrade.CANCEL_TAKER, Reason.CANNOT_FILL),
        (SelfTrade.CANCEL_BOTH, Reason.CANNOT_FILL),
        (SelfTrade.CANCEL_MAKER, None),
    ],
)
def test_fok_counts_own_orders_by_its_self_trade_rule(rule: SelfTrade, reason: int | None) -> None:
    venue = Venue()
    venue.place(BUYER, 1, 1, 100)
    venue.place(SELLER, 1, 5, 100)
    fok = Conditions(TimeInForce.FOK, self_trade=rule)
    if reason is None:
        events = venue.place(BUYER, 0, 5, 100, fok)
        assert [one.quantity for one in trades(events)] == [5]
        assert ends(events)[0] == (BUYER, 1, Reason.SELF_TRADE)
    else:
        assert reason_of(venue.place(BUYER, 0, 5, 100, fok)) == reason


@pytest.mark.parametrize(
    ("rule", "ended", "still_open"),
    [
        (SelfTrade.CANCEL_TAKER, [4], {0}),
        (SelfTrade.CANCEL_MAKER, [7], {1}),
        (SelfTrade.CANCEL_BOTH, [7, 4], set()),
    ],
)
def test_an_order_never_trades_with_its_own_trader(
    rule: SelfTrade, ended: list[int], still_open: set[int]
) -> None:
    venue = Venue()
    venue.place(BUYER, 1, 7, 100)
    events = venue.place(BUYER, 0, 4, 100, Conditions(self_trade=rule))
    assert trades(events) == []
    assert ends(events) == [(BUYER, left, Reason.SELF_TRADE) for left in ended]
    assert {one.order.nonce for one in venue.engine.open_orders(BUYER)} == still_open


def test_a_resting_order_whose_cap_is_below_a_new_fee_ends_when_it_is_met() -> None:
    venue = Venue()
    venue.place(SELLER, 1, 1, 100, max_fee_bps=20)
    venue.place(SELLER, 1, 1, 100, max_fee_bps=60)
    venue.do(commands.SetFees(30, 30))
    events = venue.place(BUYER, 0, 1, 100)
    assert ends(events)[0] == (SELLER, 1, Reason.FEE_ABOVE_CAP)
    assert [one.maker_nonce for one in trades(events)] == [1]


def test_what_is_bought_to_retire_is_earmarked_and_not_credited() -> None:
    venue = Venue()
    venue.place(SELLER, 1, 5, 100)
    retiring = Conditions(TimeInForce.IOC, retire_on_fill=True)
    (made,) = trades(venue.place(BUYER, 0, 3, 100, retiring))
    assert made.retired == 1
    assert venue.engine.balance(BUYER, CLASS) == (WEALTH, 0)
    assert venue.engine.earmarked(CLASS) == 3_000


def test_an_order_ends_in_the_second_after_its_expiry_and_not_before() -> None:
    venue = Venue()
    venue.place(SELLER, 1, 5, 100, expiry=NOW_S + 10)
    venue.now += 10
    assert venue.do(commands.Tick()) == []
    venue.now += 1
    assert ends(venue.place(BUYER, 0, 5, 100))[0] == (SELLER, 5, Reason.EXPIRED)
    assert venue.engine.next_trade == 1


def test_orders_end_when_the_admission_of_their_account_runs_out() -> None:
    venue = Venue()
    venue.fact(commands.SetParticipant, SELLER, 1, NOW_S + 10, 0)
    venue.place(SELLER, 1, 5, 100)
    venue.now += 11
    assert ends(venue.do(commands.Tick())) == [(SELLER, 5, Reason.NOT_ADMITTED)]


def test_a_renewed_admission_keeps_the_orders() -> None:
    venue = Venue()
    venue.fact(commands.SetParticipant, SELLER, 1, NOW_S + 10, 0)
    venue.place(SELLER, 1, 5, 100)
    venue.fact(commands.SetParticipant, SELLER, 1, NOW_S + 1_000, 0)
    venue.now += 11
    assert venue.do(commands.Tick()) == []
    venue.fact(commands.SetParticipant, SELLER, 1, NOW_S + 20, 0)
    venue.now += 10
    assert ends(venue.do(commands.Tick())) == [(SELLER, 5, Reason.NOT_ADMITTED)]


@pytest.mark.parametrize(
    ("fact", "values", "reason"),
    [
        (commands.SetParticipant, (SELLER, 1, 2**39, 1), Reason.FROZEN),
        (commands.SetParticipant, (SELLER, 0, 2**39, 0), Reason.NOT_ADMITTED),
        (commands.StartExit, (SELLER, HKD, NOW_S), Reason.EXITING),
        (commands.InvalidateNonce, (SELLER, 0, NOW_S), Reason.INVALIDATED),
    ],
)
def test_a_fact_of_the_chain_ends_open_orders_at_once(
    fact: Any, values: tuple[Any, ...], reason: Reason
) -> None:
    venue = Venue()
    venue.place(SELLER, 1, 5, 100)
    assert ends(venue.fact(fact, *values)) == [(SELLER, 5, reason)]
    assert trades(venue.place(BUYER, 0, 5, 100)) == []


# ── cancels and nonces ───────────────────────────────────────────────────────────────────────


def test_a_cancel_before_its_order_uses_the_nonce() -> None:
    venue = Venue()
    assert venue.cancel(BUYER, 3) == [NonceUsed(BUYER, 3)]
    assert venue.engine.nonce_state(BUYER, 3) is NonceState.USED
    assert venue.cancel(BUYER, 3) == [Refused(BUYER, 3, Reason.NOTHING_OPEN)]


def test_a_cancel_reaches_an_open_order_however_old_its_nonce() -> None:
    venue = Venue()
    venue.place(BUYER, 0, 1, 10)
    for nonce in range(1, 1_100):
        venue.cancel(BUYER, nonce)
    assert venue.engine.nonce_state(BUYER, 0) is NonceState.TOO_OLD
    assert ends(venue.cancel(BUYER, 0)) == [(BUYER, 1, Reason.CANCELLED)]


def test_cancel_all_ends_the_orders_of_one_instrument_or_of_all() -> None:
    venue = Venue()
    for instrument in (CLASS, OTHER_CLASS, CLASS):
        venue.place(BUYER, 0, 1, 10, instrument=instrument)
    events = venue.do(commands.PlaceCancelAll(CancelAll(BUYER, 3, CLASS), SIGNATURE))
    assert events[-1] == AllCancelled(BUYER, 3, 2)
    events = venue.do(commands.PlaceCancelAll(CancelAll(BUYER, 4, 0), SIGNATURE))
    assert [type(one) for one in events] == [OrderEnded, AllCancelled]


def test_nonces_come_in_any_order_within_the_window() -> None:
    venue = Venue()
    for nonce in (1_024, 5, 0, 2, 1):
        assert type(venue.place(BUYER, 0, 1, 10, nonce=nonce)[0]) is OrderAccepted
    states = [venue.engine.nonce_state(BUYER, nonce) for nonce in (2, 3, 5, 1_024, 1_027, 1_028)]
    assert states == [
        NonceState.USED, NonceState.UNUSED, NonceState.USED, NonceState.USED,
        NonceState.UNUSED, NonceState.TOO_FAR,
    ]  # fmt: skip


def test_l10_a_used_or_distant_nonce_is_no_command_of_an_honest_journal() -> None:
    venue = Venue()
    venue.place(BUYER, 0, 1, 10)
    digest = venue.engine.digest()
    for nonce in (0, 1_026):
        with pytest.raises(InvalidValue, match=r"USED|TOO_FAR"):
            venue.place(BUYER, 0, 1, 10, nonce=nonce)
        with pytest.raises(InvalidValue, match=r"USED|TOO_FAR"):
            venue.do(commands.PlaceWithdrawal(Withdrawal(BUYER, nonce, HKD, 1, 0), SIGNATURE))
    with pytest.raises(InvalidValue, match="TOO_FAR"):
        venue.cancel(BUYER, 2_000)
    assert venue.engine.digest() == digest


# ── halted classes ───────────────────────────────────────────────────────────────────────────


def test_l8_a_halted_class_leaves_the_books_and_lets_its_holders_out() -> None:
    venue = Venue()
    venue.trade()
    venue.place(SELLER, 1, 3, 100_000)
    venue.place(THIRD, 0, 2, 90_000)
    venue.place(THIRD, 0, 2, 90_000, instrument=OTHER_CLASS)
    before = venue.engine.unsettled_trades()
    ended = ends(venue.fact(commands.FlagClass, CLASS, 1))
    assert ended == [(SELLER, 3, Reason.CLASS_HALTED), (THIRD, 2, Reason.CLASS_HALTED)]
    assert venue.engine.balance(SELLER, CLASS)[1] == 0
    assert [one.order.instrument for one in venue.engine.open_orders()] == [OTHER_CLASS]
    assert venue.engine.unsettled_trades() == before, "what was matched stands"
    retire = Conditions(TimeInForce.IOC, retire_on_fill=True)
    for wants in (Conditions(), retire):
        assert reason_of(venue.place(BUYER, 0, 1, 100_000, wants)) == Reason.CLASS_HALTED
    assert type(venue.deposit(BUYER, CLASS, 7)[0]).__name__ == "DepositCredited"
    assert type(venue.withdraw(SELLER, CLASS, 5)[0]).__name__ == "WithdrawalAccepted"
    assert trades(venue.place(SELLER, 1, 1, 90_000, instrument=OTHER_CLASS))


def test_a_released_class_trades_again_and_remembers_no_order() -> None:
    venue = Venue()
    venue.place(SELLER, 1, 3, 100_000)
    digest_of_the_free = Venue().engine.class_flags
    for flags in (1, 3, 2):
        venue.fact(commands.FlagClass, CLASS, flags)
        assert venue.engine.class_flags == {CLASS: flags}
        assert load(dump(venue.engine)).class_flags == {CLASS: flags}
    venue.fact(commands.FlagClass, CLASS, 0)
    assert venue.engine.class_flags == digest_of_the_free == {}
    assert not trades(venue.place(BUYER, 0, 3, 100_000))
    assert trades(venue.place(SELLER, 1, 3, 100_000))


def test_a_class_that_the_venue_does_not_know_cannot_be_flagged() -> None:
    venue = Venue()
    with pytest.raises(InvalidValue, match="no class of the venue"):
        venue.fact(commands.FlagClass, CLASS + 99, 1)


# ── withdrawals ──────────────────────────────────────────────────────────────────────────────


def test_a_withdrawal_takes_what_is_available_and_no_more() -> None:
    venue = Venue()
    assert reason_of(venue.withdraw(BUYER, HKD, WEALTH + 1)) == Reason.NOT_ENOUGH
    venue.place(BUYER, 0, 1, 100_000)
    reserved = venue.engine.balance(BUYER, HKD)[1]
    assert reason_of(venue.withdraw(BUYER, HKD, WEALTH - reserved + 1)) == Reason.NOT_ENOUGH
    venue.withdraw(BUYER, HKD, WEALTH - reserved)
    assert venue.engine.balance(BUYER, HKD) == (0, reserved)


def test_l8_a_withdrawal_needs_no_admission_and_no_running_market() -> None:
    venue = Venue()
    venue.fact(commands.PauseVenue, NOW_S)
    venue.fact(commands.SetParticipant, BUYER, 0, 0, 0)
    (accepted,) = venue.withdraw(BUYER, HKD, 5)
    assert type(accepted).__name__ == "WithdrawalAccepted"
    assert len(venue.engine.unsettled_withdrawals()) == 1


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (lambda v: v.do(commands.Halt(HaltReason.DEPOSIT_REVERTED, 4)), Reason.HALTED),
        (lambda v: v.fact(commands.SetParticipant, BUYER, 1, 2**39, 1), Reason.FROZEN),
        (lambda v: v.fact(commands.StartExit, BUYER, CLASS, NOW_S), Reason.EXITING),
        (lambda v: v.fact(commands.InvalidateNonce, BUYER, 0, NOW_S), Reason.INVALIDATED),
    ],
)
def test_a_withdrawal_is_refused_for_its_reason(prepare: Any, reason: Reason) -> None:
    venue = Venue()
    prepare(venue)
    assert reason_of(venue.withdraw(BUYER, HKD, 5)) == reason
