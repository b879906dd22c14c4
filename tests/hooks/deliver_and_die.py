"""A process that delivers webhooks until it is killed: `… URL` of a database."""

from __future__ import annotations

import sys
import time
from datetime import timedelta

from backend.hooks.deliverer import Deliverer
from backend.store.database import Database


def main() -> None:
    deliverer = Deliverer(Database(sys.argv[1]), private=True, lease=timedelta(seconds=1))
    print("ready", flush=True)
    while True:
        deliverer.step()
        time.sleep(0.05)


if __name__ == "__main__":
    main()
