"""Rows of a venue's read models while entries change them, as Python holds them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from backend.domain.orders import KILOGRAMS_PER_TONNE, Order, Side, fee_of
from backend.domain.venue_events import Traded

#: Lengths of candles in seconds.
CANDLES: Final = (60, 3_600, 86_400)


@dataclass(slots=True)
class VenueState:
    """Where a venue's read models stand; `seq` 0 before the first entry."""

    seq: int = 0
    epoch: int = 0
    time_ms: int = 0
    chain_id: int = 0
    exchange: bytes = bytes(20)
    window_seconds: int = 0
    skew_seconds: int = 0
    rules: int = 0
    maker_fee_bps: int = 0
    taker_fee_bps: int = 0
    last_trade: int = 0
    last_withdrawal: int = 0
    last_deposit: int = 0
    settled_trade: int = 0
    settled_withdrawal: int = 0
    paused_at: int | None = None
    halt_reason: int | None = None
    halt_detail: int | None = None


@dataclass(slots=True)
class OrderRow:
    """An order and how far it is; `new` until it has a row."""

    order: Order
    seq: int
    time_ms: int
    state: str
    remaining: int
    filled: int = 0
    voided: int = 0
    reason: int | None = None
    last_seq: int = 0
    new: bool = False

    def reserved(self) -> tuple[int, int]:
        """(asset, amount) that the order holds while it rests with what remains."""
        order = self.order
        if order.side == Side.SELL:
            return order.instrument, self.remaining * KILOGRAMS_PER_TONNE
        notional = self.remaining * order.price
        return order.asset, notional + fee_of(notional, order.max_fee_bps)


@dataclass(slots=True)
class TradeRow:
    """A trade and whether it was undone; `new` until it has a row."""

    trade: Traded
    seq: int
    time_ms: int
    voided_seq: int | None = None
    void_reason: int | None = None
    new: bool = False


@dataclass(slots=True)
class WithdrawalRow:
    """A withdrawal, `number` None when it was refused; `new` until it has a row.

    `held` of the amount is set aside for it: an exit that came first takes from that, and what
    comes in later fills it up again.
    """

    account: bytes
    nonce: int
    asset: int
    amount: int
    held: int
    seq: int
    time_ms: int
    number: int | None = None
    after_trade: int | None = None
    reason: int | None = None
    voided_seq: int | None = None
    void_reason: int | None = None
    new: bool = False


@dataclass(slots=True)
class TraderRow:
    """The lowest nonce that a trader has not used, and the used ones above it."""

    lowest_unused: int = 0
    used: set[int] = field(default_factory=set)

    def use(self, nonce: int) -> None:
        if nonce < self.lowest_unused:
            return
        self.used.add(nonce)
        while self.lowest_unused in self.used:
            self.used.remove(self.lowest_unused)
            self.lowest_unused += 1


@dataclass(slots=True)
class Candle:
    """What a run's trades add to one candle of a market."""

    open: int
    high: int
    low: int
    close: int
    trades: int = 0
    tonnes: int = 0
    turnover: int = 0

    def add(self, price: int, tonnes: int) -> None:
        self.high, self.low = max(self.high, price), min(self.low, price)
        self.close = price
        self.trades += 1
        self.tonnes += tonnes
        self.turnover += price * tonnes


@dataclass(slots=True)
class MarketRow:
    """What a run adds to a market; the last print, when it has one."""

    trades: int = 0
    tonnes: int = 0
    turnover: int = 0
    last_trade: int | None = None
    last_price: int | None = None
    last_time_ms: int | None = None
    #: A void may have taken the last print away: it is looked up anew.
    undone: bool = False


class Movement(NamedTuple):
    """A change of a total, in the order of the entries and of the events in them."""

    account: bytes
    seq: int
    ordinal: int
    time_ms: int
    asset: int
    change: int
    balance: int
    kind: str
    reference: int | None
