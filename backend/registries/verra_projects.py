"""Verra's list of projects, in the layout until summer 2026 and in the one after it."""

from __future__ import annotations

from collections.abc import Sequence

from backend.domain.credits import Kind, ProjectRecord
from backend.errors import InvalidValue
from backend.registries.cells import (
    amount,
    identifier,
    iso_date,
    listed,
    optional,
    period,
    worded_date,
)

PROGRAMME = "VCS"
#: What the newer list may call the programme; Verra runs others, with other units.
_PROGRAMMES = frozenset({"vcs", "verified carbon standard", "vcs program"})


def _status(text: str) -> str:
    if not text:
        raise InvalidValue("Status", text, "is empty: the row names no status")
    return text


class VerraProjects:
    """The list until summer 2026: ISO dates, thousands commas, lists joined by `; `."""

    programme = PROGRAMME
    layout = "verra-projects"
    kind = Kind.PROJECT
    tells = ()
    columns = (
        "ID",
        "Name",
        "Proponent",
        "Project Type",
        "AFOLU Activities",
        "Methodology",
        "Status",
        "Country/Area",
        "Estimated Annual Emission Reductions",
        "Region",
        "Project Registration Date",
        "Crediting Period Start Date",
        "Crediting Period End Date",
    )

    def parse(self, cells: Sequence[str], row: int, line: int) -> ProjectRecord:
        """One project; the crediting period is the present one, not that of older vintages."""
        (
            number, name, proponent, kind, activities, methodology, status, country, estimated,
            region, registered, start, end,
        ) = cells  # fmt: skip
        starts = optional(iso_date, "Crediting Period Start Date", start)
        ends = optional(iso_date, "Crediting Period End Date", end)
        period("Crediting Period End Date", starts, ends, end)
        field = "Estimated Annual Emission Reductions"
        return ProjectRecord(
            PROGRAMME,
            str(identifier("ID", number)),
            name,
            _status(status),
            developer=proponent,
            country=country,
            region=region,
            project_types=listed(kind, ";") + listed(activities, ";"),
            methodologies=listed(methodology, ";"),
            estimated_annual_tonnes=amount(field, estimated) if estimated else None,
            registered_on=optional(iso_date, "Project Registration Date", registered),
            crediting_start=starts,
            crediting_end=ends,
            row=row,
            line=line,
        )


class VerraProjectsOf2026:
    """The list since summer 2026: a byte order mark, every field quoted, `01 Jan 2020`.

    Lists are joined by `, ` although their entries hold commas, so they stay one text.
    """

    programme = PROGRAMME
    layout = "verra-projects-2026"
    kind = Kind.PROJECT
    tells = ()
    columns = (
        "Program",
        "Project ID",
        "Project Name",
        "Proponents",
        "Authorized Representative Organization Name",
        "Sectoral Scope",
        # Verra's own: a key that its report left untranslated.
        "PUBLIC_VIEW_REPORTS_PROJECTS.pubReportsProjectsList.AFOLUActivities",
        "Methodology",
        "Estimated Average Annual Emission Reductions and Carbon Dioxide Removals",
        "Sustainable Development Contributions",
        "Validator",
        "Region",
        "Country",
        "State/Province",
        "Estimated Project Start Date",
        "Crediting Period Duration Start Date",
        "Crediting Period Duration End Date",
        "Crediting Period Term",
        "Project Registration Date",
        "Status",
    )

    def parse(self, cells: Sequence[str], row: int, line: int) -> ProjectRecord:
        """One project."""
        (
            program, number, name, proponents, _, scope, activities, methodology, estimated, goals,
            validator, region, country, state, begun, start, end, _, registered, status,
        ) = cells  # fmt: skip
        if program.casefold() not in _PROGRAMMES:
            raise InvalidValue("Program", program, "is not VCS")
        optional(worded_date, "Estimated Project Start Date", begun)
        starts = optional(worded_date, "Crediting Period Duration Start Date", start)
        ends = optional(worded_date, "Crediting Period Duration End Date", end)
        period("Crediting Period Duration End Date", starts, ends, end)
        field = "Estimated Average Annual Emission Reductions and Carbon Dioxide Removals"
        return ProjectRecord(
            PROGRAMME,
            str(identifier("Project ID", number)),
            name,
            _status(status),
            developer=proponents.removesuffix("(PP)").rstrip(),
            country=country,
            region=", ".join(filter(None, (state, region))),
            project_types=tuple(filter(None, (scope, activities))),
            methodologies=tuple(filter(None, (methodology,))),
            goals=tuple(filter(None, (goals,))),
            estimated_annual_tonnes=amount(field, estimated) if estimated else None,
            registered_on=optional(worded_date, "Project Registration Date", registered),
            crediting_start=starts,
            crediting_end=ends,
            verifier=validator,
            row=row,
            line=line,
        )
