"""Shares of a conversion: exact in sum, nobody more than they hold, within a kilogram of exact."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.reserve import Liability
from backend.domain.shares import shares_of
from backend.errors import NotEnough

pytestmark = pytest.mark.unit

holders = st.integers(1, 50).map(lambda number: "0x" + number.to_bytes(20, "big").hex())


@given(st.dictionaries(holders, st.integers(0, 9_999), max_size=20), st.data())
def test_l11_shares_sum_up_exactly_and_are_within_a_kilogram_of_the_exact_share(
    balances: dict[str, int], data: st.DataObject
) -> None:
    owed = [Liability(7, holder, kilograms) for holder, kilograms in balances.items()]
    total = sum(balances.values())
    part = data.draw(st.integers(0, total))
    shares = {entry.holder: entry.kilograms for entry in shares_of(7, owed, part).entries}
    assert sum(shares.values()) == part
    for holder, kilograms in balances.items():
        share = shares.get(holder, 0)
        assert share <= kilograms
        assert abs(share * total - kilograms * part) < max(total, 1)
    with pytest.raises(NotEnough):
        shares_of(7, owed, total + 1)
