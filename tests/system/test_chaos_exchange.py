"""The exchange as processes, under load and kill -9: what was promised stands, once (L6–L10)."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import pytest

from scripts import chaos_exchange

pytestmark = pytest.mark.system

SAMPLE = Path(__file__).resolve().parents[2] / "backend/samples/sample-verra-vcu-export.csv"


def test_l10_every_promise_of_the_sequencer_stands_once_through_kills_and_exits(
    tmp_path: Path,
) -> None:
    for parent in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        os.chmod(parent, 0o755)
    options = argparse.Namespace(
        export=SAMPLE,
        classes=4,
        wallets=6,
        commands=600,
        kills=5,
        only=None,
        standby=True,
        exits=1,
        seed=11,
        window=15,
    )
    report = chaos_exchange.run(options, tmp_path / "home")
    log = (tmp_path / "home.log").read_text(errors="replace")
    assert report["differences"] == [], log[-3000:]
    assert report["laws_that_do_not_hold"] == {}, report
    assert report["audit_exit"] == 0, report["audit_says"]
    assert report["recount_exit"] == 0, report["recount_says"]
    assert report["replay_exit"] == 0
    assert sum(report["troubles"].values()) == 5
    assert int(report["trades"]) > 0
