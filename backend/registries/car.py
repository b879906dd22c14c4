"""Climate Action Reserve: issuances without serials, retirements, cancellations, projects."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from backend.domain.credits import (
    BlockRecord,
    Facts,
    Kind,
    ProjectRecord,
    Status,
    VolumeRecord,
)
from backend.domain.serials import Interval
from backend.domain.units import KILOGRAMS_PER_TONNE
from backend.errors import InvalidValue
from backend.registries import apx, holding
from backend.registries.cells import amount, listed, optional, prefixed, us_date, year

PROGRAMME = "CAR"
_SERIALS = "Offset Credit Serial Numbers"
_PILOT = "Eligible for CORSIA 2021-2023 Compliance Period"
_FIRST = "Eligible for CORSIA 2024-2026 Compliance Period"
_CERTIFICATIONS = "Additional Certification(s)"
_SERIAL = re.compile(
    r"CAR-(?P<utype>1|ROC)-(?P<country>[A-Z]{2})-(?P<project>\d+)-(?P<ptype>\d+)"
    r"-(?P<developer>\d+)-(?P<state>[A-Z]{2})-(?P<vintage>\d{4})-(?P<batch>\d+)"
    r"-(?P<start>\d+) to (?P<end>\d+)",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class CarSerial:
    """A serial range; numbers restart in every (project, vintage, batch).

    `unit_type` 1 = Climate Reserve Tonne, ROC = registry offset credit, meant for ARB;
    `project_type` and `developer` are the Reserve's numbers as text; `state` may be one of
    Mexico's.
    """

    unit_type: str
    country: str
    project_type: str
    developer: str
    state: str
    interval: Interval

    def __str__(self) -> str:
        project, vintage, batch = self.interval.series.codes
        return (
            f"CAR-{self.unit_type}-{self.country}-{project}-{self.project_type}-{self.developer}"
            f"-{self.state}-{vintage:04d}-{batch}-{self.interval.first} to {self.interval.last}"
        )


def parse_serial(text: str) -> CarSerial:
    """The serial range in `text`; raises InvalidValue for `Offset Credit Serial Numbers`."""
    match = _SERIAL.fullmatch(text)
    if not match:
        rule = (
            "is not CAR-1|ROC-CC-<project>-<type>-<developer>-SS-<vintage>-<batch>"
            "-<first> to <last>"
        )
        raise InvalidValue(_SERIALS, text, rule)
    unit, country, project, kind, developer, state, vintage, batch, start, end = match.groups()
    interval = apx.interval_of(_SERIALS, text, PROGRAMME, (project, vintage, batch), (start, end))
    return CarSerial(unit, country, kind, developer, state, interval)


def _labels(cell: dict[str, str], columns: Sequence[str]) -> tuple[str, ...]:
    flags = apx.flag_labels([(column, cell[column]) for column in columns])
    return flags + listed(cell[_CERTIFICATIONS], ";")


#: Part → column: what became of the issued credits until now.
_PARTS = {
    "buffer": "Offset Credits Currently in Reserve Buffer Pool",
    "compliance_buffer": "Offset Credits Intended for Compliance Buffer Pool",
    "moved_to_vcs": "Offset Credits Converted to VCUs",
    "moved_to_compliance": "Canceled for Compliance",
    "cancelled": "Canceled",
}


class CarIssuances:
    """Issuances: no serial numbers; the other amounts are what became of the issued credits."""

    programme = PROGRAMME
    layout = "car-issuances"
    kind = Kind.ISSUANCE
    tells = (Status.ISSUED,)
    columns = (
        "Date Issued",
        "Project ID",
        "Cooperative/ Aggregate ID",
        "Project Name",
        "Project Developer",
        "Project Owner",
        "Project Type",
        "Reduction/Removal",
        "Reversible/Non-Reversible",
        "Protocol and Version",
        "ARB Eligible",
        "WA ECO Eligible",
        _PILOT,
        _FIRST,
        "Corresponding Adjustment",
        "CCP Approved",
        "Crediting Period",
        "Vintage",
        "Total Offset Credits Issued",
        "Zero-Credit Reporting Period",
        "Offset Credits Currently in Reserve Buffer Pool",
        "Offset Credits Intended for Compliance Buffer Pool",
        "Offset Credits Converted to VCUs",
        "Canceled for Compliance",
        "Canceled",
        "Project Site Location",
        "Project Site State",
        "Project Site Country",
        "Activity Area Type",
        _CERTIFICATIONS,
        "Verification Body",
        "Project Website",
        "Documents",
    )
    _flags = (
        "Reduction/Removal",
        "Reversible/Non-Reversible",
        "ARB Eligible",
        "WA ECO Eligible",
        _PILOT,
        _FIRST,
        "Corresponding Adjustment",
        "CCP Approved",
    )

    def parse(self, cells: Sequence[str], row: int, line: int) -> VolumeRecord:
        """One issuance; a zero-credit reporting period issues nothing."""
        cell = dict(zip(self.columns, cells, strict=True))
        project = prefixed("Project ID", cell["Project ID"], PROGRAMME)
        issued_on = us_date("Date Issued", cell["Date Issued"])
        start, end = apx.vintage_of(year("Vintage", cell["Vintage"]))
        total_text = cell["Total Offset Credits Issued"]
        total = amount("Total Offset Credits Issued", total_text)
        empty = cell["Zero-Credit Reporting Period"].casefold() == "yes"
        if bool(total) == empty:
            rule = "contradicts the column Zero-Credit Reporting Period"
            raise InvalidValue("Total Offset Credits Issued", total_text, rule)
        parts = {name: amount(column, cell[column]) for name, column in _PARTS.items()}
        for name, column in _PARTS.items():
            if parts[name] > total:
                raise InvalidValue(column, cell[column], f"is more than the {total} issued")
        reference = (cell["Project ID"], cell["Date Issued"], cell["Vintage"])
        return VolumeRecord(
            PROGRAMME,
            str(project),
            cell["Project Name"],
            " | ".join(reference),
            total * KILOGRAMS_PER_TONNE,
            self.kind,
            Status.ISSUED,
            start,
            end,
            _labels(cell, self._flags),
            apx.parts_of(parts),
            facts=Facts(
                methodologies=listed(cell["Protocol and Version"], ";"),
                project_types=listed(cell["Project Type"], ";"),
                country=cell["Project Site Country"],
                developer=cell["Project Developer"],
                programme_of_activities=cell["Cooperative/ Aggregate ID"],
                verifier=cell["Verification Body"],
                issued_on=issued_on,
            ),
            row=row,
            line=line,
        )


def _event(cell: dict[str, str], labels: tuple[str, ...], gone: Facts) -> tuple[apx.Block, Facts]:
    """The block of a retirement or cancellation and its facts from the cells by column."""
    block = apx.Block(
        parse_serial(cell[_SERIALS]).interval,
        ("Project ID", prefixed("Project ID", cell["Project ID"], PROGRAMME)),
        ("Vintage", year("Vintage", cell["Vintage"])),
        ("Quantity of Offset Credits", cell["Quantity of Offset Credits"]),
    )
    facts = Facts(
        methodologies=listed(cell["Protocol and Version"], ";"),
        project_types=listed(cell["Project Type"], ";"),
        country=cell["Project Site Country"],
        account_holder=gone.account_holder,
        retired_on=us_date("Status Effective", cell["Status Effective"]),
        reason=gone.reason,
        note=gone.note,
        moved_to=gone.moved_to,
    )
    return block, facts


_CREDITS = (
    "Vintage",
    _SERIALS,
    "Quantity of Offset Credits",
    "Status Effective",
    "Project ID",
    "Project Name",
    "Project Type",
    "Reduction/Removal",
    "Reversible/Non-Reversible",
    "Protocol and Version",
    "Project Site Location",
    "Project Site State",
    "Project Site Country",
)


class CarRetirements:
    """Retired credits; there is no beneficiary column: who it was for hides in the details."""

    programme = PROGRAMME
    layout = "car-retirements"
    kind = Kind.RETIREMENT
    tells = (Status.RETIRED,)
    columns = (
        *_CREDITS,
        "Activity Area Type",
        _CERTIFICATIONS,
        _PILOT,
        _FIRST,
        "Corresponding Adjustment",
        "CCP Approved",
        "Account Holder",
        "Retirement Reason",
        "Retirement Reason Details",
    )
    _flags = (
        "Reduction/Removal",
        "Reversible/Non-Reversible",
        _PILOT,
        _FIRST,
        "Corresponding Adjustment",
        "CCP Approved",
    )

    def parse(self, cells: Sequence[str], row: int, line: int) -> BlockRecord:
        """One retirement."""
        cell = dict(zip(self.columns, cells, strict=True))
        gone = Facts(
            account_holder=cell["Account Holder"],
            reason=cell["Retirement Reason"],
            note=cell["Retirement Reason Details"],
        )
        labels = _labels(cell, self._flags)
        block, facts = _event(cell, labels, gone)
        return block.record(cell["Project Name"], Status.RETIRED, labels, facts, (row, line))


#: Reason → what it is, and the programme that issues in its place.
_CANCELLATIONS = {
    "arb": (Status.MOVED, "ARB"),
    "wa eco": (Status.MOVED, "ECY"),
}


class CarCancellations:
    """Cancelled credits: those known have moved to a compliance programme."""

    programme = PROGRAMME
    layout = "car-cancellations"
    kind = Kind.RETIREMENT
    tells = (Status.MOVED,)
    columns = (*_CREDITS, _CERTIFICATIONS, "Cancellation Reason", "Export Notes")
    _flags = ("Reduction/Removal", "Reversible/Non-Reversible")

    def parse(self, cells: Sequence[str], row: int, line: int) -> BlockRecord:
        """One cancellation; its reason says whether it is a move."""
        cell = dict(zip(self.columns, cells, strict=True))
        reason = cell["Cancellation Reason"]
        status, moved_to = apx.meaning("Cancellation Reason", reason, _CANCELLATIONS)
        gone = Facts(reason=reason, note=cell["Export Notes"], moved_to=moved_to)
        labels = _labels(cell, self._flags)
        block, facts = _event(cell, labels, gone)
        return block.record(cell["Project Name"], status, labels, facts, (row, line))


class CarProjects:
    """The list of projects, with their ids under the compliance programmes."""

    programme = PROGRAMME
    layout = "car-projects"
    kind = Kind.PROJECT
    tells = ()
    columns = (
        "Project ID",
        "Compliance Program ID",
        "ARB ID",
        "WA ECO",
        "Cooperative/ Aggregate ID",
        "Project Developer",
        "Project Owner",
        "Project Name",
        "Offset Project Operator",
        "Authorized Project Designee",
        "Verification Body",
        "Project Type",
        "Status",
        "Compliance Program Status",
        "ARB Project Status",
        "WA ECO Project Status",
        "Project Site Location",
        "Project Site State",
        "Project Site Country",
        _CERTIFICATIONS,
        "SDG Impact",
        "Project Notes",
        "Total Number of Offset Credits Registered ",
        "Project Listed Date",
        "Project Registered Date",
        "Documents",
        "Data",
        "Project Website",
    )

    def parse(self, cells: Sequence[str], row: int, line: int) -> ProjectRecord:
        """One project."""
        cell = dict(zip(self.columns, cells, strict=True))
        ids = (("ARB", cell["ARB ID"]), ("ECY", cell["WA ECO"]))
        listed_on = optional(us_date, "Project Listed Date", cell["Project Listed Date"])
        total_column = "Total Number of Offset Credits Registered "
        place = (cell["Project Site Location"], cell["Project Site State"])
        return ProjectRecord(
            PROGRAMME,
            str(prefixed("Project ID", cell["Project ID"], PROGRAMME)),
            cell["Project Name"],
            apx.status_word("Status", cell["Status"]),
            developer=cell["Project Developer"],
            country=cell["Project Site Country"],
            region=", ".join(filter(None, place)),
            project_types=listed(cell["Project Type"], ";"),
            goals=listed(cell["SDG Impact"], ";"),
            issued_kilograms=apx.total(total_column.strip(), cell[total_column]),
            status_on=listed_on,
            registered_on=optional(
                us_date, "Project Registered Date", cell["Project Registered Date"]
            ),
            verifier=cell["Verification Body"],
            programme_of_activities=cell["Cooperative/ Aggregate ID"],
            cross_listings=tuple(f"{programme}:{found}" for programme, found in ids if found),
            note=cell["Project Notes"],
            row=row,
            line=line,
        )


class CarHoldings:
    """Pieces in a holder's account, live or gone; the layout is Causeway's own."""

    programme = PROGRAMME
    layout = "car-holdings"
    kind = Kind.PARTITION
    tells = holding.TELLS
    columns = ("CAR Serial Numbers", *holding.COLUMNS)

    def parse(self, cells: Sequence[str], row: int, line: int) -> BlockRecord:
        """One piece."""
        cell = dict(zip(self.columns, cells, strict=True))
        serial = holding.named("CAR Serial Numbers", cell["CAR Serial Numbers"], parse_serial)
        return holding.of_batch(PROGRAMME, cell, serial.interval, (row, line))
