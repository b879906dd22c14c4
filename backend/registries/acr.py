"""American Carbon Registry: issuances without serials, retirements, cancellations, projects."""

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
from backend.registries.cells import (
    amount,
    listed,
    optional,
    period,
    prefixed,
    us_date,
    whole_number,
    year,
)

PROGRAMME = "ACR"
_SERIALS = "Credit Serial Numbers"
_PILOT = "Eligible for CORSIA 2021-2023 Compliance Period (Pilot Phase)"
_FIRST = "Eligible for CORSIA 2024-2026 Compliance Period (First Phase)"
_GOALS = "Sustainable Development Goal(s)"
#: In older texts a hyphen joins first and last: `ACR-US-192-2010-203-1-5000`.
_SERIAL = re.compile(
    r"ACR-(?P<country>[A-Z]{2})-(?P<project>\d+)-(?P<vintage>\d{4})-(?P<batch>\d+)"
    r"-(?P<start>\d+)(?P<joint> to |-)(?P<end>\d+)",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class AcrSerial:
    """A serial range; numbers restart in every (project, vintage, batch). `joint`: how written."""

    country: str
    interval: Interval
    joint: str = " to "

    def __str__(self) -> str:
        project, vintage, batch = self.interval.series.codes
        return (
            f"ACR-{self.country}-{project}-{vintage:04d}-{batch}"
            f"-{self.interval.first}{self.joint}{self.interval.last}"
        )


def parse_serial(text: str) -> AcrSerial:
    """The serial range in `text`; raises InvalidValue for field `Credit Serial Numbers`."""
    match = _SERIAL.fullmatch(text)
    if not match:
        rule = "is not ACR-CC-<project>-<vintage>-<batch>-<first> to <last>"
        raise InvalidValue(_SERIALS, text, rule)
    country, project, vintage, batch, start, joint, end = match.groups()
    interval = apx.interval_of(_SERIALS, text, PROGRAMME, (project, vintage, batch), (start, end))
    return AcrSerial(country, interval, joint)


class AcrIssuances:
    """Issuances: no serial numbers, so a row is an amount, in part given to the buffer pool."""

    programme = PROGRAMME
    layout = "acr-issuances"
    kind = Kind.ISSUANCE
    tells = (Status.ISSUED,)
    columns = (
        "Date Issued (GMT)",
        "Vintage",
        "ReportingPeriodBegin",
        "ReportingPeriodEnd",
        "Total Credits Issued",
        "Credits Issued to Project",
        "Credits Issued to Buffer Pool",
        "Credits Transferred to Buffer Pool",
        "Project Developer",
        "Project ID",
        "Project Name",
        "Project Type",
        "Project Methodology/Protocol",
        "Methodology/Protocol Version",
        "Project VVB",
        "Project Site Location",
        "Project Site State",
        "Project Site Country",
        "ARB Eligible",
        "Ecology Eligible",
        "CCP Approved",
        "Project Crediting Period Start Date",
        "Verified Removal",
        _GOALS,
        "Project Website",
        "Documents",
    )

    def parse(self, cells: Sequence[str], row: int, line: int) -> VolumeRecord:
        """One issuance: total = to the project + to the buffer pool."""
        (
            issued, vintage, begin, end, total_text, to_project, to_buffer, moved, developer,
            project_id, name, kind, methodology, version, verifier, _, _, country, arb, ecology,
            ccp, crediting, removal, goals, _, _,
        ) = cells  # fmt: skip
        project = prefixed("Project ID", project_id, PROGRAMME)
        number = year("Vintage", vintage)
        issued_on = us_date("Date Issued (GMT)", issued)
        begins = optional(us_date, "ReportingPeriodBegin", begin)
        ends = optional(us_date, "ReportingPeriodEnd", end)
        period("ReportingPeriodEnd", begins, ends, end)
        optional(us_date, "Project Crediting Period Start Date", crediting)
        total = whole_number("Total Credits Issued", total_text)
        parts = {
            "project": amount("Credits Issued to Project", to_project),
            "buffer": amount("Credits Issued to Buffer Pool", to_buffer),
            "moved_to_buffer": amount("Credits Transferred to Buffer Pool", moved),
        }
        if total != parts["project"] + parts["buffer"]:
            rule = f"is not {parts['project']} to the project + {parts['buffer']} to the buffer"
            raise InvalidValue("Total Credits Issued", total_text, rule)
        start, stop = apx.vintage_of(number)
        return VolumeRecord(
            PROGRAMME,
            str(project),
            name,
            " | ".join((project_id, issued, vintage, begin, end)),
            total * KILOGRAMS_PER_TONNE,
            self.kind,
            Status.ISSUED,
            start,
            stop,
            apx.flag_labels(
                (
                    ("ARB Eligible", arb),
                    ("Ecology Eligible", ecology),
                    ("CCP Approved", ccp),
                    ("Verified Removal", removal),
                )
            ),
            apx.parts_of(parts),
            facts=Facts(
                methodologies=listed(methodology, ";"),
                methodology_version=version,
                project_types=(kind,) if kind else (),
                goals=listed(goals, ";"),
                country=country,
                developer=developer,
                verifier=verifier,
                monitoring_start=begins,
                monitoring_end=ends,
                issued_on=issued_on,
            ),
            row=row,
            line=line,
        )


#: Columns about credits that both reports of serials have, in the order of the retired one.
_CREDITS = (
    "Date Issued (GMT)",
    "Vintage",
    "Vintage Assignment Period Start Date",
    "Vintage Assignment Period End Date",
    "Quantity of Credits",
    "Account Holder",
)
_PROJECT = (
    "Project ID",
    "Project Name",
    "Project Type",
    "Project Methodology/Protocol",
    "Methodology/Protocol Version",
    "Project Site Location",
    "Project Site State",
    "Project Site Country",
)
_FLAGS = (
    "ARB Eligible",
    "Ecology Eligible",
    "CORSIA Eligible",
    _PILOT,
    _FIRST,
    "CCP Approved",
    "Verified Removal",
)


def _event(cell: dict[str, str], status: Status, gone: Facts, row: int, line: int) -> BlockRecord:
    """A retirement or cancellation from its cells by column; `gone` are the facts of the event."""
    begins = optional(us_date, _CREDITS[2], cell[_CREDITS[2]])
    ends = optional(us_date, _CREDITS[3], cell[_CREDITS[3]])
    period(_CREDITS[3], begins, ends, cell[_CREDITS[3]])
    issued_on = us_date("Date Issued (GMT)", cell["Date Issued (GMT)"])
    block = apx.Block(
        parse_serial(cell[_SERIALS]).interval,
        ("Project ID", prefixed("Project ID", cell["Project ID"], PROGRAMME)),
        ("Vintage", year("Vintage", cell["Vintage"])),
        ("Quantity of Credits", cell["Quantity of Credits"]),
    )
    kind, methodology = cell["Project Type"], cell["Project Methodology/Protocol"]
    facts = Facts(
        methodologies=listed(methodology, ";"),
        methodology_version=cell["Methodology/Protocol Version"],
        project_types=(kind,) if kind else (),
        goals=listed(cell[_GOALS], ";"),
        country=cell["Project Site Country"],
        account_holder=cell["Account Holder"],
        monitoring_start=begins,
        monitoring_end=ends,
        issued_on=issued_on,
        retired_on=gone.retired_on,
        beneficiary=gone.beneficiary,
        reason=gone.reason,
        note=gone.note,
        moved_to=gone.moved_to,
    )
    labels = apx.flag_labels([(column, cell[column]) for column in _FLAGS])
    return block.record(cell["Project Name"], status, labels, facts, (row, line))


class AcrRetirements:
    """Retired credits with their serials."""

    programme = PROGRAMME
    layout = "acr-retirements"
    kind = Kind.RETIREMENT
    tells = (Status.RETIRED,)
    columns = (
        "fiid",
        _SERIALS,
        *_CREDITS,
        "Status Effective (GMT)",
        "Retired on Behalf of",
        "Retirement Reason",
        "Purpose of Retirement",
        *_PROJECT,
        *_FLAGS,
        _GOALS,
        "Project Website",
        "Documents",
        "Numberoffiles",
    )

    def parse(self, cells: Sequence[str], row: int, line: int) -> BlockRecord:
        """One retirement."""
        cell = dict(zip(self.columns, cells, strict=True))
        gone = Facts(
            retired_on=us_date("Status Effective (GMT)", cell["Status Effective (GMT)"]),
            beneficiary=cell["Retired on Behalf of"],
            reason=cell["Retirement Reason"],
            note=cell["Purpose of Retirement"],
        )
        return _event(cell, Status.RETIRED, gone, row, line)


#: Cancellation type → what it is, and the programme that issues in its place.
_CANCELLATIONS = {
    "convert to arb offset credits": (Status.MOVED, "ARB"),
    "convert to ecology offset credits": (Status.MOVED, "ECY"),
    "removal of credits from the registry": (Status.CANCELLED, ""),
}


class AcrCancellations:
    """Cancelled credits: most have moved to a compliance programme, which issues them again."""

    programme = PROGRAMME
    layout = "acr-cancellations"
    kind = Kind.RETIREMENT
    tells = (Status.CANCELLED, Status.MOVED)
    columns = (
        _SERIALS,
        *_CREDITS,
        "ahID",
        "Status Effective  (GMT)",
        "Cancellation Type",
        *_PROJECT,
        *_FLAGS,
        _GOALS,
        "Project Website",
        "Documents",
        "Cancellation Details",
        "fiid",
        "Numberoffiles",
    )

    def parse(self, cells: Sequence[str], row: int, line: int) -> BlockRecord:
        """One cancellation; its type says whether it is a move."""
        cell = dict(zip(self.columns, cells, strict=True))
        kind = cell["Cancellation Type"]
        status, moved_to = apx.meaning("Cancellation Type", kind, _CANCELLATIONS)
        gone = Facts(
            retired_on=us_date("Status Effective (GMT)", cell["Status Effective  (GMT)"]),
            reason=kind,
            note=cell["Cancellation Details"],
            moved_to=moved_to,
        )
        return _event(cell, status, gone, row, line)


class AcrProjects:
    """The list of projects; a compliance project's id is that of ARB or Ecology."""

    programme = PROGRAMME
    layout = "acr-projects"
    kind = Kind.PROJECT
    tells = ()
    columns = (
        "Project ID",
        "Compliance Program ID (ARB or Ecology)",
        "Project Developer",
        "Project Name",
        "Project Type",
        "Project Methodology/Protocol",
        "Initial Crediting Period Start Date",
        "Current Crediting Period Start Date",
        "Current Crediting Period End Date",
        "Voluntary Status",
        "Compliance Program Status (ARB or Ecology)",
        "Project Status Date",
        "Project Site Location",
        "Project Site State",
        "Project Site Country",
        _GOALS,
        "Current VVB",
        "ACR Project Validation",
        "Total Number of Credits Registered ",
        "Documents",
        "Project Website",
    )

    def parse(self, cells: Sequence[str], row: int, line: int) -> ProjectRecord:
        """One project; without a voluntary status it has that of the compliance programme."""
        (
            project_id, compliance_id, developer, name, kind, methodology, initial, start, end,
            voluntary, compliance, status_date, location, state, country, goals, verifier, _,
            total, _, _,
        ) = cells  # fmt: skip
        optional(us_date, "Initial Crediting Period Start Date", initial)
        starts = optional(us_date, "Current Crediting Period Start Date", start)
        ends = optional(us_date, "Current Crediting Period End Date", end)
        period("Current Crediting Period End Date", starts, ends, end)
        status = apx.status_word("Voluntary Status", voluntary, compliance)
        return ProjectRecord(
            PROGRAMME,
            str(prefixed("Project ID", project_id, PROGRAMME)),
            name,
            status,
            developer=developer,
            country=country,
            region=", ".join(filter(None, (location, state))),
            project_types=(kind,) if kind else (),
            methodologies=listed(methodology, ";"),
            goals=listed(goals, ";"),
            issued_kilograms=apx.total("Total Number of Credits Registered", total),
            status_on=optional(us_date, "Project Status Date", status_date),
            crediting_start=starts,
            crediting_end=ends,
            verifier=verifier,
            cross_listings=apx.compliance(compliance_id),
            note=compliance,
            row=row,
            line=line,
        )


class AcrHoldings:
    """Pieces in a holder's account, live or gone; the layout is Causeway's own."""

    programme = PROGRAMME
    layout = "acr-holdings"
    kind = Kind.PARTITION
    tells = holding.TELLS
    columns = ("ACR Serial Numbers", *holding.COLUMNS)

    def parse(self, cells: Sequence[str], row: int, line: int) -> BlockRecord:
        """One piece."""
        cell = dict(zip(self.columns, cells, strict=True))
        serial = holding.named("ACR Serial Numbers", cell["ACR Serial Numbers"], parse_serial)
        return holding.of_batch(PROGRAMME, cell, serial.interval, (row, line))
