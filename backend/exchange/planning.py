"""What a venue sends to its Exchange next: cut from what is unsettled and what was sent before.

Pure: `next_act` is a function of the engine's unsettled trades, withdrawals and voids and of the
acts that stand. Numbers follow one another without gaps, a trade stands in one act, and an act
that holds a trade that was voided later stands no more: the acts behind it are cut anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from backend.domain.batches import Batch, SettlementTrade, SettlementWithdrawal, Void
from backend.domain.journal import Head
from backend.domain.venue_events import TradesVoided
from backend.store.venue_acts import ActKind, ActState, VenueAct

if TYPE_CHECKING:
    from backend.matching.engine import Engine

#: A batch has at most so many trades, and so many withdrawals.
MOST_TRADES: Final = 100
MOST_WITHDRAWALS: Final = 100
#: No transaction may use 16,777,216 gas (EIP-7825); what a batch may need at most stays below.
GAS_LIMIT: Final = 16_200_000
#: Upper bounds with every slot fresh; the gas tests measure less of each.
_GAS_BATCH: Final = 150_000
_GAS_ORDER: Final = 31_000
_GAS_LEG: Final = 22_600
_GAS_TRADE: Final = 2_000
_GAS_WITHDRAWAL: Final = 30_000
_GAS_RETIRED: Final = 24_000
_RETIRES: Final = 32


class Outlook(NamedTuple):
    """What the engine holds for the chain at a head of the journal, in the order of numbers."""

    head: Head
    settled_trade: int
    settled_withdrawal: int
    trades: tuple[SettlementTrade, ...]
    withdrawals: tuple[SettlementWithdrawal, ...]
    voids: tuple[TradesVoided, ...]


class Covered(NamedTuple):
    """Numbers up to which the acts that stand go."""

    trade: int
    withdrawal: int


def outlook(engine: Engine, head: Head, covered: Covered) -> Outlook:
    """What comes after `covered`: no more than one act could ever take."""
    trades = (one for one in engine.unsettled_queue if one.number > covered.trade)
    withdrawals = (
        SettlementWithdrawal(one.number, one.after_trade, one.withdrawal)
        for one in engine.leaving
        if one.number > covered.withdrawal
    )
    return Outlook(
        head,
        engine.settled_trade,
        engine.settled_withdrawal,
        tuple(islice(trades, MOST_TRADES)),
        tuple(islice(withdrawals, MOST_WITHDRAWALS)),
        engine.pending_voids(),
    )


# ── what was sent before ─────────────────────────────────────────────────────────────────────


def overlaps(later: VenueAct, earlier: VenueAct) -> bool:
    """Whether a later act takes numbers that an earlier one has, or stands before them."""
    return (
        later.first_trade <= earlier.last_trade or later.first_withdrawal <= earlier.last_withdrawal
    )


def standing(acts: Iterable[VenueAct]) -> list[VenueAct]:
    """The batches and voids that no later act has replaced, in the order in which they go."""
    stack: list[VenueAct] = []
    for act in acts:
        if act.kind is ActKind.ANCHOR or act.state is ActState.SUPERSEDED:
            continue
        while stack and overlaps(act, stack[-1]):
            stack.pop()
        stack.append(act)
    return stack


def replaced(acts: Sequence[VenueAct]) -> list[VenueAct]:
    """Those of `acts` (by number) that a later one has replaced and that have not ended."""
    stands = {act.number for act in standing(acts)}
    ended = (ActState.SETTLED, ActState.SUPERSEDED)
    return [
        act
        for act in acts
        if act.kind is not ActKind.ANCHOR and act.number not in stands and act.state not in ended
    ]


def covered_by(
    acts: Iterable[VenueAct], settled: Covered, voids: Sequence[TradesVoided]
) -> Covered:
    """How far the acts that stand go; the first that the chain can never take ends the count.

    That is one that holds what was voided since, or of which the chain has settled a part.
    """
    trade, withdrawal = settled
    for act in standing(acts):
        if act.kind is ActKind.BATCH and any(_holds(act, void) for void in voids):
            break
        if _is_passed_in_part(act, settled):
            break
        trade = max(trade, act.last_trade)
        withdrawal = max(withdrawal, act.last_withdrawal)
    return Covered(trade, withdrawal)


def _is_passed_in_part(act: VenueAct, settled: Covered) -> bool:
    begun = act.first_trade <= settled.trade or act.first_withdrawal <= settled.withdrawal
    ended = act.last_trade <= settled.trade and act.last_withdrawal <= settled.withdrawal
    return begun and not ended


def _holds(act: VenueAct, void: TradesVoided) -> bool:
    """Whether the act has a trade or withdrawal that the void undoes."""
    trades = max(act.first_trade, void.first) <= min(act.last_trade, void.last)
    first, last = void.first_withdrawal, void.last_withdrawal
    return trades or max(act.first_withdrawal, first) <= min(act.last_withdrawal, last)


# ── what comes next ──────────────────────────────────────────────────────────────────────────


def next_act(view: Outlook, covered: Covered) -> Batch | Void | None:
    """The act after `covered`; None when there is nothing for the chain."""
    void = next((one for one in view.voids if one.last > covered.trade), None)
    if void is not None and void.first == covered.trade + 1:
        if void.first_withdrawal <= covered.withdrawal + 1:
            return _void(view.head, void, covered)
        trades: list[SettlementTrade] = []
    else:
        trades = _next_trades(view, covered, void)
    last_trade = trades[-1].number if trades else covered.trade
    withdrawals = _next_withdrawals(view, covered, void, last_trade)
    trades, withdrawals = _within_gas(trades, withdrawals, covered)
    if not trades and not withdrawals:
        return None
    fees = (trades[0].maker_fee_bps, trades[0].taker_fee_bps) if trades else (0, 0)
    return Batch(
        covered.trade + 1,
        tuple(trades),
        covered.withdrawal + 1,
        tuple(withdrawals),
        view.head.seq,
        view.head.hash,
        *fees,
    )


def _void(head: Head, void: TradesVoided, covered: Covered) -> Void:
    return Void(
        void.first,
        void.last,
        covered.withdrawal + 1,
        max(void.last_withdrawal, covered.withdrawal),
        void.reason,
        head.seq,
        head.hash,
    )


def _next_trades(
    view: Outlook, covered: Covered, void: TradesVoided | None
) -> list[SettlementTrade]:
    """Trades of one fee schedule from the next number on, up to the next void."""
    found: list[SettlementTrade] = []
    number = covered.trade + 1
    for trade in view.trades:
        if trade.number < number:
            continue
        if trade.number != number or (void is not None and number >= void.first):
            break
        first = found[0] if found else trade
        if (trade.maker_fee_bps, trade.taker_fee_bps) != (first.maker_fee_bps, first.taker_fee_bps):
            break
        found.append(trade)
        number += 1
        if len(found) == MOST_TRADES:
            break
    return found


def _next_withdrawals(
    view: Outlook, covered: Covered, void: TradesVoided | None, last_trade: int
) -> list[SettlementWithdrawal]:
    """Withdrawals whose earlier trades are settled with or before this act."""
    found: list[SettlementWithdrawal] = []
    number = covered.withdrawal + 1
    for one in view.withdrawals:
        if one.number < number:
            continue
        passes_void = void is not None and one.number >= void.first_withdrawal
        if one.number != number or passes_void or one.after_trade > last_trade:
            break
        found.append(one)
        number += 1
        if len(found) == MOST_WITHDRAWALS:
            break
    return found


def _within_gas(
    trades: list[SettlementTrade], withdrawals: list[SettlementWithdrawal], covered: Covered
) -> tuple[list[SettlementTrade], list[SettlementWithdrawal]]:
    """The front of both that one transaction can carry whatever slots are fresh."""
    while trades and gas_bound(trades, ()) > GAS_LIMIT:
        trades = trades[: len(trades) * 9 // 10]
    last_trade = trades[-1].number if trades else covered.trade
    withdrawals = [one for one in withdrawals if one.after_trade <= last_trade]
    while withdrawals and gas_bound(trades, withdrawals) > GAS_LIMIT:
        withdrawals = withdrawals[: len(withdrawals) * 9 // 10]
    return trades, withdrawals


def gas_bound(
    trades: Sequence[SettlementTrade], withdrawals: Sequence[SettlementWithdrawal]
) -> int:
    """More gas than settling these can need."""
    orders, legs, retired = set(), set(), set()
    for trade in trades:
        for order in (trade.maker, trade.taker):
            key = (order.trader, order.nonce)
            orders.add(key)
            legs.add((order.trader, order.instrument))
            legs.add((order.trader, order.asset))
            if order.conditions & _RETIRES:
                retired.add(key)
    legs |= {(one.withdrawal.trader, one.withdrawal.asset) for one in withdrawals}
    return (
        _GAS_BATCH
        + _GAS_ORDER * len(orders)
        + _GAS_LEG * len(legs)
        + _GAS_TRADE * len(trades)
        + _GAS_WITHDRAWAL * len(withdrawals)
        + _GAS_RETIRED * len(retired)
    )
