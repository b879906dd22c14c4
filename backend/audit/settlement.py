"""L6, L10 and L11 of settlement: every batch read from its log, every trade judged again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from backend.audit.exchange import Books, Holding, Pauses
from backend.chain.signatures import Verifier
from backend.domain.batches import (
    Batch,
    SettlementTrade,
    SettlementWithdrawal,
    decode_batch,
    developer_share,
)
from backend.domain.events import ChainEvent
from backend.domain.orders import (
    MAX_FEE_BPS,
    Account,
    Conditions,
    Order,
    Side,
    TimeInForce,
    check_order,
    fee_of,
)
from backend.errors import CausewayError

Nonce = tuple[Account, int]


@dataclass(slots=True)
class Filled:
    """What the chain says was filled of one order."""

    order: Order
    tonnes: int = 0
    fills: list[SettlementTrade] = field(default_factory=list)
    event: ChainEvent | None = None


@dataclass(frozen=True, slots=True)
class SettledTrade:
    """A trade as the chain settled it, and the batch it was settled by."""

    trade: SettlementTrade
    event: ChainEvent


@dataclass(frozen=True, slots=True)
class SettledWithdrawal:
    """A withdrawal as the chain settled it: `moved` may be less than was asked."""

    settled: SettlementWithdrawal
    moved: int
    event: ChainEvent


@dataclass(slots=True)
class Settlement:
    """Walks the batches in chain order; needs the books as they are at each of them."""

    books: Books
    verifier: Verifier
    pauses: Pauses
    window: int
    skew: int
    fills: dict[Nonce, Filled] = field(default_factory=dict)
    withdrawn: dict[Nonce, SettledWithdrawal] = field(default_factory=dict)
    #: When a nonce was invalidated on chain.
    killed: dict[Nonce, int] = field(default_factory=dict)
    trades: dict[int, SettledTrade] = field(default_factory=dict)
    withdrawals: dict[int, SettledWithdrawal] = field(default_factory=dict)
    voids: list[ChainEvent] = field(default_factory=list)
    #: Shortfalls that were told: withdrawal number, what it moved.
    shorts: dict[int, ChainEvent] = field(default_factory=dict)
    batches: dict[str, tuple[Batch, ChainEvent]] = field(default_factory=dict)
    last_trade: int = 0
    last_withdrawal: int = 0
    match_time: int = 0

    def broken(self, law: str, what: str, event: ChainEvent | None, **amounts: int | str) -> None:
        self.books.findings.broken(law, what, event, (), **amounts)

    # ------------------------------------------------------------------ batches

    def settle(self, event: ChainEvent, chain_time: int) -> Batch | None:
        """One BatchSettled: judge it, then move what it moves. None when it cannot be read."""
        args = event.args
        try:
            batch = decode_batch(bytes.fromhex(args["batch"].removeprefix("0x")))
        except CausewayError as error:
            self.broken("L6", f"a batch cannot be read: {error.message}", event)
            return None
        self._numbers(event, batch)
        said = (args["seq"], args["head"])
        if said != (batch.seq, "0x" + batch.head.hex()):
            self.broken("L9", f"a batch names entry {batch.seq}, its event {said}", event)
        touched: set[Holding] = set()
        fees: defaultdict[int, int] = defaultdict(int)
        for trade in batch.trades:
            self._judge(event, trade, chain_time)
            self._move(event, trade, touched, fees)
        for asset, amount in fees.items():
            self.books.add_fees(asset, amount, developer_share)
        what = f"the batch of trades {batch.first_trade} to {self.last_trade}"
        self.books.check_slots(event, touched, what)
        for one in batch.withdrawals:
            self._withdraw(event, one)
        self.batches[f"{event.block_number}:{event.log_index}"] = (batch, event)
        return batch

    def _numbers(self, event: ChainEvent, batch: Batch) -> None:
        expected = (self.last_trade + 1, self.last_withdrawal + 1)
        if (batch.first_trade, batch.first_withdrawal) != expected:
            self.broken(
                "L10", f"a batch begins with trade {batch.first_trade} and withdrawal "
                f"{batch.first_withdrawal}, next were {expected[0]} and {expected[1]}", event,
                trade=batch.first_trade, withdrawal=batch.first_withdrawal,
            )  # fmt: skip
        self.last_trade = batch.first_trade + len(batch.trades) - 1
        self.last_withdrawal = batch.first_withdrawal + len(batch.withdrawals) - 1
        said = (event.args["firstTrade"], event.args["lastTrade"], event.args["lastWithdrawal"])
        held = (batch.first_trade, self.last_trade, self.last_withdrawal)
        if said != held:
            self.broken("L10", f"a batch with numbers {held} was published as {said}", event)

    def void(self, event: ChainEvent) -> None:
        """TradesVoided: the next numbers, and none of them is ever settled."""
        args = event.args
        expected = (self.last_trade + 1, self.last_withdrawal + 1)
        if (args["firstTrade"], args["firstWithdrawal"]) != expected:
            self.broken(
                "L10", f"trades from {args['firstTrade']} and withdrawals from "
                f"{args['firstWithdrawal']} on were voided, next were {expected}", event,
            )  # fmt: skip
        # A range that ends before it begins is empty.
        self.last_trade = max(self.last_trade, args["lastTrade"])
        self.last_withdrawal = max(self.last_withdrawal, args["lastWithdrawal"])
        self.voids.append(event)

    # -------------------------------------------------------------------- trades

    def _judge(self, event: ChainEvent, trade: SettlementTrade, chain_time: int) -> None:
        """Everything that one trade must be, whoever signed the batch."""
        if trade.number in self.trades:
            self.broken("L10", f"trade {trade.number} was settled twice", event, trade=trade.number)
        self.trades[trade.number] = SettledTrade(trade, event)
        for rule in (*_pair_problems(trade), *self._time_problems(trade, chain_time)):
            self.broken("L6", f"trade {trade.number}: {rule}", event, trade=trade.number)
        self.match_time = max(self.match_time, trade.time_s)
        for order, bps, side in (
            (trade.maker, trade.maker_fee_bps, "maker"),
            (trade.taker, trade.taker_fee_bps, "taker"),
        ):
            problems = (
                *_order_problems(trade, order, bps, self.skew),
                *self._state_problems(trade, order, event),
            )
            for rule in problems:
                self.broken(
                    "L6", f"trade {trade.number}, {side} 0x{order.trader.hex()}, nonce "
                    f"{order.nonce}: {rule}", event, trade=trade.number, nonce=order.nonce,
                )  # fmt: skip

    def _time_problems(self, trade: SettlementTrade, chain_time: int) -> Iterable[str]:
        time = trade.time_s
        if time < self.match_time:
            yield f"matched at {time}, before the trade before it at {self.match_time}"
        if time + self.window < chain_time:
            yield f"matched at {time}, settled at {chain_time}: older than {self.window} s"
        if time > chain_time + self.skew:
            yield f"matched at {time}, ahead of its chain block at {chain_time}"
        if self.pauses.covers(time):
            yield f"matched at {time}, while the venue was paused"

    def _state_problems(
        self, trade: SettlementTrade, order: Order, event: ChainEvent
    ) -> Iterable[str]:
        """What the history says of an order: filled, withdrawn, invalidated, exiting."""
        key = (order.trader, order.nonce)
        held = self.fills.setdefault(key, Filled(order))
        if held.order != order:
            self.broken(
                "L10", f"trade {trade.number} fills a second order under nonce {order.nonce} of "
                f"0x{order.trader.hex()}", event, trade=trade.number, nonce=order.nonce,
            )  # fmt: skip
        if key in self.withdrawn:
            self.broken(
                "L10", f"trade {trade.number} fills nonce {order.nonce} of "
                f"0x{order.trader.hex()}, which a withdrawal had used", event, trade=trade.number,
            )  # fmt: skip
        held.tonnes += trade.quantity
        held.fills.append(trade)
        held.event = event
        if held.tonnes > order.quantity:
            yield f"{held.tonnes} t are filled of an order of {order.quantity} t"
        killed = self.killed.get(key)
        if killed is not None and trade.time_s > killed + self.window:
            yield f"matched at {trade.time_s}, invalidated at {killed} with {self.window} s to run"
        for asset in (order.instrument, order.asset):
            since = self.books.slots[order.trader, asset].exit_requested_at
            if since and self.window < trade.time_s - since <= 3 * self.window:
                yield f"matched at {trade.time_s}, its exit was requested at {since}"

    def _move(
        self, event: ChainEvent, trade: SettlementTrade, touched: set[Holding],
        fees: defaultdict[int, int],
    ) -> None:  # fmt: skip
        notional = trade.quantity * trade.price
        paid = (fee_of(notional, trade.maker_fee_bps), fee_of(notional, trade.taker_fee_bps))
        buy, sell = trade.maker, trade.taker
        if trade.maker.side == Side.SELL:
            buy, sell, paid = sell, buy, (paid[1], paid[0])
        digest = self.verifier.digest(buy) if buy.conditions & _RETIRES else None
        self.books.trade(event, (buy, sell), trade.quantity, notional, paid, digest)
        fees[buy.asset] += sum(paid)
        touched |= {(one.trader, asset) for one in (buy, sell) for asset in (one[2], one[3])}

    # --------------------------------------------------------------- withdrawals

    def _withdraw(self, event: ChainEvent, one: SettlementWithdrawal) -> None:
        withdrawal = one.withdrawal
        key = (withdrawal.trader, withdrawal.nonce)
        if key in self.withdrawn or key in self.fills:
            self.broken(
                "L10", f"withdrawal {one.number} uses nonce {withdrawal.nonce} of "
                f"0x{withdrawal.trader.hex()} again", event, withdrawal=one.number,
            )  # fmt: skip
        moved = self.books.withdraw(event, withdrawal)
        self.books.check_slots(
            event, {(withdrawal.trader, withdrawal.asset)}, f"withdrawal {one.number}"
        )
        settled = SettledWithdrawal(one, moved, event)
        self.withdrawn[key] = self.withdrawals[one.number] = settled

    # -------------------------------------------------------------------- at end

    def check_conditions(self) -> None:
        """What an order asks of all its fills: FOK whole, IOC at once, post-only makes."""
        for held in self.fills.values():
            for rule in self._condition_problems(held):
                self.broken(
                    "L6", f"order {held.order.nonce} of 0x{held.order.trader.hex()}: {rule}",
                    held.event, nonce=held.order.nonce, trade=held.fills[-1].number,
                )  # fmt: skip

    def _condition_problems(self, held: Filled) -> Iterable[str]:
        conditions = Conditions.unpack(held.order.conditions)
        made = [one.number for one in held.fills if one.maker == held.order]
        taken = [one for one in held.fills if one.taker == held.order]
        if conditions.post_only and taken:
            yield f"is post-only and took in trade {taken[0].number}"
        if conditions.time_in_force is TimeInForce.GTC:
            return
        if made:
            yield f"may not rest, and made trade {made[0]}"
        numbers = [one.number for one in taken]
        if len({one.time_s for one in taken}) > 1 or (
            numbers and numbers != list(range(numbers[0], numbers[-1] + 1))
        ):
            yield f"fills at once or not at all, and took in trades {numbers} at several moments"
        whole = held.tonnes == held.order.quantity
        # The rest of its trades may be unsettled or voided: they would follow at once.
        followed = numbers and numbers[-1] + 1 in self.trades
        if conditions.time_in_force is TimeInForce.FOK and not whole and followed:
            yield f"is all or nothing, and {held.tonnes} t of {held.order.quantity} t were filled"

    def check_shorts(self) -> None:
        """A withdrawal that moved less than was asked says so, and only then."""
        for number, settled in self.withdrawals.items():
            told = self.shorts.get(number)
            asked = settled.settled.withdrawal.amount
            moved = told.args["moved"] if told else asked
            if moved != settled.moved:
                self.broken(
                    "L7", f"withdrawal {number} moved {settled.moved} of {asked}, published is "
                    f"{moved}", told or settled.event, withdrawal=number, moved=settled.moved,
                )  # fmt: skip


_RETIRES: Final = Conditions(retire_on_fill=True).pack()


def _pair_problems(trade: SettlementTrade) -> Iterable[str]:
    maker, taker = trade.maker, trade.taker
    if maker.trader == taker.trader:
        yield "both orders are of one trader"
    if {maker.side, taker.side} != {0, 1}:
        yield "both orders are on one side"
    if (maker.instrument, maker.asset) != (taker.instrument, taker.asset):
        yield "the orders are of different markets"
    if trade.price != maker.price:
        yield f"its price is {trade.price}, the maker's is {maker.price}"
    if trade.quantity <= 0:
        yield f"its quantity is {trade.quantity}"


def _order_problems(trade: SettlementTrade, order: Order, bps: int, skew: int) -> Iterable[str]:
    """What one order says about a trade by itself."""
    try:
        check_order(order)
    except CausewayError as error:
        yield error.message
    beyond = trade.price > order.price if order.side == Side.BUY else trade.price < order.price
    if beyond:
        yield f"price {trade.price} is beyond its limit {order.price}"
    if bps > min(order.max_fee_bps, MAX_FEE_BPS):
        yield f"its fee of {bps} bps is above its cap of {order.max_fee_bps}"
    if trade.time_s > order.expiry:
        yield f"matched at {trade.time_s}, expired at {order.expiry}"
    if trade.time_s + skew < order.signed_at:
        yield f"matched at {trade.time_s}, signed at {order.signed_at}"
