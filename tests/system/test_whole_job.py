"""`causeway up`, the demo and every command, as a newcomer would run them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from backend.chain import calls
from backend.domain.instructions import RetirementInstruction
from backend.domain.serials import Interval
from backend.errors import ChainRejected, SerialsOverlap
from backend.store.custody import Custody
from backend.store.registry_requests import RegistryRequests
from tests.system.conftest import ROOT, Commands

pytestmark = pytest.mark.system

SAMPLE = ROOT / "backend" / "samples" / "sample-verra-vcu-export.csv"


def certificates_of(demo: dict[str, Any]) -> list[str]:
    return list(dict.fromkeys(s["certificate"] for s in demo["steps"] if "certificate" in s))


def test_the_demo_goes_on_with_new_lots(causeway: Commands, demo: dict[str, Any]) -> None:
    again = causeway.json("demo")
    first, second = (
        [s["receipt"] for s in run["steps"] if "receipt" in s] for run in (demo, again)
    )
    assert len(first) == len(second) == 2
    assert not set(first) & set(second)
    audit = again["steps"][-1]["facts"]
    assert sum("holds" in fact.split("  ")[0] or " holds " in fact for fact in audit) == 11


def test_a_certificate_leads_to_confirmed_serials_in_every_way(
    causeway: Commands, demo: dict[str, Any]
) -> None:
    expected, chosen = certificates_of(demo)
    found = causeway.json("certificate", chosen)
    runs = [run for piece in found["pieces"] for run in piece["serials"]]
    assert found["retirement"]["status"] == "confirmed"
    assert all(run["confirmation_id"] for run in runs)
    assert runs != [run for piece in found["pieces"] for run in piece["expected"]]
    traced = causeway.json("trace", f"{runs[0]['series']}/{runs[0]['first']}")
    assert traced["state"] == "retired and confirmed"
    assert [one["certificate_id"] for one in traced["retirements"]] == [chosen]
    url = causeway.settings.api_url
    answer = httpx.get(f"{url}/v1/certificates/{expected}")
    assert answer.json()["data"]["retirement"]["status"] == "confirmed"
    page = httpx.get(f"{url}/certificates/{expected}")
    assert page.status_code == 200
    assert "Sample Beneficiary Ltd" in page.text


def test_the_audit_and_a_recount_that_shares_no_code_agree(
    causeway: Commands, demo: dict[str, Any]
) -> None:
    newest = max((causeway.system.home / "demo").glob("custody-*.csv"))
    journal = str(causeway.system.home / "journal")
    causeway.run("journal", "export", journal)
    both = ("--custody", str(newest), "--journal", journal)
    report = causeway.json("audit", *causeway.where, *both)
    assert report["code"]["status"] == "holds"
    statuses = {name: law["status"] for name, law in report["laws"].items()}
    assert statuses == {f"L{number}": "holds" for number in range(1, 12)}
    without = causeway.json("audit", *causeway.where, "--custody", str(newest))["laws"]
    left_open = {name for name, law in without.items() if law["status"] == "not checked"}
    assert left_open == {"L6", "L9"}
    causeway.run("audit", *causeway.where, "--strict", expect=1)
    causeway.run("audit", "--rpc", "http://127.0.0.1:1", *causeway.where[2:], expect=2)
    settings = causeway.settings
    exchange = subprocess.run(
        [sys.executable, "scripts/recount_exchange.py", *causeway.where],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    assert exchange.returncode == 0, exchange.stderr
    recount = subprocess.run(
        [
            *(sys.executable, "scripts/recount.py", *causeway.where),
            *("--database-url", settings.require_database_url()),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert recount.returncode == 0, recount.stdout + recount.stderr


def test_l10_the_same_request_twice_has_the_effect_of_once(
    causeway: Commands, demo: dict[str, Any]
) -> None:
    words = ("transfer", "1", "1t", "--from", "wallet-1", "--to", "wallet-4", "--request", "once")
    first, second = causeway.json(*words), causeway.json(*words)
    assert first == second
    held = causeway.json("holdings", "wallet-4")["holdings"]
    assert [one["kilograms"] for one in held] == ["1000"]
    other = causeway.json(*words[:2], "2t", *words[3:], expect=1)
    assert other["error"] == "conflict"
    private = ("retire", "1", "7kg", "--from", "wallet-4", "--private", "--request", "mine")
    assert causeway.json(*private) == causeway.json(*private)


def test_an_instruction_is_checked_before_the_signature_and_bound_to_the_certificate(
    causeway: Commands, demo: dict[str, Any], tmp_path: Path
) -> None:
    content = {
        "beneficiary": "Sample Airline Ltd",
        "kind": "entity",
        "country": "HK",
        "use_case": "compliance",
        "scheme": "CORSIA",
        "scheme_period": "2030",
        "reason_code": "Other",
        "claim_start": "2025-01-01",
        "claim_end": "2025-12-31",
    }
    path = tmp_path / "instruction.json"
    path.write_text(json.dumps(content))
    words = ("retire", "1", "1kg", "--from", "wallet-1", "--instruction", str(path))
    before = causeway.json("holdings", "wallet-1")["holdings"]
    refused = causeway.json(*words, expect=1)
    assert refused["error"] == "programme-forbids"
    assert refused["values"]["fields"] == ["scheme_period"]
    assert causeway.json("holdings", "wallet-1")["holdings"] == before

    path.write_text(json.dumps(content | {"scheme_period": "2024-2026"}))
    (certificate,) = causeway.json(*words, "--request", "told")["certificates"]
    details = causeway.json("certificate", certificate)["retirement"]["texts"]
    said = RetirementInstruction.from_json(
        {"programme": "VCS", **content, "scheme_period": "2024-2026"}
    )
    assert details["instruction_hash"] == "0x" + said.hash.hex()
    assert details["purpose"] == "CORSIA 2024-2026"

    path.write_text(json.dumps(content | {"scheme_period": "2024-2026", "is_public": False}))
    first = causeway.json(*words, "--request", "quiet")
    assert causeway.json(*words, "--request", "quiet") == first
    with causeway.system.context() as context:
        kept = RegistryRequests(context.database).instruction(first["details_hash"])
    assert kept is not None
    assert (kept.beneficiary, kept.is_public) == ("Sample Airline Ltd", False)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("transfer", "1", "9999t", "--from", "wallet-1", "--to", "wallet-2"), "Balance"),
        (("transfer", "1", "1t", "--from", "wallet-1", "--to", "0x" + "11" * 20), "NotAdmitted"),
        (("retire", "1", "9999t", "--from", "wallet-4"), "Balance"),
        (("retire", "1", "1.5kg", "--from", "wallet-4"), "finer than one kilogram"),
        (("retire", "1", "--from", "wallet-4"), "is given unless"),
        (("tokenize", "VCS-990001000", "--to", "wallet-1"), "were imported"),
        (("tokenize", "GS-99", "--to", "wallet-1"), "were imported"),
        (("trace", "VCS:9/1"), "not a canonical"),
        (("certificate", "12"), "no certificate"),
        (("admit", "wallet-9", "--jurisdiction", "hk"), "alpha-2"),
    ],
)
def test_what_is_refused_says_why(
    causeway: Commands, demo: dict[str, Any], words: tuple[str, ...], error: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "backend.cli", *words, "--json"],
        cwd=ROOT,
        env=causeway.system.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (1, 2)
    assert error in json.loads(done.stdout)["message"]
    assert "Traceback" not in done.stderr


def test_a_frozen_wallet_neither_sends_nor_receives_until_the_order_is_lifted(
    causeway: Commands, demo: dict[str, Any]
) -> None:
    causeway.run("freeze", "wallet-3", "--order", "HCA 1/2026")
    for way in (("wallet-3", "wallet-2"), ("wallet-2", "wallet-3")):
        words = ("transfer", "1", "1kg", "--from", way[0], "--to", way[1])
        assert "Frozen" in causeway.json(*words, expect=1)["message"]
    assert (
        "Frozen" in causeway.json("retire", "1", "1kg", "--from", "wallet-3", expect=1)["message"]
    )
    causeway.run("freeze", "wallet-3", "--order", "HCA 1/2026", "--lift")
    causeway.run("transfer", "1", "1kg", "--from", "wallet-3", "--to", "wallet-2")


def test_l2_a_serial_in_trust_is_refused_by_postgres_before_the_chain(
    causeway: Commands, demo: dict[str, Any]
) -> None:
    receipt = next(s["receipt"] for s in demo["steps"] if "receipt" in s)
    with causeway.system.context() as context:
        held = Custody(context.database).receipt(receipt)
        block = held.receipt.intervals[0]
        # In the middle: the demo retires from both ends, and what it delivered has left the block.
        middle = (block.first + block.last) // 2
        one = Interval(block.series, middle, middle)
        later = replace(held.receipt, intervals=(one,))
        with pytest.raises(SerialsOverlap) as refused:
            Custody(context.database).draft(later, held.chain_id, held.trust)
    taken = refused.value.values
    assert block.first <= taken["taken_first"] <= middle <= taken["taken_last"] <= block.last


def test_a_receipt_for_a_stranger_is_refused_before_anybody_signs(
    causeway: Commands, demo: dict[str, Any]
) -> None:
    words = ("tokenize", "VCS-990004", "--tonnes", "5", "--to", "0x" + "22" * 20)
    assert "not admitted" in causeway.json(*words, expect=1)["message"]


def test_a_cancelled_receipt_gives_its_serials_back(
    causeway: Commands, demo: dict[str, Any]
) -> None:
    words = ("tokenize", "VCS-990004", "--tonnes", "5", "--to", "wallet-1", "--draft")
    (drafted,) = causeway.json(*words)["receipts"]
    cancelled = causeway.json("cancel-receipt", drafted["receipt_id"])
    assert cancelled["state"] == "cancelled"
    (again,) = causeway.json(*words[:-1])["receipts"]
    assert (again["state"], again["serials"]) == ("minted", drafted["serials"])
    causeway.json("cancel-receipt", again["receipt_id"], expect=1)


@pytest.fixture
def silent_registry(causeway: Commands) -> Iterator[None]:
    """The registry answers nobody: what the worker would confirm by itself waits for a person."""
    registry = causeway.system.pids()["registry"]
    os.kill(registry, signal.SIGSTOP)
    yield
    os.kill(registry, signal.SIGCONT)


def test_a_confirmation_that_a_stranger_submits_first_is_recorded(
    causeway: Commands, demo: dict[str, Any], silent_registry: None
) -> None:
    words = ("retire", "1", "1t", "--from", "wallet-1", "--beneficiary", "Sample Ltd")
    (certificate,) = causeway.json(*words)["certificates"]
    with causeway.system.context() as context:
        (held,) = context.bridge.confirmations.draft(
            int(certificate), "R", 20260601, None, b"e" * 32
        )
        for name in ("custodian", "attestor"):
            signed = context.bridge.confirmations.sign(held.id, context.key(name))
        data = calls.record_registry_retirement(
            held.retirement,
            [],
            context.contracts.settled_firsts(held.retirement.class_id),
            [(one.signer, one.signature) for one in signed.approvals],
        )
        records = context.deployment["RegistryRecords"]
        with suppress(ChainRejected):  # the worker may have been faster
            context.sender.submit("stranger", context.key("wallet-2"), records, data, gas=3_000_000)
            context.sender.wait("stranger", 30)
    for _ in range(60):
        found = causeway.json("certificate", certificate)
        if found["retirement"]["status"] == "confirmed":
            break
        time.sleep(0.5)
    with causeway.system.context() as context:
        payer = context.key("bridge")
        assert context.bridge.confirmations.advance(held.id, payer).state.value == "recorded"


def test_an_import_twice_changes_nothing_and_a_rebuilt_index_is_the_same(
    causeway: Commands, demo: dict[str, Any]
) -> None:
    again = causeway.json("import", str(SAMPLE))
    assert again["known"] is True
    before = causeway.json("holdings", "wallet-1")
    causeway.run("index", "rebuild")
    causeway.run("index", "check")
    after = causeway.json("holdings", "wallet-1")
    # The venue anchors its journal by a timer: the chain may have grown meanwhile.
    assert int(after.pop("chain_block")) >= int(before.pop("chain_block"))
    assert after == before
    status = causeway.json("index", "status")
    assert int(status["behind"]) <= 1


def test_a_dry_run_needs_no_service_and_prints_one_object_a_file(tmp_path: Path) -> None:
    missing = tmp_path / "missing.csv"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "backend.cli", "import", "--dry-run", "--json"),
            *(str(SAMPLE), str(missing)),
        ],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "CAUSEWAY_HOME": str(tmp_path / "nowhere")},
        capture_output=True,
        text=True,
        check=False,
    )
    first, second = (json.loads(line) for line in done.stdout.splitlines())
    assert done.returncode == 2
    assert (first["rows"], first["overlaps"], first["programme"]) == (174, [], "VCS")
    assert (second["file"], second["layout"]) == (str(missing), None)


def test_a_wallet_trades_from_the_command_line(causeway: Commands, demo: dict[str, Any]) -> None:
    causeway.run("issue-test-money", "2000", "HKD", "--to", "wallet-4")
    causeway.run("deposit", "2000", "HKD", "--from", "wallet-4")
    causeway.run("deposit", "2t", "1", "--from", "wallet-1")
    deadline = time.monotonic() + 120
    while not causeway.json("account", "wallet-4")["account"]["balances"]:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    sold = causeway.json("order", "sell", "2", "1", "--price", "60", "--from", "wallet-1")
    proof = causeway.system.home / "answer.json"
    bought = causeway.json(
        *("order", "buy", "1", "1", "--price", "60.00", "--from", "wallet-4"),
        *("--time-in-force", "ioc", "--keep", str(proof)),
    )
    assert sold["status"] == bought["status"] == "accepted"
    assert bought["filled"] == "1"
    assert proof.exists()
    book = causeway.json("book", "1")
    # What rested at a better price came first.
    assert {"price": "60000000", "tonnes": "2", "orders": "1"} in book["asks"]
    assert int(book["asks"][0]["price"]) < 60_000_000
    assert causeway.json("trades", "1")[0]["quantity"] == "1"
    cancelled = causeway.json("cancel", sold["nonce"], "--from", "wallet-1")
    assert cancelled["status"] == "accepted"
    states = {one["nonce"]: one["state"] for one in causeway.json("orders", "wallet-1")}
    assert states[sold["nonce"]] == "cancelled"
    bought = ("order", "buy", "999", "1", "--price", "60", "--from", "wallet-4")
    refused = causeway.json(*bought, expect=1)
    assert (refused["status"], refused["reason"]) == ("refused", "not_enough")
    causeway.run("order", "buy", "0", "1", "--price", "60", "--from", "wallet-4", expect=1)
    causeway.run("withdraw", "100", "HKD", "--from", "wallet-4")
    causeway.run("exit", "HKD", "--from", "wallet-4")
    causeway.run("exit", "HKD", "--cancel", "--from", "wallet-4")
    causeway.run("exit", "HKD", "--execute", "--from", "wallet-4", expect=1)
