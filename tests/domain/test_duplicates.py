"""Duplicates across registries: points with reasons, candidates without comparing everything."""

from __future__ import annotations

import math
from datetime import date, timedelta
from itertools import combinations
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.domain.duplicates import (
    NOTED,
    OPEN,
    REGISTRY,
    Key,
    Kind,
    Listing,
    assess,
    candidates,
    distance_metres,
    name_words,
)

pytestmark = pytest.mark.unit

DAY = date(2020, 1, 1)


def listing(programme: str, project: str, name: str = "", **values: Any) -> Listing:
    names = (name,) if name else ()
    return Listing(Key(REGISTRY, programme, project), names=names, **values)


def codes(left: Listing, right: Listing, shared: int = 0) -> dict[str, int]:
    return {reason.code: reason.points for reason in assess(left, right, shared).reasons}


WIND = {
    "countries": ("IN",),
    "methodologies": ("ACM0002",),
    "categories": ("renewable-energy",),
    "periods": ((DAY, date(2024, 12, 31)),),
}


def test_one_name_country_and_methodology_under_two_programmes_is_open() -> None:
    one = listing("VCS", "1", "30 mw wind power project at jodha hills", **WIND)
    other = listing("GS", "2", "wind power at jodha hills, 30 mw", **WIND)
    found = assess(one, other)
    assert found.is_open
    assert found.kind is Kind.SAME_REDUCTION
    assert [reason.code for reason in found.reasons] == [
        "name",
        "country",
        "methodology",
        "category",
        "periods",
    ]
    assert found.score == 40 + 5 + 10 + 5 + 10


def test_a_name_and_a_country_alone_are_noted_and_block_nothing() -> None:
    one = listing("ACR", "444", "a-gas 2019-4", countries=("US",), categories=("ghg-management",))
    other = listing(
        "CAR", "1323", "a-gas 2019-4", countries=("US",), categories=("ghg-management",)
    )
    found = assess(one, other)
    assert NOTED <= found.score < OPEN


def test_names_that_number_different_parts_speak_against() -> None:
    one = listing("VCS", "1", "sunny valley wind farm phase 1", **WIND)
    other = listing("GS", "2", "sunny valley wind farm phase 2", **WIND)
    assert codes(one, other)["numbers"] < 0
    assert not assess(one, other).is_open


def test_other_country_category_and_far_places_speak_against() -> None:
    one = listing("VCS", "1", "clean cooking with improved stoves", countries=("KE",),
                  categories=("fuel-switching",), places=((0, 36_000_000),))  # fmt: skip
    other = listing("GS", "2", "clean cooking with improved stoves", countries=("UG",),
                    categories=("forest",), places=((5_000_000, 32_000_000),))  # fmt: skip
    found = codes(one, other)
    assert (found["country"], found["category"], found["place"]) == (-40, -20, -30)
    assert assess(one, other).score == 0


def test_a_stated_former_id_opens_a_case_whatever_the_names() -> None:
    one = listing("CAR", "2111", "green valley", stated=(("ARB", "CAMM1009"),))
    other = listing("ARB", "CAMM1009", "quite another name")
    assert codes(one, other)["stated"] == 80
    assert assess(one, other).is_open


def test_of_one_project_in_two_sources_only_shared_serials_count() -> None:
    ours = listing("VCS", "1", "30 mw wind power at jodha hills", **WIND)
    theirs = Listing(Key("otherbridge", "VCS", "1"), ours.names, ours.developers, **WIND)
    assert assess(ours, theirs).score == 0
    assert codes(ours, theirs, 17) == {"serials": 100}
    assert assess(ours, theirs, 17).kind is Kind.SAME_REDUCTION


def test_places_within_a_kilometre_and_a_developer_make_what_names_do_not() -> None:
    one = listing("ISOMETRIC", "x", "satya biochar", developers=("equilibrium pvt. ltd.",),
                  countries=("IN",), places=((27_023_800, 74_217_900),),
                  methodologies=("ISO-BIOCHAR",), categories=("biomass-cdr",))  # fmt: skip
    other = listing("VCS", "9", "rajasthan carbon", developers=("equilibrium",),
                    countries=("IN",), places=((27_024_000, 74_218_000),),
                    categories=("biomass-cdr",))  # fmt: skip
    assert assess(one, other).is_open
    assert candidates([one, other]).pairs == ((one.key, other.key),)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("grouped project for the carbon reduction", set()),
        ("bundled wind power project in gujarat", {"wind", "power", "gujarat"}),
        ("a-gas 2019-4", {"gas", "2019", "4"}),
    ],
)
def test_words_that_every_project_has_are_no_name(name: str, words: set[str]) -> None:
    assert name_words(name) == words


def test_a_word_that_many_share_pairs_nobody_and_is_named() -> None:
    many = [listing("VCS" if i % 2 else "GS", str(i), "efficient cookstoves") for i in range(60)]
    found = candidates(many)
    assert found.pairs == ()
    assert found.common == ("name cookstoves efficient ",)


def test_candidates_of_ten_thousand_listings_are_few() -> None:
    random = Random(4)
    words = [f"word{number}" for number in range(3_000)]
    many = [
        listing(random.choice(("VCS", "GS", "ACR")), str(i), " ".join(random.sample(words, 4)))
        for i in range(10_000)
    ]
    assert len(candidates(many).pairs) < 5 * len(many)


# ── properties ───────────────────────────────────────────────────────────────────────────────

WORDS = st.sampled_from(["wind", "farm", "jodha", "hills", "solar", "1", "2", "phase", "andhra"])
DAYS = st.integers(0, 3000).map(lambda days: DAY + timedelta(days=days))


@st.composite
def listings(draw: st.DrawFn) -> Listing:
    def some(values: st.SearchStrategy[Any], most: int = 2) -> tuple[Any, ...]:
        return tuple(sorted(draw(st.sets(values, max_size=most))))

    start, days = draw(DAYS), draw(st.integers(0, 800))
    return Listing(
        Key(
            draw(st.sampled_from([REGISTRY, "bridge"])),
            draw(st.sampled_from(["VCS", "GS", "ACR"])),
            str(draw(st.integers(1, 4))),
        ),
        names=some(st.lists(WORDS, min_size=1, max_size=5).map(" ".join)),
        developers=some(st.sampled_from(["tata ltd", "tata", "orb gmbh"])),
        countries=some(st.sampled_from(["IN", "KE"]), 1),
        methodologies=some(st.sampled_from(["ACM0002", "AMS-I.D"])),
        categories=some(st.sampled_from(["renewable-energy", "forest"]), 1),
        places=some(st.tuples(st.integers(-9, 9).map(lambda x: x * 10**7),
                              st.integers(-18, 18).map(lambda x: x * 10**7)), 1),
        periods=((start, start + timedelta(days=days)),) if draw(st.booleans()) else (),
        stated=some(st.tuples(st.sampled_from(["VCS", "GS"]), st.sampled_from("12")), 1),
    )  # fmt: skip


@settings(max_examples=60)
@given(listings(), listings())
def test_evidence_is_the_same_whichever_comes_first(one: Listing, other: Listing) -> None:
    assert assess(one, other) == assess(other, one)
    assert assess(one, other).evidence == assess(other, one).evidence


@settings(max_examples=40)
@given(st.lists(listings(), max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_imports_changes_nothing(found: list[Listing], random: Random) -> None:
    def united(given: list[Listing]) -> dict[Key, Listing]:
        held: dict[Key, Listing] = {}
        for one in given:
            held[one.key] = held[one.key] | one if one.key in held else one
        return held

    shuffled = found * 2
    random.shuffle(shuffled)
    assert united(found) == united(shuffled)
    assert candidates(united(found).values()) == candidates(united(shuffled).values())
    for key, one in united(found).items():
        assert Listing.from_json(key, one.as_json()) == one


@settings(max_examples=40)
@given(st.lists(listings(), max_size=6, unique_by=lambda one: one.key))
def test_no_open_case_is_missed_that_comparing_everything_would_find(found: list[Listing]) -> None:
    paired = set(candidates(found).pairs)
    for one, other in combinations(sorted(found, key=lambda listing: listing.key), 2):
        if one.key.programme != other.key.programme and assess(one, other).is_open:
            assert (one.key, other.key) in paired


@given(
    st.tuples(st.integers(-60_000_000, 60_000_000), st.integers(-180_000_000, 180_000_000)),
    st.tuples(st.integers(-2_000_000, 2_000_000), st.integers(-2_000_000, 2_000_000)),
)
def test_distance_is_that_of_the_sphere(one: tuple[int, int], by: tuple[int, int]) -> None:
    other = (one[0] + by[0], min(max(one[1] + by[1], -180_000_000), 180_000_000))
    a, b, c, d = (math.radians(value / 10**6) for value in (*one, *other))
    half = math.sin((c - a) / 2) ** 2 + math.cos(a) * math.cos(c) * math.sin((d - b) / 2) ** 2
    sphere = 2 * 6_371_009 * math.asin(math.sqrt(half))
    assert abs(distance_metres(one, other) - sphere) <= 2 + sphere / 200
