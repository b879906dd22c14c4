"""The engine's commands per second beside a bare matcher and the engines pip can install.

All of them take the flow of `bench/flow.py` (60 % adds, 10 % marketable, 30 % cancels) in one run.
Ours does all it does in production: accounts, reservations, self-trade rules, nonces, events. The
bare one is dictionaries, deques and heaps and answers nothing. The others only match; they are
no dependencies of ours: those that are importable are used (`--others DIR`, or
CAUSEWAY_BENCH_ENGINES, adds the directory where `pip install --target DIR` put them), the rest are
named as not installed.

Throughputs are per second of CPU time, which on an idle core is the time of the clock, and the best
of ROUNDS; latencies are by the clock, so they mean something on an idle core only.
"""

from __future__ import annotations

import argparse
import gc
import heapq
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from backend.domain.commands import NoteSettlement  # noqa: E402
from tests.matching import flow_commands as flow  # noqa: E402

EVENTS = 1_000_000
ROUNDS = 3
#: The collector as the sequencer tunes it: what lives is frozen, the old
#: generations are left alone: the engine makes no cycles, so nothing is missed.
GC_THRESHOLDS = (10_000, 10_000, 1_000)
#: Commands decoded and applied together; after each group the chain has settled its trades.
GROUP = 1_000
Rows = list[tuple[str, int, str, int, int, int]]


def tuned(run: Callable[[], Any]) -> tuple[float, Any]:
    """(seconds of CPU, result) of a run with the collector tuned as in production."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    started = time.process_time()
    result = run()
    seconds = time.process_time() - started
    gc.set_threshold(*before)
    gc.unfreeze()
    return seconds, result


class Bare:
    """Price-time matching and nothing else: what a Python matcher costs at least."""

    def __init__(self) -> None:
        self.levels: tuple[dict[int, deque[int]], dict[int, deque[int]]] = ({}, {})
        self.heaps: tuple[list[int], list[int]] = ([], [])
        self.left: dict[int, int] = {}
        self.trades = 0

    def add(self, order: int, side: int, price: int, quantity: int) -> None:
        left, heap, levels = self.left, self.heaps[1 - side], self.levels[1 - side]
        limit = -price if side else price
        while quantity and heap and heap[0] <= limit:
            queue = levels[heap[0]]
            while queue and quantity:
                maker = queue[0]
                theirs = left.get(maker)
                if theirs is None:
                    queue.popleft()
                    continue
                filled = theirs if theirs < quantity else quantity
                quantity -= filled
                self.trades += 1
                if theirs == filled:
                    queue.popleft()
                    del left[maker]
                else:
                    left[maker] = theirs - filled
            if not queue:
                del levels[heapq.heappop(heap)]
        if quantity:
            left[order] = quantity
            mine, key = self.levels[side], -limit
            if key not in mine:
                mine[key] = deque()
                heapq.heappush(self.heaps[side], key)
            mine[key].append(order)


def bare(rows: Rows) -> tuple[float, int]:
    """(seconds, trades) of the bare matcher."""
    book = Bare()

    def run() -> None:
        add, drop = book.add, book.left.pop
        for kind, order, side, price, quantity, _ in rows:
            if kind == "C":
                drop(order, None)
            else:
                add(order, 1 if side == "S" else 0, price, quantity)

    return tuned(run)[0], book.trades


def groups(rows: Rows) -> Iterator[list[Any]]:
    """The flow as commands, made in the groups in which a sequencer decodes them."""
    maker = flow.Commands()
    for start in range(0, len(rows), GROUP):
        yield maker.take(rows[start : start + GROUP])


def ours(rows: Rows) -> tuple[float, float, int]:
    """(seconds of CPU, seconds by the clock, trades) of the engine, settlements included."""
    engine = flow.opened_engine()

    def run() -> tuple[float, float]:
        apply, now, wall, cpu = engine.apply, flow.TIME_MS, 0.0, 0.0
        for number, commands in enumerate(groups(rows), 1):
            settled = NoteSettlement(9, number, engine.next_trade - 1, 0)
            began, began_cpu = time.perf_counter(), time.process_time()
            for command in commands:
                apply(now, command)
            apply(now, settled)
            cpu += time.process_time() - began_cpu
            wall += time.perf_counter() - began
        return cpu, wall

    cpu, wall = tuned(run)[1]
    return cpu, wall, engine.next_trade - 1


def latencies(rows: Rows) -> dict[str, Any]:
    """Every command timed by itself, and the longest pause of the collector meanwhile."""
    engine = flow.opened_engine()
    clock, worked = time.perf_counter_ns, time.process_time_ns
    pauses, began = [0], [0]

    def watch(phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            began[0] = worked()
        else:
            pauses.append(worked() - began[0])

    def run() -> list[int]:
        gc.callbacks.append(watch)
        apply, now = engine.apply, flow.TIME_MS
        taken = []
        for number, commands in enumerate(groups(rows), 1):
            for command in commands:
                start = clock()
                apply(now, command)
                taken.append(clock() - start)
            apply(now, NoteSettlement(9, number, engine.next_trade - 1, 0))
        gc.callbacks.remove(watch)
        return taken

    _, taken = tuned(run)
    taken.sort()
    return {
        "p50_us": round(taken[len(taken) // 2] / 1_000, 2),
        "p99_us": round(taken[len(taken) * 99 // 100] / 1_000, 2),
        "p99.9_us": round(taken[len(taken) * 999 // 1_000] / 1_000, 2),
        "longest_collector_pause_ms": round(max(pauses) / 1e6, 2),
    }


def run(count: int = EVENTS, others: str | None = None) -> dict[str, Any]:
    """The figures of one run; `expected` says whether the trades are those of the flow."""
    others = others or os.environ.get("CAUSEWAY_BENCH_ENGINES")
    if others:
        sys.path.append(others)
    from scripts.bench_engine_others import OTHERS, per_second

    rows, expected = flow.rows(count)
    bare_runs = [bare(rows) for _ in range(ROUNDS)]
    runs = [ours(rows) for _ in range(ROUNDS)]
    (bare_seconds, bare_trades), (seconds, _, trades) = min(bare_runs), min(runs)
    result: dict[str, Any] = {
        "events": count,
        "commands_per_second": round(count / seconds),
        "commands_per_second_by_the_clock": round(count / min(wall for _, wall, _ in runs)),
        "bare_matcher_per_second": round(count / bare_seconds),
        "ratio_to_bare": round(bare_seconds / seconds, 3),
        "trades": trades,
        "trades_are_the_flows": trades == bare_trades == expected[count]["trades"],
        **latencies(rows),
    }
    return result | {name: per_second(name, rows) for name in OTHERS}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--others", help="directory where other engines are installed")
    arguments = parser.parse_args()
    for key, value in run(arguments.events, arguments.others).items():
        print(f"{key:<32}{value!s:>20}")
