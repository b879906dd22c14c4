"""California's ARB: the issuance sheet of its workbook, as CSV; credits without serial numbers."""

from __future__ import annotations

from collections.abc import Sequence

from backend.domain.credits import Facts, Kind, Status, VolumeRecord
from backend.domain.units import KILOGRAMS_PER_TONNE
from backend.errors import InvalidValue
from backend.registries import apx
from backend.registries.cells import amount, iso_date, optional, period, year

PROGRAMME = "ARB"
_ISSUED = "ARB Offset Credits Issued"
#: A text in place of a number: a reforestation project may defer its first issuance.
_DEFERRED = "reforest defer"
_REVERSALS = {
    "reversed": "Intentional Reversal",
    "reversed_unintentionally": "Unintentional Reversal",
}
#: Part → column. What a compliance period took is in columns of the issuance, not in rows. All
#: but the first stand together before the comment.
_PARTS = {
    "buffer": "Forest Buffer Account Contribution",
    "invalidated_or_cancelled": "Invalidated or Canceled",
    "buffer_retired": "Buffer Pool Retired",
    "retired_for_reversal": "Retired for Intentional Reversal",
    "retired_voluntarily": "Retired Voluntarily",
    "retired_period_1": "Retired 1st Compliance Period (CA)",
    "retired_period_2": "Retired 2nd Compliance Period (CA)",
    "retired_period_3": "Retired 3rd Compliance Period (CA)",
    "retired_period_4": "Retired 4th Compliance Period (CA)",
    "retired_period_5": "Retired 5th Compliance Period (CA)",
    "retired_quebec": "Retired for Compliance in Quebec",
}


class ArbIssuances:
    """One issuance, or a reporting period without one, of a compliance offset project.

    The sheet as the 2026 workbook has it (35 columns). The ids repeat for `…-(zero)` and
    `…-(reversal)`; rows without an id are told apart by project and reporting period.
    """

    programme = PROGRAMME
    layout = "arb-issuances"
    kind = Kind.ISSUANCE
    tells = (Status.ISSUED,)
    columns = (
        "CARB Project ID",
        "OPR Project ID",
        "Reporting Period",
        "Project Type",
        "Early Action/ Compliance",
        "Reporting Period Start Date",
        "Reporting Period End Date",
        "Vintage",
        _ISSUED,
        "Forest Buffer Account Contribution",
        "Issuance Date",
        "Invalidation Timeframe",
        "Date Invalidation Period Reduced",
        "Start of Invalidation Timeframe",
        "Offset Project Name",
        "Offset Project Operator",
        "Verification Body",
        "State",
        "Provides DEBS",
        "Section 95989(b) Documentation, if applicable",
        "Project Documentation",
        *_REVERSALS.values(),
        "CARB Issuance ID",
        *tuple(_PARTS.values())[1:],
        "Comment",
    )

    def parse(self, cells: Sequence[str], row: int, line: int) -> VolumeRecord:
        """One row; `Comment` and a deferral go into the note."""
        cell = dict(zip(self.columns, cells, strict=True))
        project = cell["CARB Project ID"]
        if not project.startswith("CA") or not project.isalnum() or not project.isascii():
            raise InvalidValue("CARB Project ID", project, "is not CA, a type and a number")
        issued = cell[_ISSUED]
        deferred = issued.casefold() == _DEFERRED
        tonnes = 0 if deferred else amount(_ISSUED, issued)
        parts = {name: amount(column, cell[column]) for name, column in _PARTS.items()}
        for name, column in _REVERSALS.items():
            parts[name] = amount(column, cell[column].removeprefix("-"))
        if parts["buffer"] > tonnes:
            column = _PARTS["buffer"]
            raise InvalidValue(column, cell[column], f"is more than the {tonnes} issued")
        start = end = None
        if cell["Vintage"]:
            start, end = apx.vintage_of(year("Vintage", cell["Vintage"]))
        elif tonnes:
            raise InvalidValue("Vintage", "", "is empty although credits were issued")
        begins = iso_date("Reporting Period Start Date", cell["Reporting Period Start Date"])
        ends = iso_date("Reporting Period End Date", cell["Reporting Period End Date"])
        period("Reporting Period End Date", begins, ends, cell["Reporting Period End Date"])
        issued_on = optional(iso_date, "Issuance Date", cell["Issuance Date"])
        for column in ("Date Invalidation Period Reduced", "Start of Invalidation Timeframe"):
            optional(iso_date, column, cell[column])
        notes = (issued if deferred else "", cell["Comment"])
        return VolumeRecord(
            PROGRAMME,
            project,
            cell["Offset Project Name"],
            cell["CARB Issuance ID"] or f"{project} | {cell['Reporting Period']}",
            tonnes * KILOGRAMS_PER_TONNE,
            self.kind,
            Status.ISSUED,
            start,
            end,
            apx.flag_labels(
                [(column, cell[column]) for column in ("Early Action/ Compliance", "Provides DEBS")]
            ),
            apx.parts_of(parts),
            facts=Facts(
                project_types=(cell["Project Type"],) if cell["Project Type"] else (),
                country="US",
                developer=cell["Offset Project Operator"],
                verifier=cell["Verification Body"],
                monitoring_start=begins,
                monitoring_end=ends,
                issued_on=issued_on,
                note="; ".join(filter(None, notes)),
                moved_from=cell["OPR Project ID"],
            ),
            row=row,
            line=line,
        )
