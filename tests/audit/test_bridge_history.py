"""Deliveries, refunds, gaps, conversions and records on a real chain: sound, and counted alike."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from backend import audit
from backend.indexer import Indexer
from backend.local.anvil import Anvil
from backend.store import index
from backend.store.database import Database
from backend.store.queries import deliveries, shortfalls
from tests.audit.scene import SMALL, Scene

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
    bridged: Scene, database_url: str, request: pytest.FixtureRequest
) -> None:
    database = Database(database_url)
    request.addfinalizer(database.close)
    database.migrate()
    Indexer(bridged.rpc, bridged.deployment, database).advance()
    script = [sys.executable, str(REPOSITORY / "scripts/recount.py"), "--rpc", bridged.anvil.url]
    command = [*script, "--deployment", str(bridged.path), "--database-url", database_url]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
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
