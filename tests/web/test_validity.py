"""How long a quote holds, decided by the pages' own script and run by Node, without a browser."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from backend.local import binaries

pytestmark = pytest.mark.unit

SOURCE = Path(__file__).resolve().parents[2] / "backend" / "web" / "source" / "validity.ts"
#: Of a service whose clock is years ahead of the browser's: that changes nothing.
SPAN = {"quotedAt": 1_900_000_000, "validUntil": 1_900_000_060}
ASKED = 5_000_000
#: (milliseconds since it was asked for, seconds that are left).
MOMENTS = (
    (0, 60),
    (1, 60),
    (1_000, 59),
    (58_001, 2),
    (59_999, 1),
    (60_000, 0),
    (86_400_000, 0),
    # The clock was set back: nobody knows how long ago it was, so it is asked for again.
    (-1, 0),
)


def test_a_quote_is_counted_down_and_has_expired_at_its_last_second() -> None:
    asked = [[SPAN, ASKED, ASKED + passed] for passed, _ in MOMENTS]
    script = (
        f"import {{ secondsLeft }} from {json.dumps(SOURCE.as_uri())};"
        f"console.log(JSON.stringify({json.dumps(asked)}.map((one) => secondsLeft(...one))));"
    )
    node = str(binaries.node_directory() / "node")
    done = subprocess.run(
        [node, "--input-type=module", "--eval", script],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [left for _, left in MOMENTS]
