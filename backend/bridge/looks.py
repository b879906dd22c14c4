"""Which drafts are worth a step now: changed, recorded by the chain, or not looked at lately.

A draft waits for signatures, then for its transaction: stepping all of them every second is most
of what a busy worker would do. What is remembered here only saves steps; a new process looks at
everything at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic

from backend.store.custody import StoredConfirmation, StoredReceipt
from backend.store.database import Database
from backend.store.queries import lookup
from backend.store.statements import Statement

Draft = StoredReceipt | StoredConfirmation | Statement
#: A draft that has not changed is looked at again after so many seconds.
AGAIN_SECONDS = 3.0


class Looks:
    """What was looked at, how it was then and when (monotonic seconds)."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._seen: dict[str, tuple[object, float]] = {}

    def due(self, drafts: Sequence[tuple[str, Draft]]) -> list[tuple[str, str]]:
        """(kind, id) of the drafts whose step may bring them forward, in their order."""
        now = monotonic()
        found: list[tuple[str, str]] = []
        seen: dict[str, tuple[object, float]] = {}
        confirmations = [held.id for _, held in drafts if isinstance(held, StoredConfirmation)]
        recorded = self._recorded(confirmations)
        for kind, held in drafts:
            state = (held.state, len(held.approvals), held.transaction_key)
            before, at = self._seen.get(held.id, (None, 0.0))
            if state != before or now - at >= AGAIN_SECONDS or held.id in recorded:
                found.append((kind, held.id))
                at = now
            seen[held.id] = (state, at)
        self._seen = seen
        return found

    def _recorded(self, confirmations: Sequence[str]) -> set[str]:
        if not confirmations:
            return set()
        with self._database.read() as connection:
            return lookup.recorded_confirmations(connection, confirmations)
