"""Writing small exports for tests: rows of the samples, changed cell by cell."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from io import StringIO
from pathlib import Path

from backend.domain.credits import Record
from backend.registries.layouts import ADAPTERS
from backend.registries.summary import LoadedExport

SAMPLES = Path(__file__).resolve().parents[2] / "backend" / "samples"
VERRA = "sample-verra-vcu-export.csv"
ISSUANCES = "sample-gold-standard-issuances.csv"
RETIREMENTS = "sample-gold-standard-retirements.csv"
#: Layout → its sample.
BY_LAYOUT = {adapter.layout: f"sample-{adapter.layout}.csv" for adapter in ADAPTERS}


def table(sample: str) -> tuple[list[str], list[dict[str, str]]]:
    """Header and rows of a sample."""
    with (SAMPLES / sample).open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
        return list(reader.fieldnames or ()), rows


def accepted(loaded: LoadedExport) -> list[Record]:
    """Every record of an export, whatever the layout makes of a row."""
    return [*loaded.records, *loaded.volumes, *loaded.projects]


def as_csv(header: Sequence[str], rows: Iterable[Sequence[str]], ending: str = "\n") -> str:
    text = StringIO()
    writer = csv.writer(text, lineterminator=ending)
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def write(directory: Path, content: str | bytes) -> Path:
    """The content as a file, byte for byte."""
    path = directory / "export.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def changed(directory: Path, sample: str, row: int, cells: dict[str, str]) -> Path:
    """A sample with some cells of one row (from 1) changed."""
    header, rows = table(sample)
    rows[row - 1] = rows[row - 1] | cells
    return write(directory, as_csv(header, [list(found.values()) for found in rows]))
