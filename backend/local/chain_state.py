"""Keeps the local chain's state on disk so that a kill at any moment leaves a good generation.

Anvil's own `--state` file is not written atomically and a truncated one keeps Anvil from starting.
Here a dump is written to a temporary file, synced and renamed, then a sidecar beside it in the same
way; only a dump whose sidecar names its SHA-256 counts. Two generations stay, and one from
before any reorganisation.
"""

from __future__ import annotations

import gzip
import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from backend.errors import ChainUnavailable

#: Generations that stay on disk: the newest and one to fall back to.
KEPT = 2
#: So many chain blocks a reorganisation may replace: a generation that lies deeper stays as well.
#: One that was replaced cannot be brought back to where it parted: a dump holds one state.
DEEPEST = 32


@dataclass(frozen=True)
class Generation:
    """A saved state of the chain: `block_number` and `block_hash` of its newest block."""

    number: int
    block_number: int
    block_hash: str
    sha256: str
    size_bytes: int

    @property
    def name(self) -> str:
        """File name of the dump."""
        return f"state-{self.number:08d}.json"


@dataclass(frozen=True)
class Chosen:
    """What a start finds: the generation to load, and why newer ones were passed over."""

    generation: Generation | None
    path: Path | None
    refused: tuple[str, ...]


def write_atomically(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Write a file so that a reader or a crash sees the old or the new content, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make renames in the directory durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def block_number_of(dump: bytes) -> int:
    """Number of the newest block in a dump as `--load-state` reads it."""
    number = orjson.loads(dump)["best_block_number"]
    return int(number, 16) if isinstance(number, str) else int(number)


def without_orphans(dump: bytes, header_at: Callable[[int], Any]) -> bytes:
    """The dump with one chain block per number: the one that stands.

    Anvil dumps every chain block that it ever held: those that a reorganisation replaced, and the
    genesis it made before it loaded an earlier state. Loading takes whichever comes last, at
    random. `header_at` asks the running chain; raises ChainUnavailable when it has moved on
    meanwhile, so that none matches: the next save will do.
    """
    content = orjson.loads(dump)
    by_number: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for block in content["blocks"]:
        by_number[int(block["header"]["number"], 16)].append(block)
    if len(by_number) == len(content["blocks"]):
        return dump
    kept = []
    for number, blocks in sorted(by_number.items()):
        if len(blocks) > 1:
            standing = _marks(header_at(number) or {})
            blocks = [block for block in blocks if _marks(block["header"]) == standing][:1]
            if not blocks:
                raise ChainUnavailable(
                    f"chain block {number} was replaced while the state was saved", block=number
                )
        kept += blocks
    content["blocks"] = kept
    return orjson.dumps(content)


def _marks(header: Mapping[str, Any]) -> tuple[Any, ...]:
    """What tells two headers of one number apart: their hashes are not in the dump."""
    names = ("parentHash", "stateRoot", "transactionsRoot", "receiptsRoot", "mixHash")
    return (*(header.get(name) for name in names), int(header.get("timestamp", "0x0"), 16))


def unpack(dumped: str) -> bytes:
    """The JSON inside the answer of `anvil_dumpState` (hex of gzip)."""
    return gzip.decompress(bytes.fromhex(dumped.removeprefix("0x")))


def save(directory: Path, dump: bytes, block_number: int, block_hash: str) -> Generation:
    """Write a dump as the newest generation and drop those beyond `KEPT`."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    numbers = _numbers(directory)
    generation = Generation(
        number=numbers[-1] + 1 if numbers else 1,
        block_number=block_number,
        block_hash=block_hash,
        sha256=hashlib.sha256(dump).hexdigest(),
        size_bytes=len(dump),
    )
    write_atomically(directory / generation.name, dump)
    write_atomically(_sidecar(directory, generation.number), orjson.dumps(asdict(generation)))
    _prune(directory)
    return generation


def choose(directory: Path) -> Chosen:
    """The newest generation whose dump is whole; the reasons for those that are not."""
    refused = []
    for number in reversed(_numbers(directory)):
        generation = read_sidecar(directory, number)
        path = directory / f"state-{number:08d}.json"
        if generation is None:
            refused.append(f"{path.name} has no readable sidecar")
            continue
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() == generation.sha256:
            return Chosen(generation, path, tuple(refused))
        refused.append(
            f"{path.name} holds {len(content)} bytes of the {generation.size_bytes} written"
            if len(content) != generation.size_bytes
            else f"{path.name} does not have the hash in its sidecar"
        )
    return Chosen(None, None, tuple(refused))


def oldest_kept_block(directory: Path) -> int:
    """Number of the oldest chain block a start may fall back to; 0 when nothing is saved.

    Who records transactions to send them again must keep those of every later block.
    """
    numbers = _numbers(directory)
    generations = [read_sidecar(directory, number) for number in numbers]
    blocks = [generation.block_number for generation in generations if generation]
    return min(blocks) if len(blocks) >= KEPT else 0


def read_sidecar(directory: Path, number: int) -> Generation | None:
    """The sidecar of a generation, or None when it is absent or damaged."""
    try:
        fields = orjson.loads(_sidecar(directory, number).read_bytes())
        return Generation(**fields)
    except (OSError, ValueError, TypeError):
        return None


def discard_after(directory: Path, number: int) -> None:
    """Put generations newer than `number` aside as `.bad`: the chain goes on from an older one."""
    for newer in _numbers(directory):
        if newer > number:
            path = directory / f"state-{newer:08d}.json"
            path.replace(path.with_suffix(".bad"))
            _sidecar(directory, newer).unlink(missing_ok=True)


def _sidecar(directory: Path, number: int) -> Path:
    return directory / f"state-{number:08d}.meta.json"


def _numbers(directory: Path) -> list[int]:
    names = (path.name for path in directory.glob("state-*.json"))
    return sorted(int(name[6:14]) for name in names if not name.endswith(".meta.json"))


def keep_newest(directory: Path) -> None:
    """Drop all but the newest `KEPT` generations: those before hold too little to go on from."""
    _drop(directory, _numbers(directory)[:-KEPT])


def older_than(directory: Path, number: int) -> bool:
    """Whether a start can fall back to a generation before this one."""
    return any(read_sidecar(directory, older) for older in _numbers(directory) if older < number)


def _prune(directory: Path) -> None:
    """Beyond the newest, keep the newest one below `DEEPEST`, and the oldest one above: it takes
    the other's place in time.
    """
    *older, newest = _numbers(directory)
    head = read_sidecar(directory, newest)
    older = older[: 1 - KEPT]
    depth = {number: read_sidecar(directory, number) for number in older}
    deep = [
        number
        for number, held in depth.items()
        if held and head and head.block_number - held.block_number >= DEEPEST
    ]
    kept = {*deep[-1:], *[number for number in older if number not in deep][:1]}
    _drop(directory, [number for number in older if number not in kept])


def _drop(directory: Path, numbers: Iterable[int]) -> None:
    for number in numbers:
        (directory / f"state-{number:08d}.json").unlink(missing_ok=True)
        _sidecar(directory, number).unlink(missing_ok=True)
    for left in directory.glob(".*.tmp"):
        left.unlink(missing_ok=True)
