"""Every operation of OpenAPI shows what is asked and answered, and what it shows is true."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from types import SimpleNamespace
from typing import Any, cast

import jsonschema_rs
import pytest
from fastapi.routing import APIRoute
from pydantic import BaseModel

from backend.api import operator_models
from backend.api.app import create_app
from backend.api.examples import EVERYWHERE, JSON, operations, told
from backend.api.orders import ROUTES
from backend.chain.keys import recover
from backend.client.answers import read_answer
from backend.domain import eip712
from backend.domain.acknowledgements import acknowledgement_digest
from backend.domain.classes import CreditClass, UnitType
from backend.domain.orders import exchange_domain, message_digest
from backend.domain.retirements import RetirementDetails
from backend.domain.serials import Series
from backend.domain.sign_in import parse_sign_in, personal_digest
from backend.domain.sum_tree import Node, SumPath
from backend.store.database import Database
from tests.api.conftest import ALONE

pytestmark = pytest.mark.unit

# Nothing connects: the schema alone is asked for, with the sandbox's routes in it.
_DATABASE = Database("postgresql://nobody@127.0.0.1:1/none")
_APP = create_app(ALONE, database=_DATABASE, playground=cast(Any, SimpleNamespace()))
SCHEMA: dict[str, Any] = _APP.openapi()
_DATABASE.close()
OPERATIONS = dict(operations(SCHEMA))


def _routes(found: Any) -> Iterator[APIRoute]:
    for route in found:
        if isinstance(route, APIRoute):
            yield route
        elif hasattr(route, "original_router"):
            yield from _routes(route.original_router.routes)


MODELS = {
    f"{method} {route.path}": route
    for route in _routes(_APP.routes)
    for method in route.methods
    if route.include_in_schema
}


def asked(name: str) -> Any:
    return OPERATIONS[name]["requestBody"]["content"][JSON]["example"]


def answered(name: str, status: str = "200") -> Any:
    return OPERATIONS[name]["responses"][status]["content"][JSON]["example"]


def contents(operation: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where an operation has JSON, and what it says of it."""
    for content in operation.get("requestBody", {}).get("content", {}).values():
        yield "request", content
    for status, answer in operation["responses"].items():
        for kind, content in answer.get("content", {}).items():
            if kind.endswith("json"):
                yield status, content


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_request_and_every_answer_has_an_example_that_fits_its_schema(name: str) -> None:
    found = dict(contents(OPERATIONS[name]))
    assert "requestBody" not in OPERATIONS[name] or "request" in found
    for place, content in found.items():
        shape = {**content["schema"], "components": SCHEMA["components"]}
        validator = jsonschema_rs.validator_for(shape)
        examples = [
            SCHEMA["components"]["examples"][one["$ref"].rpartition("/")[2]]["value"]
            for one in content.get("examples", {}).values()
        ]
        examples += [content["example"]] if "example" in content else []
        assert examples, f"{name} {place}"
        for example in examples:
            validator.validate(example)
    for status, answer in OPERATIONS[name]["responses"].items():
        # An answer without content has none; what is no JSON says what it is.
        assert status == "204" or answer["content"]


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name.split()[1] not in ROUTES])
def test_an_example_is_what_the_models_take_and_would_answer(name: str) -> None:
    route = MODELS[name]
    for place, content in contents(OPERATIONS[name]):
        if place == "request":
            model: type[BaseModel]
            if route.body_field is not None:
                model = cast(Any, route.body_field.field_info.annotation)
            else:
                model = getattr(operator_models, content["schema"]["title"])
            model.model_validate_json(json.dumps(content["example"]))
        elif place.startswith("2"):
            model, example = cast(Any, route.response_model), content["example"]
            head = example.get("head", {}) if "data" in example else {}
            final = {"final": int(head.get("final_number", -1))}
            made = model.model_validate(example, context=final)
            assert json.loads(made.model_dump_json()) == example


def test_every_word_of_the_examples_is_used() -> None:
    shapes = SCHEMA["components"]["schemas"]
    inline = {
        content["schema"]["title"]: content["schema"]
        for operation in OPERATIONS.values()
        for _, content in contents(operation)
        if "title" in content["schema"]
    }
    fields: set[str] = set()
    for shape in shapes.values():
        fields |= set(shape.get("properties", ()))
    for name, said in told().items():
        if name == EVERYWHERE:
            assert set(said) <= fields
        elif name not in OPERATIONS:
            assert set(said) <= set({**shapes, **inline}[name]["properties"]), name


# ── they are true ────────────────────────────────────────────────────────────────────────────


def parts(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in it, at any depth."""
    if isinstance(value, dict):
        yield value
        for one in value.values():
            yield from parts(one)
    elif isinstance(value, list):
        for one in value:
            yield from parts(one)


EVERYTHING = [
    part
    for operation in OPERATIONS.values()
    for place, content in contents(operation)
    if "example" in content
    for part in parts(content["example"])
]


def having(*names: str) -> list[dict[str, Any]]:
    found = [part for part in EVERYTHING if part.keys() >= set(names)]
    assert found
    return found


def test_a_class_has_the_id_that_follows_from_what_it_is_and_conserves_its_supply_l1() -> None:
    for one in having("class_id", "vintage_hash", "positions"):
        made = CreditClass(
            one["programme"],
            one["project"],
            UnitType.CREDIT,
            date.fromisoformat(one["vintage_start"]),
            date.fromisoformat(one["vintage_end"]),
            tuple(one["cohort"]),
        )
        assert one["class_id"] == str(int(made.token_id))
        assert one["cohort_hashes"] == ["0x" + code.hex() for code in made.cohort_hashes]
        assert one["project_hash"] == "0x" + made.project_hash.hex()
        assert one["vintage_hash"] == "0x" + made.vintage_hash.hex()
        count = {name: int(value) for name, value in one["positions"].items()}
        supply = (count["minted"] - count["exited"]) * 1000 + count["dust"]
        assert one["supply_kilograms"] == str(supply)


def test_serials_are_counted_and_their_series_has_its_hash() -> None:
    for one in having("first", "last", "tonnes"):
        assert int(one["last"]) - int(one["first"]) + 1 == int(one["tonnes"])
    for one in having("series", "series_hash"):
        assert one["series_hash"] == "0x" + Series.parse(one["series"]).id.hex()


def test_a_certificate_has_the_hash_of_its_words_and_its_pieces_add_up() -> None:
    for one in having("texts", "details_hash", "consumed"):
        texts = dict(one["texts"])
        bound = bytes.fromhex(texts.pop("instruction_hash")[2:])
        details = RetirementDetails(**texts, instruction_hash=bound)
        assert one["details_hash"] == "0x" + details.hash.hex()
        assert sum(int(part["kilograms"]) for part in one["consumed"]) == int(one["kilograms"])


def test_messages_to_the_venue_are_signed_and_one_sequencer_acknowledged_them_all() -> None:
    venue = answered("GET /v1/venue")["data"]
    domain = exchange_domain(int(venue["chain_id"]), venue["exchange"])
    sequencers = set()
    for path, form in ROUTES.items():
        (read,), _ = form.read(json.dumps(asked(f"POST {path}")).encode())
        assert not isinstance(read, Exception)
        (result,) = answered(f"POST {path}")["results"]
        assert recover(message_digest(domain, read[0]), read[1]) == result["trader"]
        # It refuses what is no answer to this very message.
        given = read_answer(read, result).acknowledgement
        sequencers.add(recover(acknowledgement_digest(domain, given.root), given.signature))
    assert len(sequencers) == 1


def test_a_signed_in_account_signed_the_message() -> None:
    given = asked("POST /v1/session")
    said = parse_sign_in(given["message"])
    signer = recover(personal_digest(given["message"]), bytes.fromhex(given["signature"][2:]))
    assert signer == said.address == answered("POST /v1/session")["account"]
    nonce = answered("GET /v1/session/nonce")
    assert (said.nonce, said.domain in nonce["domains"]) == (nonce["nonce"], True)


def test_a_draft_is_named_by_what_is_signed_and_a_custodian_signed_it() -> None:
    name = "POST /v1/operator/drafts/{draft_id}/signatures"
    draft = answered(name)["data"]
    typed = draft["typed_data"]
    given = typed["domain"]
    domain = eip712.SigningDomain(
        given["name"], given["version"], int(given["chainId"]), given["verifyingContract"]
    )
    types = {
        kind: [(one["name"], one["type"]) for one in fields]
        for kind, fields in typed["types"].items()
        if kind != "EIP712Domain"
    }
    message = typed["message"]
    digest = eip712.digest(domain, types, typed["primaryType"], _numbers(types, "Receipt", message))
    assert draft["id"] == "0x" + digest.hex()
    signature = bytes.fromhex(asked(name)["signature"][2:])
    (signed,) = draft["signed_by"]
    assert recover(digest, signature) == signed["signer"]


def _numbers(types: Any, kind: str, message: Any) -> Any:
    """Typed data as our own hashing takes it: whole numbers, and bytes."""
    base = kind.removesuffix("[]")
    if kind != base:
        return [_numbers(types, base, one) for one in message]
    if base in types:
        return {name: _numbers(types, of, message[name]) for name, of in types[base]}
    if base.startswith("uint"):
        return int(message)
    return bytes.fromhex(message[2:]) if base == "bytes32" else message


@pytest.mark.parametrize(
    "name",
    [
        "GET /v1/reserve/liabilities/{address}/{class_id}",
        "GET /v1/conversions/{conversion_id}/claims/{address}",
    ],
)
def test_a_proof_leads_to_its_root(name: str) -> None:
    found = answered(name)["data"]
    leaf = Node(bytes.fromhex(found["leaf"][2:]), int(found["kilograms"]))
    steps = [Node(bytes.fromhex(one["hash"][2:]), int(one["sum"])) for one in found["siblings"]]
    root = SumPath(int(found["right_bits"]), tuple(steps)).root(leaf)
    assert "0x" + root.hash.hex() == found["root"]
