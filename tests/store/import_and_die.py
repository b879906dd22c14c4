"""A process that imports a file and kills itself (-9) at a chosen moment.

`python -m tests.store.import_and_die URL FILE MOMENT COUNT`: MOMENT is `staging` (inside the
COUNT-th batch, before its commit), `staged` (after it), `closing` (the file is read, not closed),
`merging` (inside the COUNT-th step), `merged` (after it), `ending` (all steps done, not the end).
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from backend.bridge import imports as bridge
from backend.store import import_rows, imports
from backend.store.database import Database

#: Moment → (class, method, whether it dies after the method's own work is committed).
MOMENTS: dict[str, tuple[Any, str, bool]] = {
    "staging": (imports.Staging, "add", True),
    "staged": (imports._Reading, "_stage", True),
    "closing": (imports._Reading, "_close", False),
    "merging": (imports, "record_retired_in_trust", True),
    "merged": (imports._Merge, "_step", True),
    "ending": (imports._Merge, "_finish", False),
}


def die_at(moment: str, count: int) -> None:
    """Arrange for this process to kill itself."""
    owner, name, after = MOMENTS[moment]
    work = getattr(owner, name)
    calls = 0

    def dying(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == count and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = work(*arguments, **named)
        if calls == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, dying)


def make_small() -> None:
    """Batches and steps so small that a sample has many of them, one at a time."""
    bridge.BATCH_ROWS = imports.COMMIT_ROWS = 40
    import_rows.STEP_ROWS = 50
    imports.WORKERS = 1


def main() -> None:
    url, path, moment, count = sys.argv[1:]
    make_small()
    die_at(moment, int(count))
    bridge.import_export(Database(url), Path(path), lambda text: None)


if __name__ == "__main__":
    main()
