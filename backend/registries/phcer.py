"""Guangdong's PHCER (Pu Hui): a holder's units in Causeway's own layout; ledger only."""

from __future__ import annotations

from collections.abc import Sequence

from backend.domain.credits import BlockRecord, Kind
from backend.registries import holding, issuer_text

PROGRAMME = "PHCER"
_TEXT = "PHCER Serial Text"


class PhcerHoldings:
    """A holder's units: the issuer's text with the first and the last number."""

    programme = PROGRAMME
    layout = "phcer-holdings"
    kind = Kind.PARTITION
    tells = holding.TELLS
    columns = (_TEXT, issuer_text.FIRST, issuer_text.LAST, *holding.COLUMNS)

    def parse(self, cells: Sequence[str], row: int, line: int) -> BlockRecord:
        """One piece."""
        cell = dict(zip(self.columns, cells, strict=True))
        interval = issuer_text.interval_of(PROGRAMME, _TEXT, cell)
        return holding.record(PROGRAMME, cell, interval, (), (row, line))
