"""The CDM registry's public workbooks: every issuance and every voluntary cancellation.

Both name a range inside the series of the host party. Neither names a vintage, so the rows are
records of the ledger, of which no class can be made.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from backend.domain.credits import BlockRecord, Facts, Kind, Status
from backend.domain.serials import Interval, Series, party_code
from backend.errors import InvalidValue
from backend.registries.cells import digits, identifier, iso_date, segment, whole_number

PROGRAMME = "CDM"
#: The units of the mechanism; others in the registry's log (ERU, RMU) are not its own.
UNITS = ("CER", "tCER", "lCER")
PERIODS = ("1", "2")
COMPLETED = "4 - Completed"
_RANGE = re.compile(r"(\d+) - (\d+)", re.ASCII)
_PROJECT = re.compile(r"([A-Z]{2})-(\d+)", re.ASCII)


def _one_of(field: str, text: str, allowed: Sequence[str], rule: str) -> str:
    if text not in allowed:
        raise InvalidValue(field, text, rule)
    return text


@lru_cache(maxsize=1024)
def _series(party: str) -> Series:
    return Series(PROGRAMME, (party_code(party),))


def parse_range(field: str, text: str, series: Series) -> Interval:
    """The serials `first - last` of a party's series; raises InvalidValue for `field`."""
    match = _RANGE.fullmatch(text)
    if not match:
        raise InvalidValue(field, text, "is not a range `first - last`")
    try:
        return Interval(series, segment(field, match[1], text), segment(field, match[2], text))
    except InvalidValue as error:
        # A segment's own refusal names the column already; an interval's names `first` or `last`.
        rule = error.rule if error.field == field else f"{error.field} {error.rule}"
        raise InvalidValue(field, text, rule) from None


def _interval(field: str, text: str, party: str, party_field: str, quantity: str) -> Interval:
    """The serials of a row: a range in the party's series, as many as `Total` says."""
    try:
        series = _series(party)
    except InvalidValue as error:
        raise InvalidValue(party_field, party, error.rule) from None
    interval = parse_range(field, text, series)
    if interval.tonnes != whole_number("Total", quantity):
        raise InvalidValue("Total", quantity, f"is not the {interval.tonnes} of the serials")
    return interval


def _period(field: str, text: str) -> int:
    return int(_one_of(field, text, PERIODS, "is not commitment period 1 or 2"))


class CdmIssuances:
    """The issuance report: each row is one issued block of a host party."""

    programme = PROGRAMME
    layout = "cdm-issuances"
    kind = Kind.ISSUANCE
    tells = (Status.ISSUED,)
    columns = (
        "Completion date",
        "Transaction type",
        "Status",
        "SERIAL RANGE",
        "Unit Type",
        "CP",
        "PARTY CODE",
        "Project number",
        "Total",
    )

    def parse(self, cells: Sequence[str], row: int, line: int) -> BlockRecord:
        """One issued block; its vintage is not in the report."""
        completed, transaction, state, serials, unit, period, party, project, total = cells
        _one_of("Transaction type", transaction, ("Issuance (1)",), "is not Issuance (1)")
        _one_of("Status", state, (COMPLETED,), f"is not {COMPLETED}")
        _one_of("Unit Type", unit, UNITS, "is not a unit of the CDM (CER, tCER, lCER)")
        facts = Facts(
            country=party,
            product_type=unit,
            commitment_period=_period("CP", period),
            issued_on=iso_date("Completion date", completed),
        )
        return BlockRecord(
            programme=PROGRAMME,
            project=str(identifier("Project number", project)),
            project_name="",
            vintage_start=None,
            vintage_end=None,
            interval=_interval("SERIAL RANGE", serials, party, "PARTY CODE", total),
            kind=self.kind,
            status=Status.ISSUED,
            facts=facts,
            row=row,
            line=line,
        )


class CdmCancellations:
    """The voluntary-cancellation report: each row cancelled a part of one issued block."""

    programme = PROGRAMME
    layout = "cdm-voluntary-cancellations"
    kind = Kind.RETIREMENT
    tells = (Status.CANCELLED,)
    columns = (
        "Completion Date",
        "Transaction Type",
        "Serial Range",
        "Project Identifier",
        "Status",
        "CP (Commitment Period)",
        "Unit",
        "Total",
        "VCP (From Voluntary Cancellation Platform)",
    )

    def parse(self, cells: Sequence[str], row: int, line: int) -> BlockRecord:
        """One voluntary cancellation, which is the CDM's retirement on somebody's behalf."""
        completed, transaction, serials, identity, state, period, unit, total, platform = cells
        _one_of("Transaction Type", transaction, ("Cancellation (4)",), "is not Cancellation (4)")
        _one_of("Status", state, (COMPLETED,), f"is not {COMPLETED}")
        _one_of("Unit", unit, UNITS, "is not a unit of the CDM (CER, tCER, lCER)")
        _one_of(self.columns[8], platform, ("Yes", "No"), "is neither Yes nor No")
        match = _PROJECT.fullmatch(identity)
        if not match:
            raise InvalidValue("Project Identifier", identity, "is not PARTY-number, such as IN-1")
        party, project = match.groups()
        facts = Facts(
            country=party,
            product_type=unit,
            commitment_period=_period("CP (Commitment Period)", period),
            retired_on=iso_date("Completion Date", completed),
            cancellation_platform=platform == "Yes",
        )
        return BlockRecord(
            programme=PROGRAMME,
            project=str(digits("Project Identifier", project, identity)),
            project_name="",
            vintage_start=None,
            vintage_end=None,
            interval=_interval("Serial Range", serials, party, "Project Identifier", total),
            kind=self.kind,
            status=Status.CANCELLED,
            facts=facts,
            row=row,
            line=line,
        )
