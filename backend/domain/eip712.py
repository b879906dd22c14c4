"""EIP-712 hashing of the few struct shapes Causeway signs, on eth_abi and keccak alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eth_abi.abi import encode
from eth_utils.crypto import keccak

#: Struct types by name: field name and type, in order. Arrays of structs are `Name[]`.
Types = Mapping[str, Sequence[tuple[str, str]]]

_DOMAIN_TYPE = keccak(
    text="EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)


@dataclass(frozen=True, slots=True)
class SigningDomain:
    """Which contract on which chain a signature is for. `contract` is a 0x address."""

    name: str
    version: str
    chain_id: int
    contract: str

    @property
    def separator(self) -> bytes:
        return keccak(
            encode(
                ["bytes32", "bytes32", "bytes32", "uint256", "address"],
                [
                    _DOMAIN_TYPE,
                    keccak(text=self.name),
                    keccak(text=self.version),
                    self.chain_id,
                    self.contract,
                ],
            )
        )


def encode_type(types: Types, primary: str) -> str:
    """The type string of EIP-712: the primary struct, then those it names, alphabetically."""
    named: set[str] = set()

    def visit(struct: str) -> None:
        for _, field_type in types[struct]:
            base = field_type.removesuffix("[]")
            if base in types and base not in named:
                named.add(base)
                visit(base)

    visit(primary)
    return "".join(
        f"{struct}({','.join(f'{kind} {name}' for name, kind in types[struct])})"
        for struct in [primary, *sorted(named - {primary})]
    )


def _encode_field(types: Types, field_type: str, value: Any) -> tuple[str, Any]:
    if field_type.endswith("[]"):
        base = field_type[:-2]
        parts = b"".join(
            encode([kind], [item])
            for kind, item in (_encode_field(types, base, element) for element in value)
        )
        return "bytes32", keccak(parts)
    if field_type in types:
        return "bytes32", hash_struct(types, field_type, value)
    if field_type == "string":
        return "bytes32", keccak(text=value)
    if field_type == "bytes":
        return "bytes32", keccak(value)
    return field_type, value


def hash_struct(types: Types, primary: str, message: Mapping[str, Any]) -> bytes:
    """hashStruct(s) = keccak256(typeHash ‖ encodeData(s))."""
    pairs = [("bytes32", keccak(text=encode_type(types, primary)))]
    pairs += [_encode_field(types, kind, message[name]) for name, kind in types[primary]]
    return keccak(encode([kind for kind, _ in pairs], [value for _, value in pairs]))


def digest(domain: SigningDomain, types: Types, primary: str, message: Mapping[str, Any]) -> bytes:
    """keccak256(0x1901 ‖ domainSeparator ‖ hashStruct(message)): what is signed."""
    return keccak(b"\x19\x01" + domain.separator + hash_struct(types, primary, message))
