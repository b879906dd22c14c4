"""ART TREES (and FCPF credits on its registry): issuances, retirements, cancellations, programs."""

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
from backend.registries.cells import amount, optional, prefixed, us_date, whole_number, year

PROGRAMME = "ART"
_SERIALS = "Credit Serial Numbers"
_PILOT = "Eligible for CORSIA 2021-2023 Compliance Period (Pilot Phase)"
_FIRST = "Eligible for CORSIA 2024-2026 Compliance Period (First Phase)"
_COUNTRY = "Program  Country"
_SERIAL = re.compile(
    r"(?P<std>ART|FCPF)-(?P<country>[A-Z]{2})-(?P<project>\d+)-(?P<vintage>\d{4})"
    r"-(?P<batch>\d+)-(?P<start>\d+) to (?P<end>\d+)",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class ArtSerial:
    """A serial range; numbers restart in every (program, vintage, batch).

    `standard` is ART (TREES) or FCPF (the Carbon Fund's framework); one registry holds both and
    numbers its programs once.
    """

    standard: str
    country: str
    interval: Interval

    def __str__(self) -> str:
        project, vintage, batch = self.interval.series.codes
        return (
            f"{self.standard}-{self.country}-{project}-{vintage:04d}-{batch}"
            f"-{self.interval.first} to {self.interval.last}"
        )


def parse_serial(text: str) -> ArtSerial:
    """The serial range in `text`; raises InvalidValue for field `Credit Serial Numbers`."""
    match = _SERIAL.fullmatch(text)
    if not match:
        rule = "is not ART|FCPF-CC-<program>-<vintage>-<batch>-<first> to <last>"
        raise InvalidValue(_SERIALS, text, rule)
    standard, country, project, vintage, batch, start, end = match.groups()
    interval = apx.interval_of(_SERIALS, text, PROGRAMME, (project, vintage, batch), (start, end))
    return ArtSerial(standard, country, interval)


def _one(text: str) -> tuple[str, ...]:
    return (text,) if text else ()


class ArtIssuances:
    """Issuances: no serial numbers; what is verified is issued, the rest goes to the buffer."""

    programme = PROGRAMME
    layout = "art-issuances"
    kind = Kind.ISSUANCE
    tells = (Status.ISSUED,)
    columns = (
        "Date Approved",
        "Program ID",
        "Program Name",
        "Sovereign Program Developer",
        "Crediting Program and Standard",
        "Program Type",
        "Standard Version",
        "Vintage",
        "Total Emission Reductions/Removals",
        "Credits Deposited in Buffer",
        "Credits Verified",
        "CCP Approved",
        "Program Jurisdiction(s)",
        _COUNTRY,
        "CORSIA Eligible",
        "Verification Body",
        "Program Website",
        "Documents",
        "fiID",
    )

    def parse(self, cells: Sequence[str], row: int, line: int) -> VolumeRecord:
        """One issuance: total = verified + deposited in the buffer."""
        (
            approved, program, name, developer, standard, kind, version, vintage, total_text,
            buffer_text, verified_text, ccp, _, country, corsia, verifier, _, _, _,
        ) = cells  # fmt: skip
        number = prefixed("Program ID", program, PROGRAMME)
        issued_on = us_date("Date Approved", approved)
        start, end = apx.vintage_of(year("Vintage", vintage))
        total = whole_number("Total Emission Reductions/Removals", total_text)
        buffer = amount("Credits Deposited in Buffer", buffer_text)
        verified = amount("Credits Verified", verified_text)
        if total != buffer + verified:
            rule = f"is not {verified} verified + {buffer} in the buffer"
            raise InvalidValue("Total Emission Reductions/Removals", total_text, rule)
        return VolumeRecord(
            PROGRAMME,
            str(number),
            name,
            " | ".join((program, approved, vintage)),
            total * KILOGRAMS_PER_TONNE,
            self.kind,
            Status.ISSUED,
            start,
            end,
            apx.flag_labels((("CORSIA Eligible", corsia), ("CCP Approved", ccp))),
            apx.parts_of({"project": verified, "buffer": buffer}),
            facts=Facts(
                methodologies=_one(standard),
                methodology_version=version,
                project_types=_one(kind),
                country=country,
                developer=developer,
                verifier=verifier,
                issued_on=issued_on,
            ),
            row=row,
            line=line,
        )


def _event(cell: dict[str, str], flags: Sequence[str], status: Status, gone: Facts,
           place: tuple[int, int]) -> BlockRecord:  # fmt: skip
    """A retirement or cancellation from its cells by column; `gone` are the facts of the event."""
    block = apx.Block(
        parse_serial(cell[_SERIALS]).interval,
        ("Program ID", prefixed("Program ID", cell["Program ID"], PROGRAMME)),
        ("Vintage", year("Vintage", cell["Vintage"])),
        ("Quantity of Credits", cell["Quantity of Credits"]),
    )
    facts = Facts(
        methodologies=_one(cell["Crediting Program and Standard"]),
        methodology_version=cell["Standard Version"],
        project_types=_one(cell["Program Type"]),
        country=cell[_COUNTRY],
        account_holder=cell["Account Holder"],
        issued_on=us_date("Date Approved", cell["Date Approved"]),
        retired_on=us_date("Status Effective", cell["Status Effective"]),
        beneficiary=gone.beneficiary,
        reason=gone.reason,
        note=gone.note,
        use_case=gone.use_case,
    )
    labels = apx.flag_labels([(column, cell[column]) for column in flags])
    return block.record(cell["Program Name"], status, labels, facts, place)


_CREDITS = (
    "Vintage",
    _SERIALS,
    "Quantity of Credits",
    "Status Effective",
    _PILOT,
    _FIRST,
    "CCP Approved",
    "Program ID",
    "Program Name",
    "Program Type",
    "Crediting Program and Standard",
    "Standard Version",
    "Program Jurisdiction(s)",
    _COUNTRY,
    "Date Approved",
    "Account Holder",
)


class ArtRetirements:
    """Retired credits with their serials."""

    programme = PROGRAMME
    layout = "art-retirements"
    kind = Kind.RETIREMENT
    tells = (Status.RETIRED,)
    columns = (*_CREDITS, "Retired on Behalf of", "Retirement Reason", "Purpose of Retirement")
    _flags = (_PILOT, _FIRST, "CCP Approved")

    def parse(self, cells: Sequence[str], row: int, line: int) -> BlockRecord:
        """One retirement."""
        cell = dict(zip(self.columns, cells, strict=True))
        gone = Facts(
            beneficiary=cell["Retired on Behalf of"],
            reason=cell["Retirement Reason"],
            note=cell["Purpose of Retirement"],
        )
        return _event(cell, self._flags, Status.RETIRED, gone, (row, line))


#: The one reason seen is a use: an airline's duty under CORSIA is met by cancelling.
_CANCELLATIONS = {"corsia compliance": (Status.RETIRED, "CORSIA")}


class ArtCancellations:
    """Cancelled credits; a cancellation for CORSIA is a use, so its status is retired."""

    programme = PROGRAMME
    layout = "art-cancellations"
    kind = Kind.RETIREMENT
    tells = (Status.RETIRED,)
    columns = (*_CREDITS, "CORSIA Eligible", "Cancellation Reason", "Cancellation Details")
    _flags = (_PILOT, _FIRST, "CCP Approved", "CORSIA Eligible")

    def parse(self, cells: Sequence[str], row: int, line: int) -> BlockRecord:
        """One cancellation."""
        cell = dict(zip(self.columns, cells, strict=True))
        reason = cell["Cancellation Reason"]
        status, use_case = apx.meaning("Cancellation Reason", reason, _CANCELLATIONS)
        gone = Facts(reason=reason, note=cell["Cancellation Details"], use_case=use_case)
        return _event(cell, self._flags, status, gone, (row, line))


class ArtProjects:
    """The list of jurisdictional programs."""

    programme = PROGRAMME
    layout = "art-projects"
    kind = Kind.PROJECT
    tells = ()
    columns = (
        "Program ID",
        "Sovereign Program Developer",
        "Program Name",
        "Crediting Program and Standard",
        "Verification Body",
        "Program Type",
        "Status",
        "Initial Crediting Period Start Date",
        "Program Jurisdiction(s)",
        _COUNTRY,
        "Program Notes",
        "Documents",
        "Program Website",
        "Numberoffiles",
    )

    def parse(self, cells: Sequence[str], row: int, line: int) -> ProjectRecord:
        """One program."""
        (
            program, developer, name, standard, verifier, kind, status, start, jurisdiction,
            country, notes, _, _, _,
        ) = cells  # fmt: skip
        return ProjectRecord(
            PROGRAMME,
            str(prefixed("Program ID", program, PROGRAMME)),
            name,
            apx.status_word("Status", status),
            developer=developer,
            country=country,
            region=jurisdiction,
            project_types=_one(kind),
            methodologies=_one(standard),
            crediting_start=optional(us_date, "Initial Crediting Period Start Date", start),
            verifier=verifier,
            note=notes,
            row=row,
            line=line,
        )


class ArtHoldings:
    """Pieces in a holder's account, live or gone; the layout is Causeway's own."""

    programme = PROGRAMME
    layout = "art-holdings"
    kind = Kind.PARTITION
    tells = holding.TELLS
    columns = ("ART Serial Numbers", *holding.COLUMNS)

    def parse(self, cells: Sequence[str], row: int, line: int) -> BlockRecord:
        """One piece."""
        cell = dict(zip(self.columns, cells, strict=True))
        serial = holding.named("ART Serial Numbers", cell["ART Serial Numbers"], parse_serial)
        return holding.of_batch(PROGRAMME, cell, serial.interval, (row, line))
