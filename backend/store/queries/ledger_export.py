"""The whole ledger of kept credits, for a file that an auditor checks."""

from __future__ import annotations

from sqlalchemy import Connection, select

from backend.domain.ledger_document import Book, BookBlock, BookDeposit, BookRetirement
from backend.domain.registry_requests import SerialRange
from backend.store.ledger import order_of
from backend.store.ledger_tables import ledger_orders, ledger_retired
from backend.store.queries.ledger import deposits, pieces


def export(connection: Connection, chain_id: int, contract: str) -> Book:
    """Everything, as of one snapshot."""
    orders, retired = ledger_orders, ledger_retired
    return Book(
        chain_id,
        contract,
        tuple(
            BookDeposit(row.reference, row.account, row.owner, _ranges(row.serials))
            for row in deposits(connection)
        ),
        tuple(
            BookBlock(
                SerialRange.of(one.serials),
                one.account,
                one.owner,
                one.deposit,
                one.kept_class,
                one.part,
                one.retired,
            )
            for one in pieces(connection)
        ),
        tuple(
            (order_of(row), bytes(row.signature))
            for row in connection.execute(
                select(orders).order_by(orders.c.ordered_at, orders.c.reference)
            )
        ),
        tuple(
            BookRetirement(
                row.part,
                row.reference,
                row.registry_reference,
                row.registry_date,
                _ranges(row.serials),
            )
            for row in connection.execute(select(retired).order_by(retired.c.part))
        ),
    )


def _ranges(texts: list[str]) -> tuple[SerialRange, ...]:
    return tuple(SerialRange.parse(one) for one in texts)
