"""The rows that an import refused: all of them, with field, value and the rule they break."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple, dataclass
from typing import Any

from sqlalchemy import Connection, Select, func, select

from backend.store.queries.reading import DEFAULT_LIMIT, Page, fetch_page
from backend.store.registry_tables import import_rejections

_AT_ONCE = 2_000


@dataclass(frozen=True, slots=True)
class Rejected:
    """One value of one row; `row` counts data rows from 1, `line` the file's lines."""

    row: int
    line: int
    field: str
    value: str
    rule: str


def list_rejected(
    connection: Connection,
    import_id: int,
    *,
    field: str | None = None,
    text: str | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[Rejected]:
    """Rejected rows in the order of the file; `text` is looked for in value and rule."""
    rows, following = fetch_page(
        connection,
        _wanted(import_id, field, text),
        [import_rejections.c.row],
        [int],
        cursor,
        limit,
    )
    return Page(tuple(_rejected(row) for row in rows), following)


def every_rejected(
    connection: Connection, import_id: int, field: str | None = None, text: str | None = None
) -> Iterator[tuple[Any, ...]]:
    """(row, line, field, value, rule) of all of them, a part at a time."""
    query = _wanted(import_id, field, text).order_by(import_rejections.c.row)
    result = connection.execution_options(yield_per=_AT_ONCE).execute(query)
    for row in result:
        yield astuple(_rejected(row))


def rejected_fields(connection: Connection, import_id: int) -> tuple[tuple[str, int], ...]:
    """The fields that rows were refused for, with how many, the most first."""
    table = import_rejections
    count = func.count()
    rows = connection.execute(
        select(table.c.field, count)
        .where(table.c.import_id == import_id)
        .group_by(table.c.field)
        .order_by(count.desc(), table.c.field)
    )
    return tuple((row[0], row[1]) for row in rows)


def _wanted(import_id: int, field: str | None, text: str | None) -> Select[Any]:
    table = import_rejections
    query = select(table).where(table.c.import_id == import_id)
    if field:
        query = query.where(table.c.field == field)
    if text:
        query = query.where(
            table.c.value.icontains(text, autoescape=True)
            | table.c.rule.icontains(text, autoescape=True)
        )
    return query


def _rejected(row: Any) -> Rejected:
    return Rejected(row.row, row.line, row.field, row.value, row.rule)
