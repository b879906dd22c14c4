"""One entry of a venue's journal: the exact bytes that are stored, hashed and anchored (L9).

Layout, big-endian: format version 1 (u8) ‖ seq (u64) ‖ epoch (u32) ‖ rules version (u16) ‖ time in
Unix milliseconds (u64) ‖ SHA-256 of the previous entry (32, zeros before the first) ‖ command kind
(u8) ‖ command payload. The entry's hash is the SHA-256 of all of it.
"""

from __future__ import annotations

import struct
from hashlib import sha256
from typing import Final, NamedTuple

from backend.domain.commands import Command, decode_command, encode_command
from backend.errors import InvalidValue

FORMAT: Final = 1
GENESIS_HASH: Final = bytes(32)
_HEAD: Final = struct.Struct(">BQIHQ32sB")
HEAD_BYTES: Final = _HEAD.size


class Entry(NamedTuple):
    """A decoded entry; `time_ms` never falls from one entry to the next."""

    seq: int
    epoch: int
    rules: int
    time_ms: int
    previous: bytes
    command: Command


class Head(NamedTuple):
    """Where a journal ends: the number and hash of its last entry."""

    seq: int
    hash: bytes


def encode_entry(entry: Entry) -> bytes:
    """The canonical bytes of an entry."""
    kind, payload = encode_command(entry.command)
    return encode_raw(entry.seq, entry.epoch, entry.rules, entry.time_ms, entry.previous, kind) + (
        payload
    )


def encode_raw(seq: int, epoch: int, rules: int, time_ms: int, previous: bytes, kind: int) -> bytes:
    """The bytes before the payload, for who has the payload already encoded."""
    return _HEAD.pack(FORMAT, seq, epoch, rules, time_ms, previous, kind)


def decode_entry(raw: bytes) -> Entry:
    """The inverse of `encode_entry`; raises InvalidValue for anything else."""
    if len(raw) < HEAD_BYTES or raw[0] != FORMAT:
        raise InvalidValue("journal entry", raw[:16].hex(), "is not of format 1")
    _, seq, epoch, rules, time_ms, previous, kind = _HEAD.unpack_from(raw)
    return Entry(seq, epoch, rules, time_ms, previous, decode_command(kind, raw[HEAD_BYTES:]))


def read_head(raw: bytes) -> tuple[int, int, int, int, bytes]:
    """(seq, epoch, rules, time_ms, previous) of an entry's bytes, for who has its command."""
    if len(raw) < HEAD_BYTES or raw[0] != FORMAT:
        raise InvalidValue("journal entry", raw[:16].hex(), "is not of format 1")
    _, seq, epoch, rules, time_ms, previous, _ = _HEAD.unpack_from(raw)
    return seq, epoch, rules, time_ms, previous


def hash_entry(raw: bytes) -> bytes:
    """SHA-256 of an entry's bytes."""
    return sha256(raw).digest()
