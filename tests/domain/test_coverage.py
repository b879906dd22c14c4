"""Coverage of a class equals a count tonne by tonne (L3)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.assignment import Piece
from backend.domain.coverage import coverage_of
from backend.domain.positions import Positions
from backend.domain.serials import Interval, IntervalSet
from backend.errors import SerialsOverlap
from tests.domain.strategies import small_intervals, vcs

pytestmark = pytest.mark.unit


@st.composite
def scenes(draw: st.DrawFn) -> tuple[Positions, list[Piece], list[Interval], list[Interval]]:
    """A class with its pieces, serials registered beyond them, and live blocks."""
    register = IntervalSet(vcs)
    pieces: list[Piece] = []
    position = 0
    for interval in draw(st.lists(small_intervals(), max_size=6)):
        try:
            register.insert(interval)
        except SerialsOverlap:
            continue
        if draw(st.booleans()) or not pieces:
            pieces.append(Piece(position, interval))
            position += interval.tonnes
    exited = draw(st.integers(0, position))
    dust = draw(st.integers(0, 2)) if exited else 0
    open_tonne = draw(st.integers(0, exited - 1)) if exited else 0
    live = draw(st.lists(small_intervals(), max_size=6))
    return Positions(position, exited, open_tonne, dust), pieces, list(register), live


@given(scenes())
def test_l3_coverage_is_what_a_count_tonne_by_tonne_finds(
    scene: tuple[Positions, list[Piece], list[Interval], list[Interval]],
) -> None:
    state, pieces, named, live = scene
    alive = {serial for one in live for serial in range(one.first, one.last + 1)}
    known = {serial for one in named for serial in range(one.first, one.last + 1)}
    serial_of = [s for p in pieces for s in range(p.serials.first, p.serials.last + 1)]
    covered = len(alive - known)
    short = 0
    for position, serial in enumerate(serial_of):
        is_open = state.dust > 0 and position == state.open_tonne
        if (position < state.exited and not is_open) or serial in alive:
            covered += 1
        else:
            short += 1
    found = coverage_of(state, pieces, named, live)
    assert found.covered == covered
    assert found.shortfall == short
    assert found.covered <= state.minted + len(alive - known)
    for piece in found.missing:
        for offset in range(piece.tonnes):
            assert serial_of[piece.position + offset] == piece.serials.first + offset


def test_l3_a_pending_retirement_or_an_open_delivery_covers_no_new_mint() -> None:
    """Its serials are live at the registry still, but a position has named them."""
    state = Positions(minted=10, exited=10)
    block = Interval(vcs, 1, 10)
    pieces = [Piece(0, block)]
    assert coverage_of(state, pieces, [block], [block]).covered == 10
    # Delivered, released and deposited again: now it may be minted.
    assert coverage_of(state, pieces, [], [block]).covered == 20
