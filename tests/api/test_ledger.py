"""What is kept without tokens, over the API: what is public, and what only owners see."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date

import httpx
import pytest

from backend.domain.instructions import BeneficiaryKind, RetirementInstruction, UseCase
from backend.domain.ledger import LedgerClass, RetirementOrder
from backend.domain.registry_answers import Answer, AnswerState
from backend.domain.registry_requests import SerialRange
from backend.store import ledger
from backend.store.database import Database
from backend.store.flows import Flows
from tests.api.conftest import World, asked
from tests.api.test_session import STRANGER, app_over, bearer, message, present

pytestmark = pytest.mark.integration


@pytest.fixture
def client(world: World) -> Iterator[httpx.Client]:
    with asked(app_over(world.database)) as client:
        yield client


def keep_and_retire(database: Database, programme: str, space: str, owner: str) -> None:
    """Ten tonnes in custody, four of them retired by a private order, two asked for in public."""
    of = LedgerClass(programme, "77", date(2020, 1, 1), date(2020, 12, 31))
    account = f"{programme}:KEPT-9"
    said = RetirementInstruction(
        programme, "Sample Ltd", BeneficiaryKind.ENTITY, "CN", UseCase.VOLUNTARY, "", "91-S"
    )
    private = replace(said, is_public=False, salt=b"s" * 32)
    with database.begin() as connection:
        kept = [(SerialRange(space, 1, 10), of)]
        ledger.keep(connection, f"{programme}-dep", account, owner, kept, 1)
        for name, first, last, told in (("a", 1, 4, private), ("b", 5, 6, said)):
            serials = (SerialRange(space, first, last),)
            order = RetirementOrder(f"{programme}-{name}", owner, account, serials, told.hash)
            ledger.take_order(connection, order, told, b"s" * 65, first, 2**40)
    flow = Flows(database).get(ledger.LEDGER_RETIREMENT, f"{programme}-a:1")
    taken = (SerialRange(space, 7, 10),)
    answer = Answer("led", AnswerState.DONE, "R-7", taken, date(2026, 2, 28))
    with database.begin() as connection:
        ledger.record(connection, flow, answer)


def test_what_a_programme_publishes_anybody_sees_and_the_rest_its_owner_alone(
    client: httpx.Client, world: World
) -> None:
    signed = message(client)
    owner, headers = signed.address, bearer(present(client, signed.text()).json()["token"])
    keep_and_retire(world.database, "CDM", "CDM:ZW", owner)
    keep_and_retire(world.database, "CCER", "CCER:API", owner)

    held = client.get("/v1/ledger/holdings").json()["data"]
    assert "CDM" in held["programmes"]
    assert "CCER" not in held["programmes"]
    (mine,) = [one for one in held["holdings"] if one["account"] == "CDM:KEPT-9"]
    assert (mine["held"], mine["waiting"], mine["retired"]) == ("6", "2", "4")
    assert mine["owner"] is None
    assert mine["serials"] == ["CDM:ZW/1-6"]

    shown = client.get("/v1/ledger/retirements").json()["data"]
    assert [one["reference"] for one in shown] == ["CDM-b", "CDM-a"]
    assert shown[0]["instruction"]["beneficiary"] == "Sample Ltd"
    secret = client.get("/v1/ledger/retirements/CDM-a").json()["data"]
    assert (secret["state"], secret["instruction"]) == ("confirmed", None)
    (part,) = secret["parts"]
    assert (part["registry_reference"], part["serials"]) == ("R-7", ["CDM:ZW/7-10"])
    assert part["exchanged"] == [["CDM:ZW/7-10", "CDM:ZW/1-4"]]
    assert client.get("/v1/ledger/retirements/CCER-b").status_code == 404

    own = f"/v1/ledger/accounts/{owner}"
    assert client.get(own).status_code == 401
    statement = client.get(own, headers=headers).json()["data"]
    assert {one["programme"] for one in statement["holdings"]} == {"CDM", "CCER"}
    listed = client.get(f"{own}/retirements?limit=3", headers=headers).json()
    assert len(listed["data"]) == 3
    rest = client.get(
        f"{own}/retirements?limit=3&cursor={listed['next_cursor']}", headers=headers
    ).json()["data"]
    told = [one["instruction"] for one in listed["data"] + rest]
    assert [one["beneficiary"] for one in told] == ["Sample Ltd"] * 4


def test_who_never_retired_anything_is_shown_an_empty_list(client: httpx.Client) -> None:
    signed = message(client, STRANGER)
    headers = bearer(present(client, signed.text(), STRANGER).json()["token"])
    answer = client.get(f"/v1/ledger/accounts/{signed.address}/retirements", headers=headers)
    assert (answer.status_code, answer.json()["data"]) == (200, [])
