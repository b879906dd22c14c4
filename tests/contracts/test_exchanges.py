"""Exchanges of the domain are as few and as long as can be: `Trust` refuses any that are not."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.assignment import MAX_EXCHANGES, Exchange, PositionMap, joined
from backend.domain.serials import Interval, Series, merge
from backend.errors import InvalidValue

pytestmark = pytest.mark.unit

VCS_2 = Series("VCS", (2,))


def rest_from(held: PositionMap, position: int) -> int:
    """How far the piece at a position reaches."""
    return next(held.pieces(position, held.minted)).tonnes


def fragments(held: PositionMap, exchanges: list[Exchange]) -> list[Exchange]:
    """Exchanges that only continue the one before; the rule of `Trust._exchange` anew."""
    work = replace(held, _pieces=list(held.pieces(0, held.minted)))
    found = []
    could_go_on = []
    for one in exchanges:
        here, there = rest_from(work, one.position), rest_from(work, one.counterpart)
        distance = abs(one.counterpart - one.position)
        could_go_on.append(one.tonnes < min(here, there, distance))
        work.exchange(one)
    for (one, other), longer in zip(pairwise(exchanges), could_go_on, strict=False):
        step = (other.position - one.position, other.counterpart - one.counterpart)
        if longer and step == (one.tonnes, one.tonnes):
            found.append(other)
    return found


@st.composite
def classes_and_answers(draw: st.DrawFn) -> tuple[PositionMap, list[tuple[int, list[Interval]]]]:
    """A class of a few blocks, and for its positions in turn serials in any runs and any cuts."""
    held = PositionMap()
    serial = 1
    for tonnes in draw(st.lists(st.integers(1, 15), min_size=1, max_size=4)):
        serial += draw(st.integers(0, 2))
        held.append(Interval(VCS_2, serial, serial + tonnes - 1))
        serial += tonnes
    numbers = [
        n for p in held.pieces(0, held.minted) for n in range(p.serials.first, p.serials.last + 1)
    ]
    cut = draw(st.integers(0, len(numbers)))
    swing = draw(st.integers(0, len(numbers)))
    numbers = numbers[cut:] + numbers[:cut]
    numbers[:swing] = draw(st.sampled_from((numbers[:swing], numbers[:swing][::-1])))
    answers = []
    start = 0
    while start < len(numbers):
        end = min(len(numbers), start + draw(st.integers(1, 12)))
        singles = [Interval(VCS_2, n, n) for n in numbers[start:end]]
        answers.append((start, singles if draw(st.booleans()) else joined(singles)))
        start = end
    return held, answers


@given(classes_and_answers())
def test_no_exchange_only_continues_the_one_before(
    story: tuple[PositionMap, list[tuple[int, list[Interval]]]],
) -> None:
    held, answers = story
    for first, actual in answers:
        exchanges = held.exchanges_for(first, actual)
        assert fragments(held, exchanges) == []
        assert exchanges == held.exchanges_for(first, joined(actual))
        for one in exchanges:
            held.exchange(one)
        held.confirm(first, actual)


def test_unjoined_neighbours_need_one_exchange() -> None:
    held = PositionMap()
    held.append(Interval(VCS_2, 101, 200))
    actual = [Interval(VCS_2, 150 + n, 150 + n) for n in range(10)]
    assert held.exchanges_for(0, actual) == [Exchange(0, 49, 10)]
    crumbs = [Exchange(n, 49 + n, 1) for n in range(10)]
    assert fragments(held, crumbs) == crumbs[1:]


@given(st.lists(st.integers(1, 20), unique=True))
def test_joining_keeps_every_serial_in_its_place(numbers: list[int]) -> None:
    singles = [Interval(VCS_2, n, n) for n in numbers]
    found = joined(singles)
    assert [n for one in found for n in range(one.first, one.last + 1)] == numbers
    assert merge(found) == merge(singles)
    assert all(one.last + 1 != other.first for one, other in pairwise(found))


def test_more_exchanges_than_a_confirmation_takes_are_refused() -> None:
    held = PositionMap()
    held.append(Interval(VCS_2, 1, 1000))
    actual = [Interval(VCS_2, 900 - 2 * n, 900 - 2 * n) for n in range(MAX_EXCHANGES + 1)]
    assert len(held.exchanges_for(0, actual[:-1])) == MAX_EXCHANGES
    with pytest.raises(InvalidValue, match="confirm it in parts"):
        held.exchanges_for(0, actual)
