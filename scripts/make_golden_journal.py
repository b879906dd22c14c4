"""Write `tests/snapshots/NAME.*`: a journal of every kind of command, with its answers.

    .venv/bin/python scripts/make_golden_journal.py NAME

To be run when new rules or a new kind of command add a golden journal of their own, under a new
name, never to make a failing test pass: the committed ones say what was answered for ever (L9).
"""

from __future__ import annotations

import gzip
import io
import json
import sys
from hashlib import sha256
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from backend.domain.commands import ActivateRules, StartEpoch  # noqa: E402
from backend.domain.journal import GENESIS_HASH, Entry, encode_entry, hash_entry  # noqa: E402
from backend.domain.journal_file import write_header, write_stored  # noqa: E402
from backend.domain.venue_events import encode_events  # noqa: E402
from tests.matching.random_flow import Pair, RandomFlow  # noqa: E402

SEED = 20_261_121
COUNT = 4_000
HOME = REPOSITORY / "tests" / "snapshots"


def main(name: str) -> None:
    flow, pair = RandomFlow(SEED), Pair()
    previous, epoch, stored, hashed = GENESIS_HASH, 1, [], sha256()
    opening = flow.opening()
    for index in range(COUNT):
        if opening:
            time_ms, command = opening.pop(0)
        elif index == 100:
            time_ms, command = pair.engine.time_ms, ActivateRules(1)
        else:
            time_ms, command = flow.next(pair.engine)
        epoch += isinstance(command, StartEpoch)
        rules = pair.engine.rules
        events = encode_events(pair.step(time_ms, command))
        pair.check()
        raw = encode_entry(Entry(index + 1, epoch, rules, time_ms, previous, command))
        previous = hash_entry(raw)
        hashed.update(events)
        stored.append((raw, events))
    file = io.BytesIO()
    write_header(file)
    write_stored(file, stored)
    packed = gzip.compress(file.getvalue(), 9, mtime=0)
    (HOME / f"{name}.gz").write_bytes(packed)
    said = {
        "entries": COUNT,
        "trades": pair.engine.next_trade - 1,
        "head": previous.hex(),
        "events_sha256": hashed.hexdigest(),
        "state_digest": pair.engine.digest().hex(),
    }
    (HOME / f"{name}.json").write_text(json.dumps(said, indent=1) + "\n")
    print(json.dumps(said), len(packed), "bytes")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
