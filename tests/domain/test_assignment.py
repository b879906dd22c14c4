"""Exchange of expected and actual serials against a plain list of serials (L2, L4)."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import reject
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from backend.domain.assignment import PositionMap
from backend.domain.records import Settled
from backend.domain.serials import Interval, Series, merge
from backend.errors import InvalidValue, SerialsOverlap
from tests.domain.strategies import vcs

pytestmark = pytest.mark.unit

OTHER = Series("VCS", (1,))


class MapAgainstNaiveList(RuleBasedStateMachine):
    """The twin: a list with one serial per position, and the set of confirmed positions."""

    def __init__(self) -> None:
        super().__init__()
        self.map = PositionMap()
        self.serials: list[tuple[Series, int]] = []
        self.confirmed: set[int] = set()
        self.left: set[int] = set()  # delivered
        self.next = {vcs: 1, OTHER: 1}

    @rule(series=st.sampled_from((vcs, OTHER)), gap=st.integers(0, 3), tonnes=st.integers(1, 8))
    def mint(self, series: Series, gap: int, tonnes: int) -> None:
        first = self.next[series] + gap
        self.map.append(Interval(series, first, first + tonnes - 1))
        self.serials += [(series, first + n) for n in range(tonnes)]
        self.next[series] = first + tonnes

    def free_run(self, data: st.DataObject) -> tuple[int, int]:
        free = [n for n in range(len(self.serials)) if n not in self.settled()]
        if not free:
            reject()
        start = data.draw(st.sampled_from(free))
        end = start + 1
        while end in free and data.draw(st.booleans()):
            end += 1
        return start, end

    @precondition(lambda self: len(self.confirmed) < len(self.serials))
    @rule(data=st.data())
    def confirm_any_serials_of_the_class(self, data: st.DataObject) -> None:
        start, end = self.free_run(data)
        pool = [self.serials[n] for n in range(len(self.serials)) if n not in self.settled()]
        chosen = data.draw(st.permutations(pool))[: end - start]
        actual = [Interval(series, number, number) for series, number in chosen]
        if data.draw(st.booleans()):
            actual = merge(actual)
        exchanges = self.map.exchanges_for(start, actual)
        before = Counter(self.serials)
        for exchange in exchanges:
            self.map.exchange(exchange)
            for offset in range(exchange.tonnes):
                a, b = exchange.position + offset, exchange.counterpart + offset
                assert not {a, b} & self.settled()
                self.serials[a], self.serials[b] = self.serials[b], self.serials[a]
        assert Counter(self.serials) == before
        self.map.confirm(start, actual)
        self.confirmed |= set(range(start, end))
        wanted = [(i.series, n) for i in actual for n in range(i.first, i.last + 1)]
        assert self.serials[start:end] == wanted

    @precondition(lambda self: len(self.confirmed) < len(self.serials))
    @rule(data=st.data(), again=st.booleans())
    def deliver_a_run_and_perhaps_refund_it(self, data: st.DataObject, again: bool) -> None:
        """Delivered positions keep their serials; the refund's stand on the same at the back."""
        start, _ = self.free_run(data)
        piece = next(self.map.pieces(start, len(self.serials)))
        run = 1
        while run < piece.tonnes and start + run not in self.settled() and data.draw(st.booleans()):
            run += 1
        self.map.settle(start, start + run, Settled.DELIVERED)
        self.left |= set(range(start, start + run))
        if again:
            serials = piece.cut(start, start + run).serials
            assert self.map.append(serials).position == len(self.serials)
            self.serials += self.serials[start : start + run]
        with pytest.raises(InvalidValue):
            self.map.settle(start, start + 1, Settled.VOID)

    @precondition(lambda self: len(self.confirmed) < len(self.serials))
    @rule(data=st.data(), series=st.sampled_from((vcs, OTHER)))
    def bind_new_serials_to_a_run(self, data: st.DataObject, series: Series) -> None:
        start, _ = self.free_run(data)
        first = self.next[series]
        self.map.rebind(start, Interval(series, first, first))
        self.serials[start] = (series, first)
        self.next[series] = first + 1

    def settled(self) -> set[int]:
        return self.confirmed | self.left

    @precondition(lambda self: self.confirmed)
    @rule(data=st.data())
    def a_confirmed_serial_is_refused_again(self, data: st.DataObject) -> None:
        taken = data.draw(st.sampled_from(sorted(self.confirmed)))
        series, number = self.serials[taken]
        free = [n for n in range(len(self.serials)) if n not in self.settled()]
        for position in free[:1]:
            with pytest.raises(SerialsOverlap):
                self.map.exchanges_for(position, [Interval(series, number, number)])
        with pytest.raises(InvalidValue):
            self.map.exchanges_for(taken, [Interval(series, number, number)])

    @precondition(lambda self: len(self.confirmed) < len(self.serials))
    @rule(data=st.data())
    def a_serial_outside_the_class_is_refused(self, data: st.DataObject) -> None:
        start, _ = self.free_run(data)
        with pytest.raises(InvalidValue) as refused:
            self.map.exchanges_for(start, [Interval(vcs, self.next[vcs], self.next[vcs])])
        assert refused.value.field == "actual"

    @invariant()
    def every_position_stands_on_its_serial(self) -> None:
        seen = []
        for piece in self.map.pieces(0, len(self.serials)):
            assert piece.position == len(seen)
            serials = piece.serials
            seen += [(serials.series, n) for n in range(serials.first, serials.last + 1)]
        assert seen == self.serials
        standing = [one for at, one in enumerate(seen) if at not in self.left]
        assert len(set(standing)) == len(standing)


TestMapAgainstNaiveList = MapAgainstNaiveList.TestCase


def a_map() -> PositionMap:
    position_map = PositionMap()
    position_map.append(Interval(vcs, 101, 110))
    position_map.append(Interval(vcs, 201, 210))
    return position_map


def test_a_serial_named_twice_in_one_confirmation_is_refused() -> None:
    with pytest.raises(SerialsOverlap):
        a_map().exchanges_for(0, [Interval(vcs, 101, 103), Interval(vcs, 103, 104)])


def test_the_registry_taking_the_expected_serials_needs_no_exchange() -> None:
    assert a_map().exchanges_for(5, [Interval(vcs, 106, 110), Interval(vcs, 201, 202)]) == []


def test_the_positions_that_expected_the_actual_serials_take_over_the_unused_ones() -> None:
    position_map = a_map()
    actual = [Interval(vcs, 205, 207)]
    for exchange in position_map.exchanges_for(0, actual):
        position_map.exchange(exchange)
    position_map.confirm(0, actual)
    assert [str(p.serials) for p in position_map.pieces(0, 20)] == [
        "VCS:2/205-207",
        "VCS:2/104-110",
        "VCS:2/201-204",
        "VCS:2/101-103",
        "VCS:2/208-210",
    ]


def test_confirming_serials_that_are_not_behind_the_positions_is_refused() -> None:
    with pytest.raises(InvalidValue):
        a_map().confirm(0, [Interval(vcs, 102, 103)])
