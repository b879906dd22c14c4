"""What another bridge says it holds, in a CSV layout of our own: projects, and serials if known."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike, fspath

from backend.domain.duplicates import REGISTRY, Key, Listing
from backend.domain.serials import Interval, Series
from backend.errors import InvalidValue, UnknownLayout
from backend.registries.cells import iso_date, optional, whole_number
from backend.registries.listings import listing_of_texts

#: Every column; only programme, project and name need a value. Lists are joined by `;`.
COLUMNS = (
    "programme", "project", "name", "developer", "country", "methodologies", "latitude",
    "longitude", "period_start", "period_end", "other_ids", "series", "first", "last",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class BridgeList:
    """Projects that a bridge lists, and the serials it says it holds."""

    listings: Mapping[Key, Listing]
    holdings: tuple[tuple[Key, Interval], ...]


def read_bridge_list(path: str | PathLike[str], source: str) -> BridgeList:
    """Read a list; raises UnknownLayout, or InvalidValue naming the line of the first fault."""
    if not source or source == REGISTRY or not source.isprintable():
        raise InvalidValue("source", source, "is no name of a bridge")
    listings: dict[Key, Listing] = {}
    holdings: list[tuple[Key, Interval]] = []
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            if tuple(reader.fieldnames or ()) != COLUMNS:
                raise UnknownLayout(
                    f"{fspath(path)}: the columns are not {', '.join(COLUMNS)}",
                    expected=list(COLUMNS),
                )
            for row in reader:
                key, listing, held = _row(source, row, reader.line_num)
                listings[key] = listings[key] | listing if key in listings else listing
                if held is not None:
                    holdings.append((key, held))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidValue("file", fspath(path), f"cannot be read: {error}") from None
    return BridgeList(listings, tuple(holdings))


def _row(
    source: str, row: Mapping[str, str | None], line: int
) -> tuple[Key, Listing, Interval | None]:
    cells = {name: (row.get(name) or "").strip() for name in COLUMNS}
    try:
        for name in ("programme", "project", "name"):
            if not cells[name]:
                raise InvalidValue(name, "", "is empty")
        key = Key(source, cells["programme"], cells["project"])
        listing = listing_of_texts(
            key,
            name=cells["name"],
            developer=cells["developer"],
            country=cells["country"],
            methodologies=list(filter(None, cells["methodologies"].split(";"))),
            period=(
                optional(iso_date, "period_start", cells["period_start"]),
                optional(iso_date, "period_end", cells["period_end"]),
            ),
            place=(cells["latitude"], cells["longitude"]),
            stated=list(filter(None, cells["other_ids"].split(";"))),
        )
        return key, listing, _interval(cells)
    except InvalidValue as error:
        raise InvalidValue(
            error.field, error.value, f"{error.rule} (line {line})", line=line
        ) from None


def _interval(cells: Mapping[str, str]) -> Interval | None:
    named = [cells[name] for name in ("series", "first", "last")]
    if not any(named):
        return None
    if not all(named):
        raise InvalidValue("series", cells["series"], "needs series, first and last together")
    first, last = whole_number("first", cells["first"]), whole_number("last", cells["last"])
    return Interval(Series.parse(cells["series"]), first, last)
