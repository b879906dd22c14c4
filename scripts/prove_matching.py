"""Millions of random events through the engine and its naive twin, and the whole bench flow.

Equal fills after every event; every `--check` events equal books and balances, no crossed book, no
balance below zero, sums conserved; at the end the same digest from a replay of the last stretch on
a snapshot. Memory stays bounded: nothing is kept of what has passed. Prints as it goes and exits
with an error at the first difference, which names the seed and the event.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from backend.domain.commands import Command  # noqa: E402
from backend.domain.venue_events import Event  # noqa: E402
from backend.matching import dump, load  # noqa: E402
from tests.matching import flow_commands  # noqa: E402
from tests.matching.random_flow import Pair, RandomFlow  # noqa: E402

#: A new venue so often: nonces, books and sums begin anew with another seed.
PER_VENUE = 250_000
#: The last events of a venue, replayed on a snapshot taken before them.
REPLAYED = 2_000


def prove_venue(seed: int, count: int, check_every: int) -> tuple[int, int]:
    """(fills, most orders open at once) of one venue of `count` random events."""
    flow, pair, most = RandomFlow(seed), Pair(), 0
    for time_ms, command in flow.opening():
        pair.step(time_ms, command)
    snapshot = b""
    tail: list[tuple[int, Command, list[Event]]] = []
    for index in range(count):
        if index == count - REPLAYED:
            snapshot = dump(pair.engine)
        time_ms, command = flow.next(pair.engine)
        try:
            events = pair.step(time_ms, command)
            if index % check_every == 0 or index == count - 1:
                pair.check()
                most = max(most, len(pair.twin.open))
        except AssertionError as error:
            raise SystemExit(f"seed {seed}, event {index}, {command}: {error}") from error
        if snapshot:
            tail.append((time_ms, command, events))
    if snapshot:
        again = load(snapshot)
        for time_ms, command, events in tail:
            assert again.apply(time_ms, command) == events, f"seed {seed}: replay differs"
        assert again.digest() == pair.engine.digest(), f"seed {seed}: digest differs"
    return pair.fills, most


def prove_random(events: int, check_every: int, seed: int) -> dict[str, Any]:
    """All random events, venue by venue."""
    started = time.monotonic()
    done = fills = most = 0
    while done < events:
        count = min(PER_VENUE, events - done)
        filled, opened = prove_venue(seed, count, check_every)
        done, fills, most, seed = done + count, fills + filled, max(most, opened), seed + 1
        seconds = time.monotonic() - started
        print(
            f"{done:>12,} events  {fills:>10,} fills  {done / seconds:>8,.0f}/s  "
            f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MiB",
            flush=True,
        )
    return {"events": done, "fills": fills, "most_open": most, "seconds": round(seconds)}


def prove_flow(count: int, seed: int) -> dict[str, Any]:
    """The bench's flow through the engine: its figures must be the flow's own."""
    rows, expected = flow_commands.rows(count, seed)
    engine, found = flow_commands.opened_engine(), flow_commands.FillHash(rows)
    for command in flow_commands.Commands().take(rows):
        found.take(engine.apply(flow_commands.TIME_MS, command))
    figures = {**found.figures(), "live": len(engine.open_orders())}
    wanted = {name: expected[count][name] for name in figures}
    if figures != wanted:
        raise SystemExit(f"flow of {count} events: {figures}, expected {wanted}")
    return {"flow_events": count, **figures}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--check", type=int, default=100, help="compare all state so often")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--flow", type=int, default=1_000_000, help="events of flow.py, 0: none")
    arguments = parser.parse_args()
    result: dict[str, Any] = {}
    if arguments.flow:
        result |= prove_flow(arguments.flow, 1)
        print(json.dumps(result), flush=True)
    if arguments.events:
        result |= prove_random(arguments.events, arguments.check, arguments.seed)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
