"""Causeway's own layouts of what a holder has: pieces in their present state.

No public report of ACR, CAR, ART or Gold Standard says which serials are live; Puro publishes no
file with serials; CCER and PHCER publish no grammar of theirs. A custodian or holder types these
tables from account statements and certificates, so every column is documented and checked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import TypeVar
from unicodedata import normalize

from backend.domain.credits import BlockRecord, Facts, Kind, Status
from backend.domain.serials import Interval
from backend.errors import InvalidValue
from backend.registries.cells import iso_date, listed, optional, period, whole_number

Serial = TypeVar("Serial")
#: Columns of them all after those that name the serials.
COLUMNS = (
    "Quantity",
    "Status",
    "Project",
    "Project Name",
    "Methodology",
    "Country",
    "Vintage Start",
    "Vintage End",
    "Issuance Date",
    "Labels",
    "Account",
    "Retirement Date",
    "Beneficiary",
    "Reason",
    "Note",
)
_STATUS_WORDS = {
    "active": Status.ACTIVE,
    "retired": Status.RETIRED,
    "cancelled": Status.CANCELLED,
    "canceled": Status.CANCELLED,
}
TELLS = (Status.ACTIVE, Status.RETIRED, Status.CANCELLED)


def canonical(field: str, text: str) -> str:
    """Text that names something: in its one normal form, or two spellings would name two.

    Full-width digits and hyphens, as Chinese keyboards type them, are refused with the text that
    belongs there (Unicode NFKC); so are doubled spaces and control characters.
    """
    if not text:
        raise InvalidValue(field, text, "is empty")
    plain = " ".join(normalize("NFKC", text).split())
    if plain != text:
        raise InvalidValue(field, text, f"is not in its normal form: write {plain!r}")
    if not text.isprintable():
        raise InvalidValue(field, text, "holds a control character")
    return text


def named(column: str, text: str, parse: Callable[[str], Serial]) -> Serial:
    """A serial of the registry's own grammar, its refusal under the name of our column."""
    try:
        return parse(text)
    except InvalidValue as error:
        raise InvalidValue(column, text, error.rule) from None


def vintage(cell: Mapping[str, str]) -> tuple[date, date]:
    """Both dates of the vintage."""
    start = iso_date("Vintage Start", cell["Vintage Start"])
    end = iso_date("Vintage End", cell["Vintage End"])
    period("Vintage End", start, end, cell["Vintage End"])
    return start, end


def of_batch(
    programme: str, cell: Mapping[str, str], interval: Interval, place: tuple[int, int]
) -> BlockRecord:
    """A piece whose series is (project, vintage, batch): both must be the row's own.

    The vintage is the whole year of the serial, as the class of the registry's own reports is.
    """
    project, year, _ = interval.series.codes
    if cell["Project"] != str(project):
        raise InvalidValue("Project", cell["Project"], f"is not project {project} of the serials")
    start, end = vintage(cell)
    for column, day, wanted in (
        ("Vintage Start", start, (year, 1, 1)),
        ("Vintage End", end, (year, 12, 31)),
    ):
        if (day.year, day.month, day.day) != wanted:
            raise InvalidValue(column, cell[column], f"is not that of the vintage {year:04d}")
    return record(programme, cell, interval, (), place, interval.series.codes[2])


def record(
    programme: str,
    cell: Mapping[str, str],
    interval: Interval,
    labels: tuple[str, ...],
    place: tuple[int, int],
    batch: int | None = None,
) -> BlockRecord:
    """The piece of a row; `labels` are those its serial implies, `place` is row and line."""
    if whole_number("Quantity", cell["Quantity"]) != interval.tonnes:
        raise InvalidValue("Quantity", cell["Quantity"], f"is not the {interval.tonnes} of serials")
    status = _STATUS_WORDS.get(cell["Status"].casefold())
    if status is None:
        raise InvalidValue("Status", cell["Status"], "is not Active, Retired or Cancelled")
    retired_on = optional(iso_date, "Retirement Date", cell["Retirement Date"])
    if status is Status.ACTIVE:
        for column in ("Retirement Date", "Beneficiary", "Reason"):
            if cell[column]:
                raise InvalidValue(column, cell[column], "stands on a row that is Active")
    elif retired_on is None:
        raise InvalidValue("Retirement Date", "", f"is empty on a row that is {cell['Status']}")
    start, end = vintage(cell)
    facts = Facts(
        methodologies=listed(cell["Methodology"], ";"),
        country=cell["Country"],
        issued_on=optional(iso_date, "Issuance Date", cell["Issuance Date"]),
        retired_on=retired_on,
        beneficiary=cell["Beneficiary"],
        reason=cell["Reason"],
        note=cell["Note"],
        account_holder=cell["Account"],
    )
    return BlockRecord(
        programme,
        canonical("Project", cell["Project"]),
        cell["Project Name"],
        start,
        end,
        interval,
        Kind.PARTITION,
        status,
        labels + listed(cell["Labels"], ";"),
        batch,
        facts,
        *place,
    )
