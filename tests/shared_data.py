"""Where real registry exports are looked for, and the marker of tests that read them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


def shared_data_directory() -> Path:
    """`CAUSEWAY_SHARED_DATA`, or `../shared/data` beside the checkout."""
    configured = os.environ.get("CAUSEWAY_SHARED_DATA")
    return Path(configured) if configured else REPOSITORY.parent / "shared" / "data"


#: Marks a test of real exports; where they are absent it is skipped under this name.
requires_shared_data = pytest.mark.skipif(
    not shared_data_directory().is_dir(),
    reason="real registry exports are not at CAUSEWAY_SHARED_DATA (default ../shared/data)",
)
