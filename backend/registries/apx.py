"""What the reports of ACR, CAR and ART have in common: one operator's software runs all three."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from backend.domain.credits import BlockRecord, Facts, Kind, Status
from backend.domain.serials import Interval, Series
from backend.domain.units import KILOGRAMS_PER_TONNE
from backend.errors import InvalidValue
from backend.registries.cells import amount, segment, whole_number

#: Column → value of a cell that says nothing, beside an empty one; any other is a label.
Flags = Sequence[tuple[str, str]]


def flag_labels(flags: Flags) -> tuple[str, ...]:
    """Labels that columns state: (column, cell) → `CCP Approved: Yes`; an empty cell is none.

    Every value that is there becomes a label, also `No`: the vocabulary says which mean nothing,
    so that a value nobody has seen is reported instead of passed over.
    """
    return tuple(f"{column}: {cell}" for column, cell in flags if cell)


def interval_of(
    field: str,
    text: str,
    programme: str,
    codes: tuple[str, str, str],
    span: tuple[str, str],
) -> Interval:
    """The interval of a serial range whose series is (project, vintage, batch)."""
    project, vintage, batch = codes
    numbers = (segment(field, project, text), int(vintage), segment(field, batch, text))
    first, last = segment(field, span[0], text), segment(field, span[1], text)
    try:
        return Interval(Series(programme, numbers), first, last)
    except InvalidValue as error:
        raise InvalidValue(field, text, f"{error.field} {error.rule}") from None


class Block:
    """The columns that every retired and cancelled report has, checked against the serial."""

    def __init__(
        self,
        interval: Interval,
        project: tuple[str, int],
        vintage: tuple[str, int],
        quantity: tuple[str, str],
    ) -> None:
        number, year, batch = interval.series.codes
        if number != project[1]:
            raise InvalidValue(project[0], str(project[1]), f"is not project {number} of serials")
        if year != vintage[1]:
            raise InvalidValue(vintage[0], str(vintage[1]), f"is not {year} of the serials")
        if whole_number(*quantity) != interval.tonnes:
            raise InvalidValue(*quantity, f"is not the {interval.tonnes} of the serials")
        self.interval, self.project, self.year, self.batch = interval, number, year, batch

    def record(
        self,
        name: str,
        status: Status,
        labels: tuple[str, ...],
        facts: Facts,
        place: tuple[int, int],
    ) -> BlockRecord:
        """The event that took these credits out of circulation. `place` is row and line."""
        start, end = vintage_of(self.year)
        return BlockRecord(
            self.interval.series.programme,
            str(self.project),
            name,
            start,
            end,
            self.interval,
            Kind.RETIREMENT,
            status,
            labels,
            self.batch,
            facts,
            *place,
        )


def vintage_of(year: int) -> tuple[date, date]:
    """The dates of a vintage that the registry names by its year."""
    return date(year, 1, 1), date(year, 12, 31)


def parts_of(tonnes: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    """Named parts of an amount in kilograms; those of nothing are left out."""
    return tuple((name, count * KILOGRAMS_PER_TONNE) for name, count in tonnes.items() if count)


def total(field: str, text: str) -> int | None:
    """Kilograms of a project's total, None where the cell is empty."""
    return amount(field, text) * KILOGRAMS_PER_TONNE if text else None


def meaning(field: str, text: str, known: Mapping[str, tuple[Status, str]]) -> tuple[Status, str]:
    """What a reason of cancellation is; a move and an end must not be guessed."""
    found = known.get(text.casefold())
    if found is None:
        names = ", ".join(known)
        raise InvalidValue(field, text, f"is not known: a move or an end? ({names})")
    return found


def status_word(field: str, *texts: str) -> str:
    """The first status that is there; raises InvalidValue when none is."""
    for text in texts:
        if text:
            return text
    raise InvalidValue(field, "", "is empty: the row names no status")


def compliance(text: str) -> tuple[str, ...]:
    """A project's id under a compliance programme: `ECY…` is the State of Washington's."""
    if not text:
        return ()
    return (f"{'ECY' if text.startswith('ECY') else 'ARB'}:{text}",)
