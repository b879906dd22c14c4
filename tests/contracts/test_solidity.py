"""Runs the Solidity tests, so that one command runs every test there is."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from backend.local import binaries

pytestmark = pytest.mark.contract

REPOSITORY = Path(__file__).resolve().parents[2]
SECONDS = 900


@pytest.fixture(scope="module")
def output() -> str:
    """What `hardhat test solidity` prints; compiles first where sources changed."""
    command = [
        str(binaries.node_directory() / "node"),
        "node_modules/hardhat/dist/src/cli.js",
        "test",
        "solidity",
    ]
    environment = dict(os.environ) | {"HARDHAT_DISABLE_TELEMETRY_PROMPT": "true", "NO_COLOR": "1"}
    done = subprocess.run(
        command,
        cwd=REPOSITORY,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_every_solidity_test_passes(output: str) -> None:
    assert re.search(r"^\s*[1-9]\d* passing", output, re.M), output
    assert not re.search(r"^\s*[1-9]\d* (failing|skipped)", output, re.M), output


@pytest.mark.parametrize("law", ["L1", "L2", "L4", "L5_L10", "L6", "L7", "L8", "L11"])
def test_every_law_of_the_contracts_has_an_invariant(output: str, law: str) -> None:
    assert re.search(rf"invariant_{law}_\w+\(\) \(runs: [1-9]\d*\)", output)


def test_every_test_file_was_run(output: str) -> None:
    for path in (REPOSITORY / "tests" / "contracts").glob("*.t.sol"):
        assert f"{path.name}:" in output


def test_every_bound_on_the_page_of_stolen_keys_is_a_test_that_exists() -> None:
    page = (REPOSITORY / "docs" / "stolen-keys.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:test|invariant)_\w+)`", page))
    assert len(named) >= 20
    sources = [*(REPOSITORY / "tests").rglob("*.t.sol"), *(REPOSITORY / "tests").rglob("*.py")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    assert {name for name in named if not re.search(rf"(?:function|def) {name}\(", text)} == set()


def test_every_test_of_a_stolen_key_is_on_the_page() -> None:
    page = (REPOSITORY / "docs" / "stolen-keys.md").read_text(encoding="utf-8")
    source = (REPOSITORY / "tests" / "contracts" / "StolenKeys.t.sol").read_text(encoding="utf-8")
    shown = re.findall(r"function (test_stolen_\w+)", source)
    assert shown
    assert [name for name in shown if f"`{name}`" not in page] == []
