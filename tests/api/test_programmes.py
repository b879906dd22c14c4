"""Programmes, trust accounts and instructions over the API: rules before a wallet signs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from backend.domain.capabilities import Capability, Known
from backend.domain.instructions import RetirementInstruction
from backend.registries import custody_file
from backend.registries.custody_file import load_custody
from backend.registries.programmes import programme_data
from backend.store.database import Database
from backend.store.registry_requests import RegistryRequests
from tests.api.conftest import World, asked
from tests.api.test_session import app_over, bearer, message, present

pytestmark = pytest.mark.integration

INSTRUCTION = {
    "beneficiary": "Sample Ltd",
    "kind": "entity",
    "country": "HK",
    "use_case": "voluntary",
    "reason_code": "Other",
    "claim_start": "2025-01-01",
    "claim_end": "2025-12-31",
}
PATH = "/v1/retirement-instructions"


@pytest.fixture
def client(world: World) -> Iterator[httpx.Client]:
    with asked(app_over(world.database)) as client:
        yield client


@pytest.fixture
def signed_in(client: httpx.Client) -> dict[str, str]:
    return bearer(present(client, message(client).text()).json()["token"])


def body(world: World, **changes: Any) -> dict[str, Any]:
    return {"class_id": str(world.class_id), "instruction": INSTRUCTION | changes}


def test_programmes_and_trust_accounts_are_shown_to_anybody(client: httpx.Client) -> None:
    programmes = {one["programme"]: one for one in client.get("/v1/programmes").json()["data"]}
    assert programmes["GS"]["retirement"]["beneficiary_required"] is True
    assert programmes["CCER"]["mode"] == "ledger"
    trusts = client.get("/v1/trust-accounts").json()["data"]
    expected = load_custody(None).trust("sample-vcs")
    assert trusts[0]["terms_hash"] == "0x" + expected.terms_hash.hex()
    assert trusts[0]["sample"] is True


def test_an_instruction_that_the_programme_would_never_act_on_is_not_kept(
    client: httpx.Client,
    world: World,
    signed_in: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = programme_data("VCS")
    no = Capability(Known.NO, "the programme's new rules")
    answers = {**found.capabilities.answers, "retire_on_behalf": no}
    changed = replace(found, capabilities=replace(found.capabilities, answers=answers))
    monkeypatch.setattr(custody_file, "programme_data", lambda code: changed)
    answer = client.post(PATH, json=body(world), headers=signed_in)
    assert answer.status_code == 422, answer.text
    assert "the programme's new rules" in answer.text
    said = RetirementInstruction.from_json({"programme": "VCS", **INSTRUCTION})
    assert _kept(world.database, "0x" + said.hash.hex()) is None


def test_an_instruction_is_kept_under_the_hashes_that_the_wallet_signs(
    client: httpx.Client, world: World, signed_in: dict[str, str]
) -> None:
    answer = client.post(PATH, json=body(world), headers=signed_in)
    assert answer.status_code == 200, answer.text
    said = RetirementInstruction.from_json({"programme": "VCS", **INSTRUCTION})
    found = answer.json()
    assert found["instruction_hash"] == "0x" + said.hash.hex()
    assert (found["purpose"], found["period"]) == ("Other", "2025-01-01 to 2025-12-31")
    assert _kept(world.database, found["instruction_hash"]) == said

    salts = {"salt": "0x" + "07" * 32}
    private = body(world, is_public=False, **salts) | {"details_salt": "0x" + "08" * 32}
    found = client.post(PATH, json=private, headers=signed_in).json()
    kept = _kept(world.database, found["details_hash"])
    assert kept is not None
    assert not kept.is_public


def _kept(database: Database, key: str) -> RetirementInstruction | None:
    return RegistryRequests(database).instruction(key)


@pytest.mark.parametrize(
    ("changes", "kind", "named"),
    [
        ({"reason_code": "Because"}, "programme-forbids", "reason_code"),
        ({"use_case": "compliance", "scheme": "Own"}, "programme-forbids", "scheme"),
        ({"kind": "robot"}, "invalid-value", "kind"),
        ({"claim_end": None}, "invalid-value", "claim_end"),
        ({"is_public": False}, "programme-forbids", "salt"),
    ],
)
def test_what_the_programme_would_not_take_is_refused_before_the_signature(
    client: httpx.Client,
    world: World,
    signed_in: dict[str, str],
    changes: dict[str, Any],
    kind: str,
    named: str,
) -> None:
    answer = client.post(PATH, json=body(world, **changes), headers=signed_in)
    assert answer.status_code == 422
    problem = answer.json()
    assert problem["type"].endswith(kind)
    assert named in problem["detail"]


def test_nobody_without_a_session_fills_the_table(client: httpx.Client, world: World) -> None:
    assert client.post(PATH, json=body(world)).status_code == 401
