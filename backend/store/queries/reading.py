"""What every query shares: the chain block that an answer shows, and pages by cursor."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection as Connection
from sqlalchemy import Numeric, Row, Select, Table, literal, select, tuple_
from sqlalchemy.sql.elements import ColumnElement

from backend.errors import InvalidValue
from backend.store import tables

#: Most items a page holds.
MAX_LIMIT = 500
DEFAULT_LIMIT = 50

Key = tuple[int | str, ...]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ChainHead:
    """The newest chain block that the answer shows; `number` −1 while nothing is indexed."""

    chain_id: int | None
    number: int
    hash: str | None
    timestamp: int | None


@dataclass(frozen=True)
class Page(Generic[T]):
    """Some items in a fixed order, and the cursor of the rest, None at the end."""

    items: tuple[T, ...]
    next_cursor: str | None


def chain_head(connection: Connection) -> ChainHead:
    """How far the chain index is."""
    state, blocks = tables.chain_state, tables.chain_blocks
    row = connection.execute(
        select(
            state.c.chain_id, state.c.indexed_number, state.c.indexed_hash, blocks.c.timestamp
        ).select_from(state.outerjoin(blocks, blocks.c.number == state.c.indexed_number))
    ).first()
    if row is None:
        return ChainHead(None, -1, None, None)
    return ChainHead(row.chain_id, row.indexed_number, row.indexed_hash, row.timestamp)


def deployment(connection: Connection) -> dict[str, str]:
    """Addresses of Causeway's contracts by name, as the indexer follows them."""
    stored = connection.execute(select(tables.chain_state.c.deployment)).scalar()
    contracts = (stored or {}).get("contracts", {})
    return {name: contract["address"] for name, contract in contracts.items()}


def encode_cursor(key: Key) -> str:
    """Where a page ended, opaque to the reader."""
    packed = json.dumps(list(key), separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def decode_cursor(cursor: str, kinds: Sequence[type[int] | type[str]]) -> Key:
    """The inverse; raises InvalidValue for anything that this service did not hand out."""
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        key = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, RecursionError):
        key = None
    if (
        not isinstance(key, list)
        or len(key) != len(kinds)
        or not all(type(part) is kind for part, kind in zip(key, kinds, strict=True))
        or any(isinstance(part, int) and abs(part) >= 10**78 for part in key)
        or any(isinstance(part, str) and not part.isprintable() for part in key)
    ):
        raise InvalidValue("cursor", cursor, "is not a cursor of this list")
    return tuple(key)


def fetch_page(
    connection: Connection,
    query: Select[Any],
    key: Sequence[ColumnElement[Any]],
    kinds: Sequence[type[int] | type[str]],
    cursor: str | None,
    limit: int,
    *,
    descending: bool = False,
) -> tuple[list[Row[Any]], str | None]:
    """One page by keyset: rows after the cursor in the order of `key`, and the next cursor.

    `key` are columns of the query that together are unique and never null.
    """
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidValue("limit", limit, f"is outside 1 … {MAX_LIMIT}")
    query = query.add_columns(*(part.label(f"key_{i}") for i, part in enumerate(key)))
    if cursor is not None:
        position = tuple_(*key)
        after = tuple_(*(_bound(value) for value in decode_cursor(cursor, kinds)))
        query = query.where(position < after if descending else position > after)
    ordered = query.order_by(*(part.desc() if descending else part.asc() for part in key))
    rows = list(connection.execute(ordered.limit(limit + 1)))
    if len(rows) <= limit:
        return rows, None
    last = rows[limit - 1]
    values = (getattr(last, f"key_{i}") for i in range(len(key)))
    return rows[:limit], encode_cursor(tuple(v if isinstance(v, str) else int(v) for v in values))


def fetch_newest(
    connection: Connection, query: Select[Any], table: Table, cursor: str | None, limit: int
) -> tuple[list[Row[Any]], str | None]:
    """One page of what a table of the chain holds, the newest first."""
    key = [table.c.block_number, table.c.log_index]
    return fetch_page(connection, query, key, [int, int], cursor, limit, descending=True)


def shaped(shape: type[T], row: Any, **more: Any) -> T:
    """A row as a dataclass whose fields are columns of it; `more` are those that are not."""
    names = (field.name for field in fields(shape))  # type: ignore[arg-type]
    found = {name: more[name] if name in more else getattr(row, name) for name in names}
    return shape(**found)


def _bound(value: int | str) -> ColumnElement[Any]:
    # Compared as numeric: a forged number beyond bigint gives an empty page, not a server error.
    return literal(value, Numeric(78, 0)) if isinstance(value, int) else literal(value)
