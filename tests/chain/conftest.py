"""A chain with Causeway's contracts on it, and keys that have coins."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from eth_utils.crypto import keccak

from backend.chain.compiler import CompiledContract, compile_contracts, source_hash
from backend.chain.deployment import Deployment, deploy
from backend.chain.keys import Key, named_key
from backend.chain.manifest import Roles, Thresholds
from backend.chain.rpc import Rpc
from tests.conftest import AnvilFactory

COINS = hex(10**21)
ROLE_NAMES = (
    *("admin", "guardian", "registrar", "facts", "issuer"),
    *("c1", "c2", "a1", "a2", "f1", "f2", "e1", "e2"),
    *("sequencer", "watcher", "fee-operator", "fee-developer"),
)


def key_of(name: str) -> Key:
    """A key that anybody can derive: for local chains only."""
    return named_key(name, keccak(text=f"causeway chain test {name}"))


def some_roles() -> Roles:
    """Two signers where a second is needed, all roles apart."""
    address = {name: key_of(name).address for name in ROLE_NAMES}
    return Roles(
        admin=address["admin"],
        guardian=address["guardian"],
        registrar=address["registrar"],
        facts=address["facts"],
        issuer=address["issuer"],
        custodians=(address["c1"], address["c2"]),
        attestors=(address["a1"], address["a2"]),
        freezers=(address["f1"], address["f2"]),
        enforcers=(address["e1"], address["e2"]),
        sequencer=address["sequencer"],
        watcher=address["watcher"],
        fee_operator=address["fee-operator"],
        fee_developer=address["fee-developer"],
        thresholds=Thresholds(custodians=2, attestors=1, freezers=1, enforcers=2),
    )


def fund(rpc: Rpc, *keys: Key) -> None:
    """Coins for gas."""
    for key in keys:
        rpc.call("anvil_setBalance", key.address, COINS)


@pytest.fixture(scope="session")
def compiled() -> dict[str, CompiledContract]:
    return compile_contracts()


@pytest.fixture(scope="session")
def sources() -> str:
    return source_hash()


@dataclass(frozen=True)
class Chain:
    """A chain with the contracts on it."""

    rpc: Rpc
    deployment: Deployment
    path: Path

    def mine(self, blocks: int = 1) -> None:
        self.rpc.call("anvil_mine", hex(blocks))


@pytest.fixture(scope="module")
def chain(
    anvil_factory: AnvilFactory,
    compiled: dict[str, CompiledContract],
    sources: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Chain]:
    rpc = Rpc(anvil_factory().url)
    fund(rpc, key_of("deployer"), key_of("registrar"), key_of("issuer"), key_of("admin"))
    path = tmp_path_factory.mktemp("deployment") / "deployment.json"
    yield Chain(rpc, deploy(rpc, key_of("deployer"), some_roles(), path, compiled, sources), path)
    rpc.close()
