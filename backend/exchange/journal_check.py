"""Checking a stored journal: its chain of hashes, its signatures, and by replay its events (L9)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from backend.chain.signatures import Verifier
from backend.domain.commands import OpenVenue
from backend.domain.journal import GENESIS_HASH, Entry, Head, decode_entry, hash_entry
from backend.domain.journal_file import Stored
from backend.domain.orders import exchange_domain
from backend.errors import InvalidValue, JournalInconsistent, NotAuthorised
from backend.exchange.recovery import Follower


class Checked(NamedTuple):
    """What a journal that holds says of itself; `digest` of the state that replay led to."""

    head: Head
    epochs: int
    trades: int
    digest: bytes | None


def check_journal(stored: Iterable[Stored | tuple[bytes, bytes]], *, replay: bool) -> Checked:
    """Check every entry; JournalInconsistent names the first that is wrong.

    Number, hash of the one before, epoch and time that never fall, the trader's signature; with
    `replay` also that the matcher gives exactly the stored events.
    """
    head, epoch, time_ms = Head(0, GENESIS_HASH), 0, 0
    verifier: Verifier | None = None
    follower = Follower() if replay else None
    for raw, events in stored:
        entry = _decoded(raw, head)
        if entry.epoch < epoch or entry.time_ms < time_ms:
            raise _broken(entry.seq, "is of an older epoch or time than the entry before it")
        if verifier is None:
            if not isinstance(entry.command, OpenVenue):
                raise _broken(entry.seq, "is the first and opens no venue")
            exchange = "0x" + entry.command.exchange.hex()
            verifier = Verifier(exchange_domain(entry.command.chain_id, exchange))
        try:
            verifier.check(entry.command)
        except (InvalidValue, NotAuthorised) as error:
            raise _broken(entry.seq, f"is not signed by its trader: {error.message}") from error
        if follower is not None:
            follower.take_one(raw, events)
        head, epoch, time_ms = Head(entry.seq, hash_entry(raw)), entry.epoch, entry.time_ms
    trades = follower.engine.next_trade - 1 if follower else 0
    return Checked(head, epoch, trades, follower.engine.digest() if follower else None)


def _decoded(raw: bytes, head: Head) -> Entry:
    try:
        entry = decode_entry(raw)
    except InvalidValue as error:
        raise _broken(head.seq + 1, f"cannot be read: {error.message}") from error
    if entry.seq != head.seq + 1 or entry.previous != head.hash:
        raise _broken(head.seq + 1, "does not follow from the entry before it")
    return entry


def _broken(seq: int, rule: str) -> JournalInconsistent:
    return JournalInconsistent(f"journal entry {seq} {rule}", seq=seq, rule=rule)
