"""Imports go one way only: the table of DESIGN's layers, checked on every module."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[2]
BACKEND = ROOT / "backend"

#: A package may import those with a lower rank; equal ranks are siblings and never do.
RANKS = {
    "errors": -1,
    "settings": 0,
    "domain": 1,
    "matching": 2,
    "registries": 3,
    "chain": 3,
    "store": 3,
    "bus": 3,
    "indexer": 4,
    "signer": 4,
    "bridge": 5,
    "exchange": 5,
    "audit": 5,
    "hooks": 5,
    "sandbox": 6,
    "api": 7,
    "web": 7,
    "client": 8,
    "local": 8,
    "commands": 9,
    "cli": 10,
}
#: The pages are rendered by the routes: `web` holds only templates and styles, no Python imports.
PURE = {"domain", "matching"}
PURE_THIRD_PARTY = {"eth_abi", "eth_utils", "sortedcontainers"}
#: Third-party packages that exactly one package of ours may import.
OWNERS = {
    "web3": {"chain"},
    "solcx": {"chain"},
    "eth_account": {"chain"},
    "coincurve": {"chain"},
    "sqlalchemy": {"store"},
    "psycopg": {"store"},
    "alembic": {"store"},
    "procrastinate": {"store"},
    "nats": {"bus"},
    "fastapi": {"api"},
    "typer": {"commands", "cli"},
}
FORBIDDEN_IN_PURE = {"time", "random", "secrets", "socket", "os", "pathlib", "uuid"}


def modules() -> list[tuple[str, Path]]:
    """(package or top-level module, file) of everything under backend/."""
    found = []
    for path in sorted(BACKEND.rglob("*.py")):
        relative = path.relative_to(BACKEND)
        found.append((relative.parts[0].removesuffix(".py"), path))
    return found


def imports_of(path: Path) -> list[tuple[int, str]]:
    """(line, dotted name) of every absolute import, also inside functions."""
    named = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            named += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            module = node.module or ""
            named.append((node.lineno, module))
            if module == "backend":
                named += [(node.lineno, f"backend.{alias.name}") for alias in node.names]
    return named


def test_every_package_has_a_rank() -> None:
    unknown = {package for package, _ in modules()} - RANKS.keys() - {"__init__"}
    assert unknown == set()


@pytest.mark.parametrize(("package", "path"), modules(), ids=lambda value: str(value))
def test_a_module_imports_only_from_lower_layers(package: str, path: Path) -> None:
    for line, name in imports_of(path):
        parts = name.split(".")
        if parts[0] != "backend" or len(parts) == 1 or parts[1] == package:
            continue
        assert RANKS[parts[1]] < RANKS[package], f"{path}:{line}: {package} imports {name}"


@pytest.mark.parametrize(("package", "path"), modules(), ids=lambda value: str(value))
def test_a_library_is_imported_only_by_its_owner(package: str, path: Path) -> None:
    for line, name in imports_of(path):
        owners = OWNERS.get(name.split(".")[0])
        assert owners is None or package in owners, f"{path}:{line}: {package} imports {name}"


@pytest.mark.parametrize(
    ("package", "path"), [m for m in modules() if m[0] in PURE], ids=lambda value: str(value)
)
def test_the_pure_layers_have_no_input_output_clock_or_randomness(package: str, path: Path) -> None:
    for line, name in imports_of(path):
        top = name.split(".")[0]
        assert top not in FORBIDDEN_IN_PURE, f"{path}:{line}: {package} imports {name}"
        known = top in PURE_THIRD_PARTY | {"backend", "__future__"} or top in _STANDARD
        assert known, f"{path}:{line}: {package} imports {name}"
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        assert not (isinstance(node, ast.Constant) and isinstance(node.value, float)), (
            f"{path}:{node.lineno}: a float"
        )
        if isinstance(node, ast.Name):
            assert node.id != "float", f"{path}:{node.lineno}: float"
        if isinstance(node, ast.Attribute):
            assert node.attr not in {"now", "today", "utcnow"}, f"{path}:{node.lineno}: a clock"


def test_the_simulated_registry_is_a_program_of_its_own() -> None:
    """It stands for another company's system: only its command runs it, and what it knows of
    Causeway is how a range of serials is written.
    """
    inside = BACKEND / "registries" / "simulator"
    allowed = {"backend.errors", "backend.domain.registry_requests"}
    for _, path in modules():
        for line, name in imports_of(path):
            if not name.startswith("backend."):
                continue
            within = name.startswith("backend.registries.simulator")
            if inside in path.parents:
                assert within or name in allowed, f"{path}:{line}: imports {name}"
            else:
                assert not within or path.name == "registry_simulator.py", f"{path}:{line}"


_STANDARD = {
    "hashlib",
    "heapq",
    "struct",
    "bisect",
    "collections",
    "dataclasses",
    "datetime",
    "enum",
    "functools",
    "itertools",
    "operator",
    "re",
    "typing",
}
