"""Rows as adapters make them, and exports of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from backend.domain.credits import BlockRecord, Facts, Kind, Status
from backend.domain.serials import Interval, Series
from backend.registries.labels import VERSION, cohort_of
from backend.registries.merge import plan_merge
from backend.store.block_rows import Labels
from backend.store.database import Database
from backend.store.imports import Batch, ExportFile, ImportResult, save_import

VCS = Series("VCS", (2,))
GS = Series("GS", (11603, 2025, 30256))
LABELS = Labels(str(VERSION), cohort_of)


def row(first: int, last: int, status: Status = Status.ACTIVE, **changes: Any) -> BlockRecord:
    """A row of a Verra export."""
    values: dict[str, Any] = {
        "programme": "VCS",
        "project": "1001",
        "project_name": 'A "quoted" project, with a tab\t and a back\\slash',
        "vintage_start": date(2020, 1, 1),
        "vintage_end": date(2020, 12, 31),
        "interval": Interval(VCS, first, last),
        "kind": Kind.PARTITION,
        "status": status,
        "facts": Facts(country="India", methodologies=("VM0042",), issued_on=date(2021, 1, 1)),
    }
    return BlockRecord(**(values | changes))


def gold(first: int, last: int, kind: Kind, **changes: Any) -> BlockRecord:
    """A row of a Gold Standard export."""
    status = Status.ISSUED if kind is Kind.ISSUANCE else Status.RETIRED
    more = {"programme": "GS", "project": "11603", "interval": Interval(GS, first, last)}
    return row(first, last, status, kind=kind, batch=30256, **(more | changes))


def numbered(records: Sequence[BlockRecord]) -> list[BlockRecord]:
    """The records in file order."""
    return [replace(one, row=at, line=at + 1) for at, one in enumerate(records, 1)]


def export_of(records: Sequence[BlockRecord], name: str, batch: int = 3) -> ExportFile:
    """An export that an adapter would have read so; `name` stands for its content."""
    listed = numbered(records)

    def batches(after: int, figures: Mapping[str, Any]) -> Iterator[Batch]:
        for start in range(after, len(listed), batch):
            rows = listed[start : start + batch]
            yield Batch(start + len(rows), rows)

    sha256 = hashlib.sha256(name.encode()).hexdigest()
    return ExportFile(f"{name}.csv", sha256, "VCS", "test", batches, lambda *_: {"a": 1})


def save(database: Database, records: Sequence[BlockRecord], name: str) -> ImportResult:
    """Import an export; `name` stands for its content."""
    return save_import(database, export_of(records, name), plan_merge, LABELS)
