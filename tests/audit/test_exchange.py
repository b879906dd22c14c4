"""L5 to L11 of an honest venue: everything holds, with a journal nothing is left but reserves."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from backend.audit import Status
from backend.chain.blueprint import DEVELOPER_SHARE_BPS
from backend.chain.keys import sign_digest
from backend.domain.acknowledgements import acknowledgement_digest, leaf, tree
from backend.domain.batches import FIRST_CLASS
from backend.domain.commands import EndExit
from backend.domain.journal import hash_entry
from tests.audit.journal_maker import relink
from tests.audit.market import PRICE, Market

pytestmark = pytest.mark.integration

REPOSITORY = Path(__file__).resolve().parents[2]
VENUE = ("L5", "L6", "L7", "L8", "L9", "L10", "L11")


def recount(market: Market, *options: str) -> tuple[int, dict[str, Any]]:
    """Exit code and answer of the script that shares nothing with the backend."""
    script = [sys.executable, str(REPOSITORY / "scripts/recount_exchange.py")]
    where = ["--rpc", market.scene.anvil.url, "--deployment", str(market.scene.path)]
    done = subprocess.run(
        [*script, *where, *options], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, json.loads(done.stdout)


def test_an_honest_venue_holds_in_every_law(market: Market, tmp_path: Path) -> None:
    report = market.audit(journal=market.journal(tmp_path / "journal"))
    laws = report.laws
    assert {name: (str(laws[name].status), laws[name].reason) for name in laws} == {
        name: ("holds", laws[name].reason) for name in laws
    }
    assert report.not_checked == ["code"]
    figures = laws["L6"].figures
    assert (figures["trades"], figures["voided_trades"]) == (7, 1)
    assert laws["L9"].figures["trades_compared"] == 7
    assert laws["L9"].figures["entries_replayed"] == len(market.maker.entries)
    tried = laws["L8"].figures
    assert min(tried["claims_tried"], tried["exits_tried"]) > 0
    assert tried["retirements_tried"] == 1
    assert (tried["exits_ended"], tried["exits_running"]) == (2, 1)


def test_without_a_journal_only_what_needs_one_is_not_checked(market: Market) -> None:
    report = market.audit()
    assert report.broken == []
    assert report.not_checked == ["L6", "L9", "code"]
    for law in ("L6", "L9"):
        assert "no journal given (--journal)" in report.laws[law].reason


def test_a_journal_that_ends_early_is_not_taken_for_the_whole(
    market: Market, tmp_path: Path
) -> None:
    path = market.maker.write(tmp_path / "journal", market.maker.entries[:-12])
    report = market.audit(journal=path)
    assert report.broken == []
    for law in ("L6", "L9"):
        assert report.laws[law].status is Status.NOT_CHECKED
        assert "the journal ends at entry" in report.laws[law].reason


def test_the_recount_agrees_with_the_contract_and_with_the_engine(
    market: Market, tmp_path: Path
) -> None:
    engine = market.maker.engine
    told = [
        {"account": trader.address, "asset": str(asset), "available": str(held[0]),
         "reserved": str(held[1])}
        for trader in market.traders
        for asset, held in engine.balances(trader.account).items()
    ]  # fmt: skip
    (tmp_path / "balances.json").write_text(json.dumps(told))
    code, counted = recount(market, "--balances", str(tmp_path / "balances.json"))
    assert counted["differences"] == []
    assert code == 0
    assert (counted["trades"], counted["voided"], counted["deposits"]) == ("7", "1", "8")
    assert set(counted["totals"]) == {str(market.money), str(market.instrument)}
    told[0]["available"] = str(int(told[0]["available"]) + 1)
    (tmp_path / "balances.json").write_text(json.dumps(told))
    code, counted = recount(market, "--balances", str(tmp_path / "balances.json"))
    assert (code, len(counted["differences"])) == (1, 1)


def test_the_recount_finds_a_changed_balance(market: Market) -> None:
    who = market.traders[0].address
    (slot,) = market.scene.slots("Exchange", "accountOf", who, market.money)
    market.scene.store("Exchange", slot, market.scene.word("Exchange", slot) + 7)
    code, counted = recount(market)
    assert code == 1
    assert any(who.lower() in one for one in counted["differences"])


def test_fees_are_what_the_trades_paid_each_rounded_down(market: Market) -> None:
    operator, developer = market.read("feesOf", market.money).values()
    batches = (PRICE * 10 // 10_000 + PRICE * 25 // 10_000,) * 3
    assert operator + developer == sum(batches)
    assert developer == sum(fee * DEVELOPER_SHARE_BPS // 10_000 for fee in batches)
    assert market.instrument >= FIRST_CLASS


def test_an_exit_that_nobody_executed_lapses_without_a_log(market: Market, tmp_path: Path) -> None:
    leaving = market.traders[3]
    asked = market.read("accountOf", leaving.address, market.money)["exitRequestedAt"]
    market.pass_time(3 * market.window + 1)
    market.sync()
    end = EndExit(market.rpc.block_number(), 1 << 31, leaving.account, market.money, 0)
    market.maker.add(end)
    report = market.audit(journal=market.journal(tmp_path / "journal"))
    assert report.broken == []
    assert report.laws["L8"].figures["exits_lapsed"] == 1
    early = end._replace(block=_block_at(market, asked))
    entries = relink(
        market.maker.entries,
        lambda seq, entry: entry._replace(command=early) if entry.command == end else entry,
    )
    path = market.maker.write(tmp_path / "early", entries)
    law = market.audit(journal=path).laws["L9"]
    assert any("is not on chain" in one.what for one in law.breaks)


def _block_at(market: Market, time: int) -> int:
    """The last chain block not later than a time."""
    number = market.rpc.block_number()
    while True:
        block = market.rpc.block(number)
        assert block is not None
        if block.timestamp <= time:
            return number
        number -= 1


def acknowledgement(market: Market, seq: int, entry_hash: bytes, key: bytes) -> dict[str, Any]:
    """An answer as the API gives it, of a commit of two entries."""
    root, paths = tree([leaf(seq, entry_hash), leaf(seq + 1, bytes(32))])
    steps = [{"left": step.left, "hash": "0x" + step.hash.hex()} for step in paths[0]]
    signature = sign_digest(key, acknowledgement_digest(market.domain, root))
    return {
        "seq": str(seq),
        "entry_hash": "0x" + entry_hash.hex(),
        "acknowledgement": {"path": steps, "signature": "0x" + signature.hex()},
    }


def test_an_acknowledged_entry_is_in_the_journal_or_the_journal_is_another(
    market: Market, tmp_path: Path
) -> None:
    key = market.sequencer.private_key
    held = hash_entry(market.maker.entries[9].entry)
    path = tmp_path / "answer.json"

    def law(answer: object) -> Any:
        path.write_text(json.dumps(answer))
        journal = market.journal(tmp_path / "journal")
        return market.audit(journal=journal, acknowledgements=[path]).laws["L9"]

    honest = law([acknowledgement(market, 10, held, key)])
    assert (honest.status, honest.figures["acknowledgements"]) == (Status.HOLDS, 1)
    other = law(acknowledgement(market, 10, bytes(32), key))
    assert other.breaks[0].amounts["seq"] == 10
    assert "the sequencer acknowledged entry 10" in other.breaks[0].what
    lost = law(acknowledgement(market, 10_000, held, key))
    assert "ends at entry" in lost.breaks[0].what
    stranger = law(acknowledgement(market, 10, held, market.watcher.private_key))
    assert "is no sequencer" in stranger.breaks[0].what
