"""What subscribers are told of one journal entry: order book levels, the tape, their own orders.

Pure: `public_messages` and `account_messages` turn (entry, events) into messages, each with the
entry's seq; `Depth` keeps the totals of every level, seeded from the read model at a seq and fed
with the entries after it. `as_json` is the one form in which messages leave the process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from eth_utils.address import to_checksum_address

from backend.domain import venue_events as happened
from backend.domain.journal import Entry
from backend.domain.orders import Account, Side
from backend.domain.venue_events import Event, HaltReason, Reason, VoidReason
from backend.errors import IndexInconsistent

Market = tuple[int, int]

# ── public ───────────────────────────────────────────────────────────────────────────────────


class LevelChange(NamedTuple):
    """`change` tonnes came to (or left, when negative) one price of one side of a market."""

    seq: int
    instrument: int
    asset: int
    side: int
    price: int
    change: int


class Level(NamedTuple):
    """`total` tonnes stand at the price now; 0: the level is gone."""

    seq: int
    instrument: int
    asset: int
    side: int
    price: int
    total: int


class Print(NamedTuple):
    """A line of the tape; the newest one of a market is its last price."""

    seq: int
    instrument: int
    asset: int
    number: int
    time_ms: int
    price: int
    quantity: int
    taker_side: int


class Undone(NamedTuple):
    """Trades `first`…`last` (none when last = first − 1) were voided: they leave the tape."""

    seq: int
    first: int
    last: int
    reason: int


class Settled(NamedTuple):
    """The chain has settled every trade up to `last_trade` that was not voided."""

    seq: int
    last_trade: int
    last_withdrawal: int


class Halted(NamedTuple):
    """Matching stopped."""

    seq: int
    reason: int
    detail: int


class Resumed(NamedTuple):
    """Matching goes on."""

    seq: int


PublicMessage = LevelChange | Level | Print | Undone | Settled | Halted | Resumed

# ── of one account ───────────────────────────────────────────────────────────────────────────


class OrderTaken(NamedTuple):
    """The order was accepted; fills, rest or end follow under the same seq."""

    seq: int
    nonce: int


class OrderResting(NamedTuple):
    """`remaining` tonnes of the order stand in the book."""

    seq: int
    nonce: int
    instrument: int
    asset: int
    side: int
    price: int
    remaining: int


class Fill(NamedTuple):
    """A trade of the account's order; `maker` says on which side of the match it stood."""

    seq: int
    nonce: int
    instrument: int
    asset: int
    side: int
    number: int
    time_ms: int
    price: int
    quantity: int
    fee: int
    maker: bool
    retired: bool


class OrderOver(NamedTuple):
    """Nothing more of the order can match."""

    seq: int
    nonce: int
    instrument: int
    asset: int
    side: int
    price: int
    remaining: int
    reason: int


class CommandRefused(NamedTuple):
    """The command with this nonce was refused; its nonce is used."""

    seq: int
    nonce: int
    reason: int


class NonceSpent(NamedTuple):
    """A cancel used the nonce up before an order had it."""

    seq: int
    nonce: int


class Cleared(NamedTuple):
    """A cancel-all ended this many orders."""

    seq: int
    nonce: int
    ended: int


class Deposited(NamedTuple):
    """A deposit can be traded."""

    seq: int
    deposit_id: int
    asset: int
    amount: int


class Withdrawn(NamedTuple):
    """A withdrawal left trading; it settles after trade `after_trade`."""

    seq: int
    nonce: int
    number: int
    asset: int
    amount: int
    after_trade: int


class Exiting(NamedTuple):
    """The account matches nothing until its exit of the asset ends."""

    seq: int
    asset: int
    requested_at: int


class Exited(NamedTuple):
    """The exit took `amount`; 0: it was cancelled or lapsed."""

    seq: int
    asset: int
    amount: int


AccountMessage = (
    OrderTaken
    | OrderResting
    | Fill
    | OrderOver
    | CommandRefused
    | NonceSpent
    | Cleared
    | Deposited
    | Withdrawn
    | Exiting
    | Exited
)


def public_messages(entry: Entry, events: Iterable[Event]) -> list[PublicMessage]:
    """What anybody may know of one entry: level changes (one per level, netted), then the rest."""
    seq = entry.seq
    changes: dict[tuple[int, int, int, int], int] = {}
    others: list[PublicMessage] = []

    def add(instrument: int, asset: int, side: int, price: int, tonnes: int) -> None:
        key = (instrument, asset, side, price)
        changes[key] = changes.get(key, 0) + tonnes

    for event in events:
        kind = type(event)
        if kind is happened.OrderRested:
            add(*event[2:7])
        elif isinstance(event, happened.Traded):
            # Only what rested is in the book: the maker's side shrinks, the taker never stood.
            add(event.instrument, event.asset, 1 - event.taker_side, event.price, -event.quantity)
            others.append(
                Print(
                    seq,
                    event.instrument,
                    event.asset,
                    event.number,
                    entry.time_ms,
                    event.price,
                    event.quantity,
                    event.taker_side,
                )
            )
        elif isinstance(event, happened.OrderEnded):
            if event.resting:
                add(*event[2:6], -event.remaining)
        elif isinstance(event, happened.TradesVoided):
            others.append(Undone(seq, event.first, event.last, event.reason))
        elif isinstance(event, happened.TradesSettled):
            others.append(Settled(seq, *event))
        elif isinstance(event, happened.VenueHalted):
            others.append(Halted(seq, *event))
        elif isinstance(event, happened.VenueResumed):
            others.append(Resumed(seq))
    levels = [LevelChange(seq, *key, change) for key, change in changes.items() if change]
    return [*levels, *others]


def account_messages(entry: Entry, events: Iterable[Event]) -> list[tuple[Account, AccountMessage]]:
    """What single accounts may know of one entry. Voids are public: they name trade numbers."""
    told: list[tuple[Account, AccountMessage]] = []
    for event in events:
        if isinstance(event, happened.Traded):
            told += _fills(entry, event)
        else:
            teller = _TELLERS.get(type(event))
            if teller is not None:
                told.append(teller(entry.seq, event))
    return told


def _fills(entry: Entry, event: happened.Traded) -> list[tuple[Account, AccountMessage]]:
    market = (event.instrument, event.asset)
    match = (event.number, entry.time_ms, event.price, event.quantity)
    retired = bool(event.retired)
    maker_side, taker_side = 1 - event.taker_side, event.taker_side
    maker = Fill(
        entry.seq, event.maker_nonce, *market, maker_side, *match, event.maker_fee, True, False
    )
    taker = Fill(
        entry.seq, event.taker_nonce, *market, taker_side, *match, event.taker_fee, False, retired
    )
    return [(event.maker, maker), (event.taker, taker)]


_TELLERS: Final[dict[type[Any], Any]] = {
    happened.OrderAccepted: lambda seq, e: (e.trader, OrderTaken(seq, e.nonce)),
    happened.OrderRested: lambda seq, e: (e.trader, OrderResting(seq, *e[1:])),
    happened.OrderEnded: lambda seq, e: (
        e.trader,
        OrderOver(seq, e.nonce, e.instrument, e.asset, e.side, e.price, e.remaining, e.reason),
    ),
    happened.Refused: lambda seq, e: (e.trader, CommandRefused(seq, e.nonce, e.reason)),
    happened.NonceUsed: lambda seq, e: (e.trader, NonceSpent(seq, e.nonce)),
    happened.AllCancelled: lambda seq, e: (e.trader, Cleared(seq, e.nonce, e.ended)),
    happened.DepositCredited: lambda seq, e: (
        e.account,
        Deposited(seq, e.deposit_id, e.asset, e.amount),
    ),
    happened.WithdrawalAccepted: lambda seq, e: (
        e.account,
        Withdrawn(seq, e.nonce, e.number, e.asset, e.amount, e.after_trade),
    ),
    happened.ExitStarted: lambda seq, e: (e.account, Exiting(seq, e.asset, e.requested_at)),
    happened.ExitEnded: lambda seq, e: (e.account, Exited(seq, e.asset, e.amount)),
}

# ── totals ───────────────────────────────────────────────────────────────────────────────────


class DepthBook:
    """Tonnes per price of one market, both sides."""

    __slots__ = ("sides",)

    def __init__(self) -> None:
        #: By `Side`: price → tonnes, never zero.
        self.sides: tuple[dict[int, int], dict[int, int]] = ({}, {})

    def add(self, side: int, price: int, tonnes: int) -> int:
        """Change a level; its new total. Raises IndexInconsistent when it would fall below 0."""
        levels = self.sides[side]
        total = levels.get(price, 0) + tonnes
        if total < 0:
            raise IndexInconsistent(
                f"{-tonnes} tonnes left a level of {total - tonnes} at price {price}",
                price=str(price),
                total=str(total),
            )
        if total:
            levels[price] = total
        else:
            levels.pop(price, None)
        return total

    def top(self, levels: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """The best `levels` of bids (dearest first) and of asks (cheapest first)."""
        bids = sorted(self.sides[Side.BUY].items(), reverse=True)[:levels]
        return bids, sorted(self.sides[Side.SELL].items())[:levels]


class Depth:
    """Every market's book at one seq; follows the journal entry by entry."""

    __slots__ = ("books", "seq")

    def __init__(self, seq: int = 0, levels: Iterable[tuple[int, int, int, int, int]] = ()) -> None:
        """`levels` (instrument, asset, side, price, tonnes) as they stand after entry `seq`."""
        self.seq = seq
        self.books: dict[Market, DepthBook] = {}
        for instrument, asset, side, price, tonnes in levels:
            self.book(instrument, asset).add(side, price, tonnes)

    def book(self, instrument: int, asset: int) -> DepthBook:
        """The book of a market; empty when nothing stands there."""
        book = self.books.get((instrument, asset))
        if book is None:
            book = self.books[instrument, asset] = DepthBook()
        return book

    def apply(self, entry: Entry, events: Sequence[Event]) -> list[PublicMessage]:
        """Follow the next entry; its public messages with totals (`Level`) instead of changes.

        An entry that was followed before changes nothing and says nothing. Raises
        IndexInconsistent when entries are missing in between: seed anew then.
        """
        if entry.seq <= self.seq:
            return []
        if entry.seq != self.seq + 1:
            raise IndexInconsistent(
                f"entry {entry.seq} came after {self.seq}: {entry.seq - self.seq - 1} are missing",
                seq=self.seq,
                came=entry.seq,
            )
        messages: list[PublicMessage] = [
            Level(*message[:5], self.book(message[1], message[2]).add(*message[3:]))
            if isinstance(message, LevelChange)
            else message
            for message in public_messages(entry, events)
        ]
        self.seq = entry.seq
        return messages


# ── the form outside ─────────────────────────────────────────────────────────────────────────

_NAMES: Final[dict[type[Any], str]] = {
    LevelChange: "level_change",
    Level: "level",
    Print: "trade",
    Undone: "voided",
    Settled: "settled",
    Halted: "halted",
    Resumed: "resumed",
    OrderTaken: "accepted",
    OrderResting: "resting",
    Fill: "fill",
    OrderOver: "ended",
    CommandRefused: "refused",
    NonceSpent: "nonce_used",
    Cleared: "all_cancelled",
    Deposited: "deposit",
    Withdrawn: "withdrawal",
    Exiting: "exit_started",
    Exited: "exit_ended",
}
_REASONS: Final[dict[type[Any], type[Reason] | type[VoidReason] | type[HaltReason]]] = {
    Undone: VoidReason,
    Halted: HaltReason,
    OrderOver: Reason,
    CommandRefused: Reason,
}


@lru_cache(maxsize=65_536)
def show_asset(asset: int) -> str:
    """A settlement asset by its checksummed address, a class by its token id in decimal."""
    return to_checksum_address(f"0x{asset:040x}") if asset < 1 << 160 else str(asset)


@lru_cache(maxsize=65_536)
def show_account(account: bytes) -> str:
    """The checksummed address of an account."""
    return to_checksum_address(account)


def as_json(message: PublicMessage | AccountMessage) -> dict[str, Any]:
    """Type and fields: integers as decimal strings, sides and reasons by name."""
    kind = type(message)
    shown: dict[str, Any] = {"type": _NAMES[kind]}
    # Every answer and every stream comes through here: one table look-up a field.
    for (field, show), value in zip(_SHOWN[kind], message, strict=True):
        shown[field] = show(value)
    return shown


def _shower(kind: type[Any], field: str) -> Callable[[Any], Any]:
    """How a field of a message is shown."""
    if field in ("asset", "instrument"):
        return show_asset
    if field in ("side", "taker_side"):
        return {int(side): side.name.lower() for side in Side}.__getitem__
    if field == "reason":
        return {int(reason): reason.name.lower() for reason in _REASONS[kind]}.__getitem__
    if field in ("maker", "retired"):
        return bool
    return str


_SHOWN: Final = {
    kind: tuple((field, _shower(kind, field)) for field in kind._fields) for kind in _NAMES
}
