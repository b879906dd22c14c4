"""One sequencer process of the tests: options as JSON in the first argument."""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

from backend.chain.keys import named_key
from backend.commands.output import configure_logs
from backend.domain.orders import account_of
from backend.exchange.feed import ChainFeed
from backend.exchange.leadership import VenueConfig
from backend.exchange.sequencer import Sequencer
from backend.store.database import Database
from backend.store.journal import LeaderSession
from tests.exchange.market import EXCHANGE, SEQUENCER_KEY


class Stumbling(LeaderSession):
    """A session that stops its own process inside the COPY of its nth commit."""

    stumble_at = 0
    _commits = 0

    def _copy(self, cursor: Any, rows: Any) -> None:
        Stumbling._commits += 1
        if Stumbling._commits != Stumbling.stumble_at:
            super()._copy(cursor, rows)
            return
        from backend.store import journal

        raw = journal.encode_copy(self._venue, list(rows))
        with cursor.copy(journal._COPY) as copy:
            copy.write(raw[: len(raw) // 2])
            copy.write(b"")
            cursor.connection.pgconn.flush()
            os.kill(os.getpid(), signal.SIGSTOP)
            copy.write(raw[len(raw) // 2 :])


def main(options: dict[str, Any]) -> None:
    configure_logs()
    config = VenueConfig(
        options["chain_id"],
        account_of(EXCHANGE),
        named_key("sequencer", SEQUENCER_KEY),
        lease_seconds=options["lease_seconds"],
        **options["overrides"],
    )
    feed = ChainFeed(Database(options["database_url"]), 1, options.get("confirmations", 0))
    sequencer = Sequencer(config, options["database_url"], options["nats_url"], [feed])
    if options.get("stumble_at"):
        Stumbling.stumble_at = options["stumble_at"]
        old = sequencer._session
        sequencer._session = Stumbling(
            options["database_url"], 1, old._leader, options["lease_seconds"]
        )
    sequencer.run()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
