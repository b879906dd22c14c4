"""Orders in the book: how one comes to rest, how it ends by itself and how it is filled up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from backend.domain.orders import Order
from backend.domain.venue_events import Event, OrderEnded, Reason
from backend.matching.accounts import AccountState, Slot
from backend.matching.book import SLACK, Ladder, Level, OpenOrder, compact

if TYPE_CHECKING:
    from backend.matching.engine import Engine

_new: Final = tuple.__new__
_FILLED: Final = int(Reason.FILLED)


def rest(
    engine: Engine,
    account: AccountState,
    slot: Slot,
    order: Order,
    ladder: Ladder[Level],
    key: int,
    remaining: int,
    reserved: int,
) -> None:
    """Put what remains of an order at the end of its level and reserve what it may take."""
    slot.available -= reserved
    slot.reserved += reserved
    level = ladder.items.get(key)
    if level is None:
        level = Level(ladder.items, key)
        ladder.add(key, level)
    due = order[9]
    if account.expiry < due:
        due = account.expiry
    bucket = engine.due_items.get(due)
    if bucket is None:
        bucket = {}
        engine.due.add(due, bucket)
    made = OpenOrder()
    made.account = account
    made.bucket = bucket
    made.due = due
    made.level = level
    made.order = order
    made.rank = rank = engine.next_rank
    made.remaining = remaining
    made.reserved = reserved
    made.slot = slot
    engine.next_rank = rank + 1
    bucket[made] = None
    account.orders[order[1]] = made
    level.orders.append(made)
    level.live += 1


def end_order(engine: Engine, ended: OpenOrder, reason: int, events: list[Event]) -> None:
    """End a resting order: its reservation is free, it leaves the book, an event says why."""
    slot, reserved, level, bucket = ended.slot, ended.reserved, ended.level, ended.bucket
    slot.reserved -= reserved
    slot.available += reserved
    remaining = ended.remaining
    ended.remaining = 0
    level.live = live = level.live - 1
    if not live:
        level.orders.clear()
        del level.items[level.key]
    elif len(level.orders) > 2 * live + SLACK:
        compact(level)
    del bucket[ended]
    if not bucket:
        del engine.due_items[ended.due]
    trader, nonce, instrument, asset, side, _, price, _, _, _, _, _, _ = ended.order
    del ended.account.orders[nonce]
    place = (trader, nonce, instrument, asset, side, price, remaining, 1, reason)
    events.append(_new(OrderEnded, place))


def fill(engine: Engine, level: Level, maker: OpenOrder, order: Order, events: list[Event]) -> None:
    """Take the first order of a level, which has nothing left, out of book and account."""
    level.orders.popleft()
    level.live = live = level.live - 1
    if not live:
        level.orders.clear()
        del level.items[level.key]
    bucket = maker.bucket
    del bucket[maker]
    if not bucket:
        del engine.due_items[maker.due]
    trader, nonce, instrument, asset, side, _, price, _, _, _, _, _, _ = order
    del maker.account.orders[nonce]
    ended = (trader, nonce, instrument, asset, side, price, 0, 1, _FILLED)
    events.append(_new(OrderEnded, ended))
