"""Facts of a class that are recorded on chain: read strictly, and what follows from them."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest
from sqlalchemy import insert, update

from backend.api.app import create_app
from backend.bridge.class_facts import (
    ATTRIBUTES,
    VOCABULARY,
    attribute_facts,
    canonical,
    of_class,
)
from backend.domain.classes import CreditClass, UnitType
from backend.domain.serials import Series
from backend.errors import InvalidValue
from backend.store import tables
from backend.store.database import Database
from tests.api.conftest import ALONE, asked
from tests.api.history import History, address
from tests.domain.test_corsia import DOCUMENT, HASH

pytestmark = pytest.mark.integration

ON = date(2026, 6, 1)
COVER = {
    "by": "An insurer",
    "reference": "policy 1",
    "evidence_hash": HASH,
    "tonnes": 10,
    "valid_from": "2025-01-01",
    "valid_until": "2027-01-31",
}
ACTIVITY = {"started_on": "2018-05-01", "source": "registration"}


def credit_class(project: str) -> CreditClass:
    return CreditClass(
        "VCS",
        project,
        UnitType.CREDIT,
        date(2022, 1, 1),
        date(2022, 12, 31),
        ("corsia-first-phase-scope",),
    )


def record(database: Database, class_id: int, key: str, value: str, as_of: int = 20260101) -> None:
    with database.begin() as connection:
        count = len(connection.execute(tables.class_facts.select()).all())
        connection.execute(
            insert(tables.class_facts),
            {
                "class_id": class_id,
                "key": key,
                "value": value,
                "as_of": as_of,
                "vocabulary": VOCABULARY,
                "block_number": 1,
                "log_index": 1000 + count,
            },
        )


@pytest.fixture
def classes(migrated_url: str) -> Any:
    database = Database(migrated_url)
    history = History(database)
    history.admit(address(1))
    made = [credit_class("1001"), credit_class("1002")]
    for one in made:
        lot = history.lot(Series("VCS", (2,)), 10)
        history.mint(one, address(1), [lot])
        history.import_blocks(one, [lot])
    history.save()
    with database.begin() as connection:
        connection.execute(
            update(tables.registry_blocks).values(
                facts={
                    "country": "Rwanda",
                    "methodologies": ["VMR0006", "Moonshine v1"],
                    "project_types": ["Energy demand"],
                }
            )
        )
    yield database, [one.token_id for one in made]
    database.close()


def states(database: Database, class_id: int) -> tuple[dict[str, str], dict[str, bool]]:
    with database.read() as connection:
        found = of_class(connection, class_id, ON)
    return (
        {one.phase.value: one.status.value for one in found.corsia},
        {one.use: one.authorised for one in found.uses},
    )


def test_a_class_becomes_eligible_when_the_last_element_is_recorded_and_not_before(
    classes: Any,
) -> None:
    database, (class_id, _) = classes
    documents = {
        "corsia.activity": ACTIVITY,
        "article6.authorisation": DOCUMENT,
        "corsia.representation": COVER,
        "corsia.insurance": COVER,
    }
    for key, document in documents.items():
        assert states(database, class_id)[0]["first"] == "scope"
        record(database, class_id, key, canonical(key, document))
    phases, uses = states(database, class_id)
    assert phases == {"pilot": "out-of-scope", "first": "eligible", "second": "out-of-scope"}
    assert uses == {"ndc": False, "international-mitigation": True, "other": False}

    # A later revocation takes it back; an earlier fact does not.
    revoked = json.dumps(DOCUMENT | {"revoked_on": "2026-05-01"})
    record(database, class_id, "article6.authorisation", revoked, 20250101)
    assert states(database, class_id)[0]["first"] == "eligible"
    record(database, class_id, "article6.authorisation", revoked, 20260501)
    assert states(database, class_id)[0]["first"] == "scope"


def test_the_api_shows_what_follows_from_the_facts_of_a_class(classes: Any) -> None:
    database, (class_id, _) = classes
    record(database, class_id, "corsia.activity", canonical("corsia.activity", ACTIVITY))
    record(database, class_id, "corsia.insurance", "{}")
    with asked(create_app(ALONE, database=database)) as client:
        found = client.get(f"/v1/classes/{class_id}").raise_for_status().json()["data"]
    assert found["unreadable"] == ["corsia.insurance"]
    by_phase = {one["phase"]: one for one in found["corsia"]}
    assert [one["status"] for one in found["corsia"]] == ["out-of-scope", "scope", "out-of-scope"]
    lacks = {one["code"]: one["text"] for one in by_phase["first"]["missing"]}
    assert lacks["insurance"] == "no insurance is recorded"
    assert "activity" not in lacks
    uses = {one["use"]: one["authorised"] for one in found["article6"]}
    assert uses == {"ndc": False, "international-mitigation": False, "other": False}


def test_two_classes_that_name_one_letter_share_its_quantity(classes: Any) -> None:
    database, class_ids = classes
    letter = canonical("article6.authorisation", DOCUMENT | {"tonnes": 15})
    record(database, class_ids[0], "article6.authorisation", letter)
    assert states(database, class_ids[0])[1]["international-mitigation"]
    record(database, class_ids[1], "article6.authorisation", letter)
    assert not states(database, class_ids[0])[1]["international-mitigation"]
    assert not states(database, class_ids[1])[1]["international-mitigation"]


@pytest.mark.parametrize("value", ["{", "[]", '{"letter": "x"}', ""])
def test_a_fact_that_cannot_be_read_is_missing_and_named(classes: Any, value: str) -> None:
    database, (class_id, _) = classes
    record(database, class_id, "article6.authorisation", value)
    with database.read() as connection:
        found = of_class(connection, class_id, ON)
    assert found.unreadable == ("article6.authorisation",)
    assert not any(one.authorised for one in found.uses)


def test_attributes_are_those_of_the_newest_import_with_what_is_unknown(classes: Any) -> None:
    database, (class_id, _) = classes
    with database.read() as connection:
        found = of_class(connection, class_id, ON)
    assert found.attributes is not None
    assert found.attributes.country == "RW"
    assert [one.spelling for one in found.attributes.unknown] == ["Moonshine v1"]
    wanted = attribute_facts(found)
    assert wanted == {
        "country": "RW",
        "sectoral-scope": "3",
        "category": "fuel-switching",
        "methodology": "VMR0006",
    }
    with database.begin() as connection:
        connection.execute(
            insert(tables.class_facts),
            {
                "class_id": class_id,
                "key": "country",
                "value": "RW",
                "as_of": 20260101,
                "vocabulary": ATTRIBUTES,
                "block_number": 1,
                "log_index": 5000,
            },
        )
    with database.read() as connection:
        assert "country" not in attribute_facts(of_class(connection, class_id, ON))


def test_only_a_document_that_keeps_its_rules_is_recorded() -> None:
    with pytest.raises(InvalidValue, match="is none of"):
        canonical("article6.letter", DOCUMENT)
    with pytest.raises(InvalidValue, match="party"):
        canonical("article6.authorisation", DOCUMENT | {"party": "Rwanda"})
    assert canonical("corsia.activity", dict(reversed(ACTIVITY.items()))) == (
        '{"source":"registration","started_on":"2018-05-01"}'
    )
