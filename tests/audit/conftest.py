"""One honest history per module; every test starts from it and bends its own copy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from backend.local.anvil import Anvil
from tests.audit.market import Market
from tests.audit.scene import Scene


@pytest.fixture(scope="module")
def history(anvil: Anvil, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """A small honest history on a chain of this module."""
    return Scene(anvil, tmp_path_factory.mktemp("scene"))


@pytest.fixture
def scene(history: Scene) -> Iterator[Scene]:
    """The honest history; what the test does to it is undone afterwards."""
    snapshot = history.rpc.call("evm_snapshot")
    log = dict(history.history.log.rows)  # type: ignore[attr-defined]
    yield history
    history.rpc.call("evm_revert", snapshot)
    history.history.log.rows = log  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def honest_market(history: Scene) -> Market:
    """A venue with a little of everything, on the chain of this module."""
    made = Market(history)
    made.run()
    return made


@pytest.fixture
def market(honest_market: Market, scene: Scene) -> Market:
    """The honest venue; what the test does on chain or writes into its journal is undone."""
    return honest_market.branch()
