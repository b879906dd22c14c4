"""The order book: price-time priority, one ladder of levels a side, one queue a level.

A ladder is a dictionary by key with a heap of its keys; keys that left stay in the heap until they
come to its top or outnumber the others, so every step costs O(log n) or less, amortised. Keys of
asks are prices, of bids negated prices: the lowest key is always the best. The same ladder orders
what expires.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from typing import Final, Generic, NamedTuple, TypeVar

from backend.domain.orders import Order
from backend.matching.accounts import AccountState, Slot

T = TypeVar("T")
#: Dead entries a ladder or a level may carry beyond the number of its live ones.
SLACK: Final = 64


class Ladder(Generic[T]):
    """Items by integer key with the lowest key at hand."""

    __slots__ = ("heap", "items")

    def __init__(self) -> None:
        self.items: dict[int, T] = {}
        #: Every key of `items` at least once, and some that are gone.
        self.heap: list[int] = []

    def add(self, key: int, item: T) -> None:
        """`key` is not in it."""
        self.items[key] = item
        heap = self.heap
        heappush(heap, key)
        if len(heap) > 2 * len(self.items) + SLACK:
            heap[:] = self.items
            heapify(heap)

    def lowest(self) -> int | None:
        """The lowest key, None when empty."""
        heap, items = self.heap, self.items
        while heap and heap[0] not in items:
            heappop(heap)
        return heap[0] if heap else None

    def ascending(self) -> Iterator[tuple[int, T]]:
        """(key, item) from the lowest; nothing changes."""
        heap = self.heap.copy()
        last = None
        while heap:
            key = heappop(heap)
            if key != last and key in self.items:
                yield key, self.items[key]
            last = key


class Level:
    """The orders at one price, oldest first; ended ones (remaining 0) until they are met."""

    __slots__ = ("items", "key", "live", "orders")

    def __init__(self, items: dict[int, Level], key: int) -> None:
        #: The ladder's items it is one of, and its key there.
        self.items = items
        self.key = key
        self.orders: deque[OpenOrder] = deque()
        self.live = 0


class OpenOrder:
    """A resting order: what remains of it and what is reserved for it."""

    __slots__ = (
        "account",
        "bucket",
        "due",
        "level",
        "order",
        "rank",
        "remaining",
        "reserved",
        "slot",
    )

    account: AccountState
    #: Where it waits for its end: ended when time passes `due`.
    bucket: dict[OpenOrder, None]
    due: int
    level: Level
    order: Order
    #: Number of its coming to rest: the order in which ties are broken everywhere.
    rank: int
    #: Tonnes; 0 when it has ended.
    remaining: int
    reserved: int
    #: The balance it is reserved in.
    slot: Slot


class Pool:
    """A sum that belongs to nobody's balance: fees of an asset, earmarks of a class."""

    __slots__ = ("amount",)

    def __init__(self, amount: int = 0) -> None:
        self.amount = amount


class Market:
    """The book of one instrument against one settlement asset; sides by Side."""

    __slots__ = ("asset", "earmarks", "facing", "fees", "instrument", "listed", "sides")

    def __init__(self, instrument: int, asset: int, fees: Pool, earmarks: Pool) -> None:
        self.instrument = instrument
        self.asset = asset
        self.fees = fees
        self.earmarks = earmarks
        self.listed = True
        bids: Ladder[Level] = Ladder()
        asks: Ladder[Level] = Ladder()
        self.sides = (bids, asks)
        #: By the side of an order: where it rests, what it meets.
        self.facing = ((bids, asks), (asks, bids))


class OrderState(NamedTuple):
    """An open order as readers see it; `remaining` tonnes, `reserved` base units or kilograms."""

    order: Order
    remaining: int
    reserved: int


class DepthLevel(NamedTuple):
    """What stands at one price: tonnes and number of orders."""

    price: int
    quantity: int
    orders: int


class Depth(NamedTuple):
    """Both sides of a book, the best price first."""

    bids: tuple[DepthLevel, ...]
    asks: tuple[DepthLevel, ...]


def compact(level: Level) -> None:
    """Drop the ended orders of a level; also what keeps a level without orders from being freed."""
    live = [one for one in level.orders if one.remaining]
    level.orders.clear()
    level.orders.extend(live)


def depth_of(ladder: Ladder[Level], levels: int) -> tuple[DepthLevel, ...]:
    """The best `levels` of one side."""
    found: list[DepthLevel] = []
    for key, level in ladder.ascending():
        if len(found) == levels:
            break
        quantity = sum(one.remaining for one in level.orders)
        found.append(DepthLevel(abs(key), quantity, level.live))
    return tuple(found)
