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
SAID = json.loads((HOME / "golden_journal.json").read_text(encoding="utf-8"))


def test_l9_the_golden_journal_gives_its_events_and_its_state() -> None:
    file = io.BytesIO(gzip.decompress((HOME / "golden_journal.gz").read_bytes()))
    engine, head, hashed = Engine(), GENESIS_HASH, sha256()
    commands, events_seen = set(), set()
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
    } == SAID
    assert commands == set(KIND_OF), "a kind of command is not in the golden journal"
    assert events_seen == set(EVENT_KINDS), "a kind of event is not in the golden journal"
