"""Orders and the other messages a trader signs: their values, their rules, their EIP-712 types.

The only definition of these types in Python; `IExchange.sol` holds the same for the contract and
`tests/vectors/orders.json` holds both to it. Carbon in an order is whole tonnes, money is base
units of the settlement asset, times are Unix seconds (DESIGN.md section 4, EIP-712).
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Final, NamedTuple, NewType

from backend.domain.eip712 import SigningDomain, Types, digest
from backend.errors import InvalidValue

#: Account of the exchange: the 20 raw bytes of an address.
Account = NewType("Account", bytes)
#: What an account can hold: an ERC-20 address as integer (below 2^160), or a class's token id.
Asset = NewType("Asset", int)

EXCHANGE_NAME: Final = "Causeway Exchange"
EXCHANGE_VERSION: Final = "1"
#: Nonces fit in 48 bits, quantities in a 53-bit field of a fill word, balances in 104 bits.
MAX_NONCE: Final = 2**48 - 1
MAX_QUANTITY: Final = 2**53 - 1
MAX_BALANCE: Final = 2**104 - 1
MAX_PRICE: Final = 2**128 - 1
#: Largest fee anybody can be charged, in basis points of notional.
MAX_FEE_BPS: Final = 100
#: An order lives at most so long after it was signed.
MAX_ORDER_SECONDS: Final = 30 * 86_400
#: How far ahead of the lowest unused nonce of a trader a nonce may be.
NONCE_WINDOW: Final = 1_024
NO_DETAILS: Final = bytes(32)
BPS: Final = 10_000
KILOGRAMS_PER_TONNE: Final = 1_000


class Side(IntEnum):
    """Which side of the book an order is on."""

    BUY = 0
    SELL = 1


class TimeInForce(IntEnum):
    """How long an order waits: GTC rests, IOC ends after its first match, FOK is all or nothing."""

    GTC = 0
    IOC = 1
    FOK = 2


class SelfTrade(IntEnum):
    """What the incoming order does when it meets an order of its own trader."""

    CANCEL_TAKER = 0
    CANCEL_MAKER = 1
    CANCEL_BOTH = 2


class SignatureKind(IntEnum):
    """How a message is signed; stated by the signer, never guessed from code (EIP-7702)."""

    ECDSA = 0
    PRE_SIGNED = 1


class Conditions(NamedTuple):
    """The conditions of an order; packed into 8 bits where they are signed.

    Bits 0–1 time in force, bit 2 post-only, bits 3–4 self-trade rule, bit 5 retire-on-fill.
    """

    time_in_force: TimeInForce = TimeInForce.GTC
    post_only: bool = False
    self_trade: SelfTrade = SelfTrade.CANCEL_TAKER
    retire_on_fill: bool = False

    def pack(self) -> int:
        return (
            self.time_in_force
            | self.post_only << 2
            | self.self_trade << 3
            | self.retire_on_fill << 5
        )

    @classmethod
    def unpack(cls, packed: int) -> Conditions:
        """The inverse of `pack`; raises InvalidValue for bits that mean nothing."""
        if packed & 3 == 3 or packed >> 3 & 3 == 3 or not 0 <= packed < 64:
            raise InvalidValue("conditions", packed, "has bits that mean nothing")
        return cls(
            TimeInForce(packed & 3),
            bool(packed & 4),
            SelfTrade(packed >> 3 & 3),
            bool(packed & 32),
        )


class Order(NamedTuple):
    """A trader's order as it is signed.

    `trader` 20 bytes; `instrument` a class's token id; `asset` the settlement asset's address as
    an integer; `side` of Side; `quantity` tonnes; `price` base units per tonne; `max_fee_bps` of
    each fill's notional; `signed_at`, `expiry` (inclusive) Unix seconds; `conditions` packed;
    `details_hash` 32 bytes, of the retirement's details when retire-on-fill, else zero;
    `signature_kind` of SignatureKind.
    """

    trader: Account
    nonce: int
    instrument: int
    asset: int
    side: int
    quantity: int
    price: int
    max_fee_bps: int
    signed_at: int
    expiry: int
    conditions: int
    details_hash: bytes
    signature_kind: int


class Withdrawal(NamedTuple):
    """Move `amount` (base units, or kilograms of a class) of `asset` from trading to claimable."""

    trader: Account
    nonce: int
    asset: int
    amount: int
    signature_kind: int


class Cancel(NamedTuple):
    """Cancel the order with this nonce, or use the nonce up when no order has it yet."""

    trader: Account
    nonce: int


class CancelAll(NamedTuple):
    """Cancel every open order, of one instrument or (0) of all; has a nonce of its own."""

    trader: Account
    nonce: int
    instrument: int


ORDER_TYPES: Final[Types] = {
    "Order": (
        ("trader", "address"),
        ("nonce", "uint64"),
        ("instrument", "uint256"),
        ("asset", "address"),
        ("side", "uint8"),
        ("quantity", "uint64"),
        ("price", "uint128"),
        ("maxFeeBps", "uint16"),
        ("signedAt", "uint40"),
        ("expiry", "uint40"),
        ("conditions", "uint8"),
        ("detailsHash", "bytes32"),
        ("signatureKind", "uint8"),
    )
}
WITHDRAWAL_TYPES: Final[Types] = {
    "Withdrawal": (
        ("trader", "address"),
        ("nonce", "uint64"),
        ("asset", "uint256"),
        ("amount", "uint128"),
        ("signatureKind", "uint8"),
    )
}
CANCEL_TYPES: Final[Types] = {"Cancel": (("trader", "address"), ("nonce", "uint64"))}
CANCEL_ALL_TYPES: Final[Types] = {
    "CancelAll": (("trader", "address"), ("nonce", "uint64"), ("instrument", "uint256"))
}
#: What the sequencer signs for every answer: the root over (seq, entry hash) of one commit.
ACKNOWLEDGEMENT_TYPES: Final[Types] = {"Acknowledgement": (("root", "bytes32"),)}

Message = Order | Withdrawal | Cancel | CancelAll


def exchange_domain(chain_id: int, contract: str) -> SigningDomain:
    """The EIP-712 domain of one venue's Exchange contract."""
    return SigningDomain(EXCHANGE_NAME, EXCHANGE_VERSION, chain_id, contract)


def asset_address(asset: int) -> str:
    """A settlement asset's 0x address, lower case; InvalidValue when it is a class."""
    if not 0 < asset < 1 << 160:
        raise InvalidValue("asset", asset, "is not the address of a settlement asset")
    return f"0x{asset:040x}"


def account_of(address: str) -> Account:
    """The 20 bytes of a 0x address."""
    try:
        raw = bytes.fromhex(address.removeprefix("0x"))
    except ValueError:
        raw = b""
    if len(raw) != 20:
        raise InvalidValue("address", address, "is not an address of 20 bytes")
    return Account(raw)


def typed(message: Message) -> tuple[Types, str, dict[str, Any]]:
    """The types, the primary type and the fields of a message, as wallets sign it."""
    who = {"trader": "0x" + message.trader.hex(), "nonce": message.nonce}
    if isinstance(message, Order):
        fields: dict[str, Any] = {
            **who,
            "instrument": message.instrument,
            "asset": asset_address(message.asset),
            "side": message.side,
            "quantity": message.quantity,
            "price": message.price,
            "maxFeeBps": message.max_fee_bps,
            "signedAt": message.signed_at,
            "expiry": message.expiry,
            "conditions": message.conditions,
            "detailsHash": message.details_hash,
            "signatureKind": message.signature_kind,
        }
        return ORDER_TYPES, "Order", fields
    if isinstance(message, Withdrawal):
        fields = {
            **who,
            "asset": message.asset,
            "amount": message.amount,
            "signatureKind": message.signature_kind,
        }
        return WITHDRAWAL_TYPES, "Withdrawal", fields
    if isinstance(message, CancelAll):
        return CANCEL_ALL_TYPES, "CancelAll", {**who, "instrument": message.instrument}
    return CANCEL_TYPES, "Cancel", who


def message_digest(domain: SigningDomain, message: Message) -> bytes:
    """The 32 bytes that are signed; `chain.signatures` does the same fast."""
    types, primary, fields = typed(message)
    return digest(domain, types, primary, fields)


def fee_of(notional: int, bps: int) -> int:
    """floor(notional × bps / 10,000): every fee is rounded down, in the payer's favour (L11)."""
    return notional * bps // BPS


def check_order(order: Order) -> None:
    """The rules that an order breaks or keeps by itself. Raises InvalidValue naming the field."""
    conditions = Conditions.unpack(order.conditions)
    _require_nonce(order.nonce)
    _require("instrument", order.instrument, 1 << 160 <= order.instrument < 1 << 256, "is no class")
    _require("asset", order.asset, 0 < order.asset < 1 << 160, "is no settlement asset")
    _require("side", order.side, order.side in (0, 1), "is neither 0 (buy) nor 1 (sell)")
    _require("quantity", order.quantity, 0 < order.quantity <= MAX_QUANTITY, "is not 1 to 2^53 − 1")
    _require("price", order.price, 0 < order.price <= MAX_PRICE, "is not 1 to 2^128 − 1")
    notional = order.quantity * order.price
    _require("price", order.price, 2 * notional <= MAX_BALANCE, "times quantity is too much")
    _require(
        "max_fee_bps", order.max_fee_bps, 0 <= order.max_fee_bps <= MAX_FEE_BPS, "is above 1 %"
    )
    _require("signed_at", order.signed_at, 0 < order.signed_at < 1 << 40, "is no time")
    lifetime = order.expiry - order.signed_at
    _require("expiry", order.expiry, order.expiry < 1 << 40, "is no time")
    _require("expiry", order.expiry, 0 <= lifetime <= MAX_ORDER_SECONDS, "is not within 30 days")
    _require_kind(order.signature_kind)
    _check_conditions(order, conditions)


def _check_conditions(order: Order, conditions: Conditions) -> None:
    resting = conditions.time_in_force is TimeInForce.GTC
    if conditions.post_only and not resting:
        raise InvalidValue("conditions", order.conditions, "post-only can only be GTC")
    if conditions.retire_on_fill and (resting or order.side != Side.BUY):
        raise InvalidValue("conditions", order.conditions, "retire-on-fill buys by IOC or FOK")
    if len(order.details_hash) != 32:
        raise InvalidValue("details_hash", order.details_hash.hex(), "is not 32 bytes")
    if not conditions.retire_on_fill and order.details_hash != NO_DETAILS:
        raise InvalidValue("details_hash", order.details_hash.hex(), "is for retire-on-fill only")


def check_withdrawal(withdrawal: Withdrawal) -> None:
    """The rules of a withdrawal by itself. Raises InvalidValue naming the field."""
    _require_nonce(withdrawal.nonce)
    _require("asset", withdrawal.asset, 0 < withdrawal.asset < 1 << 256, "is no asset")
    _require("amount", withdrawal.amount, 0 < withdrawal.amount <= MAX_BALANCE, "is out of range")
    _require_kind(withdrawal.signature_kind)


def check_message(message: Message) -> None:
    """What any message can break by itself. Raises InvalidValue naming the field."""
    if isinstance(message, Order):
        check_order(message)
    elif isinstance(message, Withdrawal):
        check_withdrawal(message)
    else:
        _require_nonce(message.nonce)
        if isinstance(message, CancelAll):
            known = 0 <= message.instrument < 1 << 256
            _require("instrument", message.instrument, known, "is no class")


def _require_nonce(nonce: int) -> None:
    _require("nonce", nonce, 0 <= nonce <= MAX_NONCE, "is not 0 to 2^48 − 1")


def _require_kind(kind: int) -> None:
    _require("signature_kind", kind, kind in (0, 1), "is neither 0 (ECDSA) nor 1 (pre-signed)")


def _require(field: str, value: int, holds: bool, rule: str) -> None:
    if not holds:
        raise InvalidValue(field, value, rule)
