"""The bytecode that is deployed is reproducible, by py-solc-x and by Hardhat alike."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
from pathlib import Path

import orjson
import pytest

from backend.chain import compiler
from backend.chain.compiler import REPOSITORY, SOURCES, CompiledContract
from backend.errors import LocalError
from scripts.make_abi import ABI_FILE, render

pytestmark = pytest.mark.contract


def test_the_committed_abi_is_what_the_sources_say(compiled: dict[str, CompiledContract]) -> None:
    said = render({name: contract.abi for name, contract in compiled.items()})
    assert ABI_FILE.read_bytes() == said, "run: python -m scripts.make_abi"


def test_hardhat_and_py_solc_x_give_the_same_bytecode(
    compiled: dict[str, CompiledContract], tmp_path: Path
) -> None:
    for name in ("hardhat.config.js", "package.json"):
        shutil.copy(REPOSITORY / name, tmp_path / name)
    shutil.copytree(REPOSITORY / "contracts", tmp_path / "contracts")
    (tmp_path / "tests" / "contracts").mkdir(parents=True)
    (tmp_path / "node_modules").symlink_to(REPOSITORY / "node_modules")
    hardhat = REPOSITORY / "node_modules" / "hardhat" / "dist" / "src" / "cli.js"
    built = subprocess.run(
        [compiler.find_node(), str(hardhat), "build"],
        cwd=tmp_path,
        env=dict(os.environ) | {"CI": "1", "HARDHAT_DISABLE_TELEMETRY_PROMPT": "true"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    for name, source in SOURCES.items():
        raw = orjson.loads((tmp_path / "artifacts" / source / f"{name}.json").read_bytes())
        assert raw["bytecode"] == "0x" + compiled[name].bytecode.hex(), name
        assert raw["deployedBytecode"] == "0x" + compiled[name].deployed_bytecode.hex(), name


def test_every_contract_fits_into_what_a_chain_takes(compiled: dict[str, CompiledContract]) -> None:
    for name, contract in compiled.items():
        assert 0 < len(contract.deployed_bytecode) <= 24_576, name
        assert len(contract.bytecode) <= 49_152, name


def test_code_matches_whatever_its_immutables_and_nothing_else(
    compiled: dict[str, CompiledContract],
) -> None:
    contract = compiled["Trust"]
    start, length = contract.immutables[0]
    code = bytearray(contract.deployed_bytecode)
    code[start : start + length] = b"\x11" * length
    assert contract.matches(bytes(code))
    code[start - 1] ^= 1
    assert not contract.matches(bytes(code))
    assert not contract.matches(contract.deployed_bytecode + b"\0")
    assert not contract.matches(b"")
    assert not contract.matches(compiled["Participants"].deployed_bytecode)


def _copy(tmp_path: Path) -> Path:
    shutil.copytree(REPOSITORY / "contracts", tmp_path / "contracts")
    (tmp_path / "node_modules").symlink_to(REPOSITORY / "node_modules")
    return tmp_path


def test_a_change_of_source_or_settings_changes_the_hash_and_the_rest_does_not(
    tmp_path: Path, sources: str
) -> None:
    root = _copy(tmp_path)
    assert compiler.source_hash(root) == sources
    (root / "contracts" / "Trust.t.sol").write_text("contract TrustTest {}")
    (root / "contracts" / "notes.txt").write_text("nothing that is compiled")
    assert compiler.source_hash(root) == sources
    unused = root / "contracts" / "Unused.sol"
    unused.write_text("contract Unused {}")
    assert compiler.source_hash(root) != sources, "it shifts the compiler's numbers"
    unused.unlink()
    settings = root / "contracts" / "settings.json"
    settings.write_text(settings.read_text().replace("1000000", "999999"))
    assert compiler.source_hash(root) != sources
    shutil.copy(REPOSITORY / "contracts" / "settings.json", settings)
    library = next((root / "contracts" / "libraries").glob("*.sol"))
    library.write_text(library.read_text() + "\n// a comment\n")
    assert compiler.source_hash(root) != sources


def test_sources_that_do_not_compile_or_are_missing_say_where(tmp_path: Path) -> None:
    root = _copy(tmp_path)
    source = root / "contracts" / "Participants.sol"
    good = source.read_text()
    source.write_text(good.replace("contract Participants", "contract Participants is Nothing,"))
    with pytest.raises(LocalError, match=r"(?s)do not compile.*contracts/Participants\.sol:\d+"):
        compiler.compile_contracts(tmp_path / "cache", root)
    source.write_text(good.replace('"./interfaces/IParticipants.sol"', '"./IGone.sol"'))
    with pytest.raises(LocalError, match=r"contracts/IGone\.sol cannot be read"):
        compiler.compile_contracts(tmp_path / "cache", root)
    assert not list((tmp_path / "cache").glob("*.json"))


def test_a_kept_result_is_read_without_a_compiler(
    compiled: dict[str, CompiledContract], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiler, "find_node", lambda: "/nonexistent")
    assert compiler.compile_contracts() == compiled


def test_a_build_is_known_by_its_bytecode(compiled: dict[str, CompiledContract]) -> None:
    one = compiler.bytecode_hash(compiled)
    assert compiler.bytecode_hash(dict(reversed(compiled.items()))) == one
    changed = dataclasses.replace(compiled["Trust"], bytecode=compiled["Trust"].bytecode + b"\0")
    assert compiler.bytecode_hash(compiled | {"Trust": changed}) != one
