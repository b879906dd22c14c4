"""What keeps a row's credits from becoming tokens, and which statuses are final."""

from __future__ import annotations

from datetime import date

import pytest

from backend.domain.credits import Facts, Kind, Status, VolumeRecord, bars_to_tokens
from backend.domain.serials import Series
from backend.errors import InvalidValue

pytestmark = pytest.mark.unit
VCS = Series("VCS", (2,))
DAY = date(2024, 1, 1)


def test_active_mapped_credits_of_a_vintage_on_a_known_series_have_no_bar() -> None:
    assert bars_to_tokens(VCS, Status.ACTIVE, DAY, (), "2") == []


@pytest.mark.parametrize(
    ("series", "status", "start", "unmapped", "phrase"),
    [
        (None, Status.ACTIVE, DAY, (), "without serial numbers"),
        (Series("CCER", (), "A"), Status.ACTIVE, DAY, (), "CCER are kept in the ledger only"),
        (Series("PURO", (0, 1)), Status.ACTIVE, DAY, (), "PURO are kept in the ledger only"),
        (VCS, Status.ISSUED, DAY, (), "still active"),
        (VCS, Status.BUFFER, DAY, (), "status is buffer"),
        (VCS, Status.MOVED, DAY, (), "status is moved"),
        (VCS, Status.RETIRED, DAY, (), "status is retired"),
        (VCS, Status.ACTIVE, None, (), "vintage"),
        (VCS, Status.ACTIVE, DAY, ("Shiny",), "version 2: Shiny"),
        (VCS, Status.ACTIVE, DAY, None, "vocabulary"),
    ],
)
def test_each_bar_is_named(
    series: Series | None,
    status: Status,
    start: date | None,
    unmapped: tuple[str, ...] | None,
    phrase: str,
) -> None:
    [bar] = bars_to_tokens(series, status, start, unmapped, "2")

    assert phrase in bar


def test_what_is_moved_or_gone_is_final_and_what_is_in_a_buffer_is_not() -> None:
    assert {status for status in Status if not status.is_final} == {
        Status.ISSUED,
        Status.ACTIVE,
        Status.BUFFER,
    }


def test_a_volume_may_be_nothing_but_not_less() -> None:
    VolumeRecord("ARB", "CAFR5012", "", "CAFR5012 | 4", 0, Kind.ISSUANCE, Status.ISSUED)
    with pytest.raises(InvalidValue, match="negative"):
        VolumeRecord("ARB", "CAFR5012", "", "CAFR5012 | 4", -1, Kind.ISSUANCE, Status.ISSUED)


def test_facts_leave_out_what_a_row_does_not_say_but_keep_nought_and_no() -> None:
    facts = Facts(total_vintage_tonnes=0, cancellation_platform=False, goals=("13",), issued_on=DAY)

    assert facts.as_json() == {
        "goals": ["13"],
        "total_vintage_tonnes": 0,
        "issued_on": DAY.isoformat(),
        "cancellation_platform": False,
    }
    assert Facts.from_json(facts.as_json()) == facts
