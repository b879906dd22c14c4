"""Article 6 and CORSIA: only what has everything is eligible, and what is missing is named."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.article6 import (
    Adjustment,
    Authorisation,
    Credits,
    Trigger,
    Use,
    first_transfer,
    lacks_authorisation,
)
from backend.domain.corsia import (
    Activity,
    Cover,
    Evidence,
    Phase,
    Status,
    eligibility,
)
from backend.errors import InvalidValue

pytestmark = pytest.mark.unit

ON = date(2025, 6, 1)
HASH = "0x" + "ab" * 32
CREDITS = Credits(
    date(2022, 1, 1), date(2022, 12, 31), "RW", 1000, 1000, frozenset({"corsia-first-phase-scope"})
)
LETTER = Authorisation(
    letter="RW-LOA-2024-7",
    letter_hash=HASH,
    party="RW",
    signed_on=date(2024, 3, 1),
    uses=frozenset({Use.INTERNATIONAL}),
    first_transfer=Trigger.ISSUANCE,
    vintage_first=date(2021, 1, 1),
    vintage_last=date(2030, 12, 31),
    tonnes=5000,
)
ADJUSTMENT = Adjustment("RW", "AEF 2024 row 12", HASH, date(2025, 1, 1), 1000)
COVER = Cover("An insurer", "policy 1", HASH, 1000, date(2025, 1, 1), date(2027, 1, 31))
EVERYTHING = Evidence(
    activity=Activity(date(2018, 5, 1), "registration"),
    authorisation=LETTER,
    adjustment=ADJUSTMENT,
    representation=COVER,
    insurance=COVER,
)


def missing(credits: Credits, evidence: Evidence, phase: Phase = Phase.FIRST) -> set[str]:
    return {one.code for one in eligibility(phase, credits, evidence, ON).missing}


def test_what_has_everything_is_eligible() -> None:
    assert eligibility(Phase.FIRST, CREDITS, EVERYTHING, ON).status is Status.ELIGIBLE


def test_scope_alone_is_not_eligible_and_every_missing_element_is_named() -> None:
    found = eligibility(Phase.FIRST, CREDITS, Evidence(), ON)
    assert found.status is Status.SCOPE
    assert [one.code for one in found.missing] == [
        "activity",
        "authorisation",
        "adjustment",
        "representation",
        "insurance",
    ]


def test_evidence_without_the_programmes_scope_is_out_of_scope() -> None:
    found = eligibility(Phase.FIRST, replace(CREDITS, labels=frozenset()), EVERYTHING, ON)
    assert (found.status, {one.code for one in found.missing}) == (Status.OUT, {"scope"})


def test_an_eligible_label_of_the_registry_is_scope_and_proves_nothing_else() -> None:
    labelled = replace(CREDITS, labels=frozenset({"corsia-first-phase-eligible"}))
    assert eligibility(Phase.FIRST, labelled, Evidence(), ON).status is Status.SCOPE


@pytest.mark.parametrize(
    ("evidence", "codes"),
    [
        (replace(EVERYTHING, adjustment=None), set()),
        (replace(EVERYTHING, representation=None, insurance=None), set()),
        (
            replace(EVERYTHING, adjustment=None, insurance=None),
            {"adjustment", "insurance"},
        ),
        (
            replace(EVERYTHING, adjustment=None, representation=None),
            {"adjustment", "representation"},
        ),
        (
            replace(EVERYTHING, adjustment=replace(ADJUSTMENT, tonnes=999), insurance=None),
            {"adjustment-quantity", "insurance"},
        ),
        (
            replace(EVERYTHING, adjustment=replace(ADJUSTMENT, party="KE"), insurance=None),
            {"adjustment-party", "insurance"},
        ),
        (
            replace(EVERYTHING, adjustment=None, insurance=replace(COVER, tonnes=999)),
            {"adjustment", "insurance"},
        ),
        (
            replace(
                EVERYTHING, adjustment=None, insurance=replace(COVER, valid_until=date(2025, 5, 31))
            ),
            {"adjustment", "insurance"},
        ),
        (replace(EVERYTHING, activity=Activity(date(2015, 12, 31), "x")), {"activity"}),
        (replace(EVERYTHING, authorisation=replace(LETTER, party="KE")), {"party"}),
        (
            replace(EVERYTHING, authorisation=replace(LETTER, uses=frozenset({Use.NDC}))),
            {"use"},
        ),
        (replace(EVERYTHING, authorisation=replace(LETTER, tonnes=999)), {"quantity"}),
        (replace(EVERYTHING, authorisation=replace(LETTER, revoked_on=ON)), {"revoked"}),
        (
            replace(EVERYTHING, authorisation=replace(LETTER, signed_on=date(2025, 6, 2))),
            {"signed"},
        ),
        (
            replace(EVERYTHING, authorisation=replace(LETTER, vintage_first=date(2022, 1, 2))),
            {"vintage"},
        ),
    ],
)
def test_each_element_counts(evidence: Evidence, codes: set[str]) -> None:
    assert missing(CREDITS, evidence) == codes


def test_a_pilot_vintage_needs_no_letter_and_a_later_one_is_outside() -> None:
    labels = frozenset({"corsia-pilot-phase-eligible"})
    old = Credits(date(2019, 1, 1), date(2019, 12, 31), "SG", 10, 0, labels)
    evidence = Evidence(activity=EVERYTHING.activity)
    assert eligibility(Phase.PILOT, old, evidence, ON).status is Status.ELIGIBLE
    later = replace(old, vintage_last=date(2021, 1, 1))
    assert "vintage" in missing(later, EVERYTHING, Phase.PILOT)
    assert "authorisation" in missing(later, evidence, Phase.PILOT)


def test_a_phase_whose_vintages_are_not_published_has_no_eligible_credits() -> None:
    labelled = replace(CREDITS, labels=frozenset({"corsia-second-phase-scope"}))
    assert missing(labelled, EVERYTHING, Phase.SECOND) == {"vintage"}


def test_all_classes_that_name_a_letter_share_its_quantity() -> None:
    many = replace(CREDITS, under_letter=5001)
    assert [m.code for m in lacks_authorisation(many, LETTER, Use.INTERNATIONAL, ON)] == [
        "quantity"
    ]


def test_without_a_known_host_nobody_can_have_authorised() -> None:
    nowhere = replace(CREDITS, host=None)
    assert "host" in missing(nowhere, EVERYTHING)


@pytest.mark.parametrize(
    ("trigger", "day"),
    [
        (Trigger.AUTHORISATION, date(2024, 3, 1)),
        (Trigger.ISSUANCE, date(2024, 5, 1)),
        (Trigger.USE_OR_CANCELLATION, None),
    ],
)
def test_the_party_chooses_what_the_first_transfer_is(trigger: Trigger, day: date | None) -> None:
    letter = replace(LETTER, first_transfer=trigger)
    assert first_transfer(letter, date(2024, 5, 1), None) == day


def test_what_was_issued_before_the_letter_is_transferred_with_it() -> None:
    assert first_transfer(LETTER, date(2023, 1, 1), None) == LETTER.signed_on


PARTS = ("activity", "authorisation", "adjustment", "representation", "insurance")


def test_more_evidence_never_makes_credits_less_eligible() -> None:
    """Over all 32 subsets of the evidence: what is eligible stays so with more."""
    states: dict[frozenset[str], bool] = {}
    for count in range(len(PARTS) + 1):
        for kept in combinations(PARTS, count):
            evidence = Evidence(**{name: getattr(EVERYTHING, name) for name in kept})
            found = eligibility(Phase.FIRST, CREDITS, evidence, ON)
            states[frozenset(kept)] = found.status is Status.ELIGIBLE
            assert (found.status is Status.ELIGIBLE) == (not found.missing)
    assert sum(states.values()) == 5
    for kept, eligible in states.items():
        naive = {"activity", "authorisation"} <= kept and (
            "adjustment" in kept or {"representation", "insurance"} <= kept
        )
        assert eligible == naive


# ── documents ────────────────────────────────────────────────────────────────────────────────

DOCUMENT: dict[str, Any] = {
    "letter": "RW-LOA-2024-7",
    "letter_hash": HASH,
    "party": "RW",
    "signed_on": "2024-03-01",
    "uses": ["international-mitigation"],
    "first_transfer": "issuance",
    "vintage_first": "2021-01-01",
    "vintage_last": "2030-12-31",
    "tonnes": 5000,
}


def test_a_document_is_what_it_says() -> None:
    assert Authorisation.read(DOCUMENT) == LETTER
    assert Authorisation.read(DOCUMENT | {"tonnes": None}).tonnes is None


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"letter": ""}, "authorisation.letter"),
        ({"letter": "a\nb"}, "authorisation.letter"),
        ({"letter_hash": "0x12"}, "authorisation.letter_hash"),
        ({"party": "Rwanda"}, "authorisation.party"),
        ({"signed_on": "1/3/2024"}, "authorisation.signed_on"),
        ({"signed_on": "20240301"}, "authorisation.signed_on"),
        ({"uses": []}, "authorisation.uses"),
        ({"uses": ["anything"]}, "authorisation.uses"),
        ({"first_transfer": "later"}, "authorisation.first_transfer"),
        ({"tonnes": True}, "authorisation.tonnes"),
        ({"tonnes": 1.5}, "authorisation.tonnes"),
        ({"tonnes": -1}, "authorisation.tonnes"),
        ({"vintage_last": "2020-12-31"}, "authorisation.vintage_last"),
        ({"revokedOn": "2025-01-01"}, "authorisation.revokedOn"),
    ],
)
def test_a_document_that_breaks_a_rule_names_its_key(change: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        Authorisation.read(DOCUMENT | change)
    assert refused.value.field == field


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
        max_leaves=8,
    )
)
def test_whatever_is_recorded_is_refused_with_a_reason(content: Any) -> None:
    for read in (Authorisation.read, Adjustment.read, Activity.read, Cover.read):
        with pytest.raises(InvalidValue):
            read(content)
