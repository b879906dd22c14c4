"""Rows of an .xlsx workbook as texts, sheet by sheet, after checks that it is what it says."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import chain

from python_calamine import CalamineError, CalamineWorkbook

from backend.errors import UnknownLayout
from backend.registries.csv_rows import RawRow

#: A workbook that unpacks to more, or whose table has more cells, is not read: the reader holds
#: one sheet in memory, filled cells or not.
MAX_UNPACKED_BYTES = 2 << 30
MAX_CELLS = 40_000_000
#: Whole numbers above it are not kept exactly by a cell, which is a binary float.
_EXACT = 2**53
_PIECE = 1 << 20
_SHEET = re.compile(r"xl/worksheets/[^/]+\.xml")
_COLUMN = re.compile(rb'<c r="([A-Z]{1,3})\d')
_ROW = re.compile(rb'<row r="(\d{1,9})"')

Cell = str | int | float | bool | date | time | datetime | timedelta


@dataclass(frozen=True, slots=True)
class Sheet:
    """One table of a workbook; iterate `rows` once."""

    name: str
    rows: Iterator[RawRow]


def sheets(path: str) -> Iterator[Sheet]:
    """Every sheet that has a row, in the workbook's order; one is held in memory at a time.

    Raises UnknownLayout when the file is not a workbook or one of those that are not read.
    """
    _check(path)
    try:
        workbook = CalamineWorkbook.from_path(path)
    except BaseException as error:
        raise _broken(path, error) from None
    with workbook:
        for name in workbook.sheet_names:
            try:
                sheet = workbook.get_sheet_by_name(name)
                height, start = sheet.height, sheet.start
                found = sheet.iter_rows() if height else iter(())
            except BaseException as error:
                raise _broken(path, error) from None
            if start is not None:
                yield Sheet(name, _rows(found, start[0] + 1))


def _broken(path: str, error: BaseException) -> BaseException:
    """The reader's failure as ours: a panic inside it is no Exception, but comes from the file."""
    if isinstance(error, CalamineError | OSError | ValueError) or "Panic" in type(error).__name__:
        return UnknownLayout(f"{path} is not a readable workbook: {error}", file=path)
    return error


def _check(path: str) -> None:
    """Refuse what would unpack to more than the memory, before it is unpacked."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if "xl/workbook.xml" not in names:
                raise UnknownLayout(f"{path} is a zip archive, not a workbook (.xlsx)", file=path)
            unpacked = sum(entry.file_size for entry in archive.infolist())
            if unpacked > MAX_UNPACKED_BYTES:
                _too_large(path, f"unpacks to {unpacked:,} bytes, more than {MAX_UNPACKED_BYTES:,}")
            for name in filter(_SHEET.fullmatch, names):
                _check_area(path, archive, name)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as error:
        raise UnknownLayout(f"{path} is not a readable workbook: {error}", file=path) from None


def _check_area(path: str, archive: zipfile.ZipFile, name: str) -> None:
    """One cell far out makes a table of billions of empty ones: count rows and columns first."""
    columns: set[bytes] = set()
    rows, tail = 0, b""
    with archive.open(name) as source:
        while piece := source.read(_PIECE):
            text = tail + piece
            columns.update(_COLUMN.findall(text))
            rows = max(chain((rows,), map(int, _ROW.findall(text))))
            tail = text[-32:]
    width = max(map(_column_number, columns), default=0)
    if rows * width > MAX_CELLS:
        _too_large(path, f"has {rows:,} rows of {width:,} columns, more than {MAX_CELLS:,} cells")


def _column_number(letters: bytes) -> int:
    """`A` → 1, `XFD` → 16,384."""
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number


def _too_large(path: str, rule: str) -> None:
    raise UnknownLayout(f"{path} {rule}: export the table as CSV", file=path)


def _rows(found: Iterator[list[Cell]], first_line: int) -> Iterator[RawRow]:
    """Rows that hold something, with the line of the sheet they stand on."""
    for line, cells in enumerate(found, first_line):
        try:
            texts = [cell if type(cell) is str else _text(cell) for cell in cells]
        except OverflowError as error:
            shown = "; ".join(map(str, cells))
            yield RawRow(line, [], shown, str(error))
            continue
        text = "\t".join(texts)
        if text and not text.isspace():
            yield RawRow(line, texts, text)


def _text(cell: Cell) -> str:
    """A cell as a CSV of the same table would have it: 2210, not 2210.0; dates as ISO 8601."""
    if isinstance(cell, bool):
        return str(cell)
    if isinstance(cell, float):
        if not cell.is_integer():
            return repr(cell)
        if abs(cell) >= _EXACT:
            raise OverflowError(
                f"holds the number {cell:.0f}, which a cell cannot keep exactly: format it as text"
            )
        return str(int(cell))
    if isinstance(cell, date):  # a datetime is one, too
        return cell.isoformat()
    return str(cell)
