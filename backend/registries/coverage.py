"""How much of a file the vocabulary understands: known, empty and unknown per attribute."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from os import PathLike, fspath
from typing import Any

from python_calamine import CalamineWorkbook

from backend.errors import InvalidValue, UnknownLayout
from backend.registries.attributes import COLUMNS, VERSION, Attribute, Reading, normal, read_list

#: A title may stand above the header of a workbook.
_HEADER_ROWS = 10


@dataclass(slots=True)
class Count:
    """Cells of one attribute. `unknown` counts each spelling that the vocabulary lacks.

    `silent` are known spellings that state nothing, such as `Not provided` or `Other`.
    """

    known: int = 0
    silent: int = 0
    empty: int = 0
    unknown: Counter[str] = field(default_factory=Counter)

    def add(self, reading: Reading, text: str) -> None:
        if reading.unknown:
            self.unknown.update(reading.unknown)
        elif reading.codes:
            self.known += 1
        elif text.strip():
            self.silent += 1
        else:
            self.empty += 1


@dataclass(frozen=True, slots=True)
class Coverage:
    """What the vocabulary makes of one file."""

    file: str
    programme: str
    rows: int
    counts: Mapping[Attribute, Count]
    vocabulary: str = VERSION

    @property
    def unknown(self) -> int:
        """Cells that the vocabulary does not understand."""
        return sum(count.unknown.total() for count in self.counts.values())

    def as_json(self) -> dict[str, Any]:
        return {
            "file": self.file,
            "programme": self.programme,
            "vocabulary": self.vocabulary,
            "rows": self.rows,
            "attributes": {
                attribute.value: {
                    "known": count.known,
                    "silent": count.silent,
                    "empty": count.empty,
                    "unknown": dict(count.unknown.most_common()),
                }
                for attribute, count in self.counts.items()
            },
        }


def check(path: str | PathLike[str]) -> Coverage:
    """Read every cell that holds an attribute; raises UnknownLayout, or InvalidValue (`file`)."""
    rows = iter(_rows(fspath(path)))
    head = list(islice(rows, _HEADER_ROWS))
    for number, row in enumerate(head):
        layout = _layout(row)
        if layout is not None:
            return _count(fspath(path), layout, row, (*head[number + 1 :], *rows))
    raise UnknownLayout(f"{fspath(path)}: no column of attributes is known in this header")


def _rows(path: str) -> Iterator[Sequence[str]]:
    try:
        if path.lower().endswith(".xlsx"):
            book = CalamineWorkbook.from_path(path)
            for row in book.get_sheet_by_index(0).to_python():
                yield [str(cell) for cell in row]
            return
        with open(path, encoding="utf-8-sig", newline="") as source:
            yield from csv.reader(source)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidValue("file", path, f"cannot be read: {error}") from None


def _layout(header: Sequence[str]) -> Mapping[str, Any] | None:
    names = {normal(name) for name in header}
    for layout in COLUMNS:
        if names.issuperset(normal(name) for name in layout["requires"]):
            return layout
    return None


def _count(
    file: str, layout: Mapping[str, Any], header: Sequence[str], rows: Iterable[Sequence[str]]
) -> Coverage:
    places = {normal(name): at for at, name in enumerate(header)}
    columns = [
        (column, places[normal(column)], Attribute(attribute))
        for column, attribute in layout["attributes"].items()
        if normal(column) in places
    ]
    counts = {attribute: Count() for _, _, attribute in columns}
    programme, separator = layout["programme"], layout.get("separator", ";")
    total = 0
    for row in rows:
        if not any(row):
            continue
        total += 1
        for column, at, attribute in columns:
            for text in _texts(layout, column, row[at] if at < len(row) else ""):
                reading = read_list(attribute, programme, text, separator)
                counts[attribute].add(reading, text)
    return Coverage(file, programme, total, counts)


def _texts(layout: Mapping[str, Any], column: str, cell: str) -> list[str]:
    """The spellings in a cell: some exports print a list of records, or an id with a prefix."""
    member = layout.get("members", {}).get(column)
    if member is not None:
        found = re.findall(rf"'{member}': (?:'([^']*)'|\"([^\"]*)\")", cell)
        return [single or double for single, double in found] or [""]
    if column in layout.get("before", {}):
        prefix, mark, _ = cell.partition(layout["before"][column])
        return [prefix if mark else ""]
    return [cell]
