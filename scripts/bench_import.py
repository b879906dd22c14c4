"""A registry's ledger into the database with all checks, beside a plain COPY of the same rows.

The CDM's issuances and cancellations, repeated under made-up parties (`ledger_files.py`), through
`causeway import`'s own way: parse, stage, check beside what is known, store. In a process of its
own, so that its peak memory can be said. The COPY takes the finished rows into a table without an
index, with nothing checked.

From parsed to stored is all the time that passes but the parser's: staging, the order of the staged
rows (`seal`), the steps. While a batch is parsed Postgres takes the one before on the other core;
what it has not taken by then counts as staging. The processors' seconds of both sides are said too:
on a machine that others use they tell more than the clock.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from backend.bridge.imports import import_export
from backend.local.postgres import Postgres, temporary_home
from backend.store.block_rows import COLUMNS
from backend.store.database import Database, raw
from scripts.ledger_files import write_ledger

ROWS = 1_000_000
_ROOT = Path(__file__).resolve().parents[1]
_PIECE = 1 << 20


def import_files(url: str, paths: list[str]) -> dict[str, Any]:
    """Import files one after another; what each took and the peak memory of this process."""
    database = Database(url)
    rows, spent, counts, good = 0, dict[str, int](), dict[str, int](), True
    started, worked = time.perf_counter(), time.process_time()
    for path in paths:
        document, code = import_export(
            database, Path(path), lambda text: print(f"  {text}", file=sys.stderr)
        )
        rows += document["accepted"]
        good = good and code == 0
        for total, found in ((spent, document["milliseconds"]), (counts, document["changes"])):
            for name, number in found.items():
                total[name] = total.get(name, 0) + number
    return {
        "rows": rows,
        "seconds": time.perf_counter() - started,
        "python_cpu": time.process_time() - worked,
        "milliseconds": spent,
        "changes": counts,
        "good": good,
        "peak_kb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    }


def _spent_by(postmaster: int) -> float:
    """Processor seconds of a Postgres and of its backends, those that have ended included."""

    def seconds(pid: int, *columns: int) -> float:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return sum(int(fields[column]) for column in columns) / os.sysconf("SC_CLK_TCK")

    children = Path(f"/proc/{postmaster}/task/{postmaster}/children")
    living = children.read_text().split() if children.exists() else []
    # Columns of proc(5), counted after the name: 11 and 12 its own, 13 and 14 of ended children.
    return seconds(postmaster, 11, 12, 13, 14) + sum(seconds(int(pid), 11, 12) for pid in living)


def _in_its_own_process(url: str, paths: list[Path], postmaster: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "scripts.bench_import", "--child", url, *map(str, paths)]
    environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
    before = _spent_by(postmaster)
    ended = subprocess.run(command, cwd=_ROOT, env=environment, stdout=subprocess.PIPE, check=True)
    found: dict[str, Any] = json.loads(ended.stdout)
    return found | {"postgres_cpu": _spent_by(postmaster) - before}


def _bare_copy(database: Database, folder: Path) -> float:
    """Seconds that COPY takes for the rows that the import stored, and nothing else."""
    names = ", ".join(COLUMNS)
    rows = folder / "rows.copy"
    with database.begin() as connection:
        driver = raw(connection)
        with (
            rows.open("wb") as file,
            driver.cursor() as cursor,
            cursor.copy(f"COPY registry_blocks ({names}) TO STDOUT") as out,
        ):
            for piece in out:
                file.write(piece)
        driver.execute(f"CREATE TABLE bare AS SELECT {names} FROM registry_blocks LIMIT 0")
    started = time.perf_counter()
    with (
        database.begin() as connection,
        rows.open("rb") as file,
        raw(connection).cursor() as cursor,
        cursor.copy(f"COPY bare ({names}) FROM STDIN") as into,
    ):
        while piece := file.read(_PIECE):
            into.write(piece)
    seconds = time.perf_counter() - started
    with database.begin() as connection:
        raw(connection).execute("DROP TABLE bare")
    return seconds


def run(rows: int = ROWS) -> dict[str, Any]:
    """Start a Postgres of the bench's own; the figures of one run."""
    home = temporary_home("causeway-bench-")
    postgres = Postgres(home, log=home / "postgres.log")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        issuances, cancellations, written = write_ledger(folder, rows)
        try:
            postmaster = postgres.start().pid
            database = Database(postgres.url())
            database.migrate()
            first = _in_its_own_process(postgres.url(), [issuances, cancellations], postmaster)
            assert first["good"], "the ledger has a contradiction or misses its control total"
            assert first["changes"]["new"] == first["rows"] == written
            copy = _bare_copy(database, folder)
            for path in (issuances, cancellations):  # another content that says the same
                with path.open("a", encoding="utf-8") as file:
                    file.write("\n")
            again = _in_its_own_process(postgres.url(), [issuances, cancellations], postmaster)
            assert again["changes"]["unchanged"] == again["rows"] == written
            database.close()
        finally:
            postgres.stop()
    return _figures(first, again, copy)


def _figures(first: dict[str, Any], again: dict[str, Any], copy: float) -> dict[str, Any]:
    rows, spent = first["rows"], first["milliseconds"]
    busy = spent["check"] + spent["store"]
    stored = spent["stage"] + spent["seal"] + spent["merge"]
    # Two steps are merged at once: each has its share of the time that passed.
    checked = spent["seal"] + spent["merge"] * spent["check"] / busy
    return {
        "rows": rows,
        "parse_rows_per_second": rows * 1000 // spent["parse"],
        "stage_rows_per_second": rows * 1000 // spent["stage"],
        "check_rows_per_second": round(rows * 1000 / checked),
        "store_rows_per_second": rows * 1000 * busy // (spent["merge"] * spent["store"]),
        "parsed_to_stored_rows_per_second": rows * 1000 // stored,
        "whole_rows_per_second": round(rows / first["seconds"]),
        "unchanged_rows_per_second": round(rows / again["seconds"]),
        "bare_copy_rows_per_second": round(rows / copy),
        "ratio": round(copy * 1000 / stored, 3),
        "python_cpu_microseconds_per_row": round(first["python_cpu"] * 1e6 / rows, 1),
        "postgres_cpu_microseconds_per_row": round(first["postgres_cpu"] * 1e6 / rows, 1),
        "load_average": os.getloadavg()[0],
        "peak_memory_megabytes": max(first["peak_kb"], again["peak_kb"]) // 1024,
    }


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(import_files(sys.argv[2], sys.argv[3:])))
    else:
        print(json.dumps(run(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS), indent=2))
