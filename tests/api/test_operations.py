"""What the OpenAPI schema promises of every operation: a stable id, a tag, problems with types."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from backend.api.app import create_app
from backend.api.errors import PREFIX, reference
from backend.store.database import Database
from scripts import error_reference
from tests.api.conftest import ALONE

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[2]
SNAPSHOT = ROOT / "tests" / "snapshots" / "operations.json"


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    # Nothing connects: the schema alone is asked for.
    database = Database("postgresql://nobody@127.0.0.1:1/none")
    found: dict[str, Any] = create_app(ALONE, database=database).openapi()
    database.close()
    return found


def operations(schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": operation
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    }


def test_no_operation_of_v1_goes_or_takes_another_id(schema: dict[str, Any]) -> None:
    promised: dict[str, str] = json.loads(SNAPSHOT.read_text(encoding="utf-8"))
    found = {name: one["operationId"] for name, one in operations(schema).items()}
    assert {name: found.get(name) for name in promised} == promised
    assert len(set(found.values())) == len(found)


def test_every_operation_has_a_known_tag_and_says_what_it_does(schema: dict[str, Any]) -> None:
    known = {tag["name"] for tag in schema["tags"]}
    for name, one in operations(schema).items():
        assert one["tags"], name
        assert set(one["tags"]) <= known, name
        assert one.get("description") or one.get("summary"), name


def test_every_problem_of_every_operation_has_examples_that_are_valid(
    schema: dict[str, Any],
) -> None:
    shape = {"$ref": "#/components/schemas/Problem", "components": schema["components"]}
    validator = jsonschema_rs.validator_for(shape)
    codes = reference()
    for name, one in operations(schema).items():
        for status, answer in one["responses"].items():
            content = answer.get("content", {}).get("application/problem+json")
            if content is None:
                assert int(status) < 400 or name == "GET /v1/health", f"{name} {status}"
                continue
            assert content["examples"], f"{name} {status} names no type"
            for code, named in content["examples"].items():
                assert named == {"$ref": f"#/components/examples/{code}"}
                example = schema["components"]["examples"][code]
                validator.validate(example["value"])
                assert example["value"]["type"] == PREFIX + code
                assert codes[code][0] == int(status) == example["value"]["status"]


def test_the_reference_of_errors_is_the_tree() -> None:
    assert error_reference.PAGE.read_text(encoding="utf-8") == error_reference.page(), (
        "run python scripts/error_reference.py"
    )


def test_the_api_names_no_code_that_is_not_in_the_reference() -> None:
    codes, made = reference(), 0
    for path in sorted((ROOT / "backend" / "api").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            if node.func.id not in ("problem", "problem_body", "NotTaken") or len(node.args) < 2:
                continue
            status, code = node.args[:2]
            if isinstance(status, ast.Constant) and isinstance(code, ast.Constant):
                made += 1
                assert codes[str(code.value)][0] == status.value, f"{path}: {code.value}"
    assert made > 5
