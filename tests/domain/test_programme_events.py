"""Programme events: what is signed, and gaps that no consumption takes or crosses."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.classes import CreditClass, UnitType
from backend.domain.gaps import Gap, Gaps
from backend.domain.programme_events import (
    Conversion,
    GapKind,
    Invalidation,
    Kind,
    ProgrammeEvent,
    Substitution,
    digest,
    signing_domain,
)
from backend.domain.records import MadeGood, RegistryFailure
from backend.domain.records import signing_domain as records_domain
from backend.domain.serials import Interval
from backend.errors import InvalidValue, NotEnough, NotFound
from tests.domain.strategies import vcs

pytestmark = pytest.mark.unit

HERE = signing_domain(1, "0x" + "11" * 20)
CLASS = CreditClass("VCS", "1", UnitType.CREDIT, date(2020, 1, 1), date(2020, 12, 31))
EVENT = ProgrammeEvent(Kind.HOLD, 5, "", "under review", 20260228, b"e" * 32, 1)
SPLIT = Conversion(
    Kind.LABEL_SPLIT, 5, CLASS, 0, 2, (), b"r" * 32, 9, "part is CCP", 20260228, b"e" * 32
)
DEAD = Invalidation(5, 3, Interval(vcs, 1, 4), "reversal not made good", 20260228, b"e" * 32)
NEW = Substitution(5, 3, (Interval(vcs, 11, 14),), "replaced", 20260228, b"e" * 32)


def test_l5_each_kind_of_event_is_signed_as_its_own_type() -> None:
    ids = {digest(event, HERE) for event in (EVENT, SPLIT, DEAD, NEW, replace(EVENT, nonce=2))}
    assert len(ids) == 5
    assert digest(EVENT, signing_domain(1, "0x" + "22" * 20)) not in ids


@pytest.mark.parametrize(
    ("event", "change"),
    [
        (EVENT, {"kind": Kind.CONVERSION}),
        (EVENT, {"reason": ""}),
        (EVENT, {"subject": "x" * 257}),
        (EVENT, {"as_of": 20260230}),
        (SPLIT, {"kind": Kind.HOLD}),
        (SPLIT, {"serials": (Interval(vcs, 1, 2),)}),
        (SPLIT, {"kind": Kind.CONVERSION}),
        (SPLIT, {"kind": Kind.CONVERSION, "serials": (Interval(vcs, 1, 1),)}),
        (SPLIT, {"tonnes": 0}),
        (DEAD, {"first_position": -1}),
        (NEW, {"serials": ()}),
    ],
)
def test_an_event_that_the_contract_would_refuse_is_not_built(
    event: Any, change: dict[str, Any]
) -> None:
    with pytest.raises(InvalidValue):
        replace(event, **change)


def test_records_of_what_a_registry_did_not_retire_bind_every_word() -> None:
    here = records_domain(1, "0x" + "11" * 20)
    failed = RegistryFailure(5, 0, 2, "account is blocked", 20260228, b"e" * 32)
    good = MadeGood(5, 0, 6, (Interval(vcs, 1, 2),), "R-2", 20260228, b"e" * 32)
    changed: list[Any] = [replace(failed, tonnes=3), replace(good, substitute_class=7)]
    assert len({one.digest(here) for one in [failed, good, *changed]}) == 4
    for change in ({"tonnes": 0}, {"reason": ""}, {"registry_date": 1}):
        with pytest.raises(InvalidValue):
            replace(failed, **change)
    for other in ({"substitutes": ()}, {"registry_reference": ""}):
        with pytest.raises(InvalidValue):
            replace(good, **other)


def test_a_consumption_stops_before_a_gap_and_says_how_much_is_left() -> None:
    gaps = Gaps()
    gaps.open(Gap(5, 2, GapKind.INVALIDATED), exited=0, minted=10)
    assert gaps.before_consumption(0, 10, 5) == []
    with pytest.raises(NotEnough) as refused:
        gaps.before_consumption(0, 10, 6)
    assert refused.value.values["available"] == 5


def test_a_gap_that_the_cursor_reaches_stands_again_at_the_back_and_is_never_consumed() -> None:
    gaps = Gaps()
    for first, kind in ((0, GapKind.INVALIDATED), (2, GapKind.DISPUTED)):
        gaps.open(Gap(first, 2, kind), exited=0, minted=10)
    passed = gaps.before_consumption(0, 10, 6)
    assert [(one.gap.first, one.new_first) for one in passed] == [(0, 10), (2, 12)]
    # The cursor is at 10 now: what is left is all gap.
    with pytest.raises(NotEnough):
        gaps.before_consumption(10, 14, 1)
    assert [gap.first for gap in gaps] == [10, 12]
    assert gaps.uncovered == 4
    with pytest.raises(NotFound):
        gaps.close(0)
    assert gaps.close(12).kind is GapKind.DISPUTED


@pytest.mark.parametrize("gap", [(0, 3), (4, 2), (9, 2), (3, 0)])
def test_a_gap_of_exited_missing_or_gapped_positions_is_refused(gap: tuple[int, int]) -> None:
    gaps = Gaps()
    gaps.open(Gap(5, 2, GapKind.INVALIDATED), exited=2, minted=10)
    with pytest.raises(InvalidValue):
        gaps.open(Gap(*gap, GapKind.INVALIDATED), exited=2, minted=10)


steps = st.lists(
    st.tuples(st.sampled_from(("mint", "gap", "take", "close")), st.integers(1, 8)), max_size=40
)


@given(steps)
def test_gaps_agree_with_a_list_of_single_tonnes(flow: list[tuple[str, int]]) -> None:
    gaps = Gaps()
    dead: list[bool] = []  # per live position, from the cursor on
    exited = 0
    for action, size in flow:
        minted = exited + len(dead)
        if action == "mint":
            dead += [False] * size
        elif action == "gap":
            first = min(size, len(dead))
            if first + 2 <= len(dead) and not any(dead[first : first + 2]):
                gaps.open(Gap(exited + first, 2, GapKind.INVALIDATED), exited, minted)
                dead[first : first + 2] = [True, True]
        elif action == "close":
            held = list(gaps)
            if held:
                gap = gaps.close(held[0].first)
                dead[gap.first - exited : gap.end - exited] = [False] * gap.tonnes
        else:
            front = next((at for at, gone in enumerate(dead) if not gone), len(dead))
            rotated = dead[front:] + dead[:front]
            free = next((at for at, gone in enumerate(rotated) if gone), len(rotated))
            if size > free and (any(dead) or size <= len(dead)):
                with pytest.raises(NotEnough):
                    gaps.before_consumption(exited, minted, size)
            elif size <= free:
                passed = sum(p.gap.tonnes for p in gaps.before_consumption(exited, minted, size))
                assert passed == front
                dead = rotated[size:]
                exited += front + size
        assert gaps.uncovered == sum(dead)
        live = {exited + at for at, gone in enumerate(dead) if gone}
        assert live == {at for gap in gaps for at in range(gap.first, gap.end)}
