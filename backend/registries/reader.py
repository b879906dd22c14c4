"""From a file to records and rejections: finds the layout, survives every malformed row."""

from __future__ import annotations

import csv
import re
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import TextIOWrapper
from operator import itemgetter
from os import PathLike, fspath
from typing import IO

from backend.domain.credits import Record
from backend.errors import InvalidValue, UnknownLayout
from backend.registries.gold_standard import GoldStandardIssuances, GoldStandardRetirements
from backend.registries.protocol import MAX_SHOWN, WHOLE_RECORD, Adapter, Rejection
from backend.registries.verra import VerraVcuExport

#: Every layout Causeway reads; docs/layouts.md lists them.
ADAPTERS: tuple[Adapter, ...] = (
    VerraVcuExport(),
    GoldStandardIssuances(),
    GoldStandardRetirements(),
)
#: A record of more physical lines is an unterminated quote, not a note.
MAX_RECORD_LINES = 256
#: An error names at most this many columns: a header may have a million.
MOST_NAMED = 30
_SPACES = re.compile(r"\s+")
_NAMELESS = re.compile(r"(?:unnamed: \d+)?")
_MAGIC = (
    (b"PK\x03\x04", "is a workbook or a zip archive: export the table as CSV"),
    (b"\xd0\xcf\x11\xe0", "is an old Excel workbook: export the table as CSV"),
    (b"\xff\xfe", "is UTF-16: export the table as CSV in UTF-8"),
    (b"\xfe\xff", "is UTF-16: export the table as CSV in UTF-8"),
    (b"\x1f\x8b", "is compressed: unpack it first"),
    (b"%PDF", "is a PDF: export the table as CSV"),
)


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


@dataclass(frozen=True, slots=True)
class _Record:
    """Cells of one record, or the rule that it broke as a record."""

    line: int
    cells: list[str]
    text: str
    rule: str = ""


def _records(source: IO[str], width: int | None = None) -> Iterator[_Record]:
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
            yield _Record(start, [], lines.taken[0], f"is not valid CSV: {error}")
            continue
        except _TooLong:
            lines.keep(1)
            rule = f"has a quote that is not closed within {MAX_RECORD_LINES} lines"
            yield _Record(start, [], lines.taken[0], rule)
            continue
        if not cells or (len(cells) == 1 and not cells[0].strip()):
            continue
        width = width or len(cells)
        if len(lines.taken) > 1 and len(cells) != width:
            lines.keep(_swallowed(lines.taken, width))
        yield _Record(start, cells, "".join(lines.taken))


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


def _normal(name: str) -> str:
    return _SPACES.sub(" ", name).strip().casefold()


@dataclass(frozen=True, slots=True)
class _Match:
    adapter: Adapter
    order: tuple[int, ...]


def _unknown(header: Sequence[str], found: Sequence[str]) -> UnknownLayout:
    """Names the nearest layout and what separates the header from it."""

    counted = Counter(found)

    def common(adapter: Adapter) -> int:
        return len({_normal(column) for column in adapter.columns} & counted.keys())

    nearest = max(ADAPTERS, key=common)
    expected = {_normal(column): column for column in nearest.columns}
    missing = [column for name, column in expected.items() if name not in counted]
    unexpected = [
        name.strip()[:60]
        for name in header
        if (normal := _normal(name)) not in expected and not _NAMELESS.fullmatch(normal)
    ]
    twice = sorted({name[:60] for name, count in counted.items() if count > 1})
    near = common(nearest)
    message = f"no known layout has this header; the nearest is {nearest.layout}"
    if 2 * near < len(nearest.columns):
        known = ", ".join(adapter.layout for adapter in ADAPTERS)
        parts = [f"{near} of whose {len(nearest.columns)} columns are there", f"known are {known}"]
    else:
        parts = [
            f"{what}: {_named(names)}"
            for what, names in (
                ("missing", missing),
                ("not known there", unexpected),
                ("there twice", twice),
            )
            if names
        ]
    return UnknownLayout(
        f"{message} ({'; '.join(parts)})",
        nearest=nearest.layout,
        missing=missing[:MOST_NAMED],
        unexpected=unexpected[:MOST_NAMED],
        repeated=twice[:MOST_NAMED],
    )


def _named(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def recognise(header: Sequence[str]) -> _Match:
    """The layout with exactly these columns, in any order; raises UnknownLayout.

    An unknown column is a refusal, not ignored: it could hold labels, and a cohort leaves none
    out. Columns without a name (an empty trailing one) are passed over.
    """
    names = [_normal(name) for name in header]
    found = [name for name in names if not _NAMELESS.fullmatch(name)]
    for adapter in ADAPTERS:
        expected = [_normal(column) for column in adapter.columns]
        if sorted(expected) == sorted(found):
            return _Match(adapter, tuple(names.index(name) for name in expected))
    raise _unknown(header, found)


@dataclass(frozen=True, slots=True)
class Export:
    """An open export whose layout is known. Iterate once."""

    adapter: Adapter
    _order: tuple[int, ...]
    _width: int
    _source: Iterator[_Record]

    def __iter__(self) -> Iterator[Record | Rejection]:
        pick = itemgetter(*self._order)
        parse = self.adapter.parse
        for row, record in enumerate(self._source, 1):
            rule = record.rule
            cells = record.cells
            if not rule and len(cells) != self._width:
                rule = self._why_ragged(cells)
            if rule:
                yield Rejection(row, record.line, WHOLE_RECORD, _shown(record.text), rule)
                continue
            try:
                if not record.text.isascii() or "\0" in record.text:
                    self._check_characters(cells)
                yield parse([cell.strip() for cell in pick(cells)], row, record.line)
            except InvalidValue as error:
                yield Rejection(row, record.line, error.field, _shown(str(error.value)), error.rule)

    def _why_ragged(self, cells: Sequence[str]) -> str:
        """Empty cells after the last column are harmless; anything else shifts the columns."""
        if len(cells) > self._width and not any(cell.strip() for cell in cells[self._width :]):
            return ""
        return f"has {len(cells)} cells, the header has {self._width}"

    def _check_characters(self, cells: Sequence[str]) -> None:
        for column, index in zip(self.adapter.columns, self._order, strict=True):
            cell = cells[index]
            if "\0" in cell:
                raise InvalidValue(column, _printable(cell), "holds a NUL character")
            try:
                cell.encode("utf-8")
            except UnicodeEncodeError:
                raise InvalidValue(column, _printable(cell), "is not UTF-8") from None


def _printable(text: str) -> str:
    """Undecodable bytes and NUL as escapes, so that the report is text."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\x00")


def _shown(text: str) -> str:
    clean = _printable(text.strip())
    return clean if len(clean) <= MAX_SHOWN else f"{clean[: MAX_SHOWN - 1]}…"


def _open(path: str) -> IO[str]:
    """The file as text; raises as `open_export` says."""
    try:
        raw = open(path, "rb")  # noqa: SIM115 (the caller closes the text over it)
        start = raw.peek(8)
    except FileNotFoundError:
        raise InvalidValue("file", path, "does not exist") from None
    except IsADirectoryError:
        raise InvalidValue("file", path, "is a directory") from None
    except OSError as error:
        raise InvalidValue("file", path, f"cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise InvalidValue("file", _printable(path), f"is not a path: {error}") from None
    for magic, rule in _MAGIC:
        if start.startswith(magic):
            raw.close()
            raise UnknownLayout(f"{path} {rule}", file=path)
    return TextIOWrapper(raw, encoding="utf-8-sig", errors="surrogateescape", newline="")


@contextmanager
def open_export(path: str | PathLike[str]) -> Iterator[Export]:
    """Open a registry's export.

    Raises UnknownLayout when no layout has its header and InvalidValue (field `file`) when it
    cannot be read. A row never raises: it is yielded as a Rejection.
    """
    name = fspath(path)
    with _open(name) as source:
        yield _recognised(name, source)


def _recognised(name: str, source: IO[str]) -> Export:
    records = _records(source)
    header = next(records, None)
    if header is None:
        raise UnknownLayout(f"{name} is empty: it has no header", file=name)
    if header.rule:
        raise UnknownLayout(f"{name}: the header {header.rule}", file=name)
    try:
        match = recognise([_printable(cell) for cell in header.cells])
    except UnknownLayout as error:
        raise UnknownLayout(f"{name}: {error.message}", file=name, **error.values) from None
    return Export(match.adapter, match.order, len(header.cells), records)
