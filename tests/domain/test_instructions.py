"""The retirement instruction: its form, its JSON and its hash."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from eth_account.messages import encode_typed_data
from eth_utils.crypto import keccak

from backend.domain.instructions import (
    TYPE,
    BeneficiaryKind,
    RetirementInstruction,
    UseCase,
)
from backend.errors import InvalidValue

pytestmark = pytest.mark.unit

VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "instructions.json"
SAMPLE = RetirementInstruction(
    "GS",
    "Sample Airline Ltd",
    BeneficiaryKind.ENTITY,
    "SG",
    UseCase.COMPLIANCE,
    "Compliance",
    "5493001KJTIIGC8Y1R12",
    "CORSIA",
    "2024-2026",
    date(2024, 1, 1),
    date(2026, 12, 31),
    False,
    "first phase",
    b"\7" * 32,
)


def test_it_survives_json() -> None:
    assert RetirementInstruction.from_json(SAMPLE.as_json()) == SAMPLE


def test_fields_with_a_default_may_be_left_out() -> None:
    required = ("programme", "beneficiary", "kind", "country", "use_case", "reason_code")
    found = {name: SAMPLE.as_json()[name] for name in required}
    assert RetirementInstruction.from_json(found).claim_start is None


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"kind": "company"}, "kind"),
        ({"colour": "green"}, "instruction"),
        ({"country": "Hong Kong"}, "country"),
        ({"claim_end": None}, "claim_end"),
        ({"claim_end": "2023-12-31"}, "claim_end"),
        ({"claim_start": "1 Jan"}, "claim_start"),
        ({"note": "x" * 257}, "note"),
        ({"note": "a\nb"}, "note"),
        ({"is_public": "no"}, "is_public"),
        ({"salt": "0x00"}, "salt"),
        ({"beneficiary": 5}, "beneficiary"),
    ],
)
def test_what_has_another_form_is_refused_by_name(change: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        RetirementInstruction.from_json({**SAMPLE.as_json(), **change})
    assert caught.value.field == field


def test_every_field_changes_the_hash() -> None:
    other: dict[str, Any] = {
        "kind": BeneficiaryKind.PERSON,
        "use_case": UseCase.VOLUNTARY,
        "country": "HK",
        "claim_start": date(2024, 1, 2),
        "claim_end": date(2026, 12, 30),
        "is_public": True,
        "salt": b"\x08" * 32,
    }
    hashes = {SAMPLE.hash}
    for entry in fields(SAMPLE):
        changed = other.get(entry.name, "other text")
        hashes.add(replace(SAMPLE, **{entry.name: changed}).hash)
    assert len(hashes) == len(fields(SAMPLE)) + 1


def test_the_hash_is_that_of_eip_712() -> None:
    """eth-account's hashStruct of the same message."""
    names = dict(entry.split(" ")[::-1] for entry in TYPE[TYPE.index("(") + 1 : -1].split(","))
    message = {
        "programme": SAMPLE.programme,
        "beneficiary": SAMPLE.beneficiary,
        "identifier": SAMPLE.identifier,
        "kind": "entity",
        "country": SAMPLE.country,
        "useCase": "compliance",
        "scheme": SAMPLE.scheme,
        "schemePeriod": SAMPLE.scheme_period,
        "reasonCode": SAMPLE.reason_code,
        "claimStart": 20240101,
        "claimEnd": 20261231,
        "isPublic": False,
        "note": SAMPLE.note,
        "salt": SAMPLE.salt,
    }
    assert list(message) == list(names)
    typed = encode_typed_data(
        full_message={
            "types": {
                "EIP712Domain": [{"name": "name", "type": "string"}],
                "RetirementInstruction": [
                    {"name": name, "type": kind} for name, kind in names.items()
                ],
            },
            "primaryType": "RetirementInstruction",
            "domain": {"name": "any"},
            "message": message,
        }
    )
    assert typed.body == SAMPLE.hash


def test_the_vectors_hold() -> None:
    for case in json.loads(VECTORS.read_text())["instructions"]:
        instruction = RetirementInstruction.from_json(case["instruction"])
        assert "0x" + instruction.hash.hex() == case["hash"]
    assert json.loads(VECTORS.read_text())["typeHash"] == "0x" + keccak(text=TYPE).hex()
