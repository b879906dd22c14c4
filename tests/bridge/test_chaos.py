"""The small version of scripts/chaos_bridge.py: mixed flows against a registry full of faults."""

from __future__ import annotations

import pytest

from tests.bridge.chaos import Chaos
from tests.bridge.scene import Scene

pytestmark = pytest.mark.integration


def test_l2_l3_l4_after_chaos_registry_custody_and_chain_agree_to_the_kilogram(
    scene: Scene,
) -> None:
    chaos = Chaos(scene, seed=7)
    chaos.run(20)
    chaos.check()
