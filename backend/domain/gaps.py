"""Gaps of a class: live positions that nothing may consume, and how the cursor passes them."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from backend.domain import positions
from backend.domain.positions import Consumed, Positions
from backend.domain.programme_events import GapKind
from backend.errors import InvalidValue, NotEnough, NotFound


@dataclass(frozen=True, order=True, slots=True)
class Gap:
    """Positions [first, first + tonnes) and why nothing consumes them."""

    first: int
    tonnes: int
    kind: GapKind = field(compare=False)

    @property
    def end(self) -> int:
        return self.first + self.tonnes


@dataclass(frozen=True, slots=True)
class Passed:
    """A gap that was void at `gap.first` from now on and stands again at `new_first`."""

    gap: Gap
    new_first: int


@dataclass(slots=True)
class Gaps:
    """The gaps of one class, disjoint and ascending."""

    _held: list[Gap] = field(default_factory=list)

    def __iter__(self) -> Iterator[Gap]:
        return iter(self._held)

    def within(self, first: int, end: int) -> list[Gap]:
        """The gaps that share a position with [first, end), whole."""
        return [gap for gap in self._held if gap.first < end and first < gap.end]

    @property
    def uncovered(self) -> int:
        """Tonnes of live positions that no credit stands behind."""
        return sum(gap.tonnes for gap in self._held)

    def open(self, gap: Gap, exited: int, minted: int) -> None:
        """Add a gap of live positions; raises InvalidValue when they are not live or gaps."""
        if gap.tonnes < 1 or gap.first < exited or gap.end > minted:
            raise InvalidValue("gap", (gap.first, gap.tonnes), f"is not in {exited} … {minted}")
        at = bisect_left(self._held, gap.first, key=lambda held: held.first)
        before = self._held[at - 1 : at]
        after = self._held[at : at + 1]
        if any(one.end > gap.first for one in before) or any(one.first < gap.end for one in after):
            raise InvalidValue("gap", (gap.first, gap.tonnes), "overlaps another gap")
        insort(self._held, gap)

    def close(self, first: int) -> Gap:
        """End the gap that begins at this position; raises NotFound."""
        for at, gap in enumerate(self._held):
            if gap.first == first:
                return self._held.pop(at)
        raise NotFound(f"no gap begins at position {first}", first=first)

    def opened(self, gap: Gap) -> None:
        """Follow GapOpened: positions of a refund are a gap before they are minted."""
        self.open(gap, gap.first, gap.end)

    def closed(self, first: int, tonnes: int) -> GapKind:
        """Follow GapClosed: [first, +tonnes) is no gap any more, the rest of it stays one."""
        end = first + tonnes
        for at, gap in enumerate(self._held):
            if gap.first <= first and end <= gap.end:
                parts = ((gap.first, first), (end, gap.end))
                self._held[at : at + 1] = [
                    Gap(low, high - low, gap.kind) for low, high in parts if low < high
                ]
                return gap.kind
        raise NotFound(f"no gap holds positions {first} … {end - 1}", first=first)

    def passed(self, first: int, tonnes: int, new_first: int) -> GapKind:
        """Follow GapPassed: the gap at exactly [first, +tonnes) stands at `new_first`."""
        gap = self.close(first)
        if gap.tonnes != tonnes:
            raise InvalidValue("gap", (first, tonnes), f"is of {gap.tonnes} t")
        self.opened(Gap(new_first, tonnes, gap.kind))
        return gap.kind

    def before_consumption(self, exited: int, minted: int, tonnes: int) -> list[Passed]:
        """Pass the gaps that the cursor has reached; a run of `tonnes` must not cross the next.

        The counters grow by the sum of what is passed; each gap that was there is passed at most
        once. Raises NotEnough with the tonnes left before the gap, and then nothing is changed.
        """
        if not tonnes:
            return []
        work = list(self._held)
        passed = []
        cursor, back = exited, minted
        while work and work[0].first == cursor and cursor < minted:
            gap = work.pop(0)
            passed.append(Passed(gap, back))
            work.append(Gap(back, gap.tonnes, gap.kind))
            cursor, back = cursor + gap.tonnes, back + gap.tonnes
        if work and work[0].first < cursor + tonnes:
            before = work[0].first - cursor
            raise NotEnough(
                f"{tonnes} t asked, {before} t before the gap at position {work[0].first}",
                asked=tonnes,
                available=before,
                gap_first=work[0].first,
                gap_tonnes=work[0].tonnes,
            )
        self._held[:] = work
        return passed


def consume(
    state: Positions, held: Gaps, kilograms: int, passed: Callable[[Passed], None] | None = None
) -> tuple[Positions, Consumed]:
    """Retire kilograms of a class that has gaps: those at the cursor are passed first.

    Raises NotEnough, and changes nothing, when a gap is in the way or there are not as many.
    """
    positions.consume(state, kilograms)
    for one in held.before_consumption(
        state.exited, state.minted, positions.tonnes_needed(state, kilograms)
    ):
        state = positions.pass_gap(state, one.gap.first, one.gap.tonnes)
        if passed:
            passed(one)
    return positions.consume(state, kilograms)
