"""A registry's ledger from parsed rows to stored ones with all checks, beside a bare COPY.

100,000 rows of one export that partition a series; the baseline is COPY of the same columns into
a table without an index, with nothing checked. Reading the file is not part of either.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from backend.domain.credits import BlockRecord, Facts, Kind, Status
from backend.domain.serials import Interval, Series
from backend.local.postgres import Postgres, temporary_home
from backend.registries.labels import VERSION, cohort_of
from backend.registries.merge import plan_merge
from backend.store.block_rows import COLUMNS, Labels, RowWriter
from backend.store.copying import copy_lines
from backend.store.database import Database
from backend.store.imports import ExportFile, save_import

ROWS = 100_000
_SERIES = Series("VCS", (2,))


def rows_of_an_export(count: int, retired_every: int = 3) -> list[BlockRecord]:
    """Rows as the Verra adapter makes them: one series, a project per 40 rows."""
    records = []
    for number in range(count):
        first = number * 700 + 1
        gone = number % retired_every == 0
        facts = Facts(
            methodologies=("VM0042",),
            project_types=("Agriculture Forestry and Other Land Use",),
            country="India",
            issued_on=date(2024, 3, 1),
            retired_on=date(2024, 6, 1) if gone else None,
            beneficiary="A beneficiary of the bench" if gone else "",
            total_vintage_tonnes=40 * 700,
        )
        records.append(
            BlockRecord(
                programme="VCS",
                project=str(1000 + number // 40),
                project_name=f"Project number {number // 40} of the bench",
                vintage_start=date(2020 + number % 4, 1, 1),
                vintage_end=date(2020 + number % 4, 12, 31),
                interval=Interval(_SERIES, first, first + 699),
                kind=Kind.PARTITION,
                status=Status.RETIRED_OR_CANCELLED if gone else Status.ACTIVE,
                batch=number // 40,
                facts=facts,
                row=number + 1,
                line=number + 2,
            )
        )
    return records


def export_of(records: list[BlockRecord], sha256: str) -> ExportFile:
    """An export that an adapter would have read so."""
    return ExportFile("bench.csv", sha256, "VCS", "bench", len(records), 0, records, {})


def _timed(work: Any) -> float:
    gc.collect()
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _bare_copy(database: Database, records: list[BlockRecord], labels: Labels) -> float:
    writer = RowWriter(1, "bench.csv", {_SERIES: 1}, labels)
    lines = [writer.line(record) for record in records]
    with database.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE bare AS SELECT " + ", ".join(COLUMNS) + " FROM registry_blocks LIMIT 0"
        )
        seconds = _timed(lambda: copy_lines(connection, "bare", COLUMNS, lines))
        connection.exec_driver_sql("DROP TABLE bare")
    return seconds


def run(rows: int = ROWS) -> dict[str, Any]:
    """Start a Postgres of the bench's own; the figures of one run."""
    home = temporary_home("causeway-bench-")
    postgres = Postgres(home, log=home / "postgres.log")
    labels = Labels(str(VERSION), cohort_of)
    records = rows_of_an_export(rows)
    try:
        postgres.start()
        database = Database(postgres.url())
        database.migrate()
        bare = _bare_copy(database, records, labels)
        first = _timed(
            lambda: save_import(database, export_of(records, "first"), plan_merge, labels)
        )
        again = _timed(
            lambda: save_import(database, export_of(records, "again"), plan_merge, labels)
        )
        newer = rows_of_an_export(rows, retired_every=2)
        # A third of the rows are active in one and gone in the other, in either direction.
        changed = _timed(
            lambda: save_import(database, export_of(newer, "newer"), plan_merge, labels)
        )
        database.close()
    finally:
        postgres.stop()
    return {
        "rows": rows,
        "rows_per_second": round(rows / first),
        "same_content_rows_per_second": round(rows / again),
        "newer_export_rows_per_second": round(rows / changed),
        "bare_copy_rows_per_second": round(rows / bare),
        "ratio": round(bare / first, 3),
    }


if __name__ == "__main__":
    print(json.dumps(run(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS), indent=2))
