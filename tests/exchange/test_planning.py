"""What goes to the Exchange next: numbers without gaps, nothing twice, voids in their place."""

from __future__ import annotations

import random

import pytest

from backend.domain import commands
from backend.domain.batches import Batch, Void, encode_batch
from backend.domain.journal import Head
from backend.domain.venue_events import VoidReason
from backend.errors import InvalidValue
from backend.exchange.planning import (
    GAS_LIMIT,
    MOST_TRADES,
    Covered,
    covered_by,
    gas_bound,
    next_act,
    outlook,
    replaced,
    standing,
)
from backend.store.venue_acts import ActKind, ActState, VenueAct
from tests.exchange.signed_journal import CARBON, MONEY, WINDOW, SignedJournal, trader

pytestmark = pytest.mark.unit

NOTHING = Covered(0, 0)


def plan(journal: SignedJournal, covered: Covered = NOTHING) -> Batch | Void | None:
    return next_act(outlook(journal.engine, journal.head, covered), covered)


def stored(number: int, act: Batch | Void, state: ActState = ActState.SIGNED) -> VenueAct:
    if isinstance(act, Batch):
        kind = ActKind.BATCH
        last = act.first_trade + len(act.trades) - 1
        last_withdrawal = act.first_withdrawal + len(act.withdrawals) - 1
    else:
        kind, last, last_withdrawal = ActKind.VOID, act.last_trade, act.last_withdrawal
    numbers = (act.first_trade, last, act.first_withdrawal, last_withdrawal)
    head = Head(act.seq, act.head)
    return VenueAct(number, kind, *numbers, head, b"", b"", b"", b"", state)


def void_from(journal: SignedJournal, first: int) -> None:
    journal.wait(WINDOW + 100)
    reason = VoidReason.OLDER_THAN_WINDOW
    journal.say(commands.VoidTrades(first, reason, journal.block, journal.time_s))


def batch(act: Batch | Void | None) -> Batch:
    assert isinstance(act, Batch)
    encode_batch(act)
    return act


def test_nothing_comes_of_nothing() -> None:
    assert plan(SignedJournal()) is None


def test_trades_and_withdrawals_go_together_at_the_head() -> None:
    journal = SignedJournal()
    journal.trade()
    journal.say(journal.withdrawal(1, 7))
    journal.trade()
    made = batch(plan(journal))
    assert [one.number for one in made.trades] == [1, 2]
    assert [one.number for one in made.withdrawals] == [1]
    assert Head(made.seq, made.head) == journal.head
    assert (made.maker_fee_bps, made.taker_fee_bps) == (10, 20)
    assert plan(journal, Covered(2, 1)) is None


def test_a_withdrawal_alone_goes_with_the_next_trade_number() -> None:
    journal = SignedJournal()
    journal.trade()
    journal.say(journal.withdrawal(1, 7))
    made = batch(plan(journal, Covered(1, 0)))
    assert (made.first_trade, made.trades) == (2, ())
    assert (made.first_withdrawal, len(made.withdrawals)) == (1, 1)


def test_a_batch_has_one_fee_schedule() -> None:
    journal = SignedJournal()
    journal.trade()
    journal.say(commands.SetFees(5, 6))
    journal.trade()
    first = batch(plan(journal))
    assert [one.number for one in first.trades] == [1]
    second = batch(plan(journal, Covered(1, 0)))
    assert [one.number for one in second.trades] == [2]
    assert (second.maker_fee_bps, second.taker_fee_bps) == (5, 6)


def test_a_batch_is_never_larger_than_one_transaction_can_carry() -> None:
    journal = SignedJournal()
    for _ in range(MOST_TRADES + 5):
        journal.trade()
    made = batch(plan(journal))
    assert len(made.trades) == MOST_TRADES
    assert gas_bound(made.trades, made.withdrawals) <= GAS_LIMIT
    distinct = [
        one._replace(
            maker=one.maker._replace(trader=trader(2 * n), nonce=0, conditions=33),
            taker=one.taker._replace(trader=trader(2 * n + 1), nonce=0, conditions=33),
        )
        for n, one in enumerate(made.trades)
    ]
    assert gas_bound(distinct, ()) > GAS_LIMIT


def test_a_withdrawal_waits_for_the_trades_before_it() -> None:
    journal = SignedJournal()
    for _ in range(MOST_TRADES + 1):
        journal.trade()
    journal.say(journal.withdrawal(1, 7))
    assert batch(plan(journal)).withdrawals == ()
    assert len(batch(plan(journal, Covered(MOST_TRADES, 0))).withdrawals) == 1


def test_a_void_comes_behind_the_trades_and_withdrawals_before_it() -> None:
    journal = SignedJournal()
    journal.trade()
    journal.say(journal.withdrawal(1, 7))
    journal.wait(1)
    journal.trade()
    journal.say(journal.withdrawal(2, 9))
    journal.trade()
    void_from(journal, 2)
    journal.trade()
    first = batch(plan(journal))
    assert [one.number for one in first.trades] == [1]
    assert [one.number for one in first.withdrawals] == [1]
    second = plan(journal, Covered(1, 1))
    assert second == Void(2, 3, 2, 2, VoidReason.OLDER_THAN_WINDOW, *journal.head)
    assert [one.number for one in batch(plan(journal, Covered(3, 2))).trades] == [4]


def test_withdrawals_before_a_void_go_alone_when_their_trades_have_gone() -> None:
    journal = SignedJournal()
    journal.trade()
    journal.say(journal.withdrawal(1, 7))
    journal.trade()
    void_from(journal, 2)
    alone = batch(plan(journal, Covered(1, 0)))
    assert (alone.trades, len(alone.withdrawals)) == ((), 1)
    assert isinstance(plan(journal, Covered(1, 1)), Void)


def test_two_voids_in_a_row_are_two_acts() -> None:
    journal = SignedJournal()
    journal.trade()
    void_from(journal, 1)
    journal.trade()
    void_from(journal, 2)
    one, other = plan(journal), plan(journal, Covered(1, 0))
    assert isinstance(one, Void)
    assert isinstance(other, Void)
    assert (one[:2], other[:2]) == ((1, 1), (2, 2))


def test_an_act_that_holds_what_was_voided_since_is_cut_anew_and_replaced() -> None:
    journal = SignedJournal()
    for _ in range(3):
        journal.trade()
    old = stored(1, batch(plan(journal)))
    assert covered_by([old], NOTHING, ()) == Covered(3, 0)
    void_from(journal, 2)
    voids = journal.engine.pending_voids()
    assert covered_by([old], NOTHING, voids) == NOTHING
    again = stored(2, batch(plan(journal)))
    assert (again.first_trade, again.last_trade) == (1, 1)
    covered = covered_by([old, again], NOTHING, voids)
    assert covered == Covered(1, 0)
    void = stored(3, plan(journal, covered))  # type: ignore[arg-type]
    assert covered_by([old, again, void], NOTHING, voids) == Covered(3, 0)
    assert standing([old, again, void]) == [again, void]
    assert replaced([old, again, void]) == [old]
    settled = old._replace(state=ActState.SETTLED)
    assert replaced([settled, again, void]) == []


def test_an_act_of_which_the_chain_has_settled_a_part_is_cut_anew() -> None:
    """Both an act and the one that replaced it were signed: the chain took the shorter one."""
    journal = SignedJournal()
    for _ in range(4):
        journal.trade()
    whole = stored(2, batch(plan(journal)))
    journal.settle(2)
    covered = covered_by([whole], Covered(2, 0), ())
    assert covered == Covered(2, 0)
    rest = stored(3, batch(plan(journal, covered)))
    assert (rest.first_trade, rest.last_trade) == (3, 4)
    assert replaced([whole, rest]) == [whole]
    assert covered_by([whole, rest], Covered(2, 0), ()) == Covered(4, 0)


def test_what_the_chain_has_settled_counts_without_an_act() -> None:
    journal = SignedJournal()
    journal.trade()
    journal.trade()
    journal.settle(1)
    assert [one.number for one in batch(plan(journal, Covered(1, 0))).trades] == [2]
    assert covered_by([], Covered(1, 0), ()) == Covered(1, 0)


def test_an_anchor_takes_no_numbers() -> None:
    anchor = VenueAct(9, ActKind.ANCHOR, 1, 0, 1, 0, Head(5, bytes(32)), b"", b"", b"", b"")
    journal = SignedJournal()
    journal.trade()
    made = stored(1, batch(plan(journal)))
    assert standing([made, anchor]) == [made]
    assert covered_by([made, anchor], NOTHING, ()) == Covered(1, 0)


class Chain:
    """The Exchange's numbers: takes an act only when it is the next one."""

    def __init__(self) -> None:
        self.trade = self.withdrawal = 0
        self.settled: list[int] = []
        self.withdrawn: list[int] = []

    def take(self, act: Batch | Void) -> None:
        assert act.first_trade == self.trade + 1
        assert act.first_withdrawal == self.withdrawal + 1
        if isinstance(act, Void):
            assert act.last_trade > self.trade or act.last_withdrawal > self.withdrawal
            self.trade, self.withdrawal = act.last_trade, act.last_withdrawal
            return
        self.settled += [one.number for one in act.trades]
        self.withdrawn += [one.number for one in act.withdrawals]
        self.trade += len(act.trades)
        self.withdrawal += len(act.withdrawals)


@pytest.mark.parametrize("seed", range(12))
def test_any_course_of_events_settles_each_trade_once_or_voids_it(seed: int) -> None:
    """Trades, withdrawals, fee changes and voids at random; the chain lags, and settles."""
    chance = random.Random(seed)
    journal, chain = SignedJournal(), Chain()
    acts: list[VenueAct] = []
    made: dict[int, Batch | Void] = {}
    voided: set[int] = set()
    for _ in range(120):
        match chance.choice("tttttwwfvacccp"):
            case "t":
                journal.wait(chance.randrange(3))
                journal.trade(buyer=chance.choice((1, 2)))
            case "w":
                asset = chance.choice((MONEY, CARBON))
                journal.say(journal.withdrawal(chance.choice((1, 2)), 5, asset))
            case "f":
                journal.say(commands.SetFees(chance.randrange(20), chance.randrange(20)))
            case "v":
                _void_some(journal, chance, voided)
            case "a" | "p":
                _store_next(journal, acts, made)
            case "c":
                _settle_next(journal, chain, acts, made)
    for _ in range(400):
        _store_next(journal, acts, made)
        _settle_next(journal, chain, acts, made)
    trades = range(1, journal.engine.next_trade)
    assert sorted(chain.settled) == [number for number in trades if number not in voided]
    assert (chain.trade, chain.withdrawal) == (
        journal.engine.next_trade - 1,
        journal.engine.next_withdrawal - 1,
    )
    assert journal.engine.unsettled() == ((), ())
    assert journal.engine.pending_voids() == ()


def _void_some(journal: SignedJournal, chance: random.Random, voided: set[int]) -> None:
    unsettled = [one.number for one in journal.engine.unsettled_trades()]
    if not unsettled:
        return
    journal.wait(WINDOW + 100)
    first = chance.choice(unsettled)
    reason = VoidReason.OLDER_THAN_WINDOW
    try:
        journal.say(commands.VoidTrades(first, reason, journal.block, journal.time_s))
    except InvalidValue:
        return
    voided.update(number for number in unsettled if number >= first)


def _covered(journal: SignedJournal, acts: list[VenueAct]) -> Covered:
    engine = journal.engine
    settled = Covered(engine.settled_trade, engine.settled_withdrawal)
    return covered_by(acts, settled, engine.pending_voids())


def _store_next(
    journal: SignedJournal, acts: list[VenueAct], made: dict[int, Batch | Void]
) -> None:
    act = plan(journal, _covered(journal, acts))
    if act is not None:
        acts.append(stored(len(acts) + 1, act))
        made[len(acts)] = act


def _settle_next(
    journal: SignedJournal,
    chain: Chain,
    acts: list[VenueAct],
    made: dict[int, Batch | Void],
) -> None:
    """The worker: the first act that stands and that the chain has not, unless it is void."""
    voids = journal.engine.pending_voids()
    for act in standing(acts):
        if act.last_trade <= chain.trade and act.last_withdrawal <= chain.withdrawal:
            continue
        first, last = act.first_trade, act.last_trade
        if act.kind is ActKind.BATCH and any(
            first <= void.last and void.first <= last for void in voids
        ):
            # The chain refuses: too old. The leader cuts anew.
            return
        if act.first_trade != chain.trade + 1:
            return
        chain.take(made[act.number])
        journal.settle(chain.trade, chain.withdrawal)
        return
