"""CORSIA: a phase's scope is not eligibility; what each element of eligibility lacks is named.

Pure. `Scope` means that the programme is approved for the phase and the credits are of its kind.
`Eligible` needs everything: activity and vintage inside the phase's dates, and for what was reduced
from 2021 on the host party's authorisation, and evidence of its adjustment or, until there is one,
an accounting representation together with insurance.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any, Final, NamedTuple

from backend.domain.article6 import (
    Adjustment,
    Authorisation,
    Credits,
    Missing,
    Use,
    lacks_adjustment,
    lacks_authorisation,
)
from backend.domain.documents import Document
from backend.errors import InvalidValue


class Phase(StrEnum):
    """Compliance periods of the scheme."""

    PILOT = "pilot"
    FIRST = "first"
    SECOND = "second"


class Window(NamedTuple):
    """Dates of a phase. Reductions are inclusive; None where they have not been published."""

    years: str
    activity_from: date
    reduced_from: date | None
    reduced_until: date | None


#: Dates of the scheme's list of eligible emissions units (ICAO); check before relying on them.
WINDOWS: Final = {
    Phase.PILOT: Window("2021-2023", date(2016, 1, 1), date(2016, 1, 1), date(2020, 12, 31)),
    Phase.FIRST: Window("2024-2026", date(2016, 1, 1), date(2021, 1, 1), date(2026, 12, 31)),
    Phase.SECOND: Window("2027-2029", date(2016, 1, 1), None, None),
}
#: From here on a host country counts reductions towards its own contribution.
ADJUSTED_FROM: Final = date(2021, 1, 1)
#: Codes of the cohort that a registry gives for a phase; an `eligible` one is in scope too.
LABELS: Final = {
    phase: frozenset((f"corsia-{phase}-phase-scope", f"corsia-{phase}-phase-eligible"))
    for phase in Phase
}


class Status(StrEnum):
    """How far credits are towards use under a phase."""

    OUT = "out-of-scope"
    SCOPE = "scope"
    ELIGIBLE = "eligible"


@dataclass(frozen=True, slots=True)
class Activity:
    """When the activity's first crediting period began, and where that is said."""

    started_on: date
    source: str

    @classmethod
    def read(cls, content: Any) -> Activity:
        """From a JSON document; raises InvalidValue naming the key and the rule."""
        doc = Document("activity", content)
        found = cls(doc.day("started_on"), doc.text("source"))
        doc.done()
        return found


@dataclass(frozen=True, slots=True)
class Cover:
    """An accounting representation, or insurance against an adjustment that does not come."""

    by: str
    reference: str
    evidence_hash: str
    tonnes: int
    valid_from: date
    valid_until: date

    def __post_init__(self) -> None:
        if self.valid_until < self.valid_from:
            raise InvalidValue(
                "cover.valid_until", self.valid_until, f"is before {self.valid_from}"
            )

    @classmethod
    def read(cls, content: Any) -> Cover:
        """From a JSON document; raises InvalidValue naming the key and the rule."""
        doc = Document("cover", content)
        found = cls(
            by=doc.text("by"),
            reference=doc.text("reference"),
            evidence_hash=doc.hash("evidence_hash"),
            tonnes=doc.tonnes("tonnes"),
            valid_from=doc.day("valid_from"),
            valid_until=doc.day("valid_until"),
        )
        doc.done()
        return found


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything recorded about a class that eligibility asks for; None where it is not."""

    activity: Activity | None = None
    authorisation: Authorisation | None = None
    adjustment: Adjustment | None = None
    representation: Cover | None = None
    insurance: Cover | None = None


@dataclass(frozen=True, slots=True)
class Eligibility:
    """Where credits stand under a phase, and every element that is missing."""

    phase: Phase
    status: Status
    missing: tuple[Missing, ...]


def eligibility(phase: Phase, credits: Credits, evidence: Evidence, on: date) -> Eligibility:
    """Only what has everything is eligible; each missing element is a reason."""
    window = WINDOWS[phase]
    missing: list[Missing] = []
    in_scope = bool(LABELS[phase] & credits.labels)
    if not in_scope:
        missing.append(Missing("scope", f"no label puts the credits into the {phase} phase"))
    missing += _dates(window, phase, credits, evidence)
    if credits.vintage_last >= ADJUSTED_FROM:
        missing += lacks_authorisation(credits, evidence.authorisation, Use.INTERNATIONAL, on)
        missing += _assured(credits, evidence, on)
    if not missing:
        return Eligibility(phase, Status.ELIGIBLE, ())
    return Eligibility(phase, Status.SCOPE if in_scope else Status.OUT, tuple(missing))


def _dates(window: Window, phase: Phase, credits: Credits, evidence: Evidence) -> list[Missing]:
    found = []
    if evidence.activity is None:
        found.append(Missing("activity", "the start of the activity is not recorded"))
    elif evidence.activity.started_on < window.activity_from:
        found.append(
            Missing(
                "activity",
                f"the activity began on {evidence.activity.started_on}, before"
                f" {window.activity_from}",
            )
        )
    if window.reduced_from is None or window.reduced_until is None:
        found.append(
            Missing("vintage", f"no vintages of the {phase} phase have been published here")
        )
    elif credits.vintage_first < window.reduced_from or credits.vintage_last > window.reduced_until:
        found.append(
            Missing(
                "vintage",
                f"vintage {credits.vintage_first} … {credits.vintage_last} is not inside"
                f" {window.reduced_from} … {window.reduced_until}",
            )
        )
    return found


def _assured(credits: Credits, evidence: Evidence, on: date) -> tuple[Missing, ...]:
    """Nothing with an adjustment, or with a representation and insurance; else what both lack."""
    adjusted = lacks_adjustment(credits, evidence.adjustment, on)
    if not adjusted:
        return ()
    covered = (
        *_lacks_cover("representation", "accounting representation", evidence.representation,
                      credits, on),
        *_lacks_cover("insurance", "insurance", evidence.insurance, credits, on),
    )  # fmt: skip
    return (*adjusted, *covered) if covered else ()


def _lacks_cover(
    code: str, name: str, cover: Cover | None, credits: Credits, on: date
) -> tuple[Missing, ...]:
    if cover is None:
        return (Missing(code, f"no {name} is recorded"),)
    if not cover.valid_from <= on <= cover.valid_until:
        return (
            Missing(
                code, f"the {name} is valid {cover.valid_from} … {cover.valid_until}, not {on}"
            ),
        )
    if cover.tonnes < credits.tonnes:
        return (Missing(code, f"the {name} covers {cover.tonnes} t of {credits.tonnes} t"),)
    return ()
