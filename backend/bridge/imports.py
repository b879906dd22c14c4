"""A registry's export into the ledger: adapters read, merge rules decide, the store keeps."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from backend.bridge.duplicates import note_imports
from backend.errors import RuleError
from backend.registries import labels, summary
from backend.registries.merge import plan_merge
from backend.store.block_rows import Labels
from backend.store.database import Database
from backend.store.imports import ExportFile, save_import
from backend.store.queries.registry import list_contradictions
from backend.store.retired_in_trust import list_retired_in_trust

_CHANGES = ("new", "unchanged", "updated", "split")
SOME_BAD = summary.SOME_BAD


def import_export(
    database: Database, path: Path, progress: Callable[[str], None]
) -> tuple[dict[str, Any], int]:
    """Import one file; returns what `causeway import --json` prints of it, and the exit code.

    Beyond the keys of a dry run: `import_id`, `known` (this content was imported before),
    `changes` (rows new, unchanged, updated, split), `contradictions`, `retired_in_trust` (those
    of them that show credits in trust as gone while tokens stand on them), `unmapped_labels`,
    `duplicates` (cases of double crediting that are new or have other evidence).
    """
    try:
        loaded = summary.load(path, lambda rows: progress(f"{path.name}: {rows:,} rows read"))
        content = path.read_bytes()
    except RuleError:
        document, code = summary.dry_run(path)
        return document, code
    figures = loaded.summary
    document = summary.as_json(figures)
    export = ExportFile(
        name=path.name,
        sha256=hashlib.sha256(content).hexdigest(),
        programme=figures.programme,
        layout=figures.layout,
        rows=figures.rows,
        rejected=len(figures.rejected),
        records=loaded.records,
        report=document | {"file": path.name},
    )
    progress(f"{path.name}: storing {len(loaded.records):,} blocks")
    vocabulary = Labels(str(labels.VERSION), labels.cohort_of)
    result = save_import(database, export, plan_merge, vocabulary)
    duplicates = note_imports(database, (*loaded.projects, *loaded.volumes))
    with database.read() as connection:
        page = list_contradictions(connection, import_id=result.import_id, limit=200)
        gone = list_retired_in_trust(connection, result.import_id)
    document |= {
        "import_id": result.import_id,
        "known": result.known,
        "changes": {name: getattr(result, name) for name in _CHANGES},
        "contradictions": [
            {"series": one.series, "description": one.description, "detail": one.detail}
            for one in page.items
        ],
        "retired_in_trust": [asdict(one) for one in gone],
        "unmapped_labels": figures.unmapped_labels,
        "duplicates": duplicates,
    }
    code = figures.exit_code
    return document, max(code, SOME_BAD if result.contradictions else 0)
