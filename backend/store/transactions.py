"""What was sent to the chain, kept before it is sent: one nonce per account and key (L10)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from backend.domain.transactions import Attempt, OutgoingTransaction, TransactionState
from backend.store import tables
from backend.store.database import Database

_OPEN = (TransactionState.SIGNED.value, TransactionState.MINED.value)


class PostgresTransactionLog:
    """Outgoing transactions of any number of processes; see `chain.outbox.TransactionLog`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, key: str) -> OutgoingTransaction | None:
        """The transaction with this key, with all its attempts in the order they were signed."""
        with self._database.read() as connection:
            return _known(connection, [key]).get(key)

    def reserve_and_store(
        self,
        chain_id: int,
        account: str,
        chain_nonce: int,
        sign: Callable[[int], OutgoingTransaction],
    ) -> OutgoingTransaction:
        """Sign with the account's next nonce and store; a known key is returned as it is."""
        with self._database.begin() as connection:
            nonce = _next_nonce(connection, chain_id, account, chain_nonce)
            signed = sign(nonce)
            known = _known(connection, [signed.key]).get(signed.key)
            if known is not None:
                return known
            _store(connection, [signed])
            return signed

    def reserve_and_store_many(
        self,
        chain_id: int,
        account: str,
        chain_nonce: int,
        keys: Sequence[str],
        sign: Callable[[str, int], OutgoingTransaction],
    ) -> list[OutgoingTransaction]:
        """As `reserve_and_store` for each key in order, in one database transaction."""
        with self._database.begin() as connection:
            nonce = _next_nonce(connection, chain_id, account, chain_nonce)
            found = _known(connection, keys)
            fresh = []
            for key in keys:
                if key not in found:
                    found[key] = sign(key, nonce)
                    fresh.append(found[key])
                    nonce += 1
            _store(connection, fresh)
        return [found[key] for key in keys]

    def add_attempt(self, key: str, attempt: Attempt) -> None:
        """Append an attempt; the same hash again changes nothing."""
        with self._database.begin() as connection:
            connection.execute(
                insert(tables.transaction_attempts).on_conflict_do_nothing(),
                [_attempt_row(key, attempt)],
            )

    def update(self, transaction: OutgoingTransaction) -> None:
        """Store state, place and reason by the key."""
        table = tables.transactions
        with self._database.begin() as connection:
            connection.execute(
                update(table)
                .where(table.c.key == transaction.key)
                .values(
                    state=transaction.state.value,
                    block_number=transaction.block_number,
                    block_hash=transaction.block_hash,
                    transaction_hash=transaction.transaction_hash,
                    reason=transaction.reason,
                    updated_at=func.now(),
                )
            )

    def open(self, chain_id: int) -> list[OutgoingTransaction]:
        """Transactions that are signed or mined but not final, by account and nonce."""
        table = tables.transactions
        with self._database.read() as connection:
            rows = connection.execute(
                select(table)
                .where(table.c.chain_id == chain_id, table.c.state.in_(_OPEN))
                .order_by(table.c.account, table.c.nonce)
            ).all()
            return _assemble(connection, rows)


def _next_nonce(connection: Connection, chain_id: int, account: str, chain_nonce: int) -> int:
    """max(chain's nonce, last own + 1), under the account's lock until the transaction ends."""
    connection.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:name, :seed))"),
        {"name": account, "seed": chain_id},
    )
    table = tables.transactions
    last = connection.execute(
        select(func.max(table.c.nonce)).where(
            table.c.chain_id == chain_id, table.c.account == account
        )
    ).scalar()
    return max(chain_nonce, -1 if last is None else last + 1, 0)


def _known(connection: Connection, keys: Iterable[str]) -> dict[str, OutgoingTransaction]:
    table = tables.transactions
    rows = connection.execute(select(table).where(table.c.key.in_(list(keys)))).all()
    return {found.key: found for found in _assemble(connection, rows)}


def _assemble(connection: Connection, rows: Sequence[Row[Any]]) -> list[OutgoingTransaction]:
    """Rows with their attempts, by one query for all of them."""
    if not rows:
        return []
    table = tables.transaction_attempts
    attempts: dict[str, list[Attempt]] = {row.key: [] for row in rows}
    for row in connection.execute(
        select(table)
        .where(table.c.key.in_(list(attempts)))
        # A bump always pays more, so the fee orders attempts of one second too.
        .order_by(table.c.signed_at, table.c.max_fee_per_gas)
    ):
        fees = (row.max_fee_per_gas, row.max_priority_fee_per_gas)
        attempts[row.key].append(Attempt(row.hash, bytes(row.raw), *fees, row.signed_at))
    return [
        OutgoingTransaction(
            key=row.key,
            chain_id=row.chain_id,
            account=row.account,
            nonce=row.nonce,
            to=row.to,
            data=bytes(row.data),
            gas=row.gas,
            attempts=tuple(attempts[row.key]),
            state=TransactionState(row.state),
            block_number=row.block_number,
            block_hash=row.block_hash,
            transaction_hash=row.transaction_hash,
            reason=row.reason,
        )
        for row in rows
    ]


def _store(connection: Connection, transactions: Sequence[OutgoingTransaction]) -> None:
    if not transactions:
        return
    connection.execute(
        insert(tables.transactions),
        [
            {
                "key": one.key,
                "chain_id": one.chain_id,
                "account": one.account,
                "nonce": one.nonce,
                "to": one.to,
                "data": one.data,
                "gas": one.gas,
                "state": one.state.value,
                "block_number": one.block_number,
                "block_hash": one.block_hash,
                "transaction_hash": one.transaction_hash,
                "reason": one.reason,
            }
            for one in transactions
        ],
    )
    connection.execute(
        insert(tables.transaction_attempts),
        [_attempt_row(one.key, attempt) for one in transactions for attempt in one.attempts],
    )


def _attempt_row(key: str, attempt: Attempt) -> dict[str, Any]:
    return {
        "key": key,
        "hash": attempt.hash,
        "raw": attempt.raw,
        "max_fee_per_gas": attempt.max_fee_per_gas,
        "max_priority_fee_per_gas": attempt.max_priority_fee_per_gas,
        "signed_at": attempt.signed_at,
    }
