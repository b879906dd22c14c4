"""Hypothesis drives every command in any order; the laws hold after each."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from backend.domain import commands
from backend.domain.orders import (
    NO_DETAILS,
    Cancel,
    CancelAll,
    Conditions,
    Order,
    SelfTrade,
    TimeInForce,
    Withdrawal,
)
from backend.domain.venue_events import VoidReason
from backend.matching import Engine, dump, load
from tests.matching.random_flow import (
    CLASSES,
    DETAILS,
    MONEY,
    SIGNATURE,
    TRADERS,
    WINDOW,
    Pair,
    RandomFlow,
)

pytestmark = pytest.mark.unit

WHO = st.sampled_from(TRADERS[:3])
ASSET = st.sampled_from((MONEY[0], CLASSES[0]))


class Exchange(RuleBasedStateMachine):
    """Engine and twin side by side, with three traders in one market to make them meet."""

    @initialize()
    def open(self) -> None:
        self.pair, self.journal = Pair(), []
        self.log_index = 10_000
        for time_ms, command in RandomFlow(0).opening():
            self.do(command, time_ms - self.pair.engine.time_ms)
        for who in TRADERS[:3]:
            for asset in (MONEY[0], CLASSES[0]):
                self.deposit(who, asset, 30_000)

    def do(self, command: commands.Command, later_ms: int = 0) -> None:
        time_ms = self.pair.engine.time_ms + later_ms
        self.journal.append((time_ms, command, self.pair.step(time_ms, command)))

    def fact(self, kind: type, *values: object) -> None:
        self.log_index += 1
        self.do(kind(1, self.log_index, *values))

    def nonce(self, who: bytes, ahead: int = 0) -> int:
        nonce = self.pair.engine.accounts[who].base + ahead
        while self.pair.engine.accounts[who].nonce_state(nonce).value:
            nonce += 1
        return nonce

    @property
    def now(self) -> int:
        return self.pair.engine.time_ms // 1_000

    @rule(who=WHO, asset=ASSET, amount=st.integers(1, 50_000))
    def deposit(self, who: bytes, asset: int, amount: int) -> None:
        number = self.pair.engine.last_deposit + 1
        self.fact(commands.CreditDeposit, number, who, asset, amount)

    @rule(
        who=WHO,
        side=st.integers(0, 1),
        quantity=st.integers(1, 12),
        price=st.integers(995, 1_005),
        cap=st.sampled_from((0, 10, 100)),
        force=st.sampled_from(TimeInForce),
        flags=st.tuples(st.booleans(), st.booleans(), st.sampled_from(SelfTrade)),
        life=st.integers(0, 60),
        ahead=st.integers(0, 3),
    )
    def place(  # type: ignore[no-untyped-def]
        self, who, side, quantity, price, cap, force, flags, life, ahead
    ) -> None:
        post_only, retire, self_trade = flags
        resting = force is TimeInForce.GTC
        retire = retire and not resting and not side
        conditions = Conditions(force, post_only and resting, self_trade, retire)
        order = Order(
            who, self.nonce(who, ahead), CLASSES[0], MONEY[0], side, quantity, price, cap,
            self.now, self.now + life, conditions.pack(), DETAILS if retire else NO_DETAILS, 0,
        )  # fmt: skip
        self.do(commands.PlaceOrder(order, SIGNATURE))

    @rule(who=WHO, back=st.integers(-3, 6))
    def cancel(self, who: bytes, back: int) -> None:
        nonce = max(0, self.pair.engine.accounts[who].base - back)
        self.do(commands.PlaceCancel(Cancel(who, nonce), SIGNATURE))

    @rule(who=WHO)
    def cancel_all(self, who: bytes) -> None:
        self.do(commands.PlaceCancelAll(CancelAll(who, self.nonce(who), 0), SIGNATURE))

    @rule(who=WHO, asset=ASSET, amount=st.integers(1, 40_000))
    def withdraw(self, who: bytes, asset: int, amount: int) -> None:
        withdrawal = Withdrawal(who, self.nonce(who), asset, amount, 0)
        self.do(commands.PlaceWithdrawal(withdrawal, SIGNATURE))

    @rule(maker=st.integers(0, 12), taker=st.integers(0, 12))
    def set_fees(self, maker: int, taker: int) -> None:
        self.do(commands.SetFees(maker, taker))

    @rule(part=st.integers(0, 3))
    def settle(self, part: int) -> None:
        engine = self.pair.engine
        trade, withdrawal = engine.next_trade - 1, engine.next_withdrawal - 1
        if part and engine.unsettled_queue and not engine.void_queue:
            trade = engine.unsettled_queue[len(engine.unsettled_queue) // (part + 1)].number
            before = [one.number for one in engine.leaving if one.after_trade <= trade]
            withdrawal = max(before, default=engine.settled_withdrawal)
        self.fact(commands.NoteSettlement, trade, withdrawal)

    @rule(index=st.integers(0, 50))
    def void(self, index: int) -> None:
        queue = self.pair.engine.unsettled_queue
        if queue:
            one = queue[index % len(queue)]
            old = VoidReason.OLDER_THAN_WINDOW
            self.do(commands.VoidTrades(one.number, old, 1, one.time_s + WINDOW + 1))

    @rule(who=WHO, asset=ASSET, ago=st.integers(0, 2 * WINDOW))
    def start_exit(self, who: bytes, asset: int, ago: int) -> None:
        self.fact(commands.StartExit, who, asset, self.now - ago)

    @rule(who=WHO, whole=st.booleans())
    def end_exit(self, who: bytes, whole: bool) -> None:
        engine = self.pair.engine
        if whole:
            self.settle(0)
        for asset in tuple(engine.accounts[who].exits):
            amount = sum(engine.balance(who, asset)) if whole else 0
            self.fact(commands.EndExit, who, asset, amount)

    @rule(who=WHO, tier=st.integers(0, 1), life=st.integers(-1, 90), frozen=st.integers(0, 1))
    def set_participant(self, who: bytes, tier: int, life: int, frozen: int) -> None:
        self.fact(commands.SetParticipant, who, tier, self.now + life, frozen)

    @rule(who=WHO)
    def admit(self, who: bytes) -> None:
        self.fact(commands.SetParticipant, who, 1, 2**39, 0)

    @rule(who=WHO, back=st.integers(-3, 6), ago=st.integers(0, 2 * WINDOW))
    def invalidate(self, who: bytes, back: int, ago: int) -> None:
        nonce = max(0, self.pair.engine.accounts[who].base - back)
        self.fact(commands.InvalidateNonce, who, nonce, self.now - ago)

    @rule(ago=st.integers(0, 60), pause=st.booleans())
    def pause(self, ago: int, pause: bool) -> None:
        if pause:
            self.fact(commands.PauseVenue, self.now - ago)
        self.fact(commands.UnpauseVenue, self.now)

    @rule(flags=st.integers(0, 3))
    def flag_class(self, flags: int) -> None:
        self.fact(commands.FlagClass, CLASSES[0], flags)

    @rule(seconds=st.integers(0, 40))
    def tick(self, seconds: int) -> None:
        self.do(commands.Tick(), 1_000 * seconds)

    @invariant()
    def laws_hold(self) -> None:
        if hasattr(self, "pair"):
            self.pair.check()

    def teardown(self) -> None:
        """L9: a replay, with a snapshot half-way, gives the same events and the same state."""
        if not hasattr(self, "pair"):
            return
        engine = Engine()
        for index, (time_ms, command, events) in enumerate(self.journal):
            if index == len(self.journal) // 2:
                engine = load(dump(engine))
            assert engine.apply(time_ms, command) == events
        assert engine.digest() == self.pair.engine.digest()


Exchange.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestExchange = Exchange.TestCase
