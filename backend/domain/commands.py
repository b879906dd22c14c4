"""What the journal holds: commands of traders, facts of the chain, acts of the venue itself.

Each kind has a number and a fixed layout, so a command's bytes are canonical: one command, one
encoding. Traders' commands carry their signature; a fact of the chain carries the chain block and
log index it stands at, where anybody can look it up; acts of the venue follow from the journal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, cast

from backend.domain.fields import Layout
from backend.domain.orders import Account, Cancel, CancelAll, Order, Withdrawal
from backend.errors import InvalidValue

# ── commands of traders ──────────────────────────────────────────────────────────────────────


class PlaceOrder(NamedTuple):
    """An order and its 65-byte signature r ‖ s ‖ v (zeros when it is pre-signed on chain)."""

    order: Order
    signature: bytes


class PlaceWithdrawal(NamedTuple):
    """A withdrawal and its signature (zeros when it is pre-signed on chain)."""

    withdrawal: Withdrawal
    signature: bytes


class PlaceCancel(NamedTuple):
    """A cancel and its signature."""

    cancel: Cancel
    signature: bytes


class PlaceCancelAll(NamedTuple):
    """A cancel of everything and its signature."""

    cancel_all: CancelAll
    signature: bytes


# ── facts of the chain: `block` and `log_index` say where ────────────────────────────────────


class CreditDeposit(NamedTuple):
    """Exchange.Deposited: `deposit_id` counts from 1 without gaps."""

    block: int
    log_index: int
    deposit_id: int
    account: Account
    asset: int
    amount: int


class StartExit(NamedTuple):
    """Exchange.ExitRequested; `requested_at` is the chain block's time."""

    block: int
    log_index: int
    account: Account
    asset: int
    requested_at: int


class EndExit(NamedTuple):
    """Exchange.ExitExecuted with what it took; amount 0 when it was cancelled or lapsed."""

    block: int
    log_index: int
    account: Account
    asset: int
    amount: int


class InvalidateNonce(NamedTuple):
    """Exchange.NonceInvalidated at the chain block's time `at`."""

    block: int
    log_index: int
    trader: Account
    nonce: int
    at: int


class NotePreSignature(NamedTuple):
    """Exchange.PreSigned: the account stands by the EIP-712 digest."""

    block: int
    log_index: int
    account: Account
    digest: bytes


class SetParticipant(NamedTuple):
    """State of an address in Participants after an event: tier 0 is nobody, `expiry` inclusive."""

    block: int
    log_index: int
    account: Account
    tier: int
    expiry: int
    frozen: int


class ListAsset(NamedTuple):
    """Exchange.AssetListed: whether a settlement asset can be traded against."""

    block: int
    log_index: int
    asset: int
    listed: int


class ListClass(NamedTuple):
    """CarbonCredits.ClassCreated: a class exists and can be an instrument."""

    block: int
    log_index: int
    instrument: int


class PauseVenue(NamedTuple):
    """Exchange.VenuePaused: matches from `at` (inclusive) on are not settled."""

    block: int
    log_index: int
    at: int


class UnpauseVenue(NamedTuple):
    """Exchange.VenueUnpaused: matches from `at` (inclusive) on are settled again."""

    block: int
    log_index: int
    at: int


class NoteSettlement(NamedTuple):
    """Exchange.BatchSettled or TradesVoided: numbers up to which the chain has gone."""

    block: int
    log_index: int
    last_trade: int
    last_withdrawal: int


class FlagClass(NamedTuple):
    """CarbonCredits.ClassFlagsSet: while `flags` are not 0 nothing of the class is traded."""

    block: int
    log_index: int
    instrument: int
    flags: int


# ── acts of the venue ────────────────────────────────────────────────────────────────────────


class OpenVenue(NamedTuple):
    """First entry of a journal: whose Exchange this is, and its immutables in seconds."""

    chain_id: int
    exchange: Account
    window_seconds: int
    skew_seconds: int


class StartEpoch(NamedTuple):
    """A leader took over; `leader` is a random 16-byte id of its process."""

    leader: bytes


class ActivateRules(NamedTuple):
    """From here on the matcher follows this version of the rules."""

    version: int


class SetFees(NamedTuple):
    """Fees of matches from here on, in basis points of notional."""

    maker_bps: int
    taker_bps: int


class VoidTrades(NamedTuple):
    """Undo every unsettled trade from `first_trade` on, newest first.

    `reason` of VoidReason; the final chain block `block` with time `block_time` proves that the
    chain can settle the trade no more.
    """

    first_trade: int
    reason: int
    block: int
    block_time: int


class Halt(NamedTuple):
    """Matching stops; `reason` of HaltReason, `detail` the deposit id or number it is about."""

    reason: int
    detail: int


class Resume(NamedTuple):
    """Matching goes on."""


class Tick(NamedTuple):
    """Time passes: what has expired ends."""


Command = (
    PlaceOrder
    | PlaceWithdrawal
    | PlaceCancel
    | PlaceCancelAll
    | CreditDeposit
    | StartExit
    | EndExit
    | InvalidateNonce
    | NotePreSignature
    | SetParticipant
    | ListAsset
    | ListClass
    | PauseVenue
    | UnpauseVenue
    | NoteSettlement
    | FlagClass
    | OpenVenue
    | StartEpoch
    | ActivateRules
    | SetFees
    | VoidTrades
    | Halt
    | Resume
    | Tick
)
TraderCommand = PlaceOrder | PlaceWithdrawal | PlaceCancel | PlaceCancelAll
#: Kinds below this one come from traders and carry a signature.
FIRST_CHAIN_KIND: Final = 16

_ORDER: Final = (
    "account",
    "u64",
    "u256",
    "u256",
    "u8",
    "u64",
    "u128",
    "u16",
    "u64",
    "u64",
    "u8",
    "hash",
    "u8",
    "signature",
)
_PLACE: Final = ("u64", "u32")
_KINDS: Final[dict[int, tuple[type[Any], Layout]]] = {
    1: (PlaceOrder, Layout(_ORDER)),
    2: (PlaceWithdrawal, Layout(("account", "u64", "u256", "u128", "u8", "signature"))),
    3: (PlaceCancel, Layout(("account", "u64", "signature"))),
    4: (PlaceCancelAll, Layout(("account", "u64", "u256", "signature"))),
    16: (CreditDeposit, Layout((*_PLACE, "u64", "account", "u256", "u128"))),
    17: (StartExit, Layout((*_PLACE, "account", "u256", "u64"))),
    18: (EndExit, Layout((*_PLACE, "account", "u256", "u128"))),
    19: (InvalidateNonce, Layout((*_PLACE, "account", "u64", "u64"))),
    20: (NotePreSignature, Layout((*_PLACE, "account", "hash"))),
    21: (SetParticipant, Layout((*_PLACE, "account", "u8", "u64", "u8"))),
    22: (ListAsset, Layout((*_PLACE, "u256", "u8"))),
    23: (ListClass, Layout((*_PLACE, "u256"))),
    24: (PauseVenue, Layout((*_PLACE, "u64"))),
    25: (UnpauseVenue, Layout((*_PLACE, "u64"))),
    26: (NoteSettlement, Layout((*_PLACE, "u64", "u64"))),
    27: (FlagClass, Layout((*_PLACE, "u256", "u8"))),
    32: (OpenVenue, Layout(("u64", "account", "u32", "u32"))),
    33: (StartEpoch, Layout(("id",))),
    34: (ActivateRules, Layout(("u16",))),
    35: (SetFees, Layout(("u16", "u16"))),
    36: (VoidTrades, Layout(("u64", "u8", "u64", "u64"))),
    37: (Halt, Layout(("u8", "u64"))),
    38: (Resume, Layout(())),
    39: (Tick, Layout(())),
}
_INNER: Final[dict[type[Any], type[Any]]] = {
    PlaceOrder: Order,
    PlaceWithdrawal: Withdrawal,
    PlaceCancel: Cancel,
    PlaceCancelAll: CancelAll,
}
KIND_OF: Final[dict[type[Any], int]] = {made: kind for kind, (made, _) in _KINDS.items()}


def _maker(made: type[Any]) -> Callable[[Sequence[Any]], Any]:
    inner = _INNER.get(made)
    if inner is None:
        return made._make  # type: ignore[no-any-return]

    def make(values: Sequence[Any]) -> Any:
        return made(inner._make(values[:-1]), values[-1])

    return make


_DECODERS: Final = {kind: (layout.unpack, _maker(made)) for kind, (made, layout) in _KINDS.items()}


def encode_command(command: Command) -> tuple[int, bytes]:
    """(kind, payload). Raises InvalidValue for a value that its field cannot hold."""
    kind = KIND_OF[type(command)]
    if kind < FIRST_CHAIN_KIND:
        message, signature = cast("tuple[tuple[Any, ...], bytes]", command)
        return kind, _KINDS[kind][1].pack((*message, signature))
    return kind, _KINDS[kind][1].pack(command)


#: Length of the payload of each kind of a trader's command.
TRADER_PAYLOAD_BYTES: Final = {
    kind: layout.size for kind, (_, layout) in _KINDS.items() if kind < FIRST_CHAIN_KIND
}


def decode_command(kind: int, payload: bytes) -> Command:
    """The inverse of `encode_command`; raises InvalidValue for an unknown kind or length."""
    known = _DECODERS.get(kind)
    if known is None:
        raise InvalidValue("command kind", kind, "is not known")
    unpack, make = known
    command: Command = make(unpack(payload))
    return command
