"""What becomes of a note when the chain takes transactions back, decided by the pages' own script
and run by Node, without a browser."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from backend.local import binaries

pytestmark = pytest.mark.unit

SOURCE = Path(__file__).resolve().parents[2] / "backend" / "web" / "source" / "taken.ts"
#: (transactions of the note, its kind, transactions that are taken back, what becomes of it).
CASES: tuple[tuple[list[str], str, list[str], str], ...] = (
    (["a"], "good", ["a"], "warn"),
    (["a", "b"], "good", ["b"], "warn"),
    # Another's transaction, a refusal or what is being asked for, an order without a transaction.
    (["a"], "good", ["b"], "leave"),
    (["a"], "", ["a"], "leave"),
    ([], "good", ["a"], "leave"),
    # Two were taken back: the warning stays until both stand again.
    (["a"], "warn", ["a", "b"], "leave"),
    (["a"], "warn", ["b"], "leave"),
    (["a"], "warn", [], "clear"),
    ([], "warn", [], "leave"),
    (["a"], "good", [], "leave"),
    (["a"], "", [], "leave"),
)


def test_only_what_the_same_transaction_said_is_overwritten_and_only_that_is_cleared() -> None:
    asked = [[{"hashes": hashes, "kind": kind}, gone] for hashes, kind, gone, _ in CASES]
    script = (
        f"import {{ decide }} from {json.dumps(SOURCE.as_uri())};"
        f"console.log(JSON.stringify({json.dumps(asked)}.map((one) => decide(...one))));"
    )
    done = subprocess.run(
        [str(binaries.node_directory() / "node"), "--input-type=module", "--eval", script],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [verdict for *_, verdict in CASES]
