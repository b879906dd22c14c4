"""The arithmetic of positions and dust against one kilogram at a time (L1, L4, L11)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from backend.domain.positions import Consumed, Positions, close_open_tonne, consume, mint
from backend.errors import InvalidValue, NotEnough

pytestmark = pytest.mark.unit

TONNE = 1000


def kilograms_of(consumed: Consumed) -> dict[int, int]:
    """Kilograms by position that a consumption names."""
    named = {consumed.first_whole + n: TONNE for n in range(consumed.whole)}
    if consumed.open_tonne is not None:
        named[consumed.open_tonne] = named.get(consumed.open_tonne, 0) + consumed.from_open
    if consumed.opened is not None:
        named[consumed.opened] = named.get(consumed.opened, 0) + consumed.from_opened
    return named


class PositionsAgainstNaiveTonnes(RuleBasedStateMachine):
    """A twin keeps, for every tonne, how many of its kilograms are left."""

    def __init__(self) -> None:
        super().__init__()
        self.state = Positions()
        self.left: list[int] = []

    @rule(tonnes=st.integers(1, 5))
    def append(self, tonnes: int) -> None:
        self.state, first = mint(self.state, tonnes)
        assert first == len(self.left)
        self.left += [TONNE] * tonnes

    def naive(self, kilograms: int) -> dict[int, int]:
        """Whole tonnes from the front of the untouched ones, then the open one, then a new one."""
        took: dict[int, int] = {}
        whole, rest = divmod(kilograms, TONNE)
        for tonne in [n for n, left in enumerate(self.left) if left == TONNE][:whole]:
            took[tonne] = TONNE
        opened = [n for n, left in enumerate(self.left) if 0 < left < TONNE]
        for tonne in opened:
            took[tonne] = min(rest, self.left[tonne])
            rest -= took[tonne]
        if rest:
            untouched = [n for n, left in enumerate(self.left) if left == TONNE and n not in took]
            took[untouched[0]] = rest
        return {tonne: kg for tonne, kg in took.items() if kg}

    def take(self, consumed: Consumed, expected: dict[int, int]) -> None:
        assert kilograms_of(consumed) == expected
        for tonne, kilograms in expected.items():
            self.left[tonne] -= kilograms
        assert min(self.left) >= 0

    @precondition(lambda self: sum(self.left))
    @rule(data=st.data())
    def retire(self, data: st.DataObject) -> None:
        kilograms = data.draw(st.integers(1, sum(self.left)))
        expected = self.naive(kilograms)
        self.state, consumed = consume(self.state, kilograms)
        assert consumed.kilograms == kilograms
        self.take(consumed, expected)

    @precondition(lambda self: self.state.dust)
    @rule()
    def close(self) -> None:
        tonne = self.state.open_tonne
        expected = {tonne: self.left[tonne]}
        self.state, consumed = close_open_tonne(self.state, tonne)
        self.take(consumed, expected)
        assert self.state.dust == 0

    @rule(tonne=st.integers(0, 20))
    def close_another(self, tonne: int) -> None:
        if not self.state.dust or tonne != self.state.open_tonne:
            with pytest.raises(InvalidValue):
                close_open_tonne(self.state, tonne)

    @rule(more=st.integers(1, 5000))
    def retire_too_much(self, more: int) -> None:
        with pytest.raises(NotEnough) as refused:
            consume(self.state, sum(self.left) + more)
        assert refused.value.values["available"] == sum(self.left)

    @invariant()
    def l1_supply_is_what_is_left(self) -> None:
        assert self.state.supply_kilograms == sum(self.left)
        assert self.state.minted == len(self.left)
        assert self.state.exited == sum(left < TONNE for left in self.left)
        assert self.state.dust == sum(left for left in self.left if left < TONNE)

    @invariant()
    def at_most_one_tonne_is_open(self) -> None:
        opened = [n for n, left in enumerate(self.left) if 0 < left < TONNE]
        assert len(opened) <= 1
        assert opened == ([self.state.open_tonne] if self.state.dust else [])


TestPositionsAgainstNaiveTonnes = PositionsAgainstNaiveTonnes.TestCase


@pytest.mark.parametrize("kilograms", [0, -1])
def test_retiring_nothing_is_refused(kilograms: int) -> None:
    with pytest.raises(InvalidValue):
        consume(Positions(minted=1), kilograms)


@pytest.mark.parametrize("tonnes", [0, -3, 2**48])
def test_minting_nothing_or_more_than_the_counter_holds_is_refused(tonnes: int) -> None:
    with pytest.raises(InvalidValue):
        mint(Positions(), tonnes)


@given(st.integers(), st.integers(), st.integers(), st.integers())
def test_counters_that_contradict_each_other_cannot_be_built(
    minted: int, exited: int, open_tonne: int, dust: int
) -> None:
    sane = 0 <= exited <= minted < 2**48 and 0 <= dust < TONNE
    if sane and (not dust or 0 <= open_tonne < exited):
        Positions(minted, exited, open_tonne, dust)
    else:
        with pytest.raises(InvalidValue):
            Positions(minted, exited, open_tonne, dust)
