"""Rows of a CSV file with the lines they stand on: a malformed one never costs its neighbours."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator, Sequence
from typing import IO, NamedTuple

from backend.errors import InvalidValue

#: A record of more physical lines is an unterminated quote, not a note.
MAX_RECORD_LINES = 256


class _TooLong(Exception):
    """A record went on for more than MAX_RECORD_LINES lines."""


class _Lines:
    """Physical lines for the csv reader, which can be given back after a broken record."""

    def __init__(self, source: IO[str]) -> None:
        self._source = source
        self._name = str(getattr(source, "name", ""))
        self._given_back: deque[str] = deque()
        self.taken: list[str] = []
        self.number = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        if len(self.taken) >= MAX_RECORD_LINES:
            raise _TooLong
        try:
            line = self._given_back.popleft() if self._given_back else next(self._source)
        except OSError as error:
            raise InvalidValue("file", self._name, f"cannot be read: {error.strerror}") from None
        self.number += 1
        self.taken.append(line)
        return line

    def keep(self, count: int) -> None:
        """Give back every line of the current record after the first `count`."""
        self._given_back.extendleft(reversed(self.taken[count:]))
        self.number -= len(self.taken) - count
        del self.taken[count:]


class RawRow(NamedTuple):
    """Cells of one row of a file, or the rule that it broke as a whole."""

    line: int
    cells: list[str]
    text: str
    rule: str = ""


def csv_rows(source: IO[str], width: int | None = None) -> Iterator[RawRow]:
    """Records with the physical line they start at; blank lines are none.

    After a broken quote, reading resumes at the next physical line, so that one bad row costs
    one row. `width`: the number of cells a record ought to have, once the header is known.
    """
    lines = _Lines(source)
    reader = csv.reader(lines, strict=True)
    while True:
        start = lines.number + 1
        lines.taken.clear()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            lines.keep(1)
            yield RawRow(start, [], lines.taken[0], f"is not valid CSV: {error}")
            continue
        except _TooLong:
            lines.keep(1)
            rule = f"has a quote that is not closed within {MAX_RECORD_LINES} lines"
            yield RawRow(start, [], lines.taken[0], rule)
            continue
        if not cells or (len(cells) == 1 and not cells[0].strip()):
            continue
        width = width or len(cells)
        if len(lines.taken) > 1 and len(cells) != width:
            lines.keep(_swallowed(lines.taken, width))
        yield RawRow(start, cells, "".join(lines.taken))


def _swallowed(taken: Sequence[str], width: int) -> int:
    """How many lines belong to a record of the wrong width: up to the first whole row in it."""
    for index, line in enumerate(taken[1:], 1):
        try:
            cells = next(csv.reader([line], strict=True))
        except csv.Error:
            continue
        if len(cells) == width:
            return index
    return len(taken)
