"""Undoing unsettled trades: a suffix of them, newest first, so that no balance falls below zero.

Before anything is reversed every open order of an account in a voided trade ends and the
withdrawals after the first voided trade are given back: what an account then has is what it had at
that trade, plus deposits since, so each reversal finds what it takes back. A voided quantity does
not return to the book. Numbers are never given again. Where a later void begins before an earlier
one that the chain has not seen, it takes that one's numbers in: the chain is told of one range.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from backend.domain.batches import SettlementTrade
from backend.domain.orders import KILOGRAMS_PER_TONNE, Account, fee_of
from backend.domain.venue_events import Event, Reason, TradesVoided
from backend.matching.resting import end_order
from backend.matching.rulebook import RETIRES

if TYPE_CHECKING:
    from backend.matching.engine import Engine


def first_unsettled(engine: Engine, concerns: Callable[[SettlementTrade], bool]) -> int:
    """Number of the first unsettled trade that is concerned, 0 when none is."""
    return next((one.number for one in engine.unsettled_queue if concerns(one)), 0)


def void_from(engine: Engine, first: int, reason: int, events: list[Event]) -> None:
    """Void every unsettled trade from number `first` (0: none) and the withdrawals after it."""
    if not first:
        return
    queue = engine.unsettled_queue
    voided = []
    while queue and queue[-1].number >= first:
        voided.append(queue.pop())
    _end_orders(engine, voided, events)
    first_withdrawal = _give_back(engine, first)
    for trade in voided:
        _reverse(engine, trade)
    pending = engine.void_queue
    while pending and pending[-1].first > first:
        first_withdrawal = min(first_withdrawal, pending.pop().first_withdrawal)
    event = TradesVoided(
        first, engine.next_trade - 1, first_withdrawal, engine.next_withdrawal - 1, reason
    )
    pending.append(event)
    events.append(event)


def _end_orders(engine: Engine, voided: list[SettlementTrade], events: list[Event]) -> None:
    """End the open orders of everybody in the trades, in the order of the trades."""
    for trade in reversed(voided):
        for order in (trade.maker, trade.taker):
            for one in tuple(engine.account(order.trader).orders.values()):
                end_order(engine, one, Reason.VOIDED, events)


def _give_back(engine: Engine, first_trade: int) -> int:
    """Withdrawals after trades that are void are void; the number of the first of them."""
    number = engine.next_withdrawal
    while engine.leaving and engine.leaving[-1].after_trade >= first_trade:
        pending = engine.leaving.pop()
        account = engine.account(pending.withdrawal.trader)
        account.slot(pending.withdrawal.asset).available += pending.held
        account.short.discard(pending.number)
        account.recompute()
        number = pending.number
    return number


def _reverse(engine: Engine, trade: SettlementTrade) -> None:
    """Give both sides back what they gave."""
    for trader, asset, amount in moved(trade):
        engine.account(trader).slot(asset).available -= amount
    taker, notional = trade.taker, trade.quantity * trade.price
    if taker.conditions & RETIRES:
        engine.earmark_pool(taker.instrument).amount -= trade.quantity * KILOGRAMS_PER_TONNE
    fees = fee_of(notional, trade.maker_fee_bps) + fee_of(notional, trade.taker_fee_bps)
    engine.fee_pool(taker.asset).amount -= fees


def moved(trade: SettlementTrade) -> Iterator[tuple[Account, int, int]]:
    """(trader, asset, amount) by which a trade changed what its traders can use."""
    notional, kilograms = trade.quantity * trade.price, trade.quantity * KILOGRAMS_PER_TONNE
    for order, bps in ((trade.maker, trade.maker_fee_bps), (trade.taker, trade.taker_fee_bps)):
        fee = fee_of(notional, bps)
        if order.side:
            yield order.trader, order.asset, notional - fee
            yield order.trader, order.instrument, -kilograms
        else:
            yield order.trader, order.asset, -notional - fee
            # Only a taker can have bought to retire: that is earmarked, not its trader's.
            if not order.conditions & RETIRES:
                yield order.trader, order.instrument, kilograms


def held_after(engine: Engine, first: int, address: Account, asset: int) -> int:
    """What the account would have of the asset, withdrawals not settled included, once every
    trade from `first` on (0: none) is void: what the chain can hold for it at most.
    """
    slot = engine.account(address).slot(asset)
    held = slot.available + slot.reserved
    for pending in engine.leaving:
        if pending.withdrawal.trader == address and pending.withdrawal.asset == asset:
            held += pending.held
    for trade in engine.unsettled_queue if first else ():
        if trade.number >= first:
            held -= sum(one[2] for one in moved(trade) if one[:2] == (address, asset))
    return held
