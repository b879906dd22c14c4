"""Verra's VCU export: every row is a piece of a batch in its present state."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from backend.domain.credits import BlockRecord, Facts, Kind, Status
from backend.domain.serials import Interval, Series
from backend.errors import InvalidValue
from backend.registries.cells import (
    compact_date,
    either_date,
    identifier,
    listed,
    optional,
    segment,
    whole_number,
)

PROGRAMME = "VCS"
COLUMNS = (
    "Issuance Date",
    "Sustainable Development Goals",
    "Vintage Start",
    "Vintage End",
    "ID",
    "Name",
    "Country/Area",
    "Project Type",
    "Methodology",
    "Total Vintage Quantity",
    "Quantity Issued",
    "Serial Number",
    "Additional Certifications",
    "Retirement/Cancellation Date",
    "Retirement Beneficiary",
    "Retirement Reason",
    "Retirement Details",
)
_SERIAL_FIELD = "Serial Number"
#: The first batch whose serials have the segment `VCS`: there the counter restarted at 1.
FIRST_BATCH_OF_SECOND_GENERATION = 8164
#: The last batch known without it; none between the two has been seen.
LAST_BATCH_OF_FIRST_GENERATION = 8158
_GENERATIONS = (Series(PROGRAMME, (1,)), Series(PROGRAMME, (2,)))

_SERIAL = re.compile(
    r"(?P<batch>\d+)-(?P<start>\d+)-(?P<end>\d+)(?:-(?P<program>VCS))?-VCU-(?P<vvb>\d+)"
    r"-(?P<admin>VER|APX|MER)-(?P<country>[A-Z]{2})-(?P<scope>\d{1,2})-(?P<project>\d+)"
    r"-(?P<vstart>\d{8})-(?P<vend>\d{8})-(?P<label>[01])",
    re.ASCII,
)
_WITHOUT_SCOPE = re.compile(
    r"\d+-\d+-\d+(?:-VCS)?-VCU-\d+-(?:VER|APX|MER)-[A-Z]{2}-\d+-\d{8}-\d{8}-[01]", re.ASCII
)
_LETTER_O = re.compile(r"(?<=[-\d])O(?=[-\dO]|$)|^O", re.ASCII)


@dataclass(frozen=True, slots=True)
class VerraSerial:
    """The segments of a VCU serial range. `vvb` is text: it keeps its leading zeros."""

    batch: int
    interval: Interval
    vvb: str
    admin: str
    country: str
    scope: int
    project: int
    vintage_start: date
    vintage_end: date
    labelled: bool

    @property
    def generation(self) -> int:
        """1 = 12 segments, 2 = 13 with `VCS`; numbers are unique only inside one of them."""
        return self.interval.series.codes[0]

    def __str__(self) -> str:
        segment = "-VCS" if self.generation == 2 else ""
        return (
            f"{self.batch}-{self.interval.first}-{self.interval.last}{segment}-VCU-{self.vvb}"
            f"-{self.admin}-{self.country}-{self.scope}-{self.project}"
            f"-{self.vintage_start:%d%m}{self.vintage_start.year:04d}"
            f"-{self.vintage_end:%d%m}{self.vintage_end.year:04d}-{int(self.labelled)}"
        )


def _why_not(text: str) -> str:
    """What is wrong with a text that is not a serial, as exactly as can be said."""
    if not text:
        return "is empty"
    if _WITHOUT_SCOPE.fullmatch(text):
        return "lacks the segment of the sectoral scope between country and project"
    corrected = _LETTER_O.sub("0", text)
    while corrected != (again := _LETTER_O.sub("0", corrected)):
        corrected = again
    if corrected != text and (_SERIAL.fullmatch(corrected) or _WITHOUT_SCOPE.fullmatch(corrected)):
        return "has the letter O where the digit 0 belongs"
    return (
        f"is not a VCU serial, batch-first-last[-VCS]-VCU-vvb-VER|APX|MER-CC-scope-project"
        f"-DDMMYYYY-DDMMYYYY-0|1 ({text.count('-') + 1} segments found)"
    )


def parse_serial(text: str) -> VerraSerial:
    """The serial range in `text`; raises InvalidValue for field `Serial Number`."""
    match = _SERIAL.fullmatch(text)
    if not match:
        raise InvalidValue(_SERIAL_FIELD, text, _why_not(text))
    batch, start, end, program, vvb, admin, country, scope, project, vstart, vend, label = (
        match.groups()
    )
    number = segment(_SERIAL_FIELD, batch, text)
    if program and number <= LAST_BATCH_OF_FIRST_GENERATION:
        raise InvalidValue(
            _SERIAL_FIELD, text, f"has the segment VCS, which batch {number} cannot have"
        )
    if not program and number >= FIRST_BATCH_OF_SECOND_GENERATION:
        raise InvalidValue(_SERIAL_FIELD, text, f"lacks the segment VCS that batch {number} has")
    first, last = segment(_SERIAL_FIELD, start, text), segment(_SERIAL_FIELD, end, text)
    try:
        interval = Interval(_GENERATIONS[bool(program)], first, last)
    except InvalidValue as error:
        raise InvalidValue(_SERIAL_FIELD, text, f"{error.field} {error.rule}") from None
    return VerraSerial(
        number,
        interval,
        vvb,
        admin,
        country,
        segment(_SERIAL_FIELD, scope, text),
        segment(_SERIAL_FIELD, project, text),
        compact_date(_SERIAL_FIELD, vstart, text),
        compact_date(_SERIAL_FIELD, vend, text),
        label == "1",
    )


class VerraVcuExport:
    """The export of VCUs, active and retired, both generations of serials."""

    programme = PROGRAMME
    layout = "verra-vcu-export"
    kind = Kind.PARTITION
    columns = COLUMNS
    tells = (Status.ACTIVE, Status.RETIRED_OR_CANCELLED)

    def parse(self, cells: Sequence[str], row: int, line: int) -> BlockRecord:
        """One piece of a batch; rules of section 1 of the notes on formats."""
        (
            issued, goals, vintage_start, vintage_end, project, name, country, project_type,
            methodology, total, quantity, serial_text, certifications, retired, beneficiary,
            reason, details,
        ) = cells  # fmt: skip
        issued_on = either_date("Issuance Date", issued)
        start = either_date("Vintage Start", vintage_start)
        end = either_date("Vintage End", vintage_end)
        if end < start:
            raise InvalidValue("Vintage End", vintage_end, f"is before Vintage Start {start}")
        project_number = identifier("ID", project)
        total_tonnes = whole_number("Total Vintage Quantity", total)
        tonnes = whole_number("Quantity Issued", quantity)
        serial = parse_serial(serial_text)
        retired_on = optional(either_date, "Retirement/Cancellation Date", retired)
        labels = listed(certifications, ";")

        if serial.project != project_number:
            raise InvalidValue("ID", project, f"is not project {serial.project} of the serial")
        if serial.vintage_start != start:
            raise InvalidValue(
                "Vintage Start", vintage_start, f"is not {serial.vintage_start} of the serial"
            )
        if serial.vintage_end != end:
            raise InvalidValue(
                "Vintage End", vintage_end, f"is not {serial.vintage_end} of the serial"
            )
        if serial.interval.tonnes != tonnes:
            raise InvalidValue(
                "Quantity Issued", quantity, f"is not the {serial.interval.tonnes} of the serial"
            )
        if serial.labelled != bool(labels):
            flag = "1, so there must be labels" if serial.labelled else "0, so there can be none"
            raise InvalidValue(
                "Additional Certifications", certifications, f"contradicts the serial's flag {flag}"
            )
        if retired_on is None:
            _check_active(beneficiary, reason, details)
        facts = Facts(
            methodologies=listed(methodology, ";"),
            project_types=listed(project_type, ";"),
            goals=listed(goals, ";"),
            country=country,
            total_vintage_tonnes=total_tonnes,
            issued_on=issued_on,
            retired_on=retired_on,
            beneficiary=beneficiary,
            reason=reason,
            note=details,
        )
        return BlockRecord(
            PROGRAMME,
            str(project_number),
            name,
            start,
            end,
            serial.interval,
            Kind.PARTITION,
            Status.RETIRED_OR_CANCELLED if retired_on else Status.ACTIVE,
            labels,
            serial.batch,
            facts,
            row,
            line,
        )


def _check_active(beneficiary: str, reason: str, details: str) -> None:
    """A row without a retirement's date but with its words would pass for live credits."""
    texts = (
        ("Retirement Beneficiary", beneficiary),
        ("Retirement Reason", reason),
        ("Retirement Details", details),
    )
    for field, text in texts:
        if text:
            raise InvalidValue(field, text, "stands on a row without Retirement/Cancellation Date")
