"""Deliveries, refunds, gaps, conversions and records on a real chain: sound, and counted alike."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from backend import audit
from backend.chain import bridge_calls
from backend.chain.keys import Key
from backend.domain import programme_events
from backend.domain.programme_events import Invalidation, Kind, ProgrammeEvent
from backend.indexer import Indexer
from backend.local.anvil import Anvil
from backend.store import index
from backend.store.database import Database
from backend.store.queries import deliveries, shortfalls
from scripts.bridge_history import BridgeActs
from tests.audit.scene import SMALL, Scene
from tests.chain_time import pass_time

pytestmark = pytest.mark.integration

REPOSITORY = Path(__file__).resolve().parents[2]
PLAN = replace(
    SMALL, transfers=10, retirements=10, reorganisations=1, confirmations=2, closings=1, bridge=True
)


@pytest.fixture(scope="module")
def bridged(anvil: Anvil, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return Scene(anvil, tmp_path_factory.mktemp("bridged"), PLAN)


def test_a_history_of_the_bridge_holds_in_every_law(bridged: Scene) -> None:
    report = bridged.audit()
    assert report.broken == [], [one.what for law in report.laws.values() for one in law.breaks]
    figures = {name: law.figures for name, law in report.laws.items()}
    assert figures["L8"]["deliveries"] == figures["L8"]["refunds"] * 2 > 0
    assert figures["L4"]["deliveries_finalised"] == figures["L8"]["refunds"]
    assert figures["L4"]["made_good"] == figures["L4"]["failures"] > 0
    assert figures["L3"]["substituted_tonnes"] == figures["L2"]["rebound_tonnes"] > 0
    assert figures["L3"]["claimed_kilograms"] == figures["L3"]["converted_kilograms"] > 0
    assert figures["L3"]["passed_tonnes"] > 0
    assert figures["L3"]["shortfall_tonnes"] == 0
    assert report.laws["L5"].status is audit.Status.HOLDS


def test_recount_and_index_say_the_same(
    bridged: Scene, migrated_url: str, request: pytest.FixtureRequest
) -> None:
    database = Database(migrated_url)
    request.addfinalizer(database.close)
    Indexer(bridged.rpc, bridged.deployment, database).advance()
    script = [sys.executable, str(REPOSITORY / "scripts/recount.py"), "--rpc", bridged.anvil.url]
    command = [*script, "--deployment", str(bridged.path), "--database-url", migrated_url]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, (done.stdout[-2_000:], done.stderr)
    counted = json.loads(done.stdout)["classes"]
    assert sum(int(one["delivered_tonnes"]) for one in counted.values()) > 0
    with database.begin() as connection:
        index.check_conservation(connection)
        found = deliveries.list_deliveries(connection, limit=100).items
        assert {one.state for one in found} == {"finalised", "refunded"}
        for class_id, one in shortfalls.shortfalls_of(
            connection, [int(class_id) for class_id in counted]
        ).items():
            assert one.uncovered == 0
            assert one.flags == 0
            assert one.gap_tonnes == int(counted[str(class_id)]["gap_tonnes"])
            stored = bridged.contracts.read("Gaps", "shortfall", class_id)
            assert stored["gapTonnes"] == one.gap_tonnes
            assert stored["lockedKilograms"] == one.locked_kilograms


# ── bent on chain ────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def scene(bridged: Scene) -> Iterator[Scene]:
    """The history; what the test does to it is undone afterwards."""
    snapshot = bridged.rpc.call("evm_snapshot")
    log = dict(bridged.history.log.rows)  # type: ignore[attr-defined]
    yield bridged
    bridged.rpc.call("evm_revert", snapshot)
    bridged.history.log.rows = log  # type: ignore[attr-defined]


def holder_of(scene: Scene, least: int) -> tuple[Key, int]:
    scene.history.refresh()
    for (address, class_id), held in scene.history.safe.items():
        if held >= least:
            return scene.keys.by_address(address), class_id
    raise AssertionError("nobody holds so much")


def test_l8_a_retirement_of_a_held_class_is_found(scene: Scene) -> None:
    """A hold is published, and the token's slot is made to forget it."""
    holder, class_id = holder_of(scene, 2_000)
    acts = BridgeActs(scene.history, [])
    event = ProgrammeEvent(Kind.HOLD, class_id, "", "review", 20260601, bytes(32), 77)
    acts.signed("ProgrammeEvents", programme_events, "publish", event)
    for slot in scene.slots("CarbonCredits", "positions", class_id):
        word = scene.word("CarbonCredits", slot)
        scene.store("CarbonCredits", slot, word & ~(0xFF << 224))
    acts.retire(holder, class_id, 1_000)
    breaks = scene.breaks("L8")
    assert any("were retired while a hold stands" in one.what for one in breaks)


def test_l3_dead_serials_are_a_shortfall_until_others_take_their_place(scene: Scene) -> None:
    _, class_id = holder_of(scene, 8_000)
    acts = BridgeActs(scene.history, [])
    state = scene.contracts.positions(class_id).positions
    dead = acts._piece(class_id, state.exited, 1)
    named = Invalidation(class_id, state.exited, dead, "over-issued", 20260601, bytes(32))
    acts.signed("ProgrammeEvents", programme_events, "invalidate", named, 0)
    (short,) = scene.breaks("L3")
    assert "1 t outstanding stand on no live credit" in short.what
    assert short.serials == (str(dead),)
    assert short.amounts["kinds"] == "invalidated"


def test_l3_gaps_that_are_stored_otherwise_are_found(scene: Scene) -> None:
    class_id = next(
        one
        for one in scene.history.class_ids
        if scene.contracts.read("Gaps", "shortfall", one)["gapTonnes"]
    )
    for slot in scene.slots("Gaps", "shortfall", class_id):
        scene.store("Gaps", slot, scene.word("Gaps", slot) + 1)
    assert any("the shortfall is stored as" in one.what for one in scene.breaks("L3"))


def test_l8_a_stranded_holder_is_refunded_in_dispute_without_anybody(scene: Scene) -> None:
    """The operator's processes are stopped: the holder alone, at the second deadline."""
    holder, class_id = holder_of(scene, 2_000)
    acts = BridgeActs(scene.history, [])
    request = bridge_calls.request_delivery(holder.address, class_id, 1, "ACC-LOAD")
    acts.send(holder, "Deliveries", request)
    delivery_id = int(scene.contracts.read("Deliveries", "deliveryCount"))
    acts.send(scene.key("custodian"), "Deliveries", bridge_calls.begin_delivery(delivery_id))
    pass_time(scene.rpc.call, 22 * 86_400)
    acts.send(holder, "Deliveries", bridge_calls.refund_delivery(delivery_id))
    (short,) = scene.breaks("L3")
    assert short.amounts["kinds"] == "disputed"
    assert scene.audit().broken == ["L3"]
