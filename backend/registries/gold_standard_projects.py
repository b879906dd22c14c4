"""Gold Standard's list of projects."""

from __future__ import annotations

from collections.abc import Sequence

from backend.domain.credits import Kind, ProjectRecord
from backend.errors import InvalidValue
from backend.registries.cells import amount, identifier, listed

PROGRAMME = "GS"
_STATUSES = frozenset(
    {"listed", "gold standard certified design", "gold standard certified project"}
)


class GoldStandardProjects:
    """The list; a project's number is its GSID, never one that its name begins with."""

    programme = PROGRAMME
    layout = "gold-standard-projects"
    kind = Kind.PROJECT
    tells = ()
    columns = (
        "GSID",
        "Project Name",
        "Project Developer Name",
        "Status",
        "Sustainable Development Goals",
        "Project Type",
        "Country",
        "Description",
        "Estimated Annual Credits",
        "Methodology",
        "Size",
        "Programme of Activities",
        "POA GSID",
    )

    def parse(self, cells: Sequence[str], row: int, line: int) -> ProjectRecord:
        """One project or one activity (VPA) of a programme."""
        (
            gsid, name, developer, status, goals, kind, country, _, estimated, methodology, _, _,
            poa,
        ) = cells  # fmt: skip
        if status.casefold() not in _STATUSES:
            raise InvalidValue("Status", status, "is no status of Gold Standard's list")
        field = "Estimated Annual Credits"
        return ProjectRecord(
            PROGRAMME,
            str(identifier("GSID", gsid)),
            name,
            status,
            developer=developer,
            country=country,
            project_types=(kind,) if kind else (),
            methodologies=(methodology,) if methodology else (),
            goals=tuple(f"SDG {goal}" for goal in listed(goals, ",")),
            estimated_annual_tonnes=amount(field, estimated) if estimated else None,
            programme_of_activities=str(amount("POA GSID", poa)) if poa else "",
            row=row,
            line=line,
        )
