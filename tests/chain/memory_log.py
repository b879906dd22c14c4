"""A transaction log in memory, for tests of the sender alone; the product's is in Postgres."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

from backend.domain.transactions import Attempt, OutgoingTransaction, TransactionState

OPEN = (TransactionState.SIGNED, TransactionState.MINED)


class MemoryLog:
    """Implements BatchTransactionLog; survives a Sender, as a database does."""

    def __init__(self) -> None:
        self.rows: dict[str, OutgoingTransaction] = {}
        self._lock = threading.Lock()

    def get(self, key: str) -> OutgoingTransaction | None:
        return self.rows.get(key)

    def reserve_and_store(
        self,
        chain_id: int,
        account: str,
        chain_nonce: int,
        sign: Callable[[int], OutgoingTransaction],
    ) -> OutgoingTransaction:
        with self._lock:
            return self._store(account, chain_nonce, sign)

    def reserve_and_store_many(
        self,
        chain_id: int,
        account: str,
        chain_nonce: int,
        keys: Sequence[str],
        sign: Callable[[str, int], OutgoingTransaction],
    ) -> list[OutgoingTransaction]:
        with self._lock:
            return [
                self.rows.get(key)
                or self._store(account, chain_nonce, lambda nonce, key=key: sign(key, nonce))
                for key in keys
            ]

    def _store(
        self, account: str, chain_nonce: int, sign: Callable[[int], OutgoingTransaction]
    ) -> OutgoingTransaction:
        own = [row.nonce for row in self.rows.values() if row.account == account]
        signed = sign(max([chain_nonce, *(nonce + 1 for nonce in own)]))
        return self.rows.setdefault(signed.key, signed)

    def add_attempt(self, key: str, attempt: Attempt) -> None:
        with self._lock:
            row = self.rows[key]
            if attempt.hash not in [held.hash for held in row.attempts]:
                self.rows[key] = replace(row, attempts=(*row.attempts, attempt))

    def update(self, transaction: OutgoingTransaction) -> None:
        with self._lock:
            row = self.rows[transaction.key]
            self.rows[transaction.key] = replace(transaction, attempts=row.attempts)

    def open(self, chain_id: int) -> list[OutgoingTransaction]:
        with self._lock:
            rows = [row for row in self.rows.values() if row.state in OPEN]
        return sorted(rows, key=lambda row: (row.account, row.nonce))
