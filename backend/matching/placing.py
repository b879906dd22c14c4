"""The way of one order: checked, matched, rested. The only hot code; the rest may be plain.

Events and records are made by `tuple.__new__`, which skips the argument handling of a NamedTuple.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from backend.domain.commands import PlaceOrder
from backend.domain.orders import (
    BPS,
    KILOGRAMS_PER_TONNE,
    MAX_BALANCE,
    MAX_FEE_BPS,
    MAX_ORDER_SECONDS,
    MAX_QUANTITY,
    NO_DETAILS,
    Order,
    check_order,
)
from backend.domain.venue_events import (
    Event,
    OrderAccepted,
    OrderEnded,
    OrderRested,
    Reason,
)
from backend.matching.accounts import AccountState, Slot
from backend.matching.book import Market
from backend.matching.crossing import buy, sell
from backend.matching.resting import rest
from backend.matching.rulebook import (
    MAX_OPEN_ORDERS,
    PLAIN,
    cost,
    given,
    refusal,
    unmatchable,
)

if TYPE_CHECKING:
    from backend.matching.engine import Engine

_new: Final = tuple.__new__
_KG: Final = KILOGRAMS_PER_TONNE
_MAX_NOTIONAL: Final = MAX_BALANCE // 2
_REMAINDER: Final = int(Reason.REMAINDER)


def place_order(engine: Engine, time_ms: int, command: PlaceOrder) -> list[Event]:
    """Check an order, match it, let the rest of it rest. Every order of the venue comes here."""
    order = command[0]
    trader, nonce, instrument, asset, side, quantity, price, cap, signed, expiry, wants, details, \
        kind = order  # fmt: skip
    notional = quantity * price
    if (
        not 0 < quantity <= MAX_QUANTITY
        or not 0 < notional <= _MAX_NOTIONAL
        or not 0 <= cap <= MAX_FEE_BPS
        or not 0 <= expiry - signed <= MAX_ORDER_SECONDS
        or (wants and wants not in PLAIN)
        or kind
        or details != NO_DETAILS
        or (side != 0 and side != 1)
    ):
        check_order(order)
    account = engine.accounts.get(trader) or engine.account(trader)
    if nonce == account.base and not account.bits:
        account.base = nonce + 1
    else:
        account.use(nonce)
    engine.time_ms = time_ms
    now = time_ms // 1_000
    due = engine.due_heap
    lapsed = engine.expire(now) if due and due[0] < now else None
    market = engine.markets_by_key.get((instrument, asset))
    if side:
        needed = quantity * _KG
        slot = account.slots.get(instrument)
    else:
        needed = notional + notional * cap // BPS
        slot = account.slots.get(asset)
    if (
        market is None
        or slot is None
        or slot.available < needed
        or account.open_until < now
        or now < engine.closed_until
        or not market.listed
        or cap < engine.highest_fee_bps
        or expiry < now
        or signed > now + engine.skew_seconds
        or kind
        or account.invalidated
        or len(account.orders) >= MAX_OPEN_ORDERS
    ):
        reason = refusal(engine, account, order, now)
        if reason:
            return engine.refuse(account, nonce, reason, lapsed)
        engine.take_pre_signature(account, order)
        market, slot = engine.market(instrument, asset), account.slot(given(order))
    limit = -price if side else price
    heap = market.sides[1 - side].heap
    if wants or (heap and heap[0] <= limit):
        return cross(engine, market, account, slot, order, limit, lapsed)
    rest(engine, market, account, slot, order, quantity, needed)
    accepted = _new(OrderAccepted, (trader, nonce))
    rested = _new(OrderRested, (trader, nonce, instrument, asset, side, price, quantity))
    return [*lapsed, accepted, rested] if lapsed else [accepted, rested]


def cross(
    engine: Engine,
    market: Market,
    account: AccountState,
    slot: Slot,
    order: Order,
    limit: int,
    lapsed: list[Event] | None,
) -> list[Event]:
    """The way of an accepted order that may match, or has conditions; `lapsed` ended before it."""
    trader, nonce, instrument, asset, side, quantity, price, *_, wants, _, _ = order
    against = market.sides[1 - side]
    if wants & 7 and (reason := unmatchable(engine, account, order, against, limit)):
        return engine.refuse(account, nonce, reason, lapsed)
    events: list[Event] = lapsed or []
    events.append(_new(OrderAccepted, (trader, nonce)))
    meet = sell if side else buy
    quantity, reason = meet(engine, market, account, slot, order, events)
    if reason or wants & 3:
        end = (trader, nonce, instrument, asset, side, price, quantity, 0, reason or _REMAINDER)
        events.append(_new(OrderEnded, end))
        return events
    rest(engine, market, account, slot, order, quantity, cost(order, quantity))
    events.append(_new(OrderRested, (trader, nonce, instrument, asset, side, price, quantity)))
    return events
