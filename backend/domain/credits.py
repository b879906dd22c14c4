"""What one row of a registry's export says, in one language for every programme."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from itertools import compress
from operator import ne
from typing import Any, NamedTuple

from backend.domain.serials import Interval, Series
from backend.errors import InvalidValue


class Kind(StrEnum):
    """How the rows of a layout relate to each other."""

    #: A row is a piece of a batch in its present state; the pieces of a series are disjoint.
    PARTITION = "partition"
    #: A row is the event that issued a whole block, whatever became of it later.
    ISSUANCE = "issuance"
    #: A row is the event that retired, cancelled or moved a part of an issued block.
    RETIREMENT = "retirement"
    #: A row describes a project; it holds no credits.
    PROJECT = "project"


class Status(StrEnum):
    """What a row says about its credits."""

    ISSUED = "issued"
    ACTIVE = "active"
    RETIRED = "retired"
    CANCELLED = "cancelled"
    #: Verra's export has one date for both and does not say which.
    RETIRED_OR_CANCELLED = "retired_or_cancelled"
    #: Cancelled here because another registry issues in its place (`Facts.moved_to`): ACR to
    #: ARB, CAR to the State of Washington. No retirement: nobody has used the reduction.
    MOVED = "moved"
    #: Issued into the programme's buffer pool, which insures against reversals: never sold.
    BUFFER = "buffer"

    @property
    def is_final(self) -> bool:
        """Whether the credits are gone from this registry for ever (L4)."""
        return self not in (Status.ISSUED, Status.ACTIVE, Status.BUFFER)


class Facts(NamedTuple):
    """Dated facts of a row: registries restate them, so they never make a class.

    A named tuple, because every row of an export makes one: a frozen dataclass of as many fields
    takes five times as long.

    Texts are as in the file, "" where it has none; dates are None where it has none;
    `total_vintage_tonnes` is the whole vintage, which repeats on every row of it; `moved_to` is
    the programme that issues in place of what status `moved` says has left, `moved_from` the
    project whose credits a compliance programme's replace; `obligated_party` is whose duty (a
    carbon tax) a retirement meets; `cancellation_platform` says whether a CDM cancellation came
    through the voluntary platform.
    """

    methodologies: tuple[str, ...] = ()
    project_types: tuple[str, ...] = ()
    goals: tuple[str, ...] = ()
    country: str = ""
    developer: str = ""
    programme_of_activities: str = ""
    product_type: str = ""
    methodology_version: str = ""
    verifier: str = ""
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
    account_holder: str = ""
    moved_to: str = ""
    moved_from: str = ""
    obligated_party: str = ""
    commitment_period: int | None = None
    cancellation_platform: bool | None = None

    def as_json(self) -> dict[str, Any]:
        """Only what is there, with dates as YYYY-MM-DD."""
        return {
            name: (
                value.isoformat()
                if isinstance(value, date)
                else list(value)
                if isinstance(value, tuple)
                else value
            )
            for name, value in self.stated()
        }

    def stated(self) -> Iterable[tuple[str, Any]]:
        """(name, value) of what is there, in the order of the names."""
        return compress(zip(_FACT_NAMES, self, strict=True), map(ne, self, _NO_FACTS))

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


_FACT_NAMES = Facts._fields
_NO_FACTS = Facts()
_DATE_NAMES = frozenset(("monitoring_start", "monitoring_end", "issued_on", "retired_on"))
#: What makes a block what it is: no newer export may change one of these.
IDENTITY = ("programme", "project", "vintage_start", "vintage_end", "batch")


@dataclass(frozen=True, slots=True)
class BlockRecord:
    """One accepted row. `programme` is whose registry holds the credits (`VCS`, `GS`); the
    series may be another's (CER rows). `vintage_start` and `vintage_end` are the class's, both
    None where the layout has no vintage (CDM's issuance report).
    `row` counts records from 1 after the header, `line` is where the record starts (header 1).
    """

    programme: str
    project: str
    project_name: str
    vintage_start: date | None
    vintage_end: date | None
    interval: Interval
    kind: Kind
    status: Status
    labels: tuple[str, ...] = ()
    batch: int | None = None
    facts: Facts = _NO_FACTS
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


@dataclass(frozen=True, slots=True)
class VolumeRecord:
    """One accepted row whose credits have no serials: an amount under a reference.

    `reference` is the registry's id of the event (`iss_…`, `CAFR5281-I`), or, where it gives none
    (issuances of APX registries), the columns that tell events apart, joined by ` | `; rows of one
    file may still share it, then their order tells them apart. `kilograms` may be 0 (ARB lists
    periods without credits). `parts` are amounts in kilograms that the row names besides the
    whole (`project`, `buffer`, `reversed` …); they need not add up to it. `series` is the number
    space when the row names one without numbers (Cercarbono's issuances): what is retired in it
    can then not exceed what was issued.
    """

    programme: str
    project: str
    project_name: str
    reference: str
    kilograms: int
    kind: Kind
    status: Status
    vintage_start: date | None = None
    vintage_end: date | None = None
    labels: tuple[str, ...] = ()
    parts: tuple[tuple[str, int], ...] = ()
    series: Series | None = None
    facts: Facts = _NO_FACTS
    row: int = field(default=0, compare=False)
    line: int = field(default=0, compare=False)

    def __post_init__(self) -> None:
        if self.kilograms < 0:
            raise InvalidValue("kilograms", self.kilograms, "is negative")


@dataclass(frozen=True, slots=True)
class ProjectRecord:
    """One accepted row about a project, as the registry spells it: no vocabulary is applied here.

    `project` is the number or id that the programme's credits name, so that both meet. `status`
    is the registry's word. `cross_listings` are ids that the row states under other programmes
    (`ARB:CAFR5281`). `estimated_annual_tonnes` is None where empty; coordinates are decimal text;
    `issued_kilograms` and `retired_kilograms` are the registry's own totals of the project.
    """

    programme: str
    project: str
    name: str
    status: str
    developer: str = ""
    country: str = ""
    region: str = ""
    project_types: tuple[str, ...] = ()
    methodologies: tuple[str, ...] = ()
    goals: tuple[str, ...] = ()
    estimated_annual_tonnes: int | None = None
    issued_kilograms: int | None = None
    retired_kilograms: int | None = None
    status_on: date | None = None
    registered_on: date | None = None
    crediting_start: date | None = None
    crediting_end: date | None = None
    verifier: str = ""
    programme_of_activities: str = ""
    cross_listings: tuple[str, ...] = ()
    latitude: str = ""
    longitude: str = ""
    note: str = ""
    row: int = field(default=0, compare=False)
    line: int = field(default=0, compare=False)

    @property
    def kind(self) -> Kind:
        return Kind.PROJECT


#: What an adapter makes of a row.
Record = BlockRecord | VolumeRecord | ProjectRecord


def bars_to_tokens(
    series: Series | None,
    status: Status,
    vintage_start: date | None,
    unmapped: Sequence[str] | None,
    vocabulary: str,
) -> list[str]:
    """Why credits of a row cannot become tokens, each reason a phrase; empty when they can.

    `series` is None for credits without serials; `unmapped` are the labels that the vocabulary of
    that version does not have, None when no cohort is known.
    """
    bars = []
    if series is None:
        bars.append("credits without serial numbers are kept in the ledger only")
    elif not series.on_chain:
        bars.append(f"serials of {series.programme} are kept in the ledger only")
    if status is Status.ISSUED:
        bars.append("the export does not say whether issued credits are still active")
    elif status is not Status.ACTIVE:
        bars.append(f"status is {status}")
    if vintage_start is None:
        bars.append("the export does not give the vintage")
    if unmapped is None or unmapped:
        named = ", ".join(unmapped or ())
        bars.append(f"labels not in the vocabulary, version {vocabulary}: {named}")
    return bars
