"""The deployment file: which contracts stand where, complete or a plan being carried out."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import orjson

from backend.chain.abi import checksum
from backend.errors import DeploymentMismatch, InvalidValue

FORMAT: Final = 1
_HEX: Final = re.compile(r"0x(?:[0-9a-fA-F]{2})*")


#: Roles of one address each.
_SINGLE: Final = (
    *("admin", "guardian", "registrar", "facts", "issuer"),
    *("sequencer", "watcher", "fee_operator", "fee_developer"),
)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """How many of each kind must sign; none may be 0."""

    custodians: int = 1
    attestors: int = 1
    freezers: int = 1
    enforcers: int = 1


@dataclass(frozen=True, slots=True)
class Roles:
    """Who may do what from the deployment on. Addresses; signers are disjoint within a contract.

    `admin` changes rules after 7 days and signers after 3; `guardian` only cancels what the admin
    scheduled; `registrar` admits participants, `facts` records dated facts, both without delay;
    `issuer` makes the test settlement assets; `sequencer` and `watcher` sign what the venue
    settles, `fee_operator` and `fee_developer` are paid its fees.
    """

    admin: str
    guardian: str
    registrar: str
    facts: str
    issuer: str
    custodians: tuple[str, ...]
    attestors: tuple[str, ...]
    freezers: tuple[str, ...]
    enforcers: tuple[str, ...]
    sequencer: str
    watcher: str
    fee_operator: str
    fee_developer: str
    thresholds: Thresholds = field(default_factory=Thresholds)

    def __post_init__(self) -> None:
        for name in _SINGLE:
            object.__setattr__(self, name, _address(f"roles.{name}", getattr(self, name)))
        for name in ("custodians", "attestors", "freezers", "enforcers"):
            listed = tuple(_address(f"roles.{name}", item) for item in getattr(self, name))
            needed: int = getattr(self.thresholds, name)
            if not 1 <= needed <= len(listed):
                raise InvalidValue(f"thresholds.{name}", needed, f"is outside 1 … {len(listed)}")
            if len(set(listed)) != len(listed):
                raise InvalidValue(f"roles.{name}", listed, "names an address twice")
            object.__setattr__(self, name, listed)
        for one, other in (("custodians", "attestors"), ("freezers", "enforcers")):
            both = set(getattr(self, one)) & set(getattr(self, other))
            if both:
                raise InvalidValue(f"roles.{one}", sorted(both), f"are {other} too (L5)")
        if self.sequencer == self.watcher:
            raise InvalidValue("roles.watcher", self.watcher, "is the sequencer it watches (L5)")
        if self.admin == self.guardian:
            raise InvalidValue("roles.guardian", self.guardian, "is the admin it must watch")

    def as_json(self) -> dict[str, Any]:
        """As the file holds it."""
        raw = asdict(self)
        return {k: list(v) if isinstance(v, tuple) else v for k, v in raw.items()}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Roles:
        """The inverse of `as_json`."""
        values = dict(raw)
        for name in ("custodians", "attestors", "freezers", "enforcers"):
            if not isinstance(values[name], list | tuple):
                raise InvalidValue(f"roles.{name}", values[name], "is no list of addresses")
            values[name] = tuple(values[name])
        counts = _mapping("roles.thresholds", values["thresholds"])
        values["thresholds"] = Thresholds(
            **{name: _count(f"thresholds.{name}", needed) for name, needed in counts.items()}
        )
        return cls(**values)


def _address(name: str, value: str) -> str:
    try:
        return checksum(value)
    except (ValueError, TypeError, AttributeError):
        raise InvalidValue(name, value, "is not an address") from None


@dataclass(frozen=True, slots=True)
class DeployedContract:
    """One contract on chain. Hashes are keccak256: of eth_getCode, of the creation bytecode
    without arguments; `constructor_arguments` is their ABI encoding, 0x hex."""

    address: str
    transaction: str
    block: int
    bytecode_hash: str
    creation_bytecode_hash: str = ""
    constructor_arguments: str = "0x"


@dataclass(frozen=True, slots=True)
class Deployment:
    """A complete deployment, as its file says."""

    chain_id: int
    source_hash: str
    deployed_at_block: int
    contracts: Mapping[str, DeployedContract]
    roles: Roles
    deployer: str
    genesis_hash: str
    settings: Mapping[str, int] = field(default_factory=dict)

    def __getitem__(self, name: str) -> str:
        """Address of a contract by its name; DeploymentMismatch when it is not part of this."""
        contract = self.contracts.get(name)
        if contract is None:
            raise DeploymentMismatch(f"the deployment has no {name}", contract=name)
        return contract.address

    @property
    def addresses(self) -> list[str]:
        """Addresses of all contracts, for a log filter."""
        return [contract.address for contract in self.contracts.values()]

    def name_of(self, address: str) -> str | None:
        """Name of the contract at an address."""
        for name, contract in self.contracts.items():
            if contract.address.lower() == address.lower():
                return name
        return None

    def as_json(self) -> dict[str, Any]:
        """What the file holds."""
        return {
            "format": FORMAT,
            "complete": True,
            "chain_id": self.chain_id,
            "genesis_hash": self.genesis_hash,
            "source_hash": self.source_hash,
            "deployed_at_block": self.deployed_at_block,
            "deployer": self.deployer,
            "contracts": {name: asdict(contract) for name, contract in self.contracts.items()},
            "roles": self.roles.as_json(),
            "settings": dict(self.settings),
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any], where: str = "the deployment") -> Deployment:
        """A complete deployment from the file's JSON; DeploymentMismatch for anything else."""
        if raw.get("complete") is not True:
            raise DeploymentMismatch(f"{where} is not complete: run the deployment again")
        try:
            return cls(
                chain_id=_count("chain_id", raw["chain_id"]),
                source_hash=_text("source_hash", raw["source_hash"]),
                deployed_at_block=_count("deployed_at_block", raw["deployed_at_block"]),
                contracts={
                    name: _contract(name, contract)
                    for name, contract in _mapping("contracts", raw["contracts"]).items()
                },
                roles=Roles.from_json(_mapping("roles", raw["roles"])),
                deployer=_address("deployer", raw["deployer"]),
                genesis_hash=_text("genesis_hash", raw["genesis_hash"]),
                settings={
                    name: _count(f"settings.{name}", value)
                    for name, value in _mapping("settings", raw["settings"]).items()
                },
            )
        except InvalidValue as failure:
            raise DeploymentMismatch(f"{where}: {failure.message}") from failure
        except (KeyError, TypeError) as failure:
            raise DeploymentMismatch(f"{where} has no valid {failure}") from failure

    @classmethod
    def load(cls, path: Path | str) -> Deployment:
        """The deployment in a file; DeploymentMismatch when it is missing, damaged, incomplete."""
        raw = read_file(Path(path))
        if raw is None:
            raise DeploymentMismatch(f"there is no deployment file {path}", file=str(path))
        return cls.from_json(raw, str(path))

    def save(self, path: Path | str) -> None:
        """Write the file, atomically."""
        write_file(Path(path), self.as_json())


def _mapping(name: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InvalidValue(name, value, "is no object")
    return value


def _count(name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise InvalidValue(name, value, "is no integer from 0")
    return value


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidValue(name, value, "is no text")
    return value


def _hexadecimal(name: str, value: Any, size: int | None = None) -> str:
    """0x and whole bytes, `size` of them where it is given."""
    if not isinstance(value, str) or not _HEX.fullmatch(value):
        raise InvalidValue(name, value, "is not 0x and whole bytes in hexadecimal")
    if size is not None and len(value) != 2 + 2 * size:
        raise InvalidValue(name, value, f"is not {size} bytes")
    return value


def _contract(name: str, raw: Any) -> DeployedContract:
    place = f"contracts.{name}"
    held = DeployedContract(**_mapping(place, raw))
    _hexadecimal(f"{place}.transaction", held.transaction, 32)
    _hexadecimal(f"{place}.bytecode_hash", held.bytecode_hash, 32)
    if held.creation_bytecode_hash != "":
        _hexadecimal(f"{place}.creation_bytecode_hash", held.creation_bytecode_hash, 32)
    _hexadecimal(f"{place}.constructor_arguments", held.constructor_arguments)
    _count(f"{place}.block", held.block)
    return replace(held, address=_address(f"{place}.address", held.address))


def read_file(path: Path) -> dict[str, Any] | None:
    """JSON of a deployment file, complete or not; None when there is no file.

    Raises DeploymentMismatch for what is there and cannot be read as one.
    """
    try:
        raw = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as failure:
        raise DeploymentMismatch(
            f"{path} cannot be read: {failure.strerror}", file=str(path)
        ) from failure
    except orjson.JSONDecodeError as failure:
        raise DeploymentMismatch(f"{path} is no JSON: {failure}", file=str(path)) from failure
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        raise DeploymentMismatch(f"{path} is no deployment file", file=str(path))
    return raw


def write_file(path: Path, content: Mapping[str, Any]) -> None:
    """Replace a file so that a crash at any moment leaves the old or the new one, complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(orjson.dumps(content, option=orjson.OPT_INDENT_2) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
