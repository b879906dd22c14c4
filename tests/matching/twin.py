"""A naive exchange in a hundred lines, lists and sums alone: the oracle the engine must equal."""

from collections import defaultdict
from typing import Any

from backend.domain.orders import Conditions, Order, SelfTrade, TimeInForce


def gives(order: Order) -> int:
    return order.instrument if order.side else order.asset


def need(order: Order, tonnes: int) -> int:
    notional = tonnes * order.price
    return tonnes * 1000 if order.side else notional + notional * order.max_fee_bps // 10_000


class Twin:
    def __init__(self) -> None:
        self.total: defaultdict[Any, int] = defaultdict(int)  # by (who, asset), reserved or not
        self.kept: defaultdict[Any, int] = defaultdict(int)  # fees and earmarks by asset
        self.open: list[list[Any]] = []  # [order, tonnes that remain], oldest first
        self.barred: set[bytes] = set()
        self.halted: set[int] = set()  # classes
        self.trades: list[Any] = []  # not settled: (number, maker, taker, price, tonnes, bps, bps)
        self.leaving: list[Any] = []  # (after trade, who, asset, amount)
        self.fees, self.number = (0, 0), 0

    def available(self, who: bytes, asset: int) -> int:
        orders = [one for one in self.open if one[0].trader == who and gives(one[0]) == asset]
        return self.total[who, asset] - sum(need(*one) for one in orders)

    def end(self, ends: Any) -> None:
        self.open = [one for one in self.open if one[1] and not ends(one[0])]

    def withdraw(self, who: bytes, asset: int, amount: int) -> bool:
        enough = self.available(who, asset) >= amount
        if enough:
            self.total[who, asset] -= amount
            self.leaving.append((self.number, who, asset, amount))
        return enough

    def place(self, order: Order, now: int, skew: int) -> bool:
        wants, me = Conditions.unpack(order.conditions), order.trader
        rule, left = wants.self_trade, order.quantity
        late = order.expiry < now or order.signed_at > now + skew
        poor = self.available(me, gives(order)) < need(order, order.quantity)
        stopped = me in self.barred or order.instrument in self.halted
        if stopped or late or order.max_fee_bps < max(self.fees) or poor:
            return False
        sign = -1 if order.side else 1
        market = (order.instrument, order.asset, 1 - order.side)
        met = [one for one in self.open if (one[0].instrument, one[0].asset, one[0].side) == market]
        met = [one for one in met if sign * one[0].price <= sign * order.price]
        met.sort(key=lambda one: sign * one[0].price)
        if wants.post_only and met:
            return False
        if wants.time_in_force is TimeInForce.FOK:
            mine = [at for at, one in enumerate(met) if one[0].trader == me]
            reach = met[: mine[0]] if mine and rule is not SelfTrade.CANCEL_MAKER else met
            usable = [one for one in reach if one[0].max_fee_bps >= self.fees[0]]
            if sum(one[1] for one in usable if one[0].trader != me) < order.quantity:
                return False
        for one in met:
            maker, tonnes = one[0], min(left, one[1])
            if maker.trader == me and rule is not SelfTrade.CANCEL_MAKER:
                self.end(lambda it, at=maker: it is at and rule is SelfTrade.CANCEL_BOTH)
                return True
            if maker.trader == me or maker.max_fee_bps < self.fees[0]:
                self.open.remove(one)
                continue
            left, one[1] = left - tonnes, one[1] - tonnes
            self.number += 1
            self.trades.append((self.number, maker, order, maker.price, tonnes, *self.fees))
            self.move(self.trades[-1], 1)
            if not left:
                break
        self.open = [one for one in self.open if one[1]]
        if left and wants.time_in_force is TimeInForce.GTC:
            self.open.append([order, left])
        return True

    def move(self, trade: Any, way: int) -> None:
        _, maker, taker, price, tonnes, *fees = trade
        for order, bps in zip((maker, taker), fees, strict=True):
            fee, sign = way * (tonnes * price * bps // 10_000), -1 if order.side else 1
            self.total[order.trader, order.asset] -= way * sign * tonnes * price + fee
            self.kept[order.asset] += fee
            retired = Conditions.unpack(order.conditions).retire_on_fill
            where = order.instrument if retired else (order.trader, order.instrument)
            (self.kept if retired else self.total)[where] += way * sign * tonnes * 1000

    def void(self, first: int) -> None:
        undone = [one for one in self.trades if one[0] >= first]
        parties = {order.trader for one in undone for order in one[1:3]}
        self.end(lambda order: order.trader in parties)
        for one in reversed(undone):
            self.move(one, -1)
        for after, who, asset, amount in self.leaving:
            self.total[who, asset] += amount if after >= first else 0
        self.trades = [one for one in self.trades if one[0] < first]
        self.leaving = [one for one in self.leaving if one[0] < first]
