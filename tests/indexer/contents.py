"""Everything an index holds, comparable between two databases."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from backend.store import tables
from backend.store.database import Database
from backend.store.exchange_tables import exchange_balances
from backend.store.index import CHAIN_TABLES

_COMPARED = (tables.chain_blocks, tables.balances, exchange_balances, *CHAIN_TABLES)


def contents(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """Rows of every table that comes from the chain, sorted; series by hash, not by number."""
    found = {}
    with database.read() as connection:
        for table in _COMPARED:
            columns = [column for column in table.columns if column.name != "series_id"]
            rows = connection.execute(select(*columns)).all()
            found[table.name] = sorted(tuple(map(str, row)) for row in rows)
    return found


def count(database: Database, table: str) -> int:
    """How many rows a table has."""
    return len(contents(database)[table])
