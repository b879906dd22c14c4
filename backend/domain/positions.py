"""Which tonnes a retirement consumes: the position counters of a class (L1, L4).

Tonnes of a class are numbered 0, 1, 2 … in the order they were minted and consumed from the
front. One tonne at a time may be open: part of it is retired, `dust` kilograms of it are left.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from backend.domain.units import KILOGRAMS_PER_TONNE, MAX_TONNES, Kilograms, Position, Tonnes
from backend.errors import InvalidValue, NotEnough


@dataclass(frozen=True, slots=True)
class Positions:
    """State of a class. `exited` counts an opened tonne; `open_tonne` means nothing at dust 0."""

    minted: int = 0
    exited: int = 0
    open_tonne: int = 0
    dust: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.exited <= self.minted <= MAX_TONNES:
            raise InvalidValue("exited", self.exited, f"is outside 0 … minted ({self.minted})")
        if not 0 <= self.dust < KILOGRAMS_PER_TONNE:
            raise InvalidValue("dust", self.dust, "is outside 0 … 999")
        if self.dust and not 0 <= self.open_tonne < self.exited:
            raise InvalidValue("open_tonne", self.open_tonne, "is not an exited position")

    @property
    def supply_kilograms(self) -> Kilograms:
        """L1: supply = (minted − exited) × 1000 + dust."""
        return Kilograms((self.minted - self.exited) * KILOGRAMS_PER_TONNE + self.dust)


@dataclass(frozen=True, slots=True)
class Consumed:
    """What one consumption took: at most a run of whole tonnes and parts of two open ones.

    `from_open` kilograms come from `open_tonne` (the tonne that was open before), then
    `whole` tonnes [first_whole, first_whole + whole), then `from_opened` kilograms of the newly
    opened tonne `opened`.
    """

    first_whole: Position
    whole: Tonnes
    open_tonne: Position | None
    from_open: Kilograms
    opened: Position | None
    from_opened: Kilograms

    @property
    def kilograms(self) -> Kilograms:
        return Kilograms(self.whole * KILOGRAMS_PER_TONNE + self.from_open + self.from_opened)


def mint(state: Positions, tonnes: int) -> tuple[Positions, Position]:
    """Append tonnes at the back; returns the new state and the first new position."""
    if tonnes <= 0:
        raise InvalidValue("tonnes", tonnes, "is not positive")
    if state.minted + tonnes > MAX_TONNES:
        raise InvalidValue("tonnes", tonnes, f"would pass {MAX_TONNES} tonnes in one class")
    return replace(state, minted=state.minted + tonnes), Position(state.minted)


def consume(state: Positions, kilograms: int) -> tuple[Positions, Consumed]:
    """Retire kilograms from the front: whole tonnes first, then the open tonne, then a new one."""
    if kilograms <= 0:
        raise InvalidValue("kilograms", kilograms, "is not positive")
    if kilograms > state.supply_kilograms:
        raise NotEnough(
            f"{kilograms} kg asked, {state.supply_kilograms} kg outstanding",
            asked=kilograms,
            available=state.supply_kilograms,
        )
    whole, fraction = divmod(kilograms, KILOGRAMS_PER_TONNE)
    # kilograms <= live × 1000 + dust and dust < 1000: neither step below can pass `minted`.
    first_whole = Position(state.exited)
    exited = state.exited + whole
    from_open = min(fraction, state.dust)
    rest = fraction - from_open
    used_open = Position(state.open_tonne) if from_open else None
    dust, open_tonne = state.dust - from_open, state.open_tonne
    opened: Position | None = None
    if rest:
        opened = Position(exited)
        open_tonne, dust = exited, KILOGRAMS_PER_TONNE - rest
        exited += 1
    after = Positions(state.minted, exited, open_tonne, dust)
    return after, Consumed(
        first_whole, Tonnes(whole), used_open, Kilograms(from_open), opened, Kilograms(rest)
    )


def tonnes_needed(state: Positions, kilograms: int) -> int:
    """How many positions `consume` takes from the front: whole tonnes, and one to open."""
    whole, fraction = divmod(kilograms, KILOGRAMS_PER_TONNE)
    return whole + (fraction > state.dust)


def burn(state: Positions, first: int, tonnes: int) -> Positions:
    """Take whole tonnes from the front for a delivery: they are not retired."""
    if first != state.exited or not 0 < tonnes <= state.minted - state.exited:
        raise InvalidValue("positions", (first, tonnes), f"are not at the front ({state.exited})")
    return replace(state, exited=state.exited + tonnes)


def pass_gap(state: Positions, first: int, tonnes: int) -> Positions:
    """Pass the gap at the cursor: it is void there and stands again at the back (gaps.py)."""
    if first != state.exited or not 0 < tonnes <= state.minted - state.exited:
        raise InvalidValue("gap", (first, tonnes), f"is not at the cursor ({state.exited})")
    if state.minted + tonnes > MAX_TONNES:
        raise InvalidValue("gap", tonnes, f"would pass {MAX_TONNES} tonnes in one class")
    return replace(state, minted=state.minted + tonnes, exited=state.exited + tonnes)


def close_open_tonne(state: Positions, open_tonne: int) -> tuple[Positions, Consumed]:
    """Retire exactly what is left of the open tonne; refuses when another tonne is open."""
    if not state.dust:
        raise InvalidValue("open_tonne", open_tonne, "cannot be closed: no tonne is open")
    if state.open_tonne != open_tonne:
        raise InvalidValue("open_tonne", open_tonne, f"is not the open one ({state.open_tonne})")
    return consume(state, state.dust)
