"""Listings of projects from every layout, and what of the real exports is listed twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.credits import Facts, Kind, ProjectRecord, Record, Status, VolumeRecord
from backend.domain.duplicates import NOTED, OPEN, assess, candidates
from backend.registries.listings import listing_of, listings_of, micro_degrees
from backend.registries.summary import load
from tests.shared_data import requires_shared_data, shared_data_directory

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "micro"),
    [
        ("8.412918740997307", 8_412_918),
        ("-75.58408635215012", -75_584_086),
        ("27.0238", 27_023_800),
        ("-.5", -500_000),
        ("0", 0),
        ("", None),
        ("-", None),
        ("181", None),
        ("1e2", None),
        ("١٢", None),
    ],
)
def test_degrees_are_read_without_floats(text: str, micro: int | None) -> None:
    assert micro_degrees(text) == micro


@given(st.integers(-180 * 10**6, 180 * 10**6))
def test_every_millionth_of_a_degree_is_kept(micro: int) -> None:
    sign = "-" if micro < 0 else ""
    assert micro_degrees(f"{sign}{abs(micro) // 10**6}.{abs(micro) % 10**6:06d}") == micro


def test_a_project_without_a_place_is_nowhere_and_not_in_the_gulf_of_guinea() -> None:
    record = ProjectRecord("ISOMETRIC", "x", "name", "s", latitude="0.0", longitude="0")
    assert listing_of(record).places == ()
    assert listing_of(ProjectRecord("ISOMETRIC", "x", "name", "s", latitude="1")).places == ()


def test_the_programme_that_credits_came_from_is_a_stated_listing() -> None:
    record = VolumeRecord(
        "ARB", "CAMM1009", "Green Valley", "CAMM1009-B", 1000, Kind.ISSUANCE, Status.ISSUED,
        facts=Facts(moved_from="CAR2111"),
    )  # fmt: skip
    assert listing_of(record).stated == (("CAR", "2111"),)


#: Cross-listings that ARB's workbook or a programme's list states, and four mines that moved from
#: one programme to another under one name.
STATED = {
    ("ACR-1007", "ARB-CAOD1007"),
    ("ACR-1042", "ARB-CAOD1042"),
    ("ACR-1051", "ARB-CAMM1051"),
    ("ACR-1094", "ARB-CAMM1094"),
    ("ACR-1100", "ARB-CAMM1100"),
    ("ACR-1118", "ARB-CAMM1118"),
    ("ACR-1123", "ARB-CAMM1123"),
    ("ACR-1138", "ARB-CAMM1138"),
    ("ACR-1163", "ARB-CAOD1163"),
    ("ARB-CAMM1009", "CAR-2111"),
    ("ARB-CAOD5018", "CAR-1011"),
}
MOVED = {
    ("ACR-674", "CAR-2135"),
    ("ACR-746", "CAR-2057"),
    ("ACR-806", "CAR-2167"),
    ("ACR-841", "CAR-2056"),
}


@requires_shared_data
def test_of_a_thousand_real_projects_exactly_fifteen_are_listed_twice() -> None:
    records: list[Record] = []
    for path in sorted((shared_data_directory() / "offsetsdb").rglob("*.csv")):
        export = load(path)
        records += [*export.records, *export.volumes, *export.projects]
    listings = listings_of(records)
    found = candidates(listings.values())
    assert found.common == ()
    opened: dict[tuple[str, str], int] = {}
    noted: dict[tuple[str, str], int] = {}
    for left, right in found.pairs:
        judged = assess(listings[left], listings[right])
        pair = (str(left), str(right))
        if judged.score >= NOTED:
            (opened if judged.score >= OPEN else noted)[pair] = judged.score
    assert opened.keys() == STATED | MOVED
    assert min(opened[pair] for pair in STATED) == 120
    assert {opened[pair] for pair in MOVED} == {60}
    assert noted == {("ACR-444", "CAR-1323"): 50}
    # Comparing everything, which is slow, of the three with the most pairs, opens nothing else.
    keys = sorted(key for key in listings if key.programme in ("ACR", "ARB", "CAR"))
    everything = {
        (str(one), str(other))
        for at, one in enumerate(keys)
        for other in keys[at + 1 :]
        if one.programme != other.programme and assess(listings[one], listings[other]).is_open
    }
    assert everything == opened.keys()


def test_the_samples_list_twice_only_what_they_state() -> None:
    records: list[Record] = []
    for path in sorted((Path(__file__).parents[2] / "backend" / "samples").glob("*.csv")):
        export = load(path)
        records += [*export.records, *export.volumes, *export.projects]
    listings = listings_of(records)
    judged = [
        assess(listings[left], listings[right])
        for left, right in candidates(listings.values()).pairs
    ]
    opened = [one for one in judged if one.is_open]
    assert len(listings) > 40
    assert {str(one.left) for one in opened} == {"ACR-990001", "ACR-990004"}
    assert {str(one.right) for one in opened} == {"ARB-CAFR99001"}
    assert all(one.reasons[0].code == "stated" for one in opened)
