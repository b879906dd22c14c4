"""Traders' signatures on the hot path: digests packed by hand, recovery without detours.

Equal to `domain.orders.message_digest` and `chain.keys.recover` bit for bit (the tests hold both to
it), only faster: one struct per type, the C keccak itself, coincurve's recovery and no checksummed
text in between. Recovery leaves Python's lock, so two threads check on two cores.
"""

from __future__ import annotations

import struct
from typing import Any, Final, cast

import coincurve
from sha3 import keccak_256  # type: ignore[import-untyped]

from backend.domain.commands import (
    Command,
    PlaceCancel,
    PlaceCancelAll,
    PlaceOrder,
    PlaceWithdrawal,
)
from backend.domain.eip712 import SigningDomain, Types, encode_type
from backend.domain.orders import (
    CANCEL_ALL_TYPES,
    CANCEL_TYPES,
    ORDER_TYPES,
    WITHDRAWAL_TYPES,
    Account,
    Cancel,
    CancelAll,
    Message,
    Order,
    SignatureKind,
    Withdrawal,
    asset_address,
)
from backend.errors import InvalidValue, NotAuthorised

#: What stands in a command whose message is pre-signed on chain.
NO_SIGNATURE: Final = bytes(65)
#: Half of the curve's order: s above it is the malleable twin.
_HALF: Final = bytes.fromhex("7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0")
#: Type hash ‖ fields, each right-aligned in its word.
_ORDER: Final = struct.Struct(">32s12x20s24xQ32s32s31xB24xQ16x16s30xH24xQ24xQ31xB32s31xB")
_WITHDRAWAL: Final = struct.Struct(">32s12x20s24xQ32s16x16s31xB")
_CANCEL: Final = struct.Struct(">32s12x20s24xQ")
_CANCEL_ALL: Final = struct.Struct(">32s12x20s24xQ32s")
_recovered: Final = coincurve.PublicKey.from_signature_and_message


def _type_hash(types: Types, primary: str) -> bytes:
    return cast(bytes, keccak_256(encode_type(types, primary).encode()).digest())


_ORDER_HASH: Final = _type_hash(ORDER_TYPES, "Order")
_WITHDRAWAL_HASH: Final = _type_hash(WITHDRAWAL_TYPES, "Withdrawal")
_CANCEL_HASH: Final = _type_hash(CANCEL_TYPES, "Cancel")
_CANCEL_ALL_HASH: Final = _type_hash(CANCEL_ALL_TYPES, "CancelAll")


class Verifier:
    """Digests and signatures of one venue's messages; safe to share between threads."""

    __slots__ = ("_prefix",)

    def __init__(self, domain: SigningDomain) -> None:
        self._prefix = b"\x19\x01" + domain.separator

    def digest(self, message: Message) -> bytes:
        """The 32 bytes that are signed. InvalidValue for a value its type cannot hold."""
        try:
            struct_hash = keccak_256(_packed(message)).digest()
        except (struct.error, OverflowError, AttributeError, TypeError) as error:
            shown = repr(tuple(message))[:200]
            raise InvalidValue("message", shown, f"does not fit its type: {error}") from None
        return cast(bytes, keccak_256(self._prefix + struct_hash).digest())

    def recover(self, message: Message, signature: bytes) -> Account:
        """Who signed; InvalidValue for what contracts refuse too: length, v, high s."""
        return recover_account(self.digest(message), signature)

    def verify(self, message: Message, signature: bytes) -> bool:
        """Whether the trader it names signed the message with this signature (ECDSA)."""
        try:
            return self.recover(message, signature) == message.trader
        except InvalidValue:
            return False

    def check(self, command: Command) -> None:
        """Refuse a trader's command that its trader has not signed; others need no signature.

        A pre-signed message carries 65 zero bytes: one form, so one entry; whether its digest is on
        chain is for the engine to say. Raises InvalidValue or NotAuthorised.
        """
        if isinstance(command, PlaceOrder | PlaceWithdrawal):
            message, signature = command
            if message.signature_kind == SignatureKind.PRE_SIGNED:
                if signature != NO_SIGNATURE:
                    raise InvalidValue(
                        "signature", "0x" + signature.hex(), "is not zero on a pre-signed message"
                    )
                return
            if message.signature_kind != SignatureKind.ECDSA:
                raise InvalidValue("signature_kind", message.signature_kind, "is neither 0 nor 1")
            self._check(message, signature)
        elif isinstance(command, PlaceCancel | PlaceCancelAll):
            self._check(*command)

    def _check(self, message: Message, signature: bytes) -> None:
        signer = self.recover(message, signature)
        if signer != message.trader:
            raise NotAuthorised(
                f"the signature of nonce {message.nonce} is not its trader's",
                trader="0x" + message.trader.hex(),
                signer="0x" + signer.hex(),
                nonce=message.nonce,
            )


def recover_account(digest: bytes, signature: bytes) -> Account:
    """The account that signed a digest, by the rules of `keys.recover`."""
    if len(signature) != 65 or len(digest) != 32:
        raise _refused(signature, "is not 65 bytes over a 32-byte digest")
    v = signature[64]
    if v != 27 and v != 28:
        raise _refused(signature, "has a v other than 27 and 28")
    if signature[32:64] > _HALF:
        raise _refused(signature, "has s in the upper half (malleable)")
    raw = signature[:64] + (b"\x00" if v == 27 else b"\x01")
    try:
        public = _recovered(raw, digest, None)
    except Exception as failure:  # coincurve raises bare Exception and ValueError
        raise _refused(signature, f"recovers to no key: {failure}") from failure
    return Account(keccak_256(public.format(False)[1:]).digest()[12:])


def _refused(signature: bytes, rule: str) -> InvalidValue:
    return InvalidValue("signature", "0x" + signature.hex(), rule)


def _packed(message: Message) -> bytes:
    """Type hash and fields of a message, as hashStruct hashes them."""
    if len(message.trader) != 20:
        raise TypeError(f"trader is {len(message.trader)} bytes, not 20")
    if isinstance(message, Order):
        return _packed_order(message)
    if isinstance(message, Withdrawal):
        trader, nonce, asset, amount, kind = message
        wide = asset.to_bytes(32, "big"), amount.to_bytes(16, "big")
        return _WITHDRAWAL.pack(_WITHDRAWAL_HASH, trader, nonce, *wide, kind)
    if isinstance(message, CancelAll):
        trader, nonce, instrument = message
        return _CANCEL_ALL.pack(_CANCEL_ALL_HASH, trader, nonce, instrument.to_bytes(32, "big"))
    if isinstance(message, Cancel):
        return _CANCEL.pack(_CANCEL_HASH, *message)
    raise TypeError(f"{type(message).__name__} is no message of a trader")


def _packed_order(order: Order) -> bytes:
    fields: list[Any] = list(order)
    asset = fields[3]
    if asset >> 160 or not asset:
        asset_address(asset)
    if fields[8] >> 40 or fields[9] >> 40:
        raise OverflowError("a time is above 40 bits")
    if len(fields[11]) != 32:
        raise TypeError(f"details hash is {len(fields[11])} bytes, not 32")
    fields[2] = fields[2].to_bytes(32, "big")
    fields[3] = asset.to_bytes(32, "big")
    fields[6] = fields[6].to_bytes(16, "big")
    return _ORDER.pack(_ORDER_HASH, *fields)
