"""The way of one order: checked, matched, rested. The only hot code; the rest may be plain.

Events and records are made by `tuple.__new__`, which skips the argument handling of a NamedTuple.
"""

from __future__ import annotations

from heapq import heappop
from typing import TYPE_CHECKING, Final

from backend.domain.batches import SettlementTrade
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
    SelfTrade,
    check_order,
)
from backend.domain.venue_events import (
    Event,
    OrderAccepted,
    OrderEnded,
    OrderRested,
    Reason,
    Traded,
)
from backend.matching.accounts import AccountState, Slot
from backend.matching.book import Level, Market, OpenOrder, leave_level
from backend.matching.rulebook import (
    MAX_OPEN_ORDERS,
    RETIRES,
    given,
    refusal,
    unmatchable,
)

if TYPE_CHECKING:
    from backend.matching.engine import Engine

_new: Final = tuple.__new__
_KG: Final = KILOGRAMS_PER_TONNE
_MAX_NOTIONAL: Final = MAX_BALANCE // 2
_FILLED: Final = int(Reason.FILLED)
_REMAINDER: Final = int(Reason.REMAINDER)
_SELF_TRADE: Final = int(Reason.SELF_TRADE)
_FEE_ABOVE_CAP: Final = int(Reason.FEE_ABOVE_CAP)


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
        or wants
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
    events: list[Event] = engine.expire(now) if due and due[0] < now else []
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
        or account.blocked
        or account.expiry < now
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
            return engine.refuse(account, nonce, reason, events)
        engine.take_pre_signature(account, order)
        market, slot = engine.market(instrument, asset), account.slot(given(order))
    limit = -price if side else price
    against = market.sides[1 - side]
    if wants & 7 and (reason := unmatchable(engine, account, order, against, limit)):
        return engine.refuse(account, nonce, reason, events)
    events.append(_new(OrderAccepted, (trader, nonce)))
    heap = against.heap
    if heap and heap[0] <= limit:
        quantity, reason = match(engine, market, account, slot, order, limit, events)
        if reason or (wants & 3 and quantity):
            end = (trader, nonce, instrument, asset, side, price, quantity, 0, reason or _REMAINDER)
            events.append(_new(OrderEnded, end))
            return events
        needed = quantity * _KG if side else quantity * price + quantity * price * cap // BPS
    elif wants & 3:
        end = (trader, nonce, instrument, asset, side, price, quantity, 0, _REMAINDER)
        events.append(_new(OrderEnded, end))
        return events
    rest(engine, market, account, slot, order, quantity, needed)
    events.append(_new(OrderRested, (trader, nonce, instrument, asset, side, price, quantity)))
    return events


def rest(
    engine: Engine,
    market: Market,
    account: AccountState,
    slot: Slot,
    order: Order,
    remaining: int,
    reserved: int,
) -> None:
    """Put what remains of an order at the end of its level and reserve what it may take."""
    slot.available -= reserved
    slot.reserved += reserved
    price = order[6]
    key = price if order[4] else -price
    ladder = market.sides[order[4]]
    level = ladder.items.get(key)
    if level is None:
        level = Level()
        ladder.add(key, level)
    due = order[9]
    if account.expiry < due:
        due = account.expiry
    bucket = engine.due.items.get(due)
    if bucket is None:
        bucket = {}
        engine.due.add(due, bucket)
    made = OpenOrder()
    made.account = account
    made.bucket = bucket
    made.due = due
    made.key = key
    made.level = level
    made.market = market
    made.max_fee_bps = order[7]
    made.nonce = nonce = order[1]
    made.order = order
    made.price = price
    made.rank = engine.next_rank
    made.remaining = remaining
    made.reserved = reserved
    made.slot = slot
    engine.next_rank += 1
    bucket[made] = None
    account.orders[nonce] = made
    level.orders.append(made)
    level.live += 1


def match(
    engine: Engine,
    market: Market,
    account: AccountState,
    slot: Slot,
    order: Order,
    limit: int,
    events: list[Event],
) -> tuple[int, int]:
    """Fill the order up to its limit: (tonnes that remain, Reason why it ends or 0)."""
    remaining = order[5]
    ladder = market.sides[1 - order[4]]
    heap, levels = ladder.heap, ladder.items
    rule = order[10] >> 3 & 3
    maker_bps = engine.fees[0]
    while heap and heap[0] <= limit:
        level = levels.get(heap[0])
        if level is None:
            heappop(heap)
            continue
        makers = level.orders
        while level.live:
            maker = makers[0]
            if not maker.remaining:
                makers.popleft()
                continue
            if maker.account is account:
                if rule != SelfTrade.CANCEL_TAKER:
                    end_order(engine, maker, _SELF_TRADE, events)
                if rule != SelfTrade.CANCEL_MAKER:
                    return remaining, _SELF_TRADE
                continue
            if maker.max_fee_bps < maker_bps:
                end_order(engine, maker, _FEE_ABOVE_CAP, events)
                continue
            remaining -= trade(engine, market, account, slot, order, maker, remaining, events)
            if not remaining:
                return 0, _FILLED
        heappop(heap)
    return remaining, 0


def trade(
    engine: Engine,
    market: Market,
    account: AccountState,
    slot: Slot,
    order: Order,
    maker: OpenOrder,
    wanted: int,
    events: list[Event],
) -> int:
    """One fill at the maker's price; the tonnes traded. Reserved and available both follow."""
    quantity = maker.remaining
    if quantity > wanted:
        quantity = wanted
    left = maker.remaining - quantity
    price, theirs, kilograms = maker.price, maker.slot, quantity * _KG
    notional = quantity * price
    maker_bps, taker_bps = engine.fees
    maker_fee, taker_fee = notional * maker_bps // BPS, notional * taker_bps // BPS
    retired = 0
    if order[4]:
        # The maker buys: what its reservation held beyond the price is free again.
        reserved = left * price
        reserved += reserved * maker.max_fee_bps // BPS
        released = maker.reserved - reserved
        maker.reserved = reserved
        theirs.reserved -= released
        theirs.available += released - notional - maker_fee
        slot.available -= kilograms
        maker.account.slot(market.instrument).available += kilograms
        account.slot(market.asset).available += notional - taker_fee
    else:
        maker.reserved -= kilograms
        theirs.reserved -= kilograms
        slot.available -= notional + taker_fee
        maker.account.slot(market.asset).available += notional - maker_fee
        if order[10] & RETIRES:
            retired = 1
            market.earmarks.amount += kilograms
        else:
            account.slot(market.instrument).available += kilograms
    market.fees.amount += maker_fee + taker_fee
    maker.remaining = left
    number = engine.next_trade
    engine.next_trade = number + 1
    theirs_order = maker.order
    terms = (price, quantity, maker_bps, taker_bps)
    engine.unsettled_queue.append(
        _new(SettlementTrade, (number, engine.time_ms // 1_000, theirs_order, order, *terms))
    )
    instrument, asset = market.instrument, market.asset
    them, their_nonce = theirs_order[0], maker.nonce
    us, our_nonce, side = order[0], order[1], order[4]
    record = (number, instrument, asset, price, quantity, them, their_nonce, us, our_nonce, side,
              maker_fee, taker_fee, retired)  # fmt: skip
    events.append(_new(Traded, record))
    if not left:
        forget(engine, maker)
        end = (them, their_nonce, instrument, asset, 1 - side, price, 0, 1, _FILLED)
        events.append(_new(OrderEnded, end))
    return quantity


def forget(engine: Engine, ended: OpenOrder) -> None:
    """Drop an order with nothing remaining from its book, its account and the queue of ends."""
    leave_level(ended)
    del ended.account.orders[ended.nonce]
    bucket = ended.bucket
    del bucket[ended]
    if not bucket:
        del engine.due.items[ended.due]


def end_order(engine: Engine, ended: OpenOrder, reason: int, events: list[Event]) -> None:
    """End a resting order: its reservation is free, it leaves the book, an event says why."""
    slot, reserved, order = ended.slot, ended.reserved, ended.order
    slot.reserved -= reserved
    slot.available += reserved
    remaining = ended.remaining
    ended.remaining = ended.reserved = 0
    forget(engine, ended)
    trader, nonce, instrument, asset, side = order[:5]
    place = (trader, nonce, instrument, asset, side, ended.price, remaining, 1, reason)
    events.append(_new(OrderEnded, place))
