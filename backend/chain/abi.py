"""Calls, results and errors of Causeway's contracts to bytes and back, from the committed ABI.

`abi.json` is generated from the compiler by `scripts/make_abi.py`; a test checks that it is what
the sources say. Decoded values have one form everywhere: integers as int, addresses as checksummed
strings, bytes as 0x hex strings, structs as dicts by field name, arrays as lists.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from typing import Any, Final

import orjson
from eth_abi.abi import decode as abi_decode
from eth_abi.abi import encode as abi_encode
from eth_abi.exceptions import DecodingError, EncodingError
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from backend.errors import InvalidValue, NotFound

#: Names in a deployment that share one contract's ABI.
SHARED_ABI: Final = dict.fromkeys(("HKD", "CNH", "USD"), "TestSettlementAsset")
_SOLIDITY_ERROR: Final = bytes.fromhex("08c379a0")
_SOLIDITY_PANIC: Final = bytes.fromhex("4e487b71")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One value of a function, event or error; `type` is canonical: `(string,uint256[])[]`."""

    name: str
    type: str
    components: tuple[Parameter, ...]
    indexed: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """A function, event or error. `id` is the 4-byte selector, for events the 32-byte topic."""

    kind: str
    name: str
    inputs: tuple[Parameter, ...]
    outputs: tuple[Parameter, ...]
    signature: str
    id: bytes
    mutates: bool


def _parameter(raw: Mapping[str, Any], position: int) -> Parameter:
    components = tuple(
        _parameter(part, index) for index, part in enumerate(raw.get("components", ()))
    )
    kind: str = raw["type"]
    if components:
        kind = f"({','.join(part.type for part in components)}){kind.removeprefix('tuple')}"
    name = raw["name"] or f"value{position}"
    return Parameter(name, kind, components, raw.get("indexed", False))


def parse_entry(raw: Mapping[str, Any]) -> Entry:
    """One entry of a compiler's ABI."""
    inputs = tuple(_parameter(part, index) for index, part in enumerate(raw.get("inputs", ())))
    outputs = tuple(_parameter(part, index) for index, part in enumerate(raw.get("outputs", ())))
    name = raw.get("name", raw["type"])
    signature = f"{name}({','.join(part.type for part in inputs)})"
    digest = keccak(text=signature)
    identity = digest if raw["type"] == "event" else digest[:4]
    mutates = raw.get("stateMutability") in ("nonpayable", "payable")
    return Entry(raw["type"], name, inputs, outputs, signature, identity, mutates)


@cache
def _raw() -> dict[str, list[dict[str, Any]]]:
    text = resources.files("backend.chain").joinpath("abi.json").read_bytes()
    loaded: dict[str, list[dict[str, Any]]] = orjson.loads(text)
    return loaded


def contract_names() -> tuple[str, ...]:
    """Contracts of which the ABI is known."""
    return tuple(_raw())


@cache
def entries(contract: str) -> tuple[Entry, ...]:
    """Everything a contract's ABI names; `contract` may be a deployment's name (HKD)."""
    raw = _raw().get(SHARED_ABI.get(contract, contract))
    if raw is None:
        raise NotFound(f"no contract is called {contract}", contract=contract)
    return tuple(parse_entry(entry) for entry in raw if entry["type"] not in _NO_ENTRY)


_NO_ENTRY: Final = frozenset({"receive", "fallback"})


@cache
def _function(contract: str, function: str, arguments: int) -> Entry:
    found = [
        entry
        for entry in entries(contract)
        if entry.kind == "function"
        and function in (entry.name, entry.signature)
        and len(entry.inputs) == arguments
    ]
    if len(found) != 1:
        problem = "is ambiguous, name its signature" if found else f"takes no {arguments} arguments"
        raise InvalidValue(f"{contract} function", function, problem)
    return found[0]


@cache
def function(contract: str, name: str) -> Entry:
    """A function by name or full signature; raises where there is none or more than one."""
    found = [
        entry
        for entry in entries(contract)
        if entry.kind == "function" and name in (entry.name, entry.signature)
    ]
    if len(found) != 1:
        raise InvalidValue(f"{contract} function", name, "is ambiguous" if found else "is unknown")
    return found[0]


@cache
def event(contract: str, name: str) -> Entry:
    """An event by name."""
    for entry in entries(contract):
        if entry.kind == "event" and entry.name == name:
            return entry
    raise InvalidValue(f"{contract} event", name, "is unknown")


def topic(contract: str, name: str) -> str:
    """Topic 0 of an event as a 0x string."""
    return "0x" + event(contract, name).id.hex()


def selector(contract: str, name: str) -> bytes:
    """The 4-byte selector of a function."""
    return function(contract, name).id


# ------------------------------------------------------------------ values


@lru_cache(maxsize=65536)
def checksum(address: str) -> str:
    """A checksummed address from any 0x form; the hash behind it costs, so it is remembered."""
    return to_checksum_address(address)


def _to_abi(parameter: Parameter, kind: str, value: Any) -> Any:
    """A Python value as eth_abi takes it: structs as tuples, hex strings as bytes."""
    if kind.endswith("]"):
        inner = kind[: kind.rindex("[")]
        return [_to_abi(parameter, inner, item) for item in value]
    if parameter.components:
        fields = parameter.components
        if isinstance(value, Mapping):
            missing = [part.name for part in fields if part.name not in value]
            if missing or len(value) != len(fields):
                raise InvalidValue(parameter.name, sorted(value), f"needs exactly {missing or ''}")
            value = [value[part.name] for part in fields]
        return tuple(
            _to_abi(part, part.type, item) for part, item in zip(fields, value, strict=True)
        )
    if kind.startswith("bytes") and isinstance(value, str):
        return bytes.fromhex(value.removeprefix("0x"))
    return value


def readable(text: bytes) -> str:
    """A string of the chain as a text that can be stored and shown.

    Anybody can emit bytes that are no UTF-8: they become U+FFFD. Who needs the bytes themselves,
    to hash them, decodes strictly.
    """
    return text.decode("utf-8", "replace")


def from_abi(parameter: Parameter, kind: str, value: Any) -> Any:
    """A value of eth_abi in the one decoded form (see the module's docstring)."""
    if kind == "string" and isinstance(value, bytes):
        return readable(value)
    if kind.endswith("]"):
        inner = kind[: kind.rindex("[")]
        return [from_abi(parameter, inner, item) for item in value]
    if parameter.components:
        return {
            part.name: from_abi(part, part.type, item)
            for part, item in zip(parameter.components, value, strict=True)
        }
    if kind == "address":
        return checksum(value)
    if kind.startswith("bytes"):
        return "0x" + value.hex()
    return value


def encode_values(parameters: Sequence[Parameter], args: Sequence[Any], what: str) -> bytes:
    """abi.encode of `args`; raises InvalidValue naming `what` when one does not fit its type."""
    try:
        values = [
            _to_abi(part, part.type, value) for part, value in zip(parameters, args, strict=True)
        ]
        return abi_encode([part.type for part in parameters], values)
    except (EncodingError, ValueError, TypeError) as failure:
        raise InvalidValue(what, list(args), f"does not fit the ABI: {failure}") from failure


def decode_values(
    parameters: Sequence[Parameter], data: bytes, *, lenient: bool = False
) -> list[Any]:
    """Values of `data` in the one decoded form; raises InvalidValue when it does not fit.

    Strictly, a string that is no UTF-8 does not fit; `lenient` makes it `readable`.
    """
    types = [part.type for part in parameters]
    if lenient:
        types = [kind.replace("string", "bytes") for kind in types]
    try:
        values = abi_decode(types, data)
    except (DecodingError, OverflowError, UnicodeDecodeError) as failure:
        names = ",".join(part.type for part in parameters)
        raise InvalidValue("data", f"0x{data.hex()}", f"is not ({names}): {failure}") from failure
    return [
        from_abi(part, part.type, value) for part, value in zip(parameters, values, strict=True)
    ]


# ------------------------------------------------------------------- calls


def encode_call(contract: str, function: str, args: Sequence[Any] = ()) -> bytes:
    """The data of a call. `function` is a name, or a full signature where names are overloaded.

    Structs may be mappings by field name or sequences, bytes may be 0x strings.
    """
    entry = _function(contract, function, len(args))
    return entry.id + encode_values(entry.inputs, args, f"{contract}.{function}")


def decode_call(contract: str, data: bytes) -> tuple[str, dict[str, Any]]:
    """Name and arguments of a call; raises NotFound for a selector the contract does not have."""
    for entry in entries(contract):
        if entry.kind == "function" and entry.id == data[:4]:
            values = decode_values(entry.inputs, data[4:])
            return entry.name, _named(entry.inputs, values)
    raise NotFound(f"{contract} has no function 0x{data[:4].hex()}", contract=contract)


def decode_result(contract: str, function_name: str, data: bytes, arguments: int = -1) -> Any:
    """What a call returned: the value, or a dict by name when there are several."""
    entry = (
        function(contract, function_name)
        if arguments < 0
        else _function(contract, function_name, arguments)
    )
    values = decode_values(entry.outputs, data)
    return values[0] if len(values) == 1 else _named(entry.outputs, values)


def _named(parameters: Sequence[Parameter], values: Sequence[Any]) -> dict[str, Any]:
    return {part.name: value for part, value in zip(parameters, values, strict=True)}


# ------------------------------------------------------------------ errors


@cache
def _errors() -> dict[bytes, Entry]:
    return {
        entry.id: entry
        for contract in contract_names()
        for entry in entries(contract)
        if entry.kind == "error"
    }


def decode_error(data: bytes) -> tuple[str, dict[str, Any]] | None:
    """Name and arguments of a revert: a custom error of any contract, `Error` or `Panic`."""
    try:
        if data[:4] == _SOLIDITY_ERROR:
            return "Error", {"message": abi_decode(["string"], data[4:])[0]}
        if data[:4] == _SOLIDITY_PANIC:
            return "Panic", {"code": abi_decode(["uint256"], data[4:])[0]}
        entry = _errors().get(data[:4])
        if entry is None:
            return None
        return entry.name, _named(entry.inputs, decode_values(entry.inputs, data[4:]))
    except (DecodingError, OverflowError, InvalidValue):
        return None


def describe_error(name: str, args: Mapping[str, Any]) -> str:
    """One line for people: `TrustReceiptUsed(receiptId=0x…)`."""
    return f"{name}({', '.join(f'{key}={value}' for key, value in args.items())})"
