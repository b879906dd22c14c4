"""`make bench`: every speed beside its baseline, measured in the same run on the same machine."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts import (
    bench_engine,
    bench_import,
    bench_index,
    bench_orders,
    bench_retirements,
    bench_sequencer,
    bench_settlement,
    bench_signatures,
)

BENCHES: dict[str, Callable[[], dict[str, Any]]] = {
    "engine": bench_engine.run,
    "import": bench_import.run,
    "index": bench_index.run,
    "orders": bench_orders.run,
    "retirements": bench_retirements.run,
    "sequencer": bench_sequencer.run,
    "settlement": bench_settlement.run,
    "signatures": bench_signatures.run,
}


def main(names: list[str]) -> None:
    """Run the named benches, or all; print each as it ends and everything as JSON at the end."""
    results: dict[str, Any] = {"python": platform.python_version()}
    for name in names or list(BENCHES):
        print(f"{name} …", file=sys.stderr, flush=True)
        results[name] = BENCHES[name]()
        for key, value in results[name].items():
            print(
                f"  {key:<32}{value:>16,}"
                if isinstance(value, int)
                else f"  {key:<32}{value!s:>16}"
            )
    print(json.dumps(results))


if __name__ == "__main__":
    main(sys.argv[1:])
