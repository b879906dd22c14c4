"""L9: the golden journal is replayed for ever, to the same events and the same state."""

from __future__ import annotations

import gzip
import io
import json
from hashlib import sha256
from pathlib import Path

import pytest

from backend.domain.commands import KIND_OF
from backend.domain.journal import GENESIS_HASH, decode_entry, encode_entry, hash_entry
from backend.domain.journal_file import read_stored
from backend.domain.venue_events import KIND_OF as EVENT_KINDS
from backend.domain.venue_events import decode_events, encode_events
from backend.matching import Engine, dump, load

pytestmark = pytest.mark.unit

HOME = Path(__file__).resolve().parents[1] / "snapshots"
#: The second has what the first could not: classes that are held and released.
NAMES = ("golden_journal", "golden_journal_holds")


def replayed(name: str) -> tuple[set[type], set[type]]:
    """Kinds of commands and events of a golden journal that answers as it always has."""
    said = json.loads((HOME / f"{name}.json").read_text(encoding="utf-8"))
    file = io.BytesIO(gzip.decompress((HOME / f"{name}.gz").read_bytes()))
    engine, head, hashed = Engine(), GENESIS_HASH, sha256()
    commands: set[type] = set()
    events_seen: set[type] = set()
    for number, (raw, answered) in enumerate(read_stored(file), 1):
        entry = decode_entry(raw)
        assert (entry.seq, entry.previous, entry.rules) == (number, head, engine.rules or 1)
        assert encode_entry(entry) == raw
        if number % 1_000 == 0:
            engine = load(dump(engine))
        events = engine.apply(entry.time_ms, entry.command)
        assert encode_events(events) == answered, f"entry {number}: {entry.command}"
        assert decode_events(answered) == events
        head = hash_entry(raw)
        hashed.update(answered)
        commands.add(type(entry.command))
        events_seen.update(map(type, events))
    assert {
        "entries": number,
        "trades": engine.next_trade - 1,
        "head": head.hex(),
        "events_sha256": hashed.hexdigest(),
        "state_digest": engine.digest().hex(),
    } == said
    return commands, events_seen


def test_l9_the_golden_journals_give_their_events_and_their_state() -> None:
    runs = [replayed(name) for name in NAMES]
    assert set().union(*(one[0] for one in runs)) == set(KIND_OF), "a command is in none"
    for _, seen in runs:
        assert seen == set(EVENT_KINDS), "a kind of event is not in a golden journal"
