"""What the index recorded of a local chain's transactions, for sending them again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import func, select

from backend.store import tables
from backend.store.database import Database


@dataclass(frozen=True, slots=True)
class RecordedBlock:
    """A chain block as the index holds it; time in Unix seconds, base fee in wei."""

    number: int
    timestamp: int
    receipts_root: str
    transactions: int
    base_fee: int | None


#: Per chain block (hash, raw) of its transactions, in their order.
Recorded = Mapping[int, Sequence[tuple[str, bytes]]]


def recorded_above(database: Database, above: int) -> tuple[list[RecordedBlock], Recorded]:
    """The indexed chain blocks above a number, and what is recorded of their transactions."""
    blocks, kept = tables.chain_blocks, tables.chain_transactions
    columns = [blocks.c[name] for name in RecordedBlock.__slots__]
    sent: dict[int, list[tuple[str, bytes]]] = defaultdict(list)
    with database.read() as connection:
        rows = connection.execute(
            select(*columns).where(blocks.c.number > above).order_by(blocks.c.number)
        )
        found = [RecordedBlock(*row) for row in rows]
        for row in connection.execute(
            select(kept)
            .where(kept.c.block_number > above)
            .order_by(kept.c.block_number, kept.c.index)
        ):
            sent[row.block_number].append((row.hash, bytes(row.raw)))
    return found, sent


def known_hashes(database: Database, numbers: Sequence[int]) -> set[str]:
    """Hashes of transactions in these chain blocks, as far as events and the sender tell."""
    events, own = tables.chain_events, tables.transactions
    with database.read() as connection:
        found = connection.execute(
            select(func.distinct(events.c.transaction_hash)).where(
                events.c.block_number.in_(list(numbers))
            )
        ).scalars()
        sent = connection.execute(
            select(own.c.transaction_hash).where(own.c.block_number.in_(list(numbers)))
        ).scalars()
        return {*found, *(entry for entry in sent if entry)}
