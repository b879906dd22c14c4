"""Intervals and series against a naive set of numbers (L2)."""

from __future__ import annotations

from itertools import pairwise

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from backend.domain.serials import Interval, IntervalSet, Series, merge, subtract
from backend.errors import InvalidValue, SerialsOverlap
from tests.domain.strategies import series, small_intervals, vcs

pytestmark = pytest.mark.unit


def numbers(intervals: list[Interval]) -> set[int]:
    return {number for i in intervals for number in range(i.first, i.last + 1)}


@given(series)
def test_a_series_reads_back_from_its_text(one: Series) -> None:
    assert Series.parse(str(one)) == one


@given(series, series)
def test_two_series_share_an_id_only_when_they_are_the_same(one: Series, other: Series) -> None:
    assert (one.id == other.id) == (one == other)


@pytest.mark.parametrize(
    ("programme", "codes"),
    [
        ("VCS", (0,)),
        ("VCS", (3,)),
        ("VCS", (1, 2)),
        ("GS", (1, 2)),
        ("GS", (2**32, 2020, 1)),
        ("GS", (-1, 2020, 1)),
        ("GS", (1, 2**16, 1)),
        ("CDM", (0x6162,)),
        ("CDM", (0x41,)),
        ("CCER", (1,)),
        ("vcs", (1,)),
    ],
)
def test_a_series_that_is_not_canonical_is_refused(programme: str, codes: tuple[int, ...]) -> None:
    with pytest.raises(InvalidValue):
        Series(programme, codes)


@pytest.mark.parametrize(("first", "last"), [(0, 5), (5, 4), (-1, 3), (1, 2**63 - 1)])
def test_an_interval_outside_the_serial_numbers_is_refused(first: int, last: int) -> None:
    with pytest.raises(InvalidValue):
        Interval(vcs, first, last)


@given(small_intervals(), small_intervals())
def test_overlap_and_containment_agree_with_sets(one: Interval, other: Interval) -> None:
    assert one.overlaps(other) == bool(numbers([one]) & numbers([other]))
    assert one.contains(other) == (numbers([other]) <= numbers([one]))


@given(st.lists(small_intervals()), st.lists(small_intervals()))
def test_merge_and_subtract_agree_with_sets(whole: list[Interval], taken: list[Interval]) -> None:
    assert numbers(merge(whole)) == numbers(whole)
    left = subtract(whole, taken)
    assert numbers(left) == numbers(whole) - numbers(taken)
    assert sum(i.tonnes for i in left) == len(numbers(left))
    assert all(a.last < b.first for a, b in pairwise(left))


def test_intervals_of_other_series_never_meet() -> None:
    old, new = Series("VCS", (1,)), Series("VCS", (2,))
    assert not Interval(old, 1, 10).overlaps(Interval(new, 1, 10))
    assert subtract([Interval(old, 1, 10)], [Interval(new, 1, 10)]) == [Interval(old, 1, 10)]


class RegisterAgainstNaiveSet(RuleBasedStateMachine):
    """L2: the register holds a serial at most once, whatever is offered."""

    def __init__(self) -> None:
        super().__init__()
        self.register = IntervalSet(vcs)
        self.twin: dict[tuple[int, int], set[int]] = {}

    @rule(interval=small_intervals())
    def offer(self, interval: Interval) -> None:
        wanted = numbers([interval])
        taken = [held for held in self.twin.values() if held & wanted]
        if taken:
            with pytest.raises(SerialsOverlap) as refused:
                self.register.insert(interval)
            lowest = min(min(held) for held in taken)
            assert refused.value.values["taken_first"] == lowest
        else:
            self.register.insert(interval)
            self.twin[interval.first, interval.last] = wanted

    @rule(interval=small_intervals())
    def withdraw(self, interval: Interval) -> None:
        if (interval.first, interval.last) in self.twin:
            self.register.remove(interval)
            del self.twin[interval.first, interval.last]
        else:
            with pytest.raises(InvalidValue):
                self.register.remove(interval)

    @rule(interval=small_intervals())
    def release(self, interval: Interval) -> None:
        """A part of one interval leaves; the rest of that interval stays."""
        whole = self.register.overlapping(interval)
        if whole is not None and whole.contains(interval):
            self.register.release(interval)
            del self.twin[whole.first, whole.last]
            parts = ((whole.first, interval.first - 1), (interval.last + 1, whole.last))
            self.twin |= {
                (low, high): set(range(low, high + 1)) for low, high in parts if low <= high
            }
        else:
            with pytest.raises(InvalidValue):
                self.register.release(interval)

    @rule(first=st.integers(1, 61))
    def hint(self, first: int) -> None:
        below = [low for low, _ in self.twin if low < first]
        assert self.register.predecessor(first) == max(below, default=0)

    @invariant()
    def the_same_serials_are_held(self) -> None:
        assert numbers(list(self.register)) == set().union(*self.twin.values(), set())
        assert self.register.tonnes == sum(map(len, self.twin.values()))
        assert len(self.register) == len(self.twin)


TestRegisterAgainstNaiveSet = RegisterAgainstNaiveSet.TestCase


@pytest.mark.parametrize(
    ("text", "programme", "codes"),
    [
        ("PURO:643002406555908610", "PURO", (0, 643002406555908610)),
        ("PURO:000000000000000001", "PURO", (0, 1)),
        (
            "PURO:00112233-4455-6677-8899-aabbccddeeff",
            "PURO",
            (1, 0x00112233445566778899AABBCCDDEEFF),
        ),
    ],
)
def test_a_series_of_puro_is_an_issuance_or_a_gsrn(
    text: str, programme: str, codes: tuple[int, ...]
) -> None:
    series = Series.parse(text)

    assert series == Series(programme, codes)
    assert str(series) == text
    abi_type, value = ("uint64", codes[1]) if codes[0] == 0 else ("bytes16", codes[1].to_bytes(16))
    assert series.id == keccak(encode(["string", "uint8", abi_type], [programme, codes[0], value]))
    assert not series.on_chain


@given(
    st.sampled_from(["CERCARBONO", "CCER", "PHCER"]),
    st.text(min_size=1, max_size=60).filter(lambda text: text == text.strip()),
)
def test_a_ledger_series_is_keyed_by_the_issuers_text_and_counts_from_0(
    programme: str, text: str
) -> None:
    if not text.isprintable() or len(text.encode()) > 200:
        with pytest.raises(InvalidValue):
            Series(programme, (), text)
        return
    series = Series(programme, (), text)

    assert Series.parse(str(series)) == series
    assert series.id == keccak(encode(["string", "string"], [programme, text]))
    assert not series.on_chain
    assert Interval(series, 0, 9).tonnes == 10


@pytest.mark.parametrize(
    ("programme", "codes", "text"),
    [
        ("CCER", (1,), "A"),
        ("CCER", (), ""),
        ("CCER", (), " A"),
        ("CCER", (), "A\n"),
        ("CCER", (), "A" * 201),
        ("VCS", (2,), "A"),
        ("PURO", (), ""),
        ("PURO", (2, 1), ""),
        ("PURO", (0, 10**18), ""),
        ("PURO", (1, 2**128), ""),
        ("PURO", (1,), ""),
        ("ISOMETRIC", (), "A"),
    ],
)
def test_a_series_of_no_known_form_is_refused(
    programme: str, codes: tuple[int, ...], text: str
) -> None:
    with pytest.raises(InvalidValue):
        Series(programme, codes, text)


@pytest.mark.parametrize(
    "text",
    ["VCS:02", "VCS:+2", "GS:1:2_0:3", "GS: 1:2:3", "PURO:1", "CDM:rw", "VCS", "VCS:", "٣:1"],
)
def test_a_text_that_would_print_differently_is_no_series(text: str) -> None:
    with pytest.raises(InvalidValue):
        Series.parse(text)


def test_a_serial_0_exists_only_where_the_issuer_counts_from_0() -> None:
    with pytest.raises(InvalidValue, match="outside 1"):
        Interval(Series("VCS", (2,)), 0, 1)
