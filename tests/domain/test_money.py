"""Money: what people write is exact or refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.money import format_money, parse_money
from backend.errors import InvalidValue

pytestmark = pytest.mark.unit


@given(st.integers(0, 10**30), st.integers(0, 18))
def test_l11_what_is_shown_is_read_back_exactly(base_units: int, decimals: int) -> None:
    assert parse_money(format_money(base_units, decimals), decimals) == base_units


@pytest.mark.parametrize(
    ("text", "decimals", "units"),
    [("12.50", 6, 12_500_000), ("1,250", 2, 125_000), ("0.1", 1, 1), ("7", 0, 7), ("1.500", 1, 15)],
)
def test_amounts_are_read_as_people_write_them(text: str, decimals: int, units: int) -> None:
    assert parse_money(text, decimals) == units


@pytest.mark.parametrize("text", ["", "-1", "1.", ".5", "1e3", "NaN", "0.1234567", "٣"])
def test_what_is_no_amount_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidValue, match="amount"):
        parse_money(text, 6)


def test_negative_changes_are_shown_with_their_sign() -> None:
    assert format_money(-1_234_500_000, 6) == "-1,234.50"
