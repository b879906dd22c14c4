"""Rows of one import before they are merged: staged by COPY, cut into steps that stand alone.

A step is a range of (series, first serial) that holds whatever the merge must see together: whole
series of events; of pieces a range at whose ends neither a row nor a known piece lies across. So
steps may be done in any order, and two at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from psycopg import Copy, sql
from sqlalchemy import Connection

from backend.domain.credits import Kind
from backend.domain.serials import Series
from backend.store.copying import copying, write_lines
from backend.store.database import raw

#: A step holds about so many rows; more only where nothing can be cut.
STEP_ROWS = 20_000
_LAST = (2**31 - 1, 0)


class Bounds(NamedTuple):
    """Rows with start ≤ (series, first serial) < end."""

    start: tuple[int, int]
    end: tuple[int, int]


class Rival(NamedTuple):
    """A staged row that shares a serial with another of its kind."""

    series: str
    first: int
    last: int
    row: int


class Size(NamedTuple):
    """How many rows of an import name a series; the first and last of their kinds by name."""

    series_id: int
    rows: int
    low_kind: str
    high_kind: str

    @property
    def only_pieces(self) -> bool:
        """Whether every row is a piece of a batch, none an event."""
        return self.low_kind == self.high_kind == Kind.PARTITION


class Staging:
    """The two tables of an import's own, `import_rows_<id>` and `import_entries_<id>`."""

    def __init__(self, import_id: int) -> None:
        self.rows = f"import_rows_{import_id}"
        self.entries = f"import_entries_{import_id}"

    def sql(self, text: str) -> sql.Composed:
        """A statement with `{rows}` and `{entries}` in it."""
        return sql.SQL(text).format(
            rows=sql.Identifier(self.rows), entries=sql.Identifier(self.entries)
        )

    def create(self, connection: Connection) -> None:
        driver = raw(connection)
        driver.execute(self.sql("CREATE TABLE {rows} (LIKE import_rows)"))
        driver.execute(self.sql("CREATE TABLE {entries} (LIKE import_entries)"))

    def drop(self, connection: Connection) -> None:
        raw(connection).execute(self.sql("DROP TABLE IF EXISTS {rows}, {entries}"))

    @contextmanager
    def adding(self, connection: Connection, columns: Sequence[str]) -> Iterator[Copy]:
        """An open COPY of staged rows; the connection does nothing else until it is closed."""
        with copying(connection, self.rows, columns) as copy:
            yield copy

    def add(self, copy: Copy, lines: Sequence[str]) -> None:
        """Lines of COPY for staged rows."""
        write_lines(copy, lines)

    def seal(self, connection: Connection) -> None:
        """All rows are there: make them findable in order."""
        driver = raw(connection)
        driver.execute(self.sql("CREATE INDEX ON {rows} (series_id, first)"))
        # A sample of the default size would take longer than the index.
        driver.execute("SET LOCAL default_statistics_target = 10")
        driver.execute(self.sql("ANALYZE {rows}"))

    def sizes(self, connection: Connection) -> list[Size]:
        """The series of the rows in the order of their numbers."""
        found = raw(connection).execute(
            self.sql(
                "SELECT series_id, count(*), min(kind), max(kind) FROM {rows}"
                " GROUP BY series_id ORDER BY series_id"
            )
        )
        return [Size(*row) for row in found]

    def batches(self, connection: Connection) -> int:
        """How many batches the rows name."""
        found = raw(connection).execute(
            self.sql(
                "SELECT count(*) FROM (SELECT DISTINCT batch FROM {rows} WHERE batch IS NOT NULL) b"
            )
        )
        row = found.fetchone()
        assert row is not None
        return int(row[0])

    def rivals(self, connection: Connection) -> list[Rival]:
        """Rows of pieces that share a serial with another row of the same export."""
        found = raw(connection).execute(
            self.sql(
                "SELECT s.name, o.first, o.last, o.row FROM (SELECT series_id, first, last, row,"
                "   max(last) OVER (w ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS reached,"
                "   lead(first) OVER w AS following FROM {rows} WHERE kind = 'partition'"
                "   WINDOW w AS (PARTITION BY series_id ORDER BY first, last, row)) o"
                " JOIN series s ON s.id = o.series_id"
                " WHERE o.first <= o.reached OR o.following <= o.last"
            )
        )
        return [Rival(*row) for row in found]

    def steps(self, connection: Connection, sizes: Sequence[Size]) -> Iterator[Bounds]:
        """Steps that together hold every row once."""
        start, held = (0, 0), 0
        for size in sizes:
            series_id, count = size.series_id, size.rows
            large = size.only_pieces and count > 2 * STEP_ROWS
            cuts = self._cuts(connection, series_id) if large else []
            if held and (held + count > STEP_ROWS or cuts):
                yield Bounds(start, (series_id, 0))
                start, held = (series_id, 0), 0
            for first in cuts:
                yield Bounds(start, (series_id, first))
                start = (series_id, first)
            held = 1 if cuts else held + count
        if held:
            yield Bounds(start, _LAST)

    def _cuts(self, connection: Connection, series_id: int) -> list[int]:
        """Serials of a series where a step may end: no row and no known piece lies across."""
        found = raw(connection).execute(
            self.sql(
                "SELECT min(first) FROM (SELECT first, row_number() OVER w AS number,"
                "   max(last) OVER (w ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS reached"
                "   FROM {rows} WHERE series_id = %(series)s WINDOW w AS (ORDER BY first, last)) o"
                " WHERE first > reached AND NOT EXISTS ("
                "   SELECT FROM (SELECT upper(block) AS upper FROM registry_blocks"
                "      WHERE series_id = %(series)s AND kind = 'partition' AND programme = ("
                "         SELECT programme FROM series WHERE id = %(series)s)"
                "        AND lower(block) < o.first ORDER BY lower(block) DESC LIMIT 1) known"
                "   WHERE known.upper > o.first)"
                " GROUP BY number / %(step)s ORDER BY 1"
            ),
            {"series": series_id, "step": STEP_ROWS},
        )
        return [row[0] for row in found][1:]


def series_of(connection: Connection, ids: Sequence[int]) -> dict[int, Series]:
    """Numbers of the database → series."""
    found = raw(connection).execute("SELECT id, name FROM series WHERE id = ANY(%s)", [list(ids)])
    return {number: Series.parse(name) for number, name in found}
