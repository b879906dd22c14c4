"""What the matcher answers: events, each with a number and a fixed layout like the commands.

An entry's events are stored with it, concatenated, each as its kind (u8) and its record. They say
enough that order books, accounts and market data follow from them and the commands alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import Any, Final, NamedTuple

from backend.domain.fields import Layout
from backend.domain.orders import Account
from backend.errors import InvalidValue


class Reason(IntEnum):
    """Why an order ended or a command was refused; numbers never change their meaning."""

    FILLED = 1
    CANCELLED = 2
    REMAINDER = 3
    SELF_TRADE = 4
    EXPIRED = 5
    INVALIDATED = 6
    EXITING = 7
    NOT_ADMITTED = 8
    FROZEN = 9
    VOIDED = 10
    FEE_ABOVE_CAP = 11
    #: The class is held, or has positions that nothing may consume.
    CLASS_HALTED = 12
    WOULD_CROSS = 20
    CANNOT_FILL = 21
    NOT_ENOUGH = 22
    UNKNOWN_INSTRUMENT = 23
    UNKNOWN_ASSET = 24
    PAUSED = 25
    HALTED = 26
    NOT_PRE_SIGNED = 27
    SIGNED_AHEAD = 28
    NOTHING_OPEN = 29
    TOO_MANY_OPEN = 30


class VoidReason(IntEnum):
    """Why unsettled trades are undone."""

    OLDER_THAN_WINDOW = 1
    AFTER_PAUSE = 2
    AFTER_EXIT = 3
    AFTER_INVALIDATION = 4


class HaltReason(IntEnum):
    """Why a venue stopped."""

    OPERATOR = 1
    DEPOSIT_REVERTED = 2
    SETTLEMENT_REFUSED = 3
    #: The chain has settled a trade that the journal had voided before it saw that.
    SETTLED_AFTER_VOID = 4


class OrderAccepted(NamedTuple):
    """The order is valid and its nonce used; what became of it follows."""

    trader: Account
    nonce: int


class OrderRested(NamedTuple):
    """`remaining` tonnes stand in the book of (instrument, asset) at `price`."""

    trader: Account
    nonce: int
    instrument: int
    asset: int
    side: int
    price: int
    remaining: int


class Traded(NamedTuple):
    """`quantity` tonnes at the maker's `price`; fees in base units of the settlement asset.

    `taker_side` of Side; `retired` 1 when the taker bought to retire: earmarked, not credited.
    """

    number: int
    instrument: int
    asset: int
    price: int
    quantity: int
    maker: Account
    maker_nonce: int
    taker: Account
    taker_nonce: int
    taker_side: int
    maker_fee: int
    taker_fee: int
    retired: int


class OrderEnded(NamedTuple):
    """No more of the order can match; `resting` 1 when `remaining` tonnes left the book."""

    trader: Account
    nonce: int
    instrument: int
    asset: int
    side: int
    price: int
    remaining: int
    resting: int
    reason: int


class Refused(NamedTuple):
    """A command with a valid signature that the rules refuse; its nonce is used all the same."""

    trader: Account
    nonce: int
    reason: int


class NonceUsed(NamedTuple):
    """A cancel came before its order: the nonce is used up."""

    trader: Account
    nonce: int


class AllCancelled(NamedTuple):
    """`ended` orders were cancelled by one message."""

    trader: Account
    nonce: int
    ended: int


class DepositCredited(NamedTuple):
    """The account can trade what it deposited."""

    deposit_id: int
    account: Account
    asset: int
    amount: int


class WithdrawalAccepted(NamedTuple):
    """Withdrawal `number` (from 1, no gaps) leaves trading; it settles after `after_trade`."""

    number: int
    account: Account
    nonce: int
    asset: int
    amount: int
    after_trade: int


class TradesVoided(NamedTuple):
    """Trades `first`…`last` and withdrawals `first_withdrawal`…`last_withdrawal` are undone.

    An empty range has last = first − 1.
    """

    first: int
    last: int
    first_withdrawal: int
    last_withdrawal: int
    reason: int


class ExitStarted(NamedTuple):
    """The account matches nothing until its exit of the asset ends."""

    account: Account
    asset: int
    requested_at: int


class ExitEnded(NamedTuple):
    """The exit took `amount`, or 0 when it was cancelled or lapsed."""

    account: Account
    asset: int
    amount: int


class TradesSettled(NamedTuple):
    """The chain has settled or voided everything up to these numbers."""

    last_trade: int
    last_withdrawal: int


class VenueHalted(NamedTuple):
    """Matching stopped."""

    reason: int
    detail: int


class VenueResumed(NamedTuple):
    """Matching goes on."""


Event = (
    OrderAccepted
    | OrderRested
    | Traded
    | OrderEnded
    | Refused
    | NonceUsed
    | AllCancelled
    | DepositCredited
    | WithdrawalAccepted
    | TradesVoided
    | ExitStarted
    | ExitEnded
    | TradesSettled
    | VenueHalted
    | VenueResumed
)

_NONCE: Final = ("account", "u64")
_MARKET: Final = ("u256", "u256")
_KINDS: Final[dict[int, tuple[type[Any], Layout]]] = {
    1: (OrderAccepted, Layout(_NONCE)),
    2: (OrderRested, Layout((*_NONCE, *_MARKET, "u8", "u128", "u64"))),
    3: (
        Traded,
        Layout(
            ("u64", *_MARKET, "u128", "u64", *_NONCE, *_NONCE, "u8", "u128", "u128", "u8"),
        ),
    ),
    4: (OrderEnded, Layout((*_NONCE, *_MARKET, "u8", "u128", "u64", "u8", "u8"))),
    5: (Refused, Layout((*_NONCE, "u8"))),
    6: (NonceUsed, Layout(_NONCE)),
    7: (AllCancelled, Layout((*_NONCE, "u32"))),
    16: (DepositCredited, Layout(("u64", "account", "u256", "u128"))),
    17: (WithdrawalAccepted, Layout(("u64", *_NONCE, "u256", "u128", "u64"))),
    18: (TradesVoided, Layout(("u64", "u64", "u64", "u64", "u8"))),
    19: (ExitStarted, Layout(("account", "u256", "u64"))),
    20: (ExitEnded, Layout(("account", "u256", "u128"))),
    21: (TradesSettled, Layout(("u64", "u64"))),
    22: (VenueHalted, Layout(("u8", "u64"))),
    23: (VenueResumed, Layout(())),
}
KIND_OF: Final[dict[type[Any], int]] = {made: kind for kind, (made, _) in _KINDS.items()}
_ENCODERS: Final = {made: (bytes((kind,)), layout.pack) for kind, (made, layout) in _KINDS.items()}
_DECODERS: Final = {
    kind: (made._make, layout.unpack_from, layout.size) for kind, (made, layout) in _KINDS.items()
}


def encode_events(events: Iterable[Event]) -> bytes:
    """The canonical bytes of an entry's events, in their order."""
    parts = []
    for event in events:
        kind, pack = _ENCODERS[type(event)]
        parts.append(kind)
        parts.append(pack(event))
    return b"".join(parts)


def decode_events(raw: bytes) -> list[Event]:
    """The inverse of `encode_events`; raises InvalidValue for anything else."""
    events: list[Event] = []
    offset = 0
    while offset < len(raw):
        known = _DECODERS.get(raw[offset])
        if known is None or len(raw) < offset + 1 + known[2]:
            raise InvalidValue("events", raw[offset : offset + 16].hex(), "are no events")
        make, unpack, size = known
        events.append(make(unpack(raw, offset + 1)))
        offset += 1 + size
    return events
