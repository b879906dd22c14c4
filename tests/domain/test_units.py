"""Amounts are integers with a unit; texts are parsed exactly or refused (L11)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.units import format_kilograms, parse_kilograms
from backend.errors import InvalidValue

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "kilograms"),
    [("1500kg", 1500), ("1.5t", 1500), ("2 t", 2000), ("0.001t", 1), ("12.34 t", 12340)],
)
def test_an_amount_is_read_exactly(text: str, kilograms: int) -> None:
    assert parse_kilograms(text) == kilograms


@pytest.mark.parametrize("text", ["", "5", "1.5", "-1t", "1.5kg", "1.2345t", "1e3kg", "١t", "1,5t"])
def test_an_amount_without_unit_or_too_fine_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        parse_kilograms(text)
    assert refused.value.values["value"] == text


@given(st.integers(0, 10**15))
def test_a_formatted_amount_reads_back(kilograms: int) -> None:
    assert parse_kilograms(format_kilograms(kilograms).replace(",", "")) == kilograms
