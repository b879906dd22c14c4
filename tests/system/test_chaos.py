"""Kill -9 of anything and reorganisations under load: nothing lost, nothing doubled (L10)."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import pytest

from scripts import chaos

pytestmark = pytest.mark.system

SAMPLE = Path(__file__).resolve().parents[2] / "backend/samples/sample-verra-vcu-export.csv"


@pytest.mark.parametrize(("kills", "reorganisations"), [(6, 0), (0, 6)])
def test_l10_everything_that_was_acknowledged_is_there_once(
    tmp_path: Path, kills: int, reorganisations: int
) -> None:
    for parent in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        os.chmod(parent, 0o755)
    options = argparse.Namespace(
        export=SAMPLE,
        classes=6,
        transfers=60,
        retirements=30,
        wallets=6,
        kills=kills,
        reorganisations=reorganisations,
        seed=7,
    )
    report = chaos.run(options, tmp_path / "home")
    log = (tmp_path / "home.log").read_text(errors="replace")
    assert report["differences"] == [], log[-3000:]
    assert report["audit_exit"] == 0, report["laws"]
    assert report["recount_exit"] == 0, report["recount_says"]
    assert sum(report["troubles"].values()) == kills + reorganisations
