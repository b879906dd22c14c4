"""What a watcher is asked to sign and what it answers; its sign of life.

A request is the kind of act (u8) ‖ its content: a packed batch, or the fields of a void or an
anchor in fixed widths. The reply is a code (u8) ‖ the 65-byte signature, or the reason as text.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final, NamedTuple

import orjson

from backend.bus.venue_messages import watcher_subject
from backend.domain.batches import Void
from backend.domain.journal import Head
from backend.errors import InvalidValue

_VOID: Final = struct.Struct(">QQQQBQ32s")
_ANCHOR: Final = struct.Struct(">Q32s")


class ActCode(IntEnum):
    """Which kind of act is to be signed."""

    BATCH = 1
    VOID = 2
    ANCHOR = 3


class ReplyCode(IntEnum):
    """What the watcher says."""

    SIGNED = 0
    #: It has not replayed the journal so far yet, or its node is behind: ask again.
    BEHIND = 1
    #: Its own state gives other bytes: it never signs these.
    REFUSED = 2
    #: It has found the journal wrong and signs nothing any more.
    STOPPED = 3


class SignReply(NamedTuple):
    """`signature` when signed, else `reason`."""

    code: ReplyCode
    signature: bytes = b""
    reason: str = ""


def encode_void(void: Void) -> bytes:
    """The content of a void."""
    return _VOID.pack(*void)


def decode_void(content: bytes) -> Void:
    """The inverse; raises InvalidValue for anything else."""
    if len(content) != _VOID.size:
        raise InvalidValue("void", content.hex()[:80], f"is not {_VOID.size} bytes")
    return Void._make(_VOID.unpack(content))


def encode_anchor(head: Head) -> bytes:
    """The content of an anchor."""
    return _ANCHOR.pack(*head)


def decode_anchor(content: bytes) -> Head:
    """The inverse; raises InvalidValue for anything else."""
    if len(content) != _ANCHOR.size:
        raise InvalidValue("anchor", content.hex()[:80], f"is not {_ANCHOR.size} bytes")
    return Head._make(_ANCHOR.unpack(content))


def encode_sign_request(kind: ActCode, content: bytes) -> bytes:
    """Asks for the watcher's signature over an act."""
    return bytes((kind,)) + content


def decode_sign_request(body: bytes) -> tuple[ActCode, bytes]:
    """The inverse; raises InvalidValue for no known kind."""
    try:
        return ActCode(body[0]), body[1:]
    except (IndexError, ValueError):
        raise InvalidValue("sign request", body.hex()[:20], "is of no known kind") from None


def encode_sign_reply(reply: SignReply) -> bytes:
    """A watcher's answer."""
    return bytes((reply.code,)) + (reply.signature or reply.reason.encode()[:4_000])


def decode_sign_reply(body: bytes) -> SignReply:
    """The inverse; raises InvalidValue for anything else."""
    try:
        code = ReplyCode(body[0])
    except (IndexError, ValueError):
        raise InvalidValue("sign reply", body.hex()[:20], "is of no known kind") from None
    if code is not ReplyCode.SIGNED:
        return SignReply(code, reason=body[1:].decode(errors="replace"))
    if len(body) != 66:
        raise InvalidValue("sign reply", len(body), "does not hold a signature of 65 bytes")
    return SignReply(code, body[1:])


# ── sign of life ─────────────────────────────────────────────────────────────────────────────


def watcher_status_subject(chain_id: int, venue: int) -> str:
    """Where the watcher says how far it is, once a second."""
    return watcher_subject(chain_id, venue) + ".status"


class WatcherStatus(NamedTuple):
    """How far a watcher has replayed; `stopped` says why it signs nothing any more, or nothing.

    `chain_block` is the newest chain block whose logs it has compared; `address` its key's.
    """

    head: Head
    chain_block: int
    signed: int
    refused: int
    address: str
    stopped: str | None

    def encode(self) -> bytes:
        body = self._asdict() | {"seq": str(self.head.seq), "head": self.head.hash.hex()}
        return orjson.dumps(body | {name: str(body[name]) for name in self._fields[1:4]})

    @classmethod
    def decode(cls, body: bytes) -> WatcherStatus:
        """The inverse; raises InvalidValue for anything else."""
        try:
            found = orjson.loads(body)
            block, signed, refused = (int(found[name]) for name in cls._fields[1:4])
            head = Head(int(found["seq"]), bytes.fromhex(found["head"]))
            return cls(head, block, signed, refused, found["address"], found["stopped"])
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            raise InvalidValue("watcher status", body[:200], "is no status") from None
