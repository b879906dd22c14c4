"""Which serials a retirement would consume now: shown before anything is signed."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from backend.domain.positions import Consumed, Positions, consume, pass_gap
from backend.domain.units import KILOGRAMS_PER_TONNE
from backend.errors import InvalidValue, NotEnough
from backend.store.queries.assignment import SerialRun, Span, changes_of, serials_at
from backend.store.queries.classes import get_class
from backend.store.queries.shortfalls import gaps_of

#: A preview is of what one person is about to sign.
MOST_KILOGRAMS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class UpcomingPiece:
    """A part of what would be consumed. `kind`: whole, rest_of_open, part_of_opened."""

    kind: str
    kilograms: int
    serials: tuple[SerialRun, ...]


@dataclass(frozen=True, slots=True)
class Upcoming:
    """What a retirement of `kilograms` would take if nobody else came first."""

    class_id: int
    kilograms: int
    pieces: tuple[UpcomingPiece, ...]


def upcoming(connection: Connection, class_id: int, kilograms: int) -> Upcoming:
    """The serials in the order they are consumed. Raises as `consumption` does."""
    _, taken = consumption(connection, class_id, kilograms)
    wanted: list[tuple[str, Span, int]] = []
    if taken.whole:
        end = taken.first_whole + taken.whole
        wanted.append(("whole", Span(class_id, taken.first_whole, end), taken.whole * 1000))
    if taken.open_tonne is not None:
        span = Span(class_id, taken.open_tonne, taken.open_tonne + 1)
        wanted.append(("rest_of_open", span, taken.from_open))
    if taken.opened is not None:
        span = Span(class_id, taken.opened, taken.opened + 1)
        wanted.append(("part_of_opened", span, taken.from_opened))
    changes = changes_of(connection, [class_id]).get(class_id, [])
    spans = [span for _, span, _ in wanted]
    found = serials_at(connection, spans, [changes] * len(spans))
    return Upcoming(
        class_id,
        kilograms,
        tuple(
            UpcomingPiece(kind, amount, tuple(runs))
            for (kind, _, amount), runs in zip(wanted, found, strict=True)
        ),
    )


def consumption(
    connection: Connection, class_id: int, kilograms: int
) -> tuple[Positions, Consumed]:
    """The counters that a retirement would meet, and what it would take of the positions.

    Raises NotFound for a class that does not exist, InvalidValue for an amount that is none,
    NotEnough beyond the supply or across a gap: `asked` and what is `available`, in kilograms.
    """
    if not 0 < kilograms <= MOST_KILOGRAMS:
        raise InvalidValue("kilograms", kilograms, f"is not 1 to {MOST_KILOGRAMS}")
    state = get_class(connection, class_id).positions
    _, taken = consume(state, kilograms)
    tonnes = taken.whole + (taken.opened is not None)
    gaps = gaps_of(connection, [class_id])[class_id]
    try:
        reached = gaps.before_consumption(state.exited, state.minted, tonnes)
    except NotEnough as error:
        # The gap counts positions. The open tonne was taken from the front before it.
        before = int(error.values["available"]) * KILOGRAMS_PER_TONNE + state.dust
        raise NotEnough(
            f"{kilograms} kg asked, {before} kg before a gap", asked=kilograms, available=before
        ) from error
    for passed in reached:
        state = pass_gap(state, passed.gap.first, passed.gap.tonnes)
    return state, consume(state, kilograms)[1]
