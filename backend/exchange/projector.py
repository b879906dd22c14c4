"""Follows a venue's journal into its read models: orders, trades, balances, statements, markets.

Any number of projectors may run and be killed: a run of entries and the seq it leads to are one
transaction, and whoever comes second finds the seq moved on.
"""

from __future__ import annotations

from typing import Final

from backend.domain.journal import decode_entry
from backend.domain.venue_events import decode_events
from backend.store.database import Database
from backend.store.journal import Journal
from backend.store.market_index import clear_market, lock_state, projected_seq, write_run

#: Entries of one transaction: large enough for COPY, small enough that a reader waits briefly.
RUN_ENTRIES: Final = 2_000


class Projector:
    """Brings the read models of one venue forward; made anew after a kill it goes on."""

    def __init__(self, database: Database, venue: int, run_entries: int = RUN_ENTRIES) -> None:
        self._database = database
        self._journal = Journal(database, venue)
        self._run_entries = run_entries
        self.venue = venue

    def advance(self) -> int:
        """Project what the journal has beyond the read models; returns the seq they are at now.

        One run at most: call again until the seq stays. Raises JournalInconsistent when an entry
        does not follow from those before it: nothing of the run is written then.
        """
        with self._database.read() as connection:
            seq = projected_seq(connection, self.venue)
        rows = self._journal.read(seq + 1, self._run_entries)
        if not rows:
            return seq
        run = [(decode_entry(row.entry), decode_events(row.events)) for row in rows]
        with self._database.begin() as connection:
            state = lock_state(connection, self.venue)
            # Another projector may have written some of it, or all, or begun anew.
            rest = run[state.seq - seq :] if state.seq >= seq else []
            if not rest:
                return state.seq
            return write_run(connection, self.venue, state, rest).seq

    def catch_up(self) -> int:
        """Advance until the journal has no more."""
        seq = self.advance()
        while (reached := self.advance()) > seq:
            seq = reached
        return seq

    def rebuild(self) -> int:
        """Forget the read models and make them again from the whole journal."""
        with self._database.begin() as connection:
            clear_market(connection, self.venue)
        return self.catch_up()
