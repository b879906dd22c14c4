"""An unsigned EIP-1559 transaction read back, so that a signer knows what it signs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from backend.chain.abi import checksum
from backend.chain.rawtx import rlp
from backend.errors import InvalidValue

_FIELDS = 9


@dataclass(frozen=True, slots=True)
class Unsigned:
    """What a transaction of type 2 says. `to` None creates a contract."""

    chain_id: int
    nonce: int
    max_priority_fee_per_gas: int
    max_fee_per_gas: int
    gas: int
    to: str | None
    value: int
    data: bytes


def read_unsigned(raw: bytes) -> Unsigned:
    """Raises InvalidValue for anything but the one encoding of such a transaction."""
    if raw[:1] != b"\x02":
        raise InvalidValue("transaction", _shown(raw), "is not of type 2")
    try:
        item, end = _item(raw, 1)
    except (IndexError, RecursionError):
        raise InvalidValue("transaction", _shown(raw), "ends too soon or is no list") from None
    if end != len(raw) or not isinstance(item, list) or len(item) != _FIELDS or item[8] != []:
        raise InvalidValue("transaction", _shown(raw), "has not the fields of an unsigned one")
    if any(isinstance(part, list) for part in item[:8]) or len(item[5]) not in (0, 20):
        raise InvalidValue("transaction", _shown(raw), "has a field of another kind")
    numbers = [int.from_bytes(item[at]) for at in (0, 1, 2, 3, 4, 6)]
    chain_id, nonce, priority, most, gas, value = numbers
    target = bytes(item[5])
    to = checksum("0x" + target.hex()) if target else None
    found = Unsigned(chain_id, nonce, priority, most, gas, to, value, bytes(item[7]))
    if b"\x02" + rlp([chain_id, nonce, priority, most, gas, target, value, found.data, []]) != raw:
        raise InvalidValue("transaction", _shown(raw), "is not in its shortest form")
    return found


def _item(raw: bytes, at: int) -> tuple[Any, int]:
    """The item at a place, bytes or a list, and where the next one begins; IndexError past the
    end.
    """
    first = raw[at]
    if first < 0x80:
        return raw[at : at + 1], at + 1
    is_list = first >= 0xC0
    size = first - (0xC0 if is_list else 0x80)
    start = at + 1
    if size > 55:
        width = size - 55
        size, start = int.from_bytes(raw[start : start + width]), start + width
    end = start + size
    if end > len(raw):
        raise IndexError(end)
    if not is_list:
        return raw[start:end], end
    parts = []
    while start < end:
        part, start = _item(raw, start)
        parts.append(part)
    if start != end:
        raise IndexError(start)
    return parts, end


def _shown(raw: bytes) -> str:
    return "0x" + raw[:64].hex()
