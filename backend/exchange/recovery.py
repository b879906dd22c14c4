"""The engine's state from the journal: a snapshot, then every entry after it, checked (L9)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from backend.domain.journal import GENESIS_HASH, Head, decode_entry, hash_entry
from backend.domain.venue_events import encode_events
from backend.errors import InvalidValue, JournalInconsistent
from backend.matching.engine import Engine
from backend.store.journal import Journal, JournalRow

#: Entries that are read and replayed at once.
STEP: Final = 2_000


class Follower:
    """An engine that stands at `head` of its journal and goes on with it."""

    def __init__(self, engine: Engine | None = None, head: Head | None = None) -> None:
        self.engine = Engine() if engine is None else engine
        self.head = Head(0, GENESIS_HASH) if head is None else head
        self.epoch = 0

    def take(self, rows: Iterable[JournalRow]) -> None:
        """Replay stored entries. Raises JournalInconsistent naming the first that is not right:
        another number, hash or epoch than follows, or other events than replaying it gives."""
        for row in rows:
            self.take_one(row.entry, row.events)

    def take_one(self, raw: bytes, events: bytes) -> None:
        """Replay one entry; the same complaints."""
        seq, previous = self.head
        try:
            entry = decode_entry(raw)
            if entry.seq != seq + 1 or entry.previous != previous:
                raise _broken(seq + 1, "does not follow from the entry before it")
            if entry.epoch < self.epoch or entry.rules != self.engine.rules:
                raise _broken(entry.seq, "has an epoch or a version of the rules that is over")
            made = encode_events(self.engine.apply(entry.time_ms, entry.command))
        except InvalidValue as error:
            raise _broken(seq + 1, f"cannot be replayed: {error.message}") from error
        if made != events:
            raise _broken(entry.seq, "has other events than replaying it gives")
        self.epoch = entry.epoch
        self.head = Head(entry.seq, hash_entry(raw))


def _broken(seq: int, rule: str) -> JournalInconsistent:
    return JournalInconsistent(f"journal entry {seq} {rule}", seq=seq, rule=rule)


def catch_up(journal: Journal, follower: Follower, limit: int = STEP) -> int:
    """Replay what the journal has beyond the follower, at most `limit` entries; how many."""
    rows = journal.read(follower.head.seq + 1, limit)
    follower.take(rows)
    return len(rows)
