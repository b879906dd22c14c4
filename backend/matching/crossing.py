"""An incoming order meets the book: fills at the makers' prices, best price and oldest first.

One function a side, because this is where a busy engine spends its time. Both return the tonnes
that remain and the Reason why the order ends, 0 when it may rest. What the taker gives and gets is
summed up and booked once; what a maker gives comes out of its reservation.
"""

from __future__ import annotations

from heapq import heappop
from typing import TYPE_CHECKING, Final

from backend.domain.batches import SettlementTrade
from backend.domain.orders import BPS, KILOGRAMS_PER_TONNE, Order, SelfTrade
from backend.domain.venue_events import Event, Reason, Traded
from backend.matching.accounts import AccountState, Slot
from backend.matching.book import Market, OpenOrder
from backend.matching.resting import end_order, fill
from backend.matching.rulebook import RETIRES

if TYPE_CHECKING:
    from backend.matching.engine import Engine

_new: Final = tuple.__new__
_KG: Final = KILOGRAMS_PER_TONNE
_FILLED: Final = int(Reason.FILLED)
_SELF_TRADE: Final = int(Reason.SELF_TRADE)
_FEE_ABOVE_CAP: Final = int(Reason.FEE_ABOVE_CAP)


def buy(
    engine: Engine,
    market: Market,
    account: AccountState,
    slot: Slot,
    order: Order,
    events: list[Event],
) -> tuple[int, int]:
    """A buy order meets the asks; bought to retire is earmarked, not credited."""
    us, nonce, instrument, asset, _, remaining, limit, _, _, _, _, _, _ = order
    retired = 1 if order[10] & RETIRES else 0
    heap, levels = market.sides[1].heap, market.sides[1].items
    maker_bps, taker_bps = engine.fees
    number, time_s = engine.next_trade, engine.time_ms // 1_000
    settle = engine.unsettled_queue.append
    paid = bought = fees = reason = 0
    while heap and heap[0] <= limit and not reason:
        price = heap[0]
        level = levels.get(price)
        if level is None:
            heappop(heap)
            continue
        makers = level.orders
        while level.live:
            maker = makers[0]
            quantity = maker.remaining
            if not quantity:
                makers.popleft()
                continue
            theirs, them = maker.order, maker.account
            if them is account or theirs[7] < maker_bps:
                reason = stand_aside(engine, maker, account, order, events)
                if reason:
                    break
                continue
            if quantity > remaining:
                quantity = remaining
            remaining -= quantity
            notional = quantity * price
            maker_fee, taker_fee = notional * maker_bps // BPS, notional * taker_bps // BPS
            kilograms = quantity * _KG
            maker.reserved -= kilograms
            maker.slot.reserved -= kilograms
            (them.slots.get(asset) or them.slot(asset)).available += notional - maker_fee
            paid += notional + taker_fee
            bought += kilograms
            fees += maker_fee + taker_fee
            fields = (number, time_s, theirs, order, price, quantity, maker_bps, taker_bps)
            settle(_new(SettlementTrade, fields))
            record = (number, instrument, asset, price, quantity, theirs[0], theirs[1], us, nonce,
                      0, maker_fee, taker_fee, retired)  # fmt: skip
            events.append(_new(Traded, record))
            number += 1
            maker.remaining -= quantity
            if not maker.remaining:
                fill(engine, level, maker, theirs, events)
            if not remaining:
                reason = _FILLED
                break
    slot.available -= paid
    if retired:
        market.earmarks.amount += bought
    else:
        account.slot(instrument).available += bought
    market.fees.amount += fees
    engine.next_trade = number
    return remaining, reason


def sell(
    engine: Engine,
    market: Market,
    account: AccountState,
    slot: Slot,
    order: Order,
    events: list[Event],
) -> tuple[int, int]:
    """A sell order meets the bids; what a maker reserved beyond the price and fee is free again."""
    us, nonce, instrument, asset, _, remaining, limit, _, _, _, _, _, _ = order
    heap, levels = market.sides[0].heap, market.sides[0].items
    maker_bps, taker_bps = engine.fees
    number, time_s = engine.next_trade, engine.time_ms // 1_000
    settle = engine.unsettled_queue.append
    sold = received = fees = reason = 0
    while heap and heap[0] <= -limit and not reason:
        price = -heap[0]
        level = levels.get(-price)
        if level is None:
            heappop(heap)
            continue
        makers = level.orders
        while level.live:
            maker = makers[0]
            quantity = maker.remaining
            if not quantity:
                makers.popleft()
                continue
            theirs, them = maker.order, maker.account
            if them is account or theirs[7] < maker_bps:
                reason = stand_aside(engine, maker, account, order, events)
                if reason:
                    break
                continue
            left = 0
            if quantity > remaining:
                left = quantity - remaining
                quantity = remaining
            remaining -= quantity
            notional = quantity * price
            maker_fee, taker_fee = notional * maker_bps // BPS, notional * taker_bps // BPS
            reserved = left * price
            reserved += reserved * theirs[7] // BPS
            released, maker.reserved, given = maker.reserved - reserved, reserved, maker.slot
            given.reserved -= released
            given.available += released - notional - maker_fee
            kilograms = quantity * _KG
            (them.slots.get(instrument) or them.slot(instrument)).available += kilograms
            sold += kilograms
            received += notional - taker_fee
            fees += maker_fee + taker_fee
            fields = (number, time_s, theirs, order, price, quantity, maker_bps, taker_bps)
            settle(_new(SettlementTrade, fields))
            record = (number, instrument, asset, price, quantity, theirs[0], theirs[1], us, nonce,
                      1, maker_fee, taker_fee, 0)  # fmt: skip
            events.append(_new(Traded, record))
            number += 1
            maker.remaining = left
            if not left:
                fill(engine, level, maker, theirs, events)
            if not remaining:
                reason = _FILLED
                break
    slot.available -= sold
    account.slot(asset).available += received
    market.fees.amount += fees
    engine.next_trade = number
    return remaining, reason


def stand_aside(
    engine: Engine, maker: OpenOrder, account: AccountState, order: Order, events: list[Event]
) -> int:
    """A maker that must not trade with the order: its own trader's, or of a lower fee cap.

    The Reason why the order itself ends, 0 when it goes on to the next maker.
    """
    if maker.account is not account:
        end_order(engine, maker, _FEE_ABOVE_CAP, events)
        return 0
    rule = order.conditions >> 3 & 3
    if rule != SelfTrade.CANCEL_TAKER:
        end_order(engine, maker, _SELF_TRADE, events)
    return 0 if rule == SelfTrade.CANCEL_MAKER else _SELF_TRADE
