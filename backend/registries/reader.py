"""From a file to records and rejections: finds the layout, survives every malformed row."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import TextIOWrapper
from itertools import islice
from operator import itemgetter
from os import PathLike, fspath
from typing import IO

from backend.domain.credits import Record
from backend.errors import InvalidValue, UnknownLayout
from backend.registries import workbooks
from backend.registries.cells import MAX_DIGITS
from backend.registries.csv_rows import RawRow, csv_rows
from backend.registries.layouts import ADAPTERS
from backend.registries.protocol import (
    MAX_SHOWN,
    WHOLE_RECORD,
    Adapter,
    ControlTotal,
    Rejection,
)

#: So many rows of a sheet may be titles before the header.
MOST_TITLES = 20
#: An error names at most this many columns: a header may have a million.
MOST_NAMED = 30
_SPACES = re.compile(r"\s+")
_NAMELESS = re.compile(r"(?:unnamed: \d+)?")
_TOTAL = re.compile(r"\d+|\d{1,3}(?:,\d{3})+", re.ASCII)
_ZIP = b"PK\x03\x04"
_MAGIC = (
    (b"\xd0\xcf\x11\xe0", "is an old or an encrypted Excel workbook: save it as .xlsx or CSV"),
    (b"\xff\xfe", "is UTF-16: export the table as CSV in UTF-8"),
    (b"\xfe\xff", "is UTF-16: export the table as CSV in UTF-8"),
    (b"\x1f\x8b", "is compressed: unpack it first"),
    (b"%PDF", "is a PDF: export the table as CSV"),
)


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
        common=near,
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
    _source: Iterator[RawRow]

    def __iter__(self) -> Iterator[Record | Rejection | ControlTotal]:
        return self.rows_after(0)

    def rows_after(self, row: int) -> Iterator[Record | Rejection | ControlTotal]:
        """The rows after row number `row`; those before it are passed over unread."""
        pick = itemgetter(*self._order)
        parse = self.adapter.parse
        number = 0
        for record in self._source:
            rule = record.rule
            cells = record.cells
            if not rule and _is_total(cells) and (total := _control_total(record)):
                if number >= row:
                    yield total
                continue
            number += 1
            if number <= row:
                continue
            if not rule and len(cells) != self._width:
                rule = self._why_ragged(cells)
            if rule:
                yield Rejection(number, record.line, WHOLE_RECORD, _shown(record.text), rule)
                continue
            try:
                if not record.text.isascii() or "\0" in record.text:
                    self._check_characters(cells)
                yield parse(list(map(str.strip, pick(cells))), number, record.line)
            except InvalidValue as error:
                yield Rejection(
                    number, record.line, error.field, _shown(str(error.value)), error.rule
                )

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


def _is_total(cells: Sequence[str]) -> bool:
    return cells[0].strip().casefold() == "total"


def _control_total(record: RawRow) -> ControlTotal | None:
    """A row that says `Total` and one number, as registries close a table with."""
    cells = record.cells
    others = [text for cell in cells[1:] if (text := cell.strip())]
    if len(others) != 1 or not _TOTAL.fullmatch(others[0]):
        return None
    return ControlTotal(record.line, int(others[0].replace(",", "")[:MAX_DIGITS]))


def _printable(text: str) -> str:
    """Undecodable bytes and NUL as escapes, so that the report is text."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\x00")


def _shown(text: str) -> str:
    clean = _printable(text.strip())
    return clean if len(clean) <= MAX_SHOWN else f"{clean[: MAX_SHOWN - 1]}…"


def _open(path: str) -> IO[str] | None:
    """The file as text, None when it is a workbook; raises as `open_export` says."""
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
    if start.startswith(_ZIP):
        raw.close()
        return None
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
    source = _open(name)
    if source is None:
        yield _of_workbook(name)
        return
    with source:
        yield _of_csv(name, source)


def _of_workbook(name: str) -> Export:
    """The one sheet that has a layout, below at most MOST_TITLES rows of title."""
    found: tuple[str, Export] | None = None
    nearest: UnknownLayout | None = None
    for sheet in workbooks.sheets(name):
        for titled in islice(sheet.rows, MOST_TITLES + 1):
            try:
                match = recognise([_printable(cell) for cell in titled.cells])
            except UnknownLayout as error:
                if nearest is None or error.values["common"] > nearest.values["common"]:
                    nearest = error
                continue
            if found:
                raise UnknownLayout(
                    f"{name}: sheets {found[0]!r} and {sheet.name!r} both hold a known layout: "
                    "keep one of them",
                    file=name,
                )
            found = sheet.name, Export(match.adapter, match.order, len(titled.cells), sheet.rows)
            break
    if found:
        return found[1]
    if nearest is None:
        raise UnknownLayout(f"{name} is empty: no sheet has a header", file=name)
    raise UnknownLayout(f"{name}: {nearest.message}", file=name, **nearest.values)


def _of_csv(name: str, source: IO[str]) -> Export:
    records = csv_rows(source)
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
