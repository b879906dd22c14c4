"""What one row of a registry's export says, in one language for every programme."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import date
from enum import StrEnum
from typing import Any

from backend.domain.serials import Interval
from backend.errors import InvalidValue


class Kind(StrEnum):
    """How the rows of a layout relate to each other."""

    #: A row is a piece of a batch in its present state; the pieces of a series are disjoint.
    PARTITION = "partition"
    #: A row is the event that issued a whole block, whatever became of it later.
    ISSUANCE = "issuance"
    #: A row is the event that retired or cancelled a part of an issued block.
    RETIREMENT = "retirement"


class Status(StrEnum):
    """What a row says about its credits."""

    ISSUED = "issued"
    ACTIVE = "active"
    RETIRED = "retired"
    CANCELLED = "cancelled"
    #: Verra's export has one date for both and does not say which.
    RETIRED_OR_CANCELLED = "retired_or_cancelled"

    @property
    def is_final(self) -> bool:
        """Whether the credits are gone for ever (L4)."""
        return self not in (Status.ISSUED, Status.ACTIVE)


@dataclass(frozen=True, slots=True)
class Facts:
    """Dated facts of a row: registries restate them, so they never make a class.

    Texts are as in the file, "" where it has none; dates are None where it has none;
    `total_vintage_tonnes` is the whole vintage, which repeats on every row of it.
    """

    methodologies: tuple[str, ...] = ()
    project_types: tuple[str, ...] = ()
    goals: tuple[str, ...] = ()
    country: str = ""
    developer: str = ""
    programme_of_activities: str = ""
    product_type: str = ""
    total_vintage_tonnes: int | None = None
    monitoring_start: date | None = None
    monitoring_end: date | None = None
    issued_on: date | None = None
    retired_on: date | None = None
    beneficiary: str = ""
    reason: str = ""
    note: str = ""
    use_case: str = ""
    aeroplane_operator: str = ""

    def as_json(self) -> dict[str, Any]:
        """Only what is there, with dates as YYYY-MM-DD."""
        found: dict[str, Any] = {}
        for name in _FACT_NAMES:
            value = getattr(self, name)
            if value not in ((), "", None):
                found[name] = (
                    value.isoformat()
                    if isinstance(value, date)
                    else list(value)
                    if isinstance(value, tuple)
                    else value
                )
        return found

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Facts:
        """The inverse of `as_json`; raises InvalidValue for a name that is no fact."""
        values: dict[str, Any] = {}
        for name, value in found.items():
            if name not in _FACT_NAMES:
                raise InvalidValue("facts", name, "is not a fact that Causeway knows")
            if isinstance(value, list):
                values[name] = tuple(value)
            elif name in _DATE_NAMES:
                values[name] = date.fromisoformat(value)
            else:
                values[name] = value
        return cls(**values)


_FACT_NAMES = tuple(entry.name for entry in fields(Facts))
_DATE_NAMES = frozenset(("monitoring_start", "monitoring_end", "issued_on", "retired_on"))
#: What makes a block what it is: no newer export may change one of these.
IDENTITY = ("programme", "project", "vintage_start", "vintage_end", "batch")


@dataclass(frozen=True, slots=True)
class BlockRecord:
    """One accepted row. `programme` is whose registry holds the credits (`VCS`, `GS`); the
    series may be another's (CER rows). `vintage_start` and `vintage_end` are the class's.
    `row` counts records from 1 after the header, `line` is where the record starts (header 1).
    """

    programme: str
    project: str
    project_name: str
    vintage_start: date
    vintage_end: date
    interval: Interval
    kind: Kind
    status: Status
    labels: tuple[str, ...] = ()
    batch: int | None = None
    facts: Facts = Facts()
    row: int = field(default=0, compare=False)
    line: int = field(default=0, compare=False)

    @property
    def tonnes(self) -> int:
        return self.interval.tonnes

    def changes_from(self, older: BlockRecord) -> tuple[str, ...]:
        """Names of what differs between two records of the same credits, identity excepted."""
        changed = [
            name
            for name in ("project_name", "status", "labels")
            if getattr(self, name) != getattr(older, name)
        ]
        if self.facts != older.facts:
            changed += [
                name
                for name in _FACT_NAMES
                if getattr(self.facts, name) != getattr(older.facts, name)
            ]
        return tuple(changed)
