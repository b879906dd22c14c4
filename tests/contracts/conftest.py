"""Compiled contracts and a deployment per module."""

from __future__ import annotations

import pytest

from backend.chain.compiler import CompiledContract, compile_contracts
from backend.local.anvil import Anvil
from tests.contracts.world import World


@pytest.fixture(scope="session")
def compiled() -> dict[str, CompiledContract]:
    """The contracts, by the backend's own compiler."""
    return compile_contracts()


@pytest.fixture(scope="module")
def world(anvil: Anvil, compiled: dict[str, CompiledContract]) -> World:
    """A deployment of this module's own."""
    return World(anvil, compiled)
