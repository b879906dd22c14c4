"""A consumption of a class with gaps, against a list in which every kilogram is written down."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain import gaps, positions
from backend.domain.gaps import Gap, Gaps
from backend.domain.positions import Positions
from backend.domain.programme_events import GapKind
from backend.errors import NotEnough

pytestmark = pytest.mark.unit

LIVE, DEAD, GONE = range(3)


class Tonnes:
    """The slow twin: one place for each tonne, and how much is left of the open one."""

    def __init__(self, minted: int) -> None:
        self.places = [LIVE] * minted
        self.cursor = 0
        self.dust = 0

    def retire(self, kilograms: int) -> bool:
        """Whether it could; then it has."""
        left, open_too = divmod(kilograms, 1000)
        needed = left + (open_too > self.dust)
        at = self.cursor
        while needed and at < len(self.places) and self.places[at] == DEAD:
            at += 1
        if self.places[at : at + needed] != [LIVE] * needed:
            return False
        for index in range(self.cursor, at):
            self.places[index] = GONE
            self.places.append(DEAD)
        self.places[at : at + needed] = [GONE] * needed
        self.cursor = at + needed
        self.dust = (self.dust - open_too) % 1000
        return True


@given(
    st.integers(1, 30),
    st.lists(st.tuples(st.integers(0, 29), st.integers(1, 5)), max_size=4),
    st.lists(st.integers(1, 9_000), max_size=12),
)
def test_no_consumption_takes_a_gap_and_every_kilogram_is_kept(
    minted: int, dead: list[tuple[int, int]], amounts: list[int]
) -> None:
    state, _ = positions.mint(Positions(), minted)
    held, twin = Gaps(), Tonnes(minted)
    for first, tonnes in dead:
        if first + tonnes <= minted and not held.within(first, first + tonnes):
            held.open(Gap(first, tonnes, GapKind.INVALIDATED), 0, minted)
            twin.places[first : first + tonnes] = [DEAD] * tonnes
    supply = state.supply_kilograms
    for kilograms in amounts:
        before = list(held)
        can = kilograms <= supply and twin.retire(kilograms)
        try:
            state, _ = gaps.consume(state, held, kilograms)
        except NotEnough:
            assert not can
            assert list(held) == before
        else:
            assert can
            supply -= kilograms
        assert state.supply_kilograms == supply
        assert (state.minted, state.exited, state.dust) == (
            len(twin.places),
            twin.cursor,
            twin.dust,
        )
        assert {at for gap in held for at in range(gap.first, gap.end)} == {
            at for at, place in enumerate(twin.places) if place == DEAD
        }
        assert all(gap.first >= state.exited for gap in held)


def test_dust_alone_takes_no_position_and_passes_no_gap() -> None:
    state = Positions(minted=10, exited=1, open_tonne=0, dust=400)
    held = Gaps([Gap(1, 9, GapKind.DISPUTED)])
    after, consumed = gaps.consume(state, held, 400)
    assert (after.dust, after.exited, consumed.from_open) == (0, 1, 400)
    with pytest.raises(NotEnough) as refused:
        gaps.consume(state, held, 401)
    assert refused.value.values["available"] == 0
    assert list(held) == [Gap(1, 9, GapKind.DISPUTED)]
