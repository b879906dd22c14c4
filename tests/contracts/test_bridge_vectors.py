"""What is signed around deliveries and programme events is what another EIP-712 library says."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import orjson
import pytest

from backend.domain import deliveries, programme_events
from scripts import make_vectors
from scripts.make_bridge_vectors import ABIS, CONTRACT
from tests.contracts.world import typed_data, wallet_digest

pytestmark = pytest.mark.unit


def _from_json(types: Any, kind: str, value: Any) -> Any:
    """A committed message in the types that eth_account takes."""
    if kind.endswith("[]"):
        return [_from_json(types, kind[:-2], item) for item in value]
    if kind in types:
        return {name: _from_json(types, field, value[name]) for name, field in types[kind]}
    if kind.startswith("uint"):
        return int(value)
    return bytes.fromhex(value[2:]) if kind.startswith("bytes") else value


@pytest.mark.parametrize("primary", sorted(ABIS))
def test_the_bridges_digests_are_what_another_library_signs(primary: str) -> None:
    kept = orjson.loads((make_vectors.VECTORS / "bridge.json").read_bytes())[primary]
    module: ModuleType = deliveries if primary in deliveries.TYPES else programme_events
    domain = module.signing_domain(31337, CONTRACT)
    assert int(kept["count"]) == len(kept["vectors"]) > 0
    for vector in kept["vectors"]:
        message = _from_json(module.TYPES, primary, vector["message"])
        said = typed_data(domain, module.TYPES, primary, message)
        assert "0x" + wallet_digest(said).hex() == vector["digest"]
