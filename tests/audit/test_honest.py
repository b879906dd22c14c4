"""An honest history holds in every law that can be judged, and the recount agrees with it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from sqlalchemy import text

from backend import audit
from backend.audit import Status
from backend.chain import abi, calls
from backend.indexer import Indexer
from backend.store.database import Database
from scripts.load_history import Plan, make, write_export
from tests.audit.scene import Scene
from tests.chain_time import pass_time
from tests.shared_data import requires_shared_data

pytestmark = pytest.mark.integration

REPOSITORY = Path(__file__).resolve().parents[2]
JUDGED = ("L1", "L2", "L3", "L4", "L5", "L7", "L8", "L10", "L11")


def recount(scene: Scene) -> tuple[int, dict[str, Any]]:
    """Exit code and answer of the script that shares nothing with the backend."""
    script = [sys.executable, str(REPOSITORY / "scripts/recount.py")]
    done = subprocess.run(
        [*script, "--rpc", scene.anvil.url, "--deployment", str(scene.path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, json.loads(done.stdout)


def test_an_honest_history_holds_in_every_judged_law(scene: Scene) -> None:
    report = scene.audit()
    assert {name: str(report.laws[name].status) for name in JUDGED} == dict.fromkeys(
        JUDGED, "holds"
    )
    assert report.broken == []
    figures = report.laws["L1"].figures
    assert figures["classes"] == 6
    assert figures["supply_kilograms"] == (
        (figures["minted_tonnes"] - figures["exited_tonnes"]) * 1000 + figures["dust_kilograms"]
    )
    assert report.laws["L4"].figures["confirmations"] > 2
    assert report.laws["L2"].figures["exchanges"] > 0
    assert report.laws["L5"].figures["signatures"] == 2 * report.laws["L5"].figures["acts"]


def test_what_cannot_be_judged_says_why(scene: Scene) -> None:
    report = scene.audit(custody=[])
    assert report.not_checked == ["L6", "L9", "code"]
    assert report.laws["L3"].figures["mints_proven"] > 0
    assert "--journal" in report.laws["L6"].reason
    assert "--journal" in report.laws["L9"].reason


def test_strict_fails_on_what_was_not_checked(scene: Scene) -> None:
    report = scene.audit()
    assert audit.exit_code(report) == 0
    assert audit.exit_code(report, strict=True) == 1


def test_a_file_that_is_no_journal_is_not_taken_for_one(scene: Scene, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    journal.write_bytes(b"entries")
    law = scene.audit(journal=journal).laws["L9"]
    assert law.status is Status.BROKEN
    assert "does not begin like an exported journal" in law.reason


def test_the_code_is_what_the_sources_compile_to(scene: Scene) -> None:
    report = audit.run(scene.anvil.url, scene.path)
    assert report.code.status is Status.HOLDS
    assert report.code.reason == "compiled from source, byte for byte"


def test_the_recount_agrees_with_the_audit(scene: Scene) -> None:
    code, counted = recount(scene)
    assert (code, counted["differences"]) == (0, [])
    figures = scene.audit().laws["L1"].figures
    classes = counted["classes"].values()
    assert sum(int(one["supply_kilograms"]) for one in classes) == figures["supply_kilograms"]
    assert sum(int(one["exited_tonnes"]) for one in classes) == figures["exited_tonnes"]
    assert sum(int(one["dust_kilograms"]) for one in classes) == figures["dust_kilograms"]
    assert len(counted["certificates"]) == scene.audit().laws["L4"].figures["certificates"]
    for certificate in counted["certificates"].values():
        for side in ("expected", "now"):
            parts = sum(int(part["kilograms"]) for part in certificate[side])
            assert parts == int(certificate["kilograms"])


def test_the_recount_finds_a_changed_balance(scene: Scene) -> None:
    wallet, class_id = scene.history.wallets[0].address, scene.history.class_ids[0]
    (slot,) = scene.slots("CarbonCredits", "balanceOf", wallet, class_id)
    scene.store("CarbonCredits", slot, scene.word("CarbonCredits", slot) + 7)
    code, counted = recount(scene)
    assert code == 1
    assert len(counted["differences"]) == 1


def test_the_report_is_json_with_integers_as_strings(scene: Scene) -> None:
    found = json.loads(json.dumps(audit.as_json(scene.audit())))
    assert found["block"] == str(scene.rpc.block_number())
    assert list(found["laws"]) == [f"L{number}" for number in range(1, 12)]
    for law in found["laws"].values():
        assert set(law) == {"status", "reason", "figures", "breaks"}
        assert all(isinstance(value, str) for value in law["figures"].values())


def test_people_get_a_table_with_every_law(scene: Scene) -> None:
    console = Console(width=120, record=True, file=(scene.directory / "table").open("w"))
    audit.render(scene.audit(), console)
    shown = console.export_text()
    assert all(f"L{number}" in shown for number in range(1, 12))
    console.file.close()


def test_progress_is_reported(scene: Scene) -> None:
    seen: list[tuple[str, int, int]] = []
    scene.audit(progress=lambda what, done, total: seen.append((what, done, total)))
    assert {"logs", "balances", "serials of positions"} <= {what for what, _, _ in seen}
    assert all(0 <= done <= total for _, done, total in seen)


def test_acts_of_law_with_their_signatures_hold(scene: Scene) -> None:
    first, second = (wallet.address for wallet in scene.history.wallets[:2])
    class_id = scene.history.class_ids[0]
    reason = b"\x11" * 32
    scene.legal("setFrozen", "hashFreeze", [first, True, reason, 1], "freezer")
    frozen = scene.audit()
    assert frozen.broken == []
    assert frozen.laws["L8"].figures["frozen_by_order"] == 1
    held = scene.contracts.balance_of(first, class_id)
    orders = [
        [0, first, second, [class_id], [held // 2], reason, 1],
        [1, first, second, scene.history.class_ids, [], reason, 2],
        [0, first, second, [class_id], [1], reason, 3],
    ]
    for order in orders:
        scene.legal("schedule", "hashOrder", [order], "enforcer")
    cancelled = scene.contracts.read("LegalOrders", "hashOrder", orders[2])
    scene.legal("cancel", "hashCancel", [cancelled], "enforcer")
    pass_time(scene.rpc.call, 3 * 86_400)
    for order in orders[:2]:
        data = abi.encode_call("LegalOrders", "execute", [order])
        scene.send(scene.key("enforcer"), "LegalOrders", data)
    scene.legal("setFrozen", "hashFreeze", [first, False, reason, 2], "freezer")
    report = scene.audit()
    assert report.broken == []
    assert report.laws["L8"].figures["frozen_by_order"] == 0
    assert scene.contracts.balance_of(first, class_id) == 0


def test_an_operator_that_was_approved_may_move_and_retire(scene: Scene) -> None:
    holder, operator = scene.history.wallets[:2]
    class_id = next(
        one
        for one in scene.history.class_ids
        if scene.contracts.balance_of(holder.address, one) > 9
    )
    scene.send(holder, "CarbonCredits", calls.approve_operator(operator.address, True))
    scene.send(
        operator, "CarbonCredits", calls.transfer(holder.address, operator.address, class_id, 5)
    )
    args = (holder.address, class_id, 3, operator.address, b"\x01" * 32)
    scene.send(operator, "CarbonCredits", abi.encode_call("CarbonCredits", "retire", args))
    scene.send(holder, "CarbonCredits", calls.approve_operator(operator.address, False))
    assert scene.audit().broken == []


def test_nobody_can_make_the_audit_fail_by_moving_nothing(scene: Scene) -> None:
    anybody, other = scene.history.wallets[:2]
    data = calls.transfer(anybody.address, other.address, 12345, 0)
    scene.send(anybody, "CarbonCredits", data)
    assert scene.audit().broken == []


def test_nobody_can_make_the_audit_fail_by_texts_that_are_not_utf8(scene: Scene) -> None:
    holder = scene.history.wallets[0]
    class_id = next(
        one
        for one in scene.history.class_ids
        if scene.contracts.balance_of(holder.address, one) > 9
    )
    args = (holder.address, class_id, 7, holder.address, "????", "p", "2025", b"\0" * 32)
    data = abi.encode_call("CarbonCredits", "retirePublicly", args)
    scene.send(holder, "CarbonCredits", data.replace(b"????", b"\xff\xfe\x80\xc0"))
    report = scene.audit()
    assert report.broken == []
    assert report.laws["L4"].status is Status.HOLDS


def test_a_cancelled_receipt_holds(scene: Scene) -> None:
    one, interval = scene.fresh_lots()[0]
    receipt_id = scene.receipt(one, interval).digest(scene.history.domain)
    scene.send(scene.key("attestor"), "Trust", calls.cancel_receipt(receipt_id))
    report = scene.audit()
    assert report.broken == []
    assert report.laws["L10"].figures["receipts_cancelled"] == 1


def test_a_mint_through_another_contract_is_checked_by_its_trace(scene: Scene) -> None:
    scene.mint_through_a_contract()
    law = scene.audit().laws["L5"]
    assert law.status is Status.HOLDS
    assert (law.figures["acts_by_trace"], law.figures["acts_without_call"]) == (1, 0)
    assert law.figures["signatures"] == 2 * law.figures["acts"]


@requires_shared_data
def test_a_real_export_with_classes_transfers_and_reorganisations_holds(
    scene: Scene, shared_data: Path
) -> None:
    export = shared_data / "offsetsdb/verra/transactions.csv"
    plan = Plan(
        classes=12, transfers=60, retirements=40, wallets=6, reorganisations=3, confirmations=6,
        closings=2, seed=7,
    )  # fmt: skip
    made = make(scene.rpc, scene.deployment, scene.keys, [export], plan)
    after = scene.directory / "real.csv"
    write_export(export, after, made.confirmed_serials())
    report = scene.audit(custody=[scene.export, after])
    assert report.broken == []
    assert report.laws["L3"].status is Status.HOLDS
    assert report.laws["L1"].figures["classes"] == 18
    assert recount(scene)[0] == 0


def test_the_index_says_what_the_recount_says(
    scene: Scene, migrated_url: str, request: pytest.FixtureRequest
) -> None:
    database = Database(migrated_url)
    request.addfinalizer(database.close)
    Indexer(scene.rpc, scene.deployment, database).advance()
    script = [sys.executable, str(REPOSITORY / "scripts/recount.py"), "--rpc", scene.anvil.url]
    command = [*script, "--deployment", str(scene.path), "--database-url", migrated_url]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert (done.returncode, json.loads(done.stdout)["differences"]) == (0, []), done.stderr
    with database.begin() as connection:
        connection.execute(
            text("UPDATE balances SET kilograms = kilograms + 1 WHERE kilograms > 9")
        )
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 1
    assert all(row.startswith("balances") for row in json.loads(done.stdout)["differences"])
