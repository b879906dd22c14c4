"""A registry's export into the ledger: adapters read, merge rules decide, the store keeps."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from itertools import islice
from os import fspath
from pathlib import Path
from typing import Any

from backend.bridge.duplicates import note_imports
from backend.domain.credits import BlockRecord, ProjectRecord, Record, VolumeRecord
from backend.domain.serials import Interval, Series
from backend.errors import RuleError
from backend.registries import labels, summary
from backend.registries.figures import Claim, Figures
from backend.registries.merge import plan_merge
from backend.registries.protocol import Rejection
from backend.registries.reader import Export, open_export
from backend.store.block_rows import Labels
from backend.store.database import Database
from backend.store.entries import projects_said, volumes_said
from backend.store.imports import Batch, ExportFile, Staged, save_import
from backend.store.queries.registry import list_contradictions
from backend.store.retired_in_trust import list_retired_in_trust

_CHANGES = ("new", "unchanged", "updated", "split")
SOME_BAD = summary.SOME_BAD
#: So many rows are parsed and handed to the store at a time: few enough to stay in the caches.
BATCH_ROWS = 1_000


def import_export(
    database: Database, path: Path, progress: Callable[[str], None]
) -> tuple[dict[str, Any], int]:
    """Import one file; returns what `causeway import --json` prints of it, and the exit code.

    Beyond the keys of a dry run: `import_id`, `known` (this content was imported before),
    `changes` (rows new, unchanged, updated, split), `contradictions` (the newest 200 of
    `contradictions_count`), `retired_in_trust` (those of them that show credits in trust as gone
    while tokens stand on them), `unmapped_labels`, `milliseconds` (`parse`, `stage` and `seal`
    passed one after another, then `merge`; `check` and `store` are summed over the steps that were
    merged at once), `duplicates` (cases of double crediting that are new or have other evidence).
    An import that was killed goes on where it was.
    """
    try:
        with open_export(path) as export:
            vocabulary = Labels(str(labels.VERSION), labels.cohort_of)
            file = export_file(path.name, content_hash(path), export)
            result = save_import(database, file, plan_merge, vocabulary, progress)
    except RuleError as error:
        if error.code == "unknown-layout" or getattr(error, "field", "") == "file":
            return summary.unreadable(path, error)
        raise
    with database.read() as connection:
        said: list[Record] = [
            *projects_said(connection, result.import_id),
            *volumes_said(connection, result.import_id),
        ]
    duplicates = note_imports(database, said)
    with database.read() as connection:
        page = list_contradictions(connection, import_id=result.import_id, limit=200)
        gone = list_retired_in_trust(connection, result.import_id)
    document = {
        **{name: value for name, value in result.report.items() if name not in ("merge",)},
        "file": fspath(path),
        "import_id": result.import_id,
        "known": result.known,
        "changes": {name: getattr(result, name) for name in _CHANGES},
        "contradictions_count": result.contradictions,
        "contradictions": [
            {"series": one.series, "description": one.description, "detail": one.detail}
            for one in page.items
        ],
        "retired_in_trust": [asdict(one) for one in gone],
        "duplicates": duplicates,
    }
    code = SOME_BAD if result.contradictions or not result.report["good"] else 0
    return document, code


def content_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, read piece by piece."""
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def export_file(name: str, sha256: str, export: Export) -> ExportFile:
    """An open export as the store takes it."""
    adapter = export.adapter

    def batches(after: int, kept: Mapping[str, Any]) -> Iterator[Batch]:
        figures = Figures.from_json(kept)
        rows = export.rows_after(after)
        while chunk := list(islice(rows, BATCH_ROWS)):
            for row in chunk:
                figures.add(row)
            yield Batch(
                figures.rows,
                [row for row in chunk if isinstance(row, BlockRecord)],
                [row for row in chunk if isinstance(row, VolumeRecord)],
                [row for row in chunk if isinstance(row, ProjectRecord)],
                [row for row in chunk if isinstance(row, Rejection)],
                figures.as_json(),
            )

    def describe(kept: Mapping[str, Any], staged: Staged) -> Mapping[str, Any]:
        found = summary.summary_of(
            name,
            adapter,
            Figures.from_json(kept),
            [Rejection(**rejected) for rejected in staged.rejected],
            staged.series,
            staged.batches,
            summary.overlaps_among(
                Claim(Interval(Series.parse(one.series), one.first, one.last), one.row)
                for one in staged.rivals
            ),
        )
        return summary.as_json(found) | {
            "unmapped_labels": found.unmapped_labels,
            "good": found.exit_code == summary.ALL_GOOD,
        }

    return ExportFile(name, sha256, adapter.programme, adapter.layout, batches, describe)
