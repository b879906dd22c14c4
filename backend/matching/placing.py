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
    """Check an order, match it, let the rest of it rest. Every order of the venue comes here.

    What follows is a shortcut for a plain order that no rule stops; `place_slowly` asks the same
    questions one by one, in the order of the rulebook, and is where every other order goes.
    """
    order = command[0]
    trader, nonce, instrument, asset, side, quantity, price, cap, signed, expiry, wants, details, \
        kind = order  # fmt: skip
    account = engine.accounts.get(trader)
    market = engine.markets_by_key.get((instrument, asset))
    now = time_ms // 1_000
    due = engine.due_heap
    if (
        account is None
        or market is None
        or nonce != account.base
        or account.bits
        or wants
        or kind
        or not 0 < quantity <= MAX_QUANTITY
        or not engine.highest_fee_bps <= cap <= MAX_FEE_BPS
        or not signed <= expiry <= signed + MAX_ORDER_SECONDS
        or signed > now + engine.skew_seconds
        or expiry < now
        or account.open_until < now
        or now < engine.closed_until
        or details != NO_DETAILS
        or account.invalidated
        or not market.listed
        or (due and due[0] < now)
        or len(account.orders) >= MAX_OPEN_ORDERS
    ):
        return place_slowly(engine, time_ms, order)
    needed = notional = quantity * price
    if side == 0:
        needed += notional * cap // BPS
        slot = account.slots.get(asset)
        limit = price
    else:
        needed = quantity * _KG
        slot = account.slots.get(instrument)
        limit = -price
    if slot is None or slot.available < needed or not 0 < notional <= _MAX_NOTIONAL or side > 1:
        return place_slowly(engine, time_ms, order)
    account.base = nonce + 1
    engine.time_ms = time_ms
    mine, against = market.facing[side]
    heap = against.heap
    if heap and heap[0] <= limit:
        return cross(engine, market, account, slot, order, [])
    rest(engine, account, slot, order, mine, -limit, quantity, needed)
    return [
        _new(OrderAccepted, (trader, nonce)),
        _new(OrderRested, (trader, nonce, instrument, asset, side, price, quantity)),
    ]


def place_slowly(engine: Engine, time_ms: int, order: Order) -> list[Event]:
    """The whole way of any order; see rulebook.py. Raises InvalidValue, changing nothing."""
    if order.conditions not in PLAIN or order.signature_kind or not _is_plain(order):
        check_order(order)
    account = engine.account(order.trader)
    account.use(order.nonce)
    engine.time_ms = time_ms
    now = time_ms // 1_000
    events = engine.expire(now)
    reason = refusal(engine, account, order, now)
    if not reason:
        engine.take_pre_signature(account, order)
        market = engine.market(order.instrument, order.asset)
        reason = unmatchable(engine, account, order, market)
    if reason:
        return engine.refuse(account, order.nonce, reason, events)
    return cross(engine, market, account, account.slot(given(order)), order, events)


def _is_plain(order: Order) -> bool:
    """Whether `check_order` has nothing against an order with PLAIN conditions; it asks slowly."""
    return (
        0 < order.quantity <= MAX_QUANTITY
        and 0 < order.quantity * order.price <= _MAX_NOTIONAL
        and 0 <= order.max_fee_bps <= MAX_FEE_BPS
        and 0 <= order.expiry - order.signed_at <= MAX_ORDER_SECONDS
        and order.side in (0, 1)
        and order.details_hash == NO_DETAILS
    )


def cross(
    engine: Engine,
    market: Market,
    account: AccountState,
    slot: Slot,
    order: Order,
    events: list[Event],
) -> list[Event]:
    """Match an accepted order, then let the rest of it rest or end; more `events` follow."""
    trader, nonce, instrument, asset, side, quantity, price, _, _, _, wants, _, _ = order
    events.append(_new(OrderAccepted, (trader, nonce)))
    meet = sell if side else buy
    quantity, reason = meet(engine, market, account, slot, order, events)
    if reason or wants & 3:
        end = (trader, nonce, instrument, asset, side, price, quantity, 0, reason or _REMAINDER)
        events.append(_new(OrderEnded, end))
        return events
    key = price if side else -price
    rest(engine, account, slot, order, market.sides[side], key, quantity, cost(order, quantity))
    events.append(_new(OrderRested, (trader, nonce, instrument, asset, side, price, quantity)))
    return events
