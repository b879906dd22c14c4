"""A registry's ledger of any size for load tests: the CDM's, repeated under made-up parties.

The party is the serial space, but there are only 676 codes of two letters: a further copy continues
the spaces of the codes that are taken, block after block, so that nothing overlaps and no number is
left out. Where the real workbooks are not at hand the project's samples are repeated instead.
"""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from string import ascii_uppercase

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from backend.domain.credits import BlockRecord
from backend.registries.cdm import CdmCancellations, CdmIssuances
from backend.registries.summary import load

_ROOT = Path(__file__).resolve().parents[1]
_REAL = ("cdm/CDM_Issuance_2023-08.xlsx", "cdm/CDM_VoluntaryCancellation_2023-08.xlsx")
_SAMPLES = ("sample-cdm-issuances.csv", "sample-cdm-voluntary-cancellations.csv")


def sources() -> tuple[Path, Path]:
    """Issuances and cancellations to repeat: the real workbooks, or the samples."""
    configured = os.environ.get("CAUSEWAY_SHARED_DATA")
    data = Path(configured) if configured else _ROOT.parent / "shared" / "data"
    if (data / _REAL[0]).is_file():
        return data / _REAL[0], data / _REAL[1]
    samples = _ROOT / "backend" / "samples"
    return samples / _SAMPLES[0], samples / _SAMPLES[1]


class Ledger:
    """Copies of the ledger; `copies` of them hold at least `rows` rows."""

    def __init__(self, rows: int) -> None:
        issued, cancelled = (load(path).records for path in sources())
        self._issued, self._cancelled = issued, cancelled
        self.copies = -(-rows // (len(issued) + len(cancelled)))
        ends: dict[int, int] = {}
        for record in issued:
            party = record.interval.series.codes[0]
            ends[party] = max(ends.get(party, 0), record.interval.last)
        self._ends = ends
        codes = ["".join(pair) for pair in product(ascii_uppercase, repeat=2)]
        self._sets = len(codes) // len(ends)
        self._names = {
            (party, turn): codes[turn * len(ends) + index]
            for index, party in enumerate(sorted(ends))
            for turn in range(self._sets)
        }

    def _place(self, record: BlockRecord, copy: int) -> tuple[str, int, int]:
        """(party, first, last) of a record in one of the copies."""
        party = record.interval.series.codes[0]
        shift = copy // self._sets * self._ends[party]
        interval = record.interval
        return self._names[party, copy % self._sets], interval.first + shift, interval.last + shift

    def issuances(self) -> Iterator[Sequence[str]]:
        """Rows of `cdm-issuances`."""
        for copy in range(self.copies):
            for record in self._issued:
                party, first, last = self._place(record, copy)
                yield (
                    f"{record.facts.issued_on}T09:30:00.123000", "Issuance (1)", "4 - Completed",
                    f"{first} - {last}", record.facts.product_type,
                    str(record.facts.commitment_period), party, record.project,
                    str(record.tonnes),
                )  # fmt: skip

    def cancellations(self) -> Iterator[Sequence[str]]:
        """Rows of `cdm-voluntary-cancellations`, with their control total."""
        total = 0
        for copy in range(self.copies):
            for record in self._cancelled:
                party, first, last = self._place(record, copy)
                total += record.tonnes
                yield (
                    f"{record.facts.retired_on}T12:00:00.456000", "Cancellation (4)",
                    f"{first} - {last}", f"{party}-{record.project}", "4 - Completed",
                    str(record.facts.commitment_period), record.facts.product_type,
                    str(record.tonnes), "Yes" if record.facts.cancellation_platform else "No",
                )  # fmt: skip
        yield ("Total", "", "", "", "", "", "", str(total), "")


def write_ledger(folder: Path, rows: int) -> tuple[Path, Path, int]:
    """Two CSV files of together at least `rows` rows; their paths and the rows."""
    ledger = Ledger(rows)
    paths = folder / "ledger-issuances.csv", folder / "ledger-cancellations.csv"
    written = 0
    for path, columns, lines in (
        (paths[0], CdmIssuances.columns, ledger.issuances()),
        (paths[1], CdmCancellations.columns, ledger.cancellations()),
    ):
        with path.open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(columns)
            for line in lines:
                table.writerow(line)
                written += 1
    return *paths, written - 1


if __name__ == "__main__":
    print(write_ledger(Path(sys.argv[1]), int(sys.argv[2])))
