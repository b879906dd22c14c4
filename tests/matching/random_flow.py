"""Random commands for the engine and its twin: every kind there is, books that stay small.

`RandomFlow` makes the next command from the engine's state and a seed; `Pair` applies it to the
engine, tells the twin the same in its own words, and compares what both say.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from backend.domain.commands import (
    Command,
    CreditDeposit,
    EndExit,
    FlagClass,
    Halt,
    InvalidateNonce,
    ListAsset,
    ListClass,
    NotePreSignature,
    NoteSettlement,
    OpenVenue,
    PauseVenue,
    PlaceCancel,
    PlaceCancelAll,
    PlaceOrder,
    PlaceWithdrawal,
    Resume,
    SetFees,
    SetParticipant,
    StartEpoch,
    StartExit,
    Tick,
    UnpauseVenue,
    VoidTrades,
)
from backend.domain.orders import (
    NO_DETAILS,
    Account,
    Cancel,
    CancelAll,
    Conditions,
    Order,
    SelfTrade,
    TimeInForce,
    Withdrawal,
    exchange_domain,
    message_digest,
)
from backend.domain.venue_events import (
    Event,
    HaltReason,
    OrderAccepted,
    Reason,
    Traded,
    TradesVoided,
    VoidReason,
    WithdrawalAccepted,
)
from backend.matching import Engine
from tests.matching.twin import Twin

START_S = 1_800_000_000
WINDOW, SKEW = 300, 30
EXCHANGE = Account(b"exchange".rjust(20, b"\0"))
DOMAIN = exchange_domain(1, "0x" + EXCHANGE.hex())
CLASSES = ((1 << 200) + 1, (1 << 200) + 2, (9 << 250) + 3)
MONEY = (0xAAAA, 0xBBBB)
TRADERS = tuple(Account(bytes([n + 1]) * 20) for n in range(8))
SIGNATURE = bytes(65)
DETAILS = b"d" * 32


class RandomFlow:
    """The next (time in ms, command), from a seed and what the engine says of itself."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._log_index = 0
        self._exiting: list[tuple[Account, int]] = []
        self._waiting: list[Callable[[], Command]] = []
        makers: list[tuple[int, Callable[[Engine, int], Command]]] = [
            (6_400, self._order), (1_500, self._cancel), (80, self._cancel_all),
            (900, self._deposit), (250, self._withdrawal), (300, self._settle), (40, self._fees),
            (40, self._participant), (80, self._exit), (60, self._invalidate),
            (60, self._pre_signed), (16, self._pause), (8, self._halt), (40, self._void),
            (100, lambda *_: Tick()), (4, self._epoch), (8, self._asset), (5, self._flags),
        ]  # fmt: skip
        self._weights = [weight for weight, _ in makers]
        self._makers = [make for _, make in makers]

    def opening(self) -> list[tuple[int, Command]]:
        """The first commands of a venue with everybody admitted and some money in it."""
        now = START_S * 1_000
        found: list[tuple[int, Command]] = [(now, OpenVenue(1, EXCHANGE, WINDOW, SKEW))]
        found += [(now, ListAsset(*self._place(), asset, 1)) for asset in MONEY]
        found += [(now, ListClass(*self._place(), instrument)) for instrument in CLASSES]
        found += [(now, SetParticipant(*self._place(), who, 1, 2**39, 0)) for who in TRADERS]
        found.append((now, SetFees(2, 5)))
        return found

    def next(self, engine: Engine) -> tuple[int, Command]:
        pick = self._random
        time_ms = engine.time_ms + pick.choice((0, 0, 1, 40, 300, 300, 1_000, 3_000))
        if self._waiting and pick.random() < 0.04:
            return time_ms, self._waiting.pop(0)()
        make = pick.choices(self._makers, self._weights)[0]
        return time_ms, make(engine, time_ms // 1_000)

    def _place(self) -> tuple[int, int]:
        self._log_index += 1
        return 1 + (self._log_index >> 16), self._log_index & 0xFFFF

    def _nonce(self, engine: Engine, who: Account) -> int:
        nonce = engine.account(who).base
        if self._random.random() < 0.1:
            nonce += self._random.randrange(6)
        while engine.nonce_state(who, nonce).value:
            nonce += 1
        return nonce

    def _order(self, engine: Engine, now: int) -> Command:
        pick = self._random
        who, side = pick.choice(TRADERS), pick.randrange(2)
        force = pick.choice((TimeInForce.GTC,) * 6 + (TimeInForce.IOC, TimeInForce.FOK))
        resting = force is TimeInForce.GTC
        retire = not resting and not side and pick.random() < 0.4
        conditions = Conditions(
            force, resting and pick.random() < 0.15, pick.choice(tuple(SelfTrade)), retire
        )
        signed = now - pick.randrange(20) + (SKEW + 30 if pick.random() < 0.01 else 0)
        return PlaceOrder(
            Order(
                who, self._nonce(engine, who), pick.choice(CLASSES), pick.choice(MONEY), side,
                pick.randrange(1, 40), 100_003 + pick.randrange(-12, 13) * 977,
                pick.choice((5, 10, 10, 10, 100)), signed, signed + pick.randrange(10, 600),
                conditions.pack(), DETAILS if retire else NO_DETAILS, 0,
            ),
            SIGNATURE,
        )  # fmt: skip

    def _cancel(self, engine: Engine, __: int) -> Command:
        resting: list[int] = []
        for _ in TRADERS:
            who = self._random.choice(TRADERS)
            resting = list(engine.account(who).orders)
            if resting:
                break
        if resting and self._random.random() < 0.95:
            return PlaceCancel(Cancel(who, self._random.choice(resting)), SIGNATURE)
        return PlaceCancel(Cancel(who, self._nonce(engine, who)), SIGNATURE)

    def _cancel_all(self, engine: Engine, _: int) -> Command:
        who = self._random.choice(TRADERS)
        instrument = self._random.choice((0, *CLASSES))
        return PlaceCancelAll(CancelAll(who, self._nonce(engine, who), instrument), SIGNATURE)

    def _deposit(self, engine: Engine, _: int) -> Command:
        pick = self._random
        asset = pick.choice(MONEY + CLASSES)
        amount = pick.randrange(1, 9_000_000 if asset in MONEY else 90_000)
        who = pick.choice(TRADERS)
        return CreditDeposit(*self._place(), engine.last_deposit + 1, who, asset, amount)

    def _withdrawal(self, engine: Engine, _: int) -> Command:
        pick, who = self._random, self._random.choice(TRADERS)
        asset = pick.choice(MONEY + CLASSES)
        amount = 1 + engine.balance(who, asset)[0] * pick.randrange(1, 12) // 10
        return PlaceWithdrawal(
            Withdrawal(who, self._nonce(engine, who), asset, amount, 0), SIGNATURE
        )

    def _settle(self, engine: Engine, _: int) -> Command:
        trade, withdrawal = engine.next_trade - 1, engine.next_withdrawal - 1
        unsettled = engine.unsettled_queue
        if len(unsettled) > 1 and not engine.void_queue and self._random.random() < 0.5:
            trade = unsettled[len(unsettled) // 2].number
            after = [one.number for one in engine.leaving if one.after_trade <= trade]
            withdrawal = max(after, default=engine.settled_withdrawal)
        return NoteSettlement(*self._place(), trade, withdrawal)

    def _fees(self, *_: Any) -> Command:
        return SetFees(*self._random.choice(((0, 0), (2, 5), (6, 3), (7, 9), (0, 10))))

    def _participant(self, *_: Any) -> Command:
        who, kind = self._random.choice(TRADERS), self._random.randrange(3)
        self._waiting.append(lambda: SetParticipant(*self._place(), who, 1, 2**39, 0))
        return SetParticipant(
            *self._place(), who, int(kind != 1), 2**39 if kind != 2 else 5, int(kind == 0)
        )

    def _exit(self, engine: Engine, now: int) -> Command:
        if not self._exiting or self._random.random() < 0.1:
            who, asset = self._random.choice(TRADERS), self._random.choice(MONEY + CLASSES)
            if (who, asset) not in self._exiting:
                self._exiting.append((who, asset))
            return StartExit(*self._place(), who, asset, now - self._random.randrange(2 * WINDOW))
        who, asset = self._exiting[0]
        if engine.unsettled_queue or engine.leaving:
            return self._settle(engine, now)
        del self._exiting[0]
        amount = sum(engine.balance(who, asset)) if self._random.random() < 0.4 else 0
        return EndExit(*self._place(), who, asset, amount)

    def _invalidate(self, engine: Engine, now: int) -> Command:
        who = self._random.choice(TRADERS)
        nonce = max(0, engine.account(who).base + self._random.randrange(-20, 8))
        at = now - self._random.randrange(2 * WINDOW)
        return InvalidateNonce(*self._place(), who, nonce, at)

    def _pre_signed(self, engine: Engine, now: int) -> Command:
        placed = self._order(engine, now)
        assert isinstance(placed, PlaceOrder)
        order = placed.order._replace(signature_kind=1)
        if self._random.random() < 0.3:
            return PlaceOrder(order, SIGNATURE)
        self._waiting.insert(0, lambda: self._again(engine, order))
        digest = message_digest(DOMAIN, order)
        return NotePreSignature(*self._place(), order.trader, digest)

    def _again(self, engine: Engine, order: Order) -> Command:
        """The pre-signed order, unless its nonce has been used since."""
        used = engine.nonce_state(order.trader, order.nonce).value
        return Tick() if used else PlaceOrder(order, SIGNATURE)

    def _pause(self, _: Engine, now: int) -> Command:
        at = now + self._random.randrange(5)
        self._waiting.insert(0, lambda: UnpauseVenue(*self._place(), at))
        return PauseVenue(*self._place(), now - self._random.randrange(30))

    def _flags(self, *_: Any) -> Command:
        pick = self._random
        instrument = pick.choice(CLASSES)
        self._waiting.insert(0, lambda: FlagClass(*self._place(), instrument, 0))
        return FlagClass(*self._place(), instrument, pick.choice((1, 2, 3)))

    def _halt(self, *_: Any) -> Command:
        self._waiting.insert(0, Resume)
        return Halt(HaltReason.OPERATOR, 0)

    def _void(self, engine: Engine, now: int) -> Command:
        if not engine.unsettled_queue:
            return Tick()
        trade = self._random.choice(engine.unsettled_queue)
        old = VoidReason.OLDER_THAN_WINDOW
        return VoidTrades(trade.number, old, 1, trade.time_s + WINDOW + 1)

    def _epoch(self, *_: Any) -> Command:
        return StartEpoch(self._random.randbytes(16))

    def _asset(self, *_: Any) -> Command:
        self._waiting.append(lambda: ListAsset(*self._place(), MONEY[1], 1))
        return ListAsset(*self._place(), MONEY[1], 0)


class Pair:
    """An engine and its twin, told the same; `step` compares the fills and the answer."""

    def __init__(self) -> None:
        self.engine, self.twin = Engine(), Twin()
        self.deposited: dict[int, int] = dict.fromkeys(MONEY + CLASSES, 0)
        self.withdrawn: dict[int, int] = dict.fromkeys(MONEY + CLASSES, 0)
        self.fills = 0

    def step(self, time_ms: int, command: Command) -> list[Event]:
        engine, twin = self.engine, self.twin
        first = engine.next_trade
        now = time_ms // 1_000
        closed = engine.halted or now < engine.paused_until
        events = engine.apply(time_ms, command)
        self._bar(now)
        twin.end(lambda order: order.expiry < now)
        if isinstance(command, PlaceOrder):
            self._place(command.order, now, closed, first, events)
        elif isinstance(command, PlaceCancel):
            who, nonce = command.cancel
            twin.end(lambda order: order[:2] == (who, nonce))
        elif isinstance(command, PlaceCancelAll):
            who, _, which = command.cancel_all
            twin.end(lambda one: one.trader == who and which in (0, one.instrument))
        elif isinstance(command, PlaceWithdrawal):
            if any(type(one) is WithdrawalAccepted for one in events):
                who, _, asset, amount, _ = command.withdrawal
                assert twin.withdraw(who, asset, amount)
                self.withdrawn[asset] += amount
        else:
            self._fact(command, events)
        return events

    def _bar(self, now: int) -> None:
        """Who may not trade is not the twin's to know; that their orders end is."""
        states = self.engine.accounts.values()
        barred = {one.address for one in states if one.blocked or one.expiry < now}
        if barred != self.twin.barred:
            self.twin.barred = barred
            self.twin.end(lambda order: order.trader in barred)

    def _place(self, order: Order, now: int, closed: bool, first: int, events: list[Event]) -> None:
        engine, twin = self.engine, self.twin
        accepted = any(type(one) is OrderAccepted for one in events)
        unknown = order.asset not in engine.assets
        reasons = [one[2] for one in events if type(one).__name__ == "Refused"]
        not_asked = (
            closed or unknown or bool({Reason.INVALIDATED, Reason.NOT_PRE_SIGNED} & set(reasons))
        )
        if not not_asked:
            assert accepted == twin.place(order, now, SKEW), (order, events)
        assert not (not_asked and accepted)
        made = [
            (one.number, one.maker, one.maker_nonce, one.taker, one.taker_nonce, one.price,
             one.quantity)
            for one in events
            if type(one) is Traded
        ]  # fmt: skip
        self.fills += len(made)
        expected = [
            (one[0], *one[1][:2], *one[2][:2], one[3], one[4])
            for one in twin.trades[len(twin.trades) - (twin.number + 1 - first) :]
            if one[0] >= first
        ]
        assert made == expected, (order, made, expected)

    def _fact(self, command: Command, events: list[Event]) -> None:
        twin = self.twin
        for one in events:
            if type(one) is TradesVoided:
                before = list(twin.leaving)
                twin.void(one.first)
                for _, _, asset, amount in before[len(twin.leaving) :]:
                    self.withdrawn[asset] -= amount
        if isinstance(command, CreditDeposit):
            twin.total[command.account, command.asset] += command.amount
            self.deposited[command.asset] += command.amount
        elif isinstance(command, EndExit):
            twin.total[command.account, command.asset] -= command.amount
            self.withdrawn[command.asset] += command.amount
        elif isinstance(command, InvalidateNonce):
            twin.end(lambda order: order[:2] == (command.trader, command.nonce))
        elif isinstance(command, NoteSettlement):
            twin.trades = [one for one in twin.trades if one[0] > command.last_trade]
            del twin.leaving[: len(twin.leaving) - len(self.engine.leaving)]
        elif isinstance(command, FlagClass):
            if command.flags:
                twin.halted.add(command.instrument)
                twin.end(lambda order: order.instrument == command.instrument)
            else:
                twin.halted.discard(command.instrument)
        elif isinstance(command, SetFees):
            twin.fees = (command.maker_bps, command.taker_bps)

    def check(self) -> None:
        """The laws that hold between any two commands: equal states, sums, an uncrossed book."""
        engine, twin = self.engine, self.twin
        mine = [(one.order, one.remaining) for one in engine.open_orders()]
        assert mine == [tuple(one) for one in twin.open]
        for asset in MONEY + CLASSES:
            held = 0
            for who in TRADERS:
                available, reserved = engine.balance(who, asset)
                assert available >= 0, (who, asset)
                assert reserved >= 0, (who, asset)
                assert available == twin.available(who, asset), (who, asset)
                assert available + reserved == twin.total[who, asset], (who, asset)
                held += available + reserved
            kept = engine.fees_collected(asset) + engine.earmarked(asset)
            assert kept == twin.kept[asset]
            assert held + kept + self.withdrawn[asset] == self.deposited[asset], asset
        for market in engine.markets():
            bids, asks = engine.depth(*market, 1)
            assert not bids or not asks or bids[0].price < asks[0].price, market
