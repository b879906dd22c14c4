"""Class ids are hashes of immutable identifiers that anyone recomputes."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given

from backend.domain.classes import (
    CreditClass,
    UnitType,
    as_yyyymmdd,
    from_yyyymmdd,
    project_hash,
)
from backend.errors import InvalidValue
from tests.domain.strategies import classes

pytestmark = pytest.mark.unit


@given(classes())
def test_the_high_half_of_an_id_names_the_project(credit_class: CreditClass) -> None:
    expected = project_hash(credit_class.programme, credit_class.project)
    assert credit_class.token_id >> 128 == int.from_bytes(expected[16:], "big")
    assert credit_class.token_id & (2**128 - 1) == int.from_bytes(
        credit_class.vintage_hash[16:], "big"
    )


@given(classes(), classes())
def test_two_classes_share_an_id_only_when_they_are_the_same(
    one: CreditClass, other: CreditClass
) -> None:
    assert (one.token_id == other.token_id) == (one == other)


@given(classes())
def test_the_hashes_of_a_cohort_ascend(credit_class: CreditClass) -> None:
    hashes = credit_class.cohort_hashes
    assert list(hashes) == sorted(set(hashes))


def test_a_cohort_that_is_not_sorted_or_repeats_is_refused() -> None:
    day = date(2020, 1, 1)
    for cohort in (("removal", "ccp"), ("ccp", "ccp")):
        with pytest.raises(InvalidValue):
            CreditClass("VCS", "1", UnitType.CREDIT, day, day, cohort)


def test_a_vintage_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(InvalidValue):
        CreditClass("VCS", "1", UnitType.CREDIT, date(2020, 1, 2), date(2020, 1, 1))


def test_dates_are_written_as_yyyymmdd_and_read_back() -> None:
    assert as_yyyymmdd(date(2020, 2, 29)) == 20200229
    assert from_yyyymmdd(20200229) == date(2020, 2, 29)
    with pytest.raises(InvalidValue):
        from_yyyymmdd(20190229)
