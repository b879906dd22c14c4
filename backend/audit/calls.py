"""Finds the call behind an event, and turns its arguments into what was signed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from backend.audit.evidence import Evidence
from backend.chain import abi
from backend.chain.keys import recover
from backend.domain import eip712
from backend.errors import CausewayError, ChainRejected, InvalidValue


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a contract: who called it, the function and its arguments by name."""

    caller: str
    function: str
    args: Mapping[str, Any]


@dataclass(slots=True)
class Calls:
    """Calls by transaction. A call made through another contract needs a trace of the endpoint."""

    evidence: Evidence
    traced: int = 0
    _traces: dict[str, list[dict[str, Any]] | None] = field(default_factory=dict)

    def of(self, contract: str, transaction_hash: str) -> list[Call] | None:
        """Calls of a contract in a transaction; None when the endpoint cannot tell."""
        transaction = self.evidence.transactions([transaction_hash]).get(transaction_hash)
        if transaction is None:
            return None
        address = self.evidence.deployment.contracts[contract].address.lower()
        if (transaction.get("to") or "").lower() == address:
            frames = [{"from": transaction["from"], "input": transaction["input"]}]
        else:
            traced = self._trace(transaction_hash)
            if traced is None:
                return None
            frames = [frame for frame in traced if (frame.get("to") or "").lower() == address]
        return [call for frame in frames if (call := _decode(contract, frame))]

    def _trace(self, transaction_hash: str) -> list[dict[str, Any]] | None:
        if transaction_hash not in self._traces:
            try:
                tracer = {"tracer": "callTracer"}
                top = self.evidence.rpc.call("debug_traceTransaction", transaction_hash, tracer)
                self._traces[transaction_hash] = list(_frames(top))
                self.traced += 1
            except ChainRejected:
                self._traces[transaction_hash] = None
        return self._traces[transaction_hash]


def _frames(frame: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every call that took effect, in order; what a delegate does is not the contract's call."""
    if frame.get("error"):
        return
    if frame.get("type", "CALL") == "CALL":
        yield frame
    for inner in frame.get("calls", ()):
        yield from _frames(inner)


def _decode(contract: str, frame: dict[str, Any]) -> Call | None:
    try:
        data = bytes.fromhex(frame["input"].removeprefix("0x"))
        function, args = abi.decode_call(contract, data)
    except CausewayError:
        return None
    return Call(abi.checksum(frame["from"]), function, args)


def as_message(types: eip712.Types, kind: str, value: Any) -> Any:
    """A decoded argument as `eip712.digest` takes it: 0x strings of fixed bytes as bytes."""
    if kind.endswith("[]"):
        return [as_message(types, kind[:-2], item) for item in value]
    if kind in types:
        return {name: as_message(types, inner, value[name]) for name, inner in types[kind]}
    if kind.startswith("bytes"):
        return bytes.fromhex(value.removeprefix("0x"))
    return value


def recover_signers(digest: bytes, signatures: list[str]) -> list[str] | None:
    """Who signed, in the order of the signatures; None when one of them is no signature."""
    try:
        return [recover(digest, bytes.fromhex(one.removeprefix("0x"))) for one in signatures]
    except InvalidValue:
        return None
