"""What traders send and are answered: signed messages out of JSON, the leader's answers into it.

Inside a signed message the names are those of its EIP-712 type, as wallets sign it; everything
else is named as everywhere in `/v1`. All integers are decimal strings. The shapes follow from
`domain.orders`: a field is written down there and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple, cast

import msgspec
import orjson
from eth_utils.address import is_checksum_formatted_address, to_checksum_address

from backend.bus.venue_messages import Answer, AnswerCode
from backend.domain.commands import (
    PlaceCancel,
    PlaceCancelAll,
    PlaceOrder,
    PlaceWithdrawal,
    TraderCommand,
)
from backend.domain.eip712 import Types
from backend.domain.journal import Entry, hash_entry, read_head
from backend.domain.orders import (
    CANCEL_ALL_TYPES,
    CANCEL_TYPES,
    ORDER_TYPES,
    WITHDRAWAL_TYPES,
    Account,
    Cancel,
    CancelAll,
    Order,
    SignatureKind,
    Withdrawal,
    check_message,
)
from backend.domain.venue_events import Reason, decode_events
from backend.errors import InvalidValue
from backend.exchange.market_data import (
    CommandRefused,
    Fill,
    OrderOver,
    OrderResting,
    account_messages,
    as_json,
    show_account,
)

#: Most signed messages in one request.
MOST_AT_ONCE: Final = 50
NO_SIGNATURE: Final = bytes(65)
_SHOWN: Final = 200
_FIRST_KEY: Final = re.compile(rb'\s*\{\s*"([a-z_]{1,20})"')

# ── what is sent ─────────────────────────────────────────────────────────────────────────────


class Form:
    """One kind of signed message: `name` is its key in the body, `plural` that of a list."""

    def __init__(
        self, name: str, plural: str | None, types: Types, message: type[Any], command: type[Any]
    ) -> None:
        ((self.primary, fields),) = types.items()
        self.name, self.plural = name, plural
        self.fields = tuple(fields)
        self._message, self._command = message, command
        self._places = dict(zip(message._fields, (field for field, _ in fields), strict=True))
        self._readers = tuple(_reader(field, kind) for field, kind in fields)
        shape = msgspec.defstruct(
            self.primary, [(field, str) for field, _ in fields], forbid_unknown_fields=True
        )
        signed: list[tuple[str, Any, Any]] = [
            (name, shape, msgspec.NODEFAULT),
            ("signature", str | None, None),
        ]
        self._one = msgspec.defstruct(f"Signed{self.primary}", signed, forbid_unknown_fields=True)
        self._decode_one = msgspec.json.Decoder(self._one).decode
        self._many: Callable[[bytes], Any] | None = None
        if plural is not None:
            lists = msgspec.defstruct(
                f"Many{self.primary}", [(plural, list[msgspec.Raw])], forbid_unknown_fields=True
            )
            self._many = msgspec.json.Decoder(lists).decode

    def read(self, body: bytes) -> tuple[list[TraderCommand | InvalidValue], bool]:
        """The commands of a body, or what is wrong with each, and whether it is a list.

        Raises InvalidValue when the body is neither one message nor a list of at most 50.
        """
        if self._many is None or self.plural is None or not self._is_list(body):
            return [self._read_one(body, "")], False
        try:
            parts: list[msgspec.Raw] = getattr(self._many(body), self.plural)
        except msgspec.DecodeError as error:
            raise _malformed(body, error, "") from None
        if not 0 < len(parts) <= MOST_AT_ONCE:
            rule = f"are not 1 to {MOST_AT_ONCE}"
            raise InvalidValue(self.plural, len(parts), rule)
        read = self._read_or_error
        return [read(part, f"{self.plural}[{place}].") for place, part in enumerate(parts)], True

    def _is_list(self, body: bytes) -> bool:
        first = _FIRST_KEY.match(body)
        return first is not None and first[1].decode() == self.plural

    def _read_or_error(self, part: msgspec.Raw, place: str) -> TraderCommand | InvalidValue:
        try:
            return self._read_one(part, place)
        except InvalidValue as error:
            return error

    def _read_one(self, part: bytes | msgspec.Raw, place: str) -> TraderCommand:
        try:
            signed: Any = self._decode_one(part)
        except msgspec.DecodeError as error:
            raise _malformed(bytes(part), error, place) from None
        fields = getattr(signed, self.name)
        at = f"{place}{self.name}."
        texts = msgspec.structs.astuple(fields)
        message = self._message._make(
            [read(text, at) for read, text in zip(self._readers, texts, strict=True)]
        )
        try:
            check_message(message)
        except InvalidValue as error:
            named = self._places.get(error.field, error.field)
            raise InvalidValue(at + named, getattr(fields, named), error.rule) from None
        signature = read_signature(
            signed.signature,
            getattr(message, "signature_kind", SignatureKind.ECDSA),
            f"{place}signature",
        )
        return cast(TraderCommand, self._command(message, signature))

    def schema(self) -> dict[str, Any]:
        """The JSON schema of one signed message."""
        message = {
            "type": "object",
            "additionalProperties": False,
            "required": [field for field, _ in self.fields],
            "properties": {field: _schema(kind) for field, kind in self.fields},
        }
        return {
            "type": "object",
            "additionalProperties": False,
            "required": [self.name],
            "properties": {
                self.name: message,
                "signature": {
                    "anyOf": [
                        {"type": "string", "pattern": "^0x([0-9a-fA-F]{128}|[0-9a-fA-F]{130})$"},
                        {"type": "null"},
                    ],
                    "description": "65 bytes r ‖ s ‖ v, or 64 bytes of EIP-2098; none when the"
                    " message is pre-signed on chain (signatureKind 1).",
                },
            },
        }


def read_signature(text: str | None, kind: int, place: str) -> bytes:
    """65 bytes r ‖ s ‖ v; EIP-2098's 64 bytes and v of 0 or 1 are brought into that form."""
    if kind == SignatureKind.PRE_SIGNED:
        if text not in (None, "", "0x"):
            raise InvalidValue(place, text, "is not wanted: the message is pre-signed on chain")
        return NO_SIGNATURE
    try:
        raw = bytes.fromhex((text or "").removeprefix("0x"))
    except ValueError:
        raw = b""
    if len(raw) == 64:
        top, rest = raw[32] >> 7, raw[32] & 0x7F
        return raw[:32] + bytes((rest,)) + raw[33:] + bytes((27 + top,))
    if len(raw) != 65:
        raise InvalidValue(place, _cut(text), "is not 65 or 64 bytes in hexadecimal")
    return raw[:64] + bytes((27 + raw[64],)) if raw[64] < 2 else raw


def _reader(field: str, kind: str) -> Callable[[str, str], Any]:
    """How the text of a field is read; the second argument is where it stands."""
    read: Callable[[str], Any] = read_uint
    if kind == "bytes32":
        read = _hash
    elif kind == "address":
        read = _address_number if field == "asset" else _account

    def at(text: str, place: str) -> Any:
        try:
            return read(text)
        except ValueError as error:
            raise InvalidValue(place + field, _cut(text), str(error)) from None

    return at


def read_uint(text: str) -> int:
    """A number in decimal or 0x; raises ValueError that says the rule."""
    if text.isascii() and text.isdecimal() and len(text) <= 78:
        return int(text)
    if text.startswith("0x") and text[2:].isalnum() and len(text) <= 66:
        try:
            return int(text, 16)
        except ValueError:
            pass
    raise ValueError("is no whole number in decimal digits, nor 0x and up to 64 hex digits")


def read_account(field: str, text: str) -> Account:
    """The 20 bytes of an address in a field; raises InvalidValue."""
    try:
        return _account(text)
    except ValueError as error:
        raise InvalidValue(field, _cut(text), str(error)) from None


@lru_cache(maxsize=65_536)
def _account(text: str) -> Account:
    if not text.startswith("0x") or len(text) != 42:
        raise ValueError("is not an address: 0x and 40 hex digits")
    try:
        raw = bytes.fromhex(text[2:])
    except ValueError:
        raw = b""
    if len(raw) != 20:
        raise ValueError("is not an address: 0x and 40 hex digits")
    if is_checksum_formatted_address(text) and text != to_checksum_address(text):
        raise ValueError("has a wrong checksum (EIP-55): one of its characters is mistyped")
    return Account(raw)


def _address_number(text: str) -> int:
    return int.from_bytes(_account(text), "big")


def _hash(text: str) -> bytes:
    try:
        raw = bytes.fromhex(text[2:]) if text.startswith("0x") and len(text) == 66 else b""
    except ValueError:
        raw = b""
    if len(raw) != 32:
        raise ValueError("is not 32 bytes: 0x and 64 hex digits")
    return raw


def _malformed(body: bytes, error: msgspec.DecodeError, place: str) -> InvalidValue:
    """What msgspec refused: where, what stood there, and the rule."""
    rule, _, path = str(error).partition(" - at `$")
    path = path.rstrip("`").lstrip(".")
    field = (place + path).rstrip(".") or "body"
    return InvalidValue(field, _cut(_found(body, path)), f"is refused: {rule}")


def _found(body: bytes, path: str) -> Any:
    try:
        value: Any = orjson.loads(body)
        for key in path.split(".") if path else []:
            value = value[key]
    except (orjson.JSONDecodeError, KeyError, TypeError, IndexError):
        return body.decode(errors="replace")
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _cut(value: object) -> str:
    return str(value)[:_SHOWN]


def _schema(kind: str) -> dict[str, Any]:
    if kind == "address":
        return {"type": "string", "format": "evm-address"}
    if kind == "bytes32":
        return {"type": "string", "pattern": "^0x[0-9a-fA-F]{64}$"}
    return {"type": "string", "pattern": "^([0-9]{1,78}|0x[0-9a-fA-F]{1,64})$"}


ORDERS: Final = Form("order", "orders", ORDER_TYPES, Order, PlaceOrder)
CANCELS: Final = Form("cancel", "cancels", CANCEL_TYPES, Cancel, PlaceCancel)
CANCEL_ALL: Final = Form("cancel_all", None, CANCEL_ALL_TYPES, CancelAll, PlaceCancelAll)
WITHDRAWALS: Final = Form(
    "withdrawal", "withdrawals", WITHDRAWAL_TYPES, Withdrawal, PlaceWithdrawal
)

_OUTCOMES: Final = frozenset({Fill, OrderResting, OrderOver, CommandRefused})
_REASONS: Final = {int(reason): reason.name.lower() for reason in Reason}

# ── what is answered ─────────────────────────────────────────────────────────────────────────


class NotTaken(NamedTuple):
    """Why a command is not in the journal: status, problem code, and what it means."""

    status: int
    code: str
    meaning: str
    headers: Mapping[str, str] = {}


NOT_TAKEN: Final = {
    AnswerCode.BAD_SIGNATURE: NotTaken(
        401,
        "bad-signature",
        "the signature is not the trader's",
        {"WWW-Authenticate": 'Signature realm="EIP-712"'},
    ),
    AnswerCode.NOT_ADMITTED: NotTaken(
        403, "not-admitted", "the trader is not admitted and has nothing on the venue"
    ),
    AnswerCode.CONFLICT: NotTaken(409, "conflict", "the nonce belongs to another message"),
    AnswerCode.NONCE_TOO_FAR: NotTaken(
        422, "nonce-too-far", "the nonce is more than 1,024 above the lowest unused one"
    ),
    AnswerCode.NONCE_TOO_OLD: NotTaken(
        410, "nonce-gone", "the nonce is more than 1,024 below the lowest unused one"
    ),
    AnswerCode.LATE: NotTaken(
        503, "late", "the deadline passed before it was taken: not accepted", {"Retry-After": "1"}
    ),
    AnswerCode.BUSY: NotTaken(
        503, "venue-busy", "the venue has too much to do: not accepted", {"Retry-After": "1"}
    ),
    AnswerCode.TOO_LARGE: NotTaken(
        504, "outcome-unknown", "it is in the journal; what it caused is too much for one answer"
    ),
    AnswerCode.INVALID: NotTaken(422, "invalid-value", "the message breaks a rule"),
}


def show_answer(command: TraderCommand, answer: Answer) -> dict[str, Any]:
    """A journalled answer: what became of the command, and what proves that it was given."""
    trader, nonce = command[0].trader, command[0].nonce
    # The entry holds the command as it was sent, so only its head is read.
    entry = Entry(*read_head(answer.entry), command)
    own = [
        message
        for account, message in account_messages(entry, decode_events(answer.events))
        if account == trader
    ]
    filled, resting = 0, 0
    ended: str | None = None
    refused: str | None = None
    for message in own:
        kind = type(message)
        if kind not in _OUTCOMES or message.nonce != nonce:  # type: ignore[union-attr]
            continue
        if kind is Fill:
            filled += message.quantity  # type: ignore[union-attr]
        elif kind is OrderResting:
            resting = message.remaining  # type: ignore[union-attr]
        elif kind is OrderOver:
            ended, resting = _REASONS[message.reason], 0  # type: ignore[union-attr]
        else:
            refused = _REASONS[message.reason]  # type: ignore[union-attr]
    return {
        "status": "accepted" if refused is None else "refused",
        "repeated": answer.code is AnswerCode.REPEATED,
        "trader": show_account(trader),
        "nonce": str(nonce),
        "seq": str(entry.seq),
        "time_ms": str(entry.time_ms),
        "filled": str(filled),
        "resting": str(resting),
        "ended": ended,
        "reason": refused,
        "events": [as_json(message) for message in own],
        "entry": "0x" + answer.entry.hex(),
        "entry_hash": "0x" + hash_entry(answer.entry).hex(),
        "acknowledgement": {
            "path": "0x" + answer.path.hex(),
            "signature": "0x" + answer.signature.hex(),
        },
    }
