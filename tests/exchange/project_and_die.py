"""A process that projects a venue's journal in small runs, to be killed in the middle of one.

`python -m tests.exchange.project_and_die URL`: says `ready`, then a seq after every run.
"""

from __future__ import annotations

import sys

from backend.exchange.projector import Projector
from backend.store.database import Database


def main() -> None:
    projector = Projector(Database(sys.argv[1]), 1, run_entries=5)
    print("ready", flush=True)
    seq = -1
    while (reached := projector.advance()) > seq:
        seq = reached
        print(seq, flush=True)


if __name__ == "__main__":
    main()
