"""What no tokens are made of, whoever asks."""

from __future__ import annotations

import pytest

from backend.bridge.receipts import require_tokens
from backend.errors import ProgrammeForbids

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("programme", ["CDM", "CCER", "PHCER"])
def test_a_programme_that_is_kept_as_a_ledger_makes_no_tokens(programme: str) -> None:
    with pytest.raises(ProgrammeForbids, match="ledger only"):
        require_tokens(programme)


def test_a_programme_with_tokens_passes() -> None:
    require_tokens("VCS")
