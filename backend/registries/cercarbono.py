"""Cercarbono: issuances under a serial prefix, retirements with numbers, projects. Ledger only."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from backend.domain.credits import (
    BlockRecord,
    Facts,
    Kind,
    ProjectRecord,
    Status,
    VolumeRecord,
)
from backend.domain.serials import Interval, Series
from backend.domain.units import KILOGRAMS_PER_TONNE
from backend.errors import InvalidValue
from backend.registries.apx import vintage_of
from backend.registries.cells import (
    amount,
    identifier,
    iso_date,
    literals,
    period,
    segment,
    texts_of,
    whole_number,
    year,
)

PROGRAMME = "CERCARBONO"
#: What the registry writes in place of a name it does not publish.
NOT_PUBLIC = "Not public"
_SERIAL = re.compile(r"CDC_(?:R_)?(?P<project>\d+)_[0-9A-Z_]+", re.ASCII)
#: Segments that mark units of the buffer pool: `…_BF`, `…_BFC_2018`, `…_BFI_2020`.
_BUFFERS = frozenset({"BF", "BFC", "BFI"})
_NUMBER = re.compile(r"\d+", re.ASCII)


@dataclass(frozen=True, slots=True)
class CercarbonoSerial:
    """A serial prefix: the whole text names a number space; what its segments mean is not known.

    Numbers begin at 1 in it, in older ones at 0.
    """

    series: Series
    project: int
    is_buffer: bool

    def __str__(self) -> str:
        return self.series.text


def parse_serial(text: str) -> CercarbonoSerial:
    """The prefix in `text`; raises InvalidValue for field `serial`."""
    match = _SERIAL.fullmatch(text)
    if not match:
        raise InvalidValue("serial", text, "is not CDC_<project>_…")
    project = segment("serial", match["project"], text)
    buffer = not _BUFFERS.isdisjoint(text.split("_"))
    try:
        series = Series(PROGRAMME, (), text)
    except InvalidValue as error:
        raise InvalidValue("serial", text, error.rule) from None
    return CercarbonoSerial(series, project, buffer)


def _flag(field: str, text: str) -> bool:
    if text not in ("True", "False"):
        raise InvalidValue(field, text, "is neither True nor False")
    return text == "True"


def _period(field: str, text: str) -> tuple[date, date]:
    """`2010-01-01 / 2018-09-30`."""
    start, slash, end = text.partition(" / ")
    if not slash:
        raise InvalidValue(field, text, "is not YYYY-MM-DD / YYYY-MM-DD")
    dates = iso_date(field, start), iso_date(field, end)
    period(field, *dates, text)
    return dates


class CercarbonoIssuances:
    """Issuances: an amount under a prefix, without its numbers; some go into the buffer pool."""

    programme = PROGRAMME
    layout = "cercarbono-issuances"
    kind = Kind.ISSUANCE
    tells = (Status.ISSUED, Status.BUFFER)
    columns = (
        "verification",
        "serial",
        "issued_quantity",
        "issuance_date",
        "year",
        "is_buffer",
        "vintage_of_credits",
        "global_goals",
        "elegible",
    )

    def parse(self, cells: Sequence[str], row: int, line: int) -> VolumeRecord:
        """One issuance; whether it is a buffer's stands in a column and in the serial."""
        _, text, quantity, issued, year_text, buffer_text, vintage, goals, eligible = cells
        serial = parse_serial(text)
        if not quantity:
            raise InvalidValue("issued_quantity", quantity, "is empty")
        tonnes = amount("issued_quantity", quantity)
        issued_on = iso_date("issuance_date", issued)
        year("year", year_text)
        is_buffer = _flag("is_buffer", buffer_text)
        if is_buffer is not serial.is_buffer:
            raise InvalidValue("is_buffer", buffer_text, f"contradicts the serial {text}")
        start, end = _period("vintage_of_credits", vintage)
        return VolumeRecord(
            PROGRAMME,
            str(serial.project),
            "",
            text,
            tonnes * KILOGRAMS_PER_TONNE,
            self.kind,
            Status.BUFFER if is_buffer else Status.ISSUED,
            start,
            end,
            texts_of("elegible", eligible, "description"),
            series=serial.series,
            facts=Facts(goals=texts_of("global_goals", goals, "description"), issued_on=issued_on),
            row=row,
            line=line,
        )


class CercarbonoRetirements:
    """Retirements of numbers under a prefix, most of them for the Colombian carbon tax."""

    programme = PROGRAMME
    layout = "cercarbono-retirements"
    kind = Kind.RETIREMENT
    tells = (Status.RETIRED,)
    columns = (
        "project_name",
        "project_id",
        "serial",
        "vintage",
        "certificate_destination",
        "end_user",
        "passive_subject",
        "date",
        "quantity",
        "public_consult",
        "from",
        "to",
        "industry",
    )

    def parse(self, cells: Sequence[str], row: int, line: int) -> BlockRecord:
        """One retirement. `end_user` that is not public is no beneficiary."""
        (
            name, project_id, text, vintage, destination, user, obligated, day, quantity, _,
            first_text, last_text, _,
        ) = cells  # fmt: skip
        project = identifier("project_id", project_id)
        serial = parse_serial(text)
        if serial.project != project:
            raise InvalidValue("project_id", project_id, f"is not {serial.project} of the serial")
        interval = _numbers(serial.series, first_text, last_text)
        if whole_number("quantity", quantity) != interval.tonnes:
            raise InvalidValue("quantity", quantity, f"is not the {interval.tonnes} of from … to")
        start, end = vintage_of(year("vintage", vintage))
        hidden = user.casefold() == NOT_PUBLIC.casefold()
        return BlockRecord(
            PROGRAMME,
            str(project),
            name,
            start,
            end,
            interval,
            self.kind,
            Status.RETIRED,
            facts=Facts(
                retired_on=iso_date("date", day),
                beneficiary="" if hidden else user,
                note=user if hidden else "",
                use_case=destination,
                obligated_party=obligated,
            ),
            row=row,
            line=line,
        )


def _numbers(series: Series, first_text: str, last_text: str) -> Interval:
    for field, text in (("from", first_text), ("to", last_text)):
        if not _NUMBER.fullmatch(text):
            raise InvalidValue(field, text, "is not a number")
    first, last = segment("from", first_text, first_text), segment("to", last_text, last_text)
    try:
        return Interval(series, first, last)
    except InvalidValue as error:
        field = "from" if error.field == "first" else "to"
        raise InvalidValue(
            field, {"from": first_text, "to": last_text}[field], error.rule
        ) from None


class CercarbonoProjects:
    """The list of projects; names may be `-` (the registry's own tests)."""

    programme = PROGRAMME
    layout = "cercarbono-projects"
    kind = Kind.PROJECT
    tells = ()
    columns = (
        "id",
        "code",
        "is_public",
        "owner",
        "owner_id",
        "developer",
        "developer_id",
        "validator",
        "verifier",
        "credits_type",
        "name",
        "description",
        "standard",
        "sector",
        "evaluation_criteria",
        "quantification_method",
        "stage",
        "locations",
        "serials",
        "annualEstimated",
    )

    def parse(self, cells: Sequence[str], row: int, line: int) -> ProjectRecord:
        """One project, placed where its first location is."""
        cell = dict(zip(self.columns, cells, strict=True))
        project = identifier("id", cell["id"])
        if cell["code"] != f"CDC-{project}":
            raise InvalidValue("code", cell["code"], f"is not CDC-{project}")
        if not cell["stage"]:
            raise InvalidValue("stage", "", "is empty: the row names no status")
        _flag("is_public", cell["is_public"])
        estimated = cell["annualEstimated"]
        place = _place(cell["locations"])
        return ProjectRecord(
            PROGRAMME,
            str(project),
            cell["name"],
            cell["stage"],
            developer=cell["developer"] or cell["owner"],
            country=place.country,
            region=place.region,
            project_types=texts_of("sector", cell["sector"], "description"),
            methodologies=tuple(filter(None, (cell["quantification_method"],))),
            estimated_annual_tonnes=amount("annualEstimated", estimated) if estimated else None,
            issued_kilograms=_issued(cell["serials"]),
            verifier=cell["verifier"],
            latitude=place.latitude,
            longitude=place.longitude,
            note=cell["evaluation_criteria"],
            row=row,
            line=line,
        )


@dataclass(frozen=True, slots=True)
class _Place:
    country: str = ""
    region: str = ""
    latitude: str = ""
    longitude: str = ""


def _place(text: str) -> _Place:
    found = literals("locations", text)
    first = found[0] if found else {}
    if not isinstance(first, dict):
        raise InvalidValue("locations", text, "is not a list of places")
    where = first.get("data_map")
    where = where if isinstance(where, dict) else {}
    region = filter(None, (first.get("city"), first.get("region")))
    return _Place(
        str(first.get("country") or ""),
        ", ".join(map(str, region)),
        *(str(where.get(name) or "") for name in ("latitude", "longitude")),
    )


def _issued(text: str) -> int:
    """The sum of a project's issuances, the buffer's among them, in kilograms."""
    tonnes = 0
    for entry in literals("serials", text):
        quantity = entry.get("issued_quantity") if isinstance(entry, dict) else None
        if not isinstance(quantity, int) or quantity < 0:
            raise InvalidValue("serials", text, "has an entry without issued_quantity")
        tonnes += quantity
    return tonnes * KILOGRAMS_PER_TONNE
