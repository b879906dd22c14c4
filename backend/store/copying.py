"""COPY into a table inside a SQLAlchemy transaction: the fast way in for many rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from psycopg import sql
from sqlalchemy import Connection

from backend.store.database import raw

_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def copy_rows(
    connection: Connection, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
    """Rows of Python values, adapted by psycopg: right for anything, 3 µs a row and more."""
    with raw(connection).cursor() as cursor, cursor.copy(_statement(table, columns)) as copy:
        write = copy.write_row
        for row in rows:
            write(row)


def copy_lines(
    connection: Connection, table: str, columns: Sequence[str], lines: Sequence[str]
) -> None:
    """Lines in COPY's text format, without their line ends; texts in them went through `escape`."""
    if lines:
        with raw(connection).cursor() as cursor, cursor.copy(_statement(table, columns)) as copy:
            # One write of everything would hold a second copy of a large range in memory.
            for start in range(0, len(lines), 20_000):
                copy.write("\n".join(lines[start : start + 20_000]) + "\n")


def escape(text: str) -> str:
    """A text as COPY's text format takes it; cheap when there is nothing to escape."""
    if "\\" in text or "\t" in text or "\n" in text or "\r" in text:
        return text.translate(_ESCAPES)
    return text


def _statement(table: str, columns: Sequence[str]) -> sql.Composed:
    return sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
