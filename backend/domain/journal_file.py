"""An exported journal as one file: the exact stored bytes of every entry and of its events.

Layout, big-endian: the 16 bytes `causeway-journal` ‖ version 1 (u16), then per entry its length
(u32) ‖ its bytes ‖ the length of its events (u32) ‖ their bytes. The entries stand in the order of
their numbers, from the first; nothing follows the last. Whoever has the file can check the chain
of hashes, replay it and compare the events without a database.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import BinaryIO, Final, NamedTuple

from backend.errors import InvalidValue

MAGIC: Final = b"causeway-journal"
VERSION: Final = 1
#: No entry has a longer command than an order, no list of events is longer than a full book's end.
MAX_PART: Final = 1 << 28
_VERSION: Final = struct.Struct(">H")
_LENGTH: Final = struct.Struct(">I")


class Stored(NamedTuple):
    """One entry as it was stored: its canonical bytes, and those of its events."""

    entry: bytes
    events: bytes


def write_header(file: BinaryIO) -> None:
    """Begin a file."""
    file.write(MAGIC + _VERSION.pack(VERSION))


def write_stored(file: BinaryIO, entries: Iterable[Stored | tuple[bytes, bytes]]) -> int:
    """Append entries; how many."""
    count = 0
    for entry, events in entries:
        file.write(_LENGTH.pack(len(entry)) + entry + _LENGTH.pack(len(events)) + events)
        count += 1
    return count


def read_stored(file: BinaryIO) -> Iterator[Stored]:
    """The entries of a file in order; raises InvalidValue that names the entry that is damaged."""
    head = file.read(len(MAGIC) + _VERSION.size)
    if head[: len(MAGIC)] != MAGIC or len(head) != len(MAGIC) + _VERSION.size:
        raise InvalidValue("journal file", head.hex(), "does not begin like an exported journal")
    (version,) = _VERSION.unpack_from(head, len(MAGIC))
    if version != VERSION:
        raise InvalidValue("journal file", version, f"has a version that is not {VERSION}")
    number = 0
    while True:
        number += 1
        entry = _part(file, number, "the entry", may_end=True)
        if entry is None:
            return
        events = _part(file, number, "its events", may_end=False)
        yield Stored(entry, events or b"")


def _part(file: BinaryIO, number: int, what: str, may_end: bool) -> bytes | None:
    raw = file.read(_LENGTH.size)
    if not raw and may_end:
        return None
    if len(raw) != _LENGTH.size:
        raise InvalidValue("journal file", number, f"is cut off before {what} of this number")
    (length,) = _LENGTH.unpack(raw)
    if length > MAX_PART:
        raise InvalidValue("journal file", number, f"is damaged: {what} has {length} bytes")
    found = file.read(length)
    if len(found) != length:
        raise InvalidValue("journal file", number, f"is cut off within {what} of this number")
    return found
