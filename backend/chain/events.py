"""Raw logs to ChainEvents, fast: static words are cut from the hex, eth_abi reads the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from backend.chain import abi
from backend.chain.abi import Entry, Parameter
from backend.chain.manifest import Deployment
from backend.domain.events import ChainEvent

#: Reads one 64-digit word of hex.
_Word = Callable[[str], Any]
#: Per event: its name, readers of the topics after the first, readers of the data's words; or
#: None and the parameters that need eth_abi.
_Reader = tuple[
    str, tuple[tuple[str, _Word], ...], tuple[tuple[str, int, _Word], ...] | None, Entry
]

_SIGN: Final = 1 << 255
_WRAP: Final = 1 << 256


def _unsigned(word: str) -> int:
    return int(word, 16)


def _signed(word: str) -> int:
    value = int(word, 16)
    return value - _WRAP if value >= _SIGN else value


def _address(word: str) -> str:
    return abi.checksum("0x" + word[24:])


def _boolean(word: str) -> bool:
    return word[63] == "1"


def _fixed_bytes(size: int) -> _Word:
    end = 2 * size
    return lambda word: "0x" + word[:end]


def _word_reader(kind: str) -> _Word | None:
    """How one word of this type is read; None for what is no single word."""
    if kind.endswith("]") or kind.startswith("(") or kind in ("string", "bytes"):
        return None
    if kind.startswith("uint"):
        return _unsigned
    if kind.startswith("int"):
        return _signed
    if kind.startswith("bytes"):
        return _fixed_bytes(int(kind[5:]))
    return {"address": _address, "bool": _boolean}[kind]


def _topic_reader(parameter: Parameter) -> _Word:
    # An indexed string, array or struct leaves only its hash.
    return _word_reader(parameter.type) or (lambda word: "0x" + word)


def _reader(entry: Entry) -> _Reader:
    topics = tuple((part.name, _topic_reader(part)) for part in entry.inputs if part.indexed)
    plain = [part for part in entry.inputs if not part.indexed]
    readers = [_word_reader(part.type) for part in plain]
    words: list[tuple[str, int, _Word]] = []
    for index, (part, reader) in enumerate(zip(plain, readers, strict=True)):
        if reader is None:
            return entry.name, topics, None, entry
        words.append((part.name, 2 + 64 * index, reader))
    return entry.name, topics, tuple(words), entry


def readers_of(contract: str) -> dict[str, _Reader]:
    """Per topic 0 how an event of this contract is read."""
    return {
        "0x" + entry.id.hex(): _reader(entry)
        for entry in abi.entries(contract)
        if entry.kind == "event"
    }


class EventDecoder:
    """Decodes logs of one deployment; built once, used for every range of chain blocks.

    `lenient`: strings that are no UTF-8 become readable instead of an InvalidValue. Who follows
    the chain needs that, or anybody with a kilogram to retire could stop it; an auditor does not.
    """

    def __init__(self, deployment: Deployment, *, lenient: bool = False) -> None:
        self._lenient = lenient
        self._contracts = {
            contract.address.lower(): (name, readers_of(name))
            for name, contract in deployment.contracts.items()
        }

    def decode(self, raw_logs: Iterable[Mapping[str, Any]]) -> list[ChainEvent]:
        """Events in the order of the logs; other contracts and unknown topics are left out."""
        events: list[ChainEvent] = []
        contracts = self._contracts
        for log in raw_logs:
            known = contracts.get(log["address"].lower())
            topics: Sequence[str] = log["topics"]
            reader = known[1].get(topics[0]) if known and topics else None
            if known is None or reader is None:
                continue
            name, indexed, words, entry = reader
            if len(topics) != len(indexed) + 1:  # the same topic 0 indexed otherwise: not ours
                continue
            args: dict[str, Any] = {}
            for position, (field, read) in enumerate(indexed, 1):
                args[field] = read(topics[position][2:])
            data: str = log["data"]
            if words is None:
                args = _with_dynamic(entry, args, data, self._lenient)
            else:
                for field, start, read in words:
                    args[field] = read(data[start : start + 64])
            events.append(
                ChainEvent(
                    known[0],
                    name,
                    args,
                    int(log["blockNumber"], 16),
                    log["blockHash"],
                    log["transactionHash"],
                    int(log["transactionIndex"], 16),
                    int(log["logIndex"], 16),
                )
            )
        return events


def _with_dynamic(entry: Entry, args: dict[str, Any], data: str, lenient: bool) -> dict[str, Any]:
    plain = [part for part in entry.inputs if not part.indexed]
    values = abi.decode_values(plain, bytes.fromhex(data[2:]), lenient=lenient)
    args.update((part.name, value) for part, value in zip(plain, values, strict=True))
    return args


def decode_logs(raw_logs: Iterable[Mapping[str, Any]], deployment: Deployment) -> list[ChainEvent]:
    """Decoded events of the deployment's contracts, in the order of the logs."""
    return EventDecoder(deployment).decode(raw_logs)
