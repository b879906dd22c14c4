"""Subjects and codecs of a venue: commands to its leader, answers, heartbeats, what is committed.

A request is its deadline in Unix milliseconds (u64) ‖ how many commands (u16) ‖ per command its
kind (u8) and its payload, the journal's own bytes. The reply has one answer per command, in order.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum
from typing import Final, NamedTuple

from backend.domain.acknowledgements import Acknowledgement, decode_path
from backend.domain.commands import (
    TRADER_PAYLOAD_BYTES,
    Command,
    TraderCommand,
    decode_command,
    encode_command,
)
from backend.domain.journal import HEAD_BYTES, hash_entry
from backend.domain.journal_file import Stored
from backend.errors import InvalidValue

#: Most commands in one request.
MAX_COMMANDS: Final = 64
#: NATS takes a megabyte; longer commits are published in parts, longer entries not at all.
MAX_BODY: Final = 900_000
_REQUEST: Final = struct.Struct(">QH")
_COUNT: Final = struct.Struct(">H")
_COMMITTED: Final = struct.Struct(">IQI")
_HEARTBEAT: Final = struct.Struct(">IQ32s20s")
_ACCEPTED: Final = struct.Struct(">BIIB65s")
_REFUSED: Final = struct.Struct(">BH")
_LENGTHS: Final = struct.Struct(">II")


def _subject(chain_id: int, venue: int, rest: str) -> str:
    return f"causeway.{chain_id}.{venue}.{rest}"


def commands_subject(chain_id: int, venue: int, epoch: int) -> str:
    """Where the leader of an epoch takes commands."""
    return _subject(chain_id, venue, f"commands.{epoch}")


def leader_subject(chain_id: int, venue: int) -> str:
    """Where leaders say that they lead."""
    return _subject(chain_id, venue, "leader")


def committed_subject(chain_id: int, venue: int, epoch: int | str = "*") -> str:
    """Where the leader of an epoch (or of any) publishes what it has committed."""
    return _subject(chain_id, venue, f"committed.{epoch}")


def watcher_subject(chain_id: int, venue: int) -> str:
    """Where the watcher is asked to sign."""
    return _subject(chain_id, venue, "watcher")


# ── heartbeats ───────────────────────────────────────────────────────────────────────────────


class Heartbeat(NamedTuple):
    """Who leads in which epoch, and the last committed entry; `leader` signs acknowledgements."""

    epoch: int
    seq: int
    hash: bytes
    leader: bytes

    def encode(self) -> bytes:
        return _HEARTBEAT.pack(*self)

    @classmethod
    def decode(cls, body: bytes) -> Heartbeat:
        """The inverse of `encode`; raises InvalidValue for anything else."""
        if len(body) != _HEARTBEAT.size:
            raise InvalidValue("heartbeat", body.hex()[:80], "is no heartbeat")
        return cls._make(_HEARTBEAT.unpack(body))


# ── requests ─────────────────────────────────────────────────────────────────────────────────


class Request(NamedTuple):
    """Commands of traders with their journal bytes (kind ‖ payload); nothing after `deadline_ms`
    is accepted."""

    deadline_ms: int
    commands: tuple[tuple[TraderCommand, bytes], ...]


def encode_record(command: Command) -> bytes:
    """A command as it stands in a request: kind ‖ payload."""
    kind, payload = encode_command(command)
    return bytes((kind,)) + payload


def encode_request(deadline_ms: int, records: Sequence[bytes]) -> bytes:
    """A request of encoded commands."""
    return _REQUEST.pack(deadline_ms, len(records)) + b"".join(records)


def decode_request(body: bytes) -> Request:
    """The inverse; raises InvalidValue, also for a command that is not a trader's."""
    if len(body) < _REQUEST.size:
        raise InvalidValue("request", body.hex()[:80], "is too short")
    deadline_ms, count = _REQUEST.unpack_from(body)
    if not 0 < count <= MAX_COMMANDS:
        raise InvalidValue("request", count, f"does not have 1 to {MAX_COMMANDS} commands")
    commands: list[tuple[TraderCommand, bytes]] = []
    at = _REQUEST.size
    for _ in range(count):
        kind = body[at] if at < len(body) else 0
        size = TRADER_PAYLOAD_BYTES.get(kind)
        if size is None:
            raise InvalidValue("request", kind, "is no kind of a trader's command")
        record = body[at : at + 1 + size]
        commands.append((decode_command(kind, record[1:]), record))  # type: ignore[arg-type]
        at += 1 + size
    if at != len(body):
        raise InvalidValue("request", len(body), f"has {len(body) - at} bytes too many")
    return Request(deadline_ms, tuple(commands))


# ── answers ──────────────────────────────────────────────────────────────────────────────────


class AnswerCode(IntEnum):
    """What became of a command; only the first two are in the journal."""

    ACCEPTED = 0
    #: The same command came before: its first answer.
    REPEATED = 1
    BAD_SIGNATURE = 2
    #: The nonce was used by another command.
    CONFLICT = 3
    NONCE_TOO_FAR = 4
    #: The nonce is far below those in use: what it was for is not kept at hand.
    NONCE_TOO_OLD = 5
    LATE = 6
    BUSY = 7
    INVALID = 8
    #: Its trader was never admitted and has nothing here: no command of its could do anything.
    NOT_ADMITTED = 9
    #: It has its answer in the journal, with more events than one message of the bus can carry.
    TOO_LARGE = 10


class Answer(NamedTuple):
    """The answer to one command: journalled with its events and acknowledgement, or why not."""

    code: AnswerCode
    entry: bytes = b""
    events: bytes = b""
    #: From the entry up to the root that `signature` signs, as `encode_path` writes it.
    path: bytes = b""
    signature: bytes = b""
    detail: str = ""

    @property
    def journalled(self) -> bool:
        return self.code <= AnswerCode.REPEATED

    @property
    def acknowledgement(self) -> Acknowledgement | None:
        """What the sequencer signed for it, None when nothing was journalled."""
        if not self.journalled:
            return None
        seq = int.from_bytes(self.entry[1:9], "big")
        return Acknowledgement(seq, hash_entry(self.entry), decode_path(self.path), self.signature)


def encode_journalled(
    code: AnswerCode, entry: bytes, events: bytes, path: bytes, signature: bytes
) -> bytes:
    """An answer with the entry, its events, its encoded path and the signed root's signature."""
    head = _ACCEPTED.pack(code, len(entry), len(events), len(path) // 33, signature)
    return b"".join((head, entry, events, path))


def encode_refused(code: AnswerCode, detail: str = "") -> bytes:
    """An answer that nothing was journalled, and why."""
    text = detail.encode()[:1_000]
    return _REFUSED.pack(code, len(text)) + text


def encode_reply(answers: Sequence[bytes]) -> bytes:
    """The reply to one request."""
    return _COUNT.pack(len(answers)) + b"".join(answers)


def decode_reply(body: bytes) -> list[Answer]:
    """The answers of a reply, in the order of the commands; raises InvalidValue."""
    try:
        (count,) = _COUNT.unpack_from(body)
        answers, at = [], _COUNT.size
        for _ in range(count):
            answer, at = _decode_answer(body, at)
            answers.append(answer)
        if at != len(body):
            raise ValueError("bytes are left over")
    except (struct.error, ValueError, IndexError) as error:
        raise InvalidValue("reply", body.hex()[:80], f"is no reply: {error}") from None
    return answers


def _decode_answer(body: bytes, at: int) -> tuple[Answer, int]:
    code = AnswerCode(body[at])
    if code > AnswerCode.REPEATED:
        _, length = _REFUSED.unpack_from(body, at)
        end = at + _REFUSED.size + length
        text = body[at + _REFUSED.size : end].decode(errors="replace")
        return Answer(code, detail=text), end
    _, entry_size, events_size, levels, signature = _ACCEPTED.unpack_from(body, at)
    start = at + _ACCEPTED.size
    middle = start + entry_size
    path_at = middle + events_size
    end = path_at + levels * 33
    entry, events = body[start:middle], body[middle:path_at]
    if end > len(body) or entry_size < HEAD_BYTES:
        raise ValueError("it is cut off")
    return Answer(code, entry, events, body[path_at:end], signature), end


# ── what is committed ────────────────────────────────────────────────────────────────────────


class Committed(NamedTuple):
    """Entries of one commit from `first_seq` on; none when they were too long for the bus.

    A reader that misses numbers reads them in the journal.
    """

    epoch: int
    first_seq: int
    stored: tuple[Stored, ...]


def encode_committed(
    epoch: int, first_seq: int, stored: Iterable[tuple[bytes, bytes]]
) -> Iterator[bytes]:
    """A commit as messages, each below the bus's limit."""
    parts: list[bytes] = []
    size = count = 0
    for entry, events in stored:
        length = _LENGTHS.size + len(entry) + len(events)
        if parts and size + length > MAX_BODY:
            yield _COMMITTED.pack(epoch, first_seq, count) + b"".join(parts)
            parts, size, first_seq, count = [], 0, first_seq + count, 0
        if length > MAX_BODY:
            # Announced without its content: its readers find it in the journal.
            yield _COMMITTED.pack(epoch, first_seq, 0)
            first_seq += 1
            continue
        parts += (_LENGTHS.pack(len(entry), len(events)), entry, events)
        size += length
        count += 1
    if parts:
        yield _COMMITTED.pack(epoch, first_seq, count) + b"".join(parts)


def decode_committed(body: bytes) -> Committed:
    """The inverse for one message; raises InvalidValue for anything else."""
    try:
        epoch, first_seq, count = _COMMITTED.unpack_from(body)
        stored, at = [], _COMMITTED.size
        for _ in range(count):
            entry_size, events_size = _LENGTHS.unpack_from(body, at)
            start = at + _LENGTHS.size
            at = start + entry_size + events_size
            stored.append(Stored(body[start : start + entry_size], body[start + entry_size : at]))
        if at != len(body):
            raise ValueError("its length is another")
    except (struct.error, ValueError) as error:
        raise InvalidValue("committed", body.hex()[:80], f"is no commit: {error}") from None
    return Committed(epoch, first_seq, tuple(stored))
