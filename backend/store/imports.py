"""Saves a registry's export: once per content, staged in batches, merged in steps, with history.

Both go on where a kill left them: what is staged is not read again, a step that is done is not
done again. Their commits do not wait for the disk, the last one does: a crash of the database may
take the newest of them back, each with its record of how far the import had come. The rules of the
merge are pure and belong to `registries`; the caller hands them in. One lock serialises imports,
and an import that was killed while it was merged is brought to its end before another begins, so
what a plan was made from is what it is applied to.
"""

from __future__ import annotations

import gc
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from psycopg import Copy
from psycopg.types.json import Jsonb
from sqlalchemy import Connection, Row, insert, select

from backend.domain.credits import BlockRecord, Kind, ProjectRecord, VolumeRecord
from backend.domain.serials import Series
from backend.errors import Conflict, NotFound
from backend.store import tables
from backend.store.backing_index import ensure_series
from backend.store.block_changes import Planner, apply_plan, known_beside
from backend.store.block_rows import STAGED, Labels, RowWriter
from backend.store.copying import copy_rows
from backend.store.database import LOCK_IMPORT, Database, lock, raw
from backend.store.entries import (
    merge_entries,
    project_line,
    record_overdrawn,
    stage_entries,
    volume_line,
)
from backend.store.import_checks import judge, store_new, under_review
from backend.store.import_rows import Bounds, Rival, Staging
from backend.store.retired_in_trust import record_retired_in_trust

#: A report lists at most this many rejected rows; all of them are in `import_rejections`.
MOST_LISTED = 10_000
_COUNTS = ("new", "unchanged", "updated", "split", "contradictions")
_PROGRESS_SECONDS = 1.0
#: So many rows are staged in a transaction: what a kill loses at most of the reading.
COMMIT_ROWS = 20_000
#: Steps that are merged at once, each by a backend of Postgres: one on each of two cores.
WORKERS = 2


class RejectedRow(Protocol):
    """A row that its adapter refused."""

    @property
    def row(self) -> int: ...
    @property
    def line(self) -> int: ...
    @property
    def field(self) -> str: ...
    @property
    def value(self) -> str: ...
    @property
    def rule(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of an export in file order. `rows` is the number of the last of them, `figures` what the
    reader needs to go on after it, as JSON."""

    rows: int
    blocks: Sequence[BlockRecord] = ()
    volumes: Sequence[VolumeRecord] = ()
    projects: Sequence[ProjectRecord] = ()
    rejected: Sequence[RejectedRow] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Staged:
    """What only all rows together tell: distinct series and batches, rows that share serials, and
    the first rejections."""

    series: int
    batches: int
    rivals: Sequence[Rival]
    rejected: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class ExportFile:
    """One export, read as it is asked for.

    `batches` gives the rows after a row number, with the figures up to it; `describe` makes the
    report of the figures and of what all rows together tell.
    """

    name: str
    sha256: str
    programme: str
    layout: str
    batches: Callable[[int, Mapping[str, Any]], Iterator[Batch]]
    describe: Callable[[Mapping[str, Any], Staged], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What an import did, in rows of the export; `known` is True for a content seen before."""

    import_id: int
    file_name: str
    sha256: str
    programme: str
    layout: str
    rows: int
    accepted: int
    rejected: int
    report: Mapping[str, Any]
    new: int = 0
    unchanged: int = 0
    updated: int = 0
    split: int = 0
    contradictions: int = 0
    known: bool = False


def save_import(
    database: Database,
    export: ExportFile,
    plan: Planner,
    labels: Labels,
    progress: Callable[[str], None] = lambda text: None,
) -> ImportResult:
    """Merge an export into what is known; go on with it when it was begun before.

    The same content (SHA-256) again changes nothing and gives the first result, `known` True.
    `plan` is `registries.merge.plan_merge`; contradictions are recorded, never merged. Rows that
    show credits in trust as gone are merged, and recorded as contradictions too.
    """
    with database.hold(LOCK_IMPORT):
        for other in _unfinished(database):
            if other.sha256 != export.sha256:
                progress(f"{other.file_name}: finishing its import, which was interrupted")
                _Merge(database, other.id, plan, labels, progress).run()
        found = _find(database, export.sha256)
        if found is not None and found.state == "done":
            return _result(found, known=True)
        if found is None or found.state == "reading":
            found = _Reading(database, export, found, labels, progress).run()
        return _Merge(database, found.id, plan, labels, progress).run()


def discard_import(database: Database, import_id: int) -> None:
    """Give up an import that was interrupted; what its finished steps merged stays, and is true.

    Afterwards the same file can be imported anew. Raises NotFound, and Conflict when it is done.
    """
    table = tables.imports
    with database.hold(LOCK_IMPORT), database.begin() as connection:
        found = connection.execute(select(table).where(table.c.id == import_id)).first()
        if found is None:
            raise NotFound(f"no import has the id {import_id}", import_id=str(import_id))
        if found.state in ("done", "abandoned"):
            raise Conflict(f"import {import_id} is {found.state}: there is nothing to give up",
                           import_id=str(import_id), state=found.state)  # fmt: skip
        Staging(import_id).drop(connection)
        driver = raw(connection)
        driver.execute("DELETE FROM import_steps WHERE import_id = %s", [import_id])
        driver.execute(
            "UPDATE imports SET state = 'abandoned', sha256 = sha256 || ':' || id, progress = '{}'"
            " WHERE id = %s",
            [import_id],
        )


def _find(database: Database, sha256: str) -> Row[Any] | None:
    table = tables.imports
    with database.read() as connection:
        return connection.execute(select(table).where(table.c.sha256 == sha256)).first()


def _unfinished(database: Database) -> Sequence[Row[Any]]:
    table = tables.imports
    with database.read() as connection:
        query = select(table).where(table.c.state == "merging").order_by(table.c.id)
        return connection.execute(query).all()


def _result(row: Row[Any], known: bool) -> ImportResult:
    return ImportResult(
        row.id, row.file_name, row.sha256, row.programme, row.layout, row.rows, row.accepted,
        row.rejected, row.report, known=known, **row.report["merge"],
    )  # fmt: skip


class _Clock:
    """Where the time of an import goes, and when to speak of it again."""

    def __init__(self, spent: Mapping[str, int]) -> None:
        self._nanoseconds = {name: taken * 1_000_000 for name, taken in spent.items()}
        self._within = 0
        self._said = time.monotonic()
        self._rows = 0

    @property
    def spent(self) -> dict[str, int]:
        """Milliseconds by name."""
        return {name: taken // 1_000_000 for name, taken in self._nanoseconds.items()}

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Count what passes under a name; what is measured inside counts under its own alone."""
        outside, self._within = self._within, 0
        started = time.monotonic_ns()
        yield
        taken = time.monotonic_ns() - started
        self._nanoseconds[name] = self._nanoseconds.get(name, 0) + taken - self._within
        self._within = outside + taken

    def add(self, spent: Mapping[str, int]) -> None:
        """What another clock measured meanwhile, in milliseconds."""
        for name, taken in spent.items():
            self._nanoseconds[name] = self._nanoseconds.get(name, 0) + taken * 1_000_000

    def rate(self, rows: int) -> int | None:
        """Rows a second since it was last said; None when that is not long ago."""
        self._rows += rows
        now = time.monotonic()
        if now - self._said < _PROGRESS_SECONDS:
            return None
        rate = round(self._rows / (now - self._said))
        self._said, self._rows = now, 0
        return rate


@contextmanager
def _few_collections() -> Iterator[None]:
    """Rows make no cycles, but so many objects that looking for some takes a fifth of the time."""
    before = gc.get_threshold()
    gc.set_threshold(200_000, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _others(batch: Batch) -> int:
    """Rows of a batch that are no blocks."""
    return len(batch.volumes) + len(batch.projects) + len(batch.rejected)


class _Reading:
    """From the file into the import's own tables, a batch in each transaction."""

    def __init__(
        self,
        database: Database,
        export: ExportFile,
        found: Row[Any] | None,
        labels: Labels,
        progress: Callable[[str], None],
    ) -> None:
        self._database = database
        self._export = export
        self._row = found if found is not None else self._begin()
        self._staging = Staging(self._row.id)
        self._series: dict[Series, int] = {}
        self._writer = RowWriter(self._row.id, self._series, labels)
        self._progress = progress
        self._clock = _Clock(self._row.progress.get("milliseconds", {}))

    def _begin(self) -> Row[Any]:
        export, table = self._export, tables.imports
        with self._database.begin() as connection:
            made = connection.execute(
                insert(table)
                .values(
                    file_name=export.name, sha256=export.sha256, programme=export.programme,
                    layout=export.layout, rows=0, accepted=0, rejected=0, report={},
                    state="reading",
                )
                .returning(table)
            ).one()  # fmt: skip
            Staging(made.id).create(connection)
        return made

    def run(self) -> Row[Any]:
        """Stage what is not staged yet, then close the reading; the row of the import."""
        progress = self._row.progress
        if self._row.rows:
            self._progress(f"{self._export.name}: going on after row {self._row.rows:,}")
        batches = self._export.batches(self._row.rows, progress.get("figures", {}))
        with _few_collections():
            while self._stage(batches):
                pass
        with self._clock.measure("seal"):
            self._close()
        table = tables.imports
        with self._database.begin() as connection:
            raw(connection).execute(
                "UPDATE imports SET progress = progress || %s WHERE id = %s",
                [Jsonb({"milliseconds": self._clock.spent}), self._row.id],
            )
            return connection.execute(select(table).where(table.c.id == self._row.id)).one()

    def _stage(self, batches: Iterator[Batch]) -> bool:
        """Rows of one transaction; False when there are no more.

        Postgres takes a batch from the open COPY while the next one is parsed: each has a core.
        """
        held: list[Batch] = []
        more, rows = True, 0
        with self._clock.measure("stage"), self._database.begin(durable=False) as connection:
            with self._staging.adding(connection, STAGED) as copy:
                while more and rows < COMMIT_ROWS:
                    with self._clock.measure("parse"):
                        batch = next(batches, None)
                    if more := batch is not None:
                        held.append(self._add(copy, batch))
                        rows += len(batch.blocks) + _others(batch)
            if held:
                self._keep(connection, held, rows)
        if held and (rate := self._clock.rate(rows)):
            self._progress(f"{self._export.name}: {held[-1].rows:,} rows read, {rate:,} rows/s")
        return more

    def _add(self, copy: Copy, batch: Batch) -> Batch:
        """Send a batch's blocks on their way; what is left of it."""
        wanted = {record.interval.series for record in batch.blocks}
        wanted |= {record.series for record in batch.volumes if record.series is not None}
        self._number(wanted - self._series.keys())
        line = self._writer.staged
        self._staging.add(copy, [line(record) for record in batch.blocks])
        return replace(batch, blocks=())

    def _keep(self, connection: Connection, held: Sequence[Batch], rows: int) -> None:
        """What the batches hold beside blocks, and how far the import has come."""
        entries = [volume_line(one, self._series) for batch in held for one in batch.volumes]
        entries += [project_line(one) for batch in held for one in batch.projects]
        stage_entries(connection, self._staging, entries)
        rejected = [
            (self._row.id, one.row, one.line, one.field, one.value, one.rule)
            for batch in held
            for one in batch.rejected
        ]
        if rejected:
            names = ("import_id", "row", "line", "field", "value", "rule")
            copy_rows(connection, "import_rejections", names, rejected)
        raw(connection).execute(
            "UPDATE imports SET rows = %s, accepted = accepted + %s, rejected = rejected + %s,"
            " progress = progress || %s WHERE id = %s",
            [held[-1].rows, rows - len(rejected), len(rejected),
             Jsonb({"figures": held[-1].figures, "milliseconds": self._clock.spent}),
             self._row.id],
        )  # fmt: skip

    def _number(self, missing: set[Series]) -> None:
        """Learn the numbers of series; programmes with a series per batch have very many.

        In a transaction of its own: the other connection copies, and a number is never wrong.
        """
        if not missing:
            return
        if len(self._series) > 200_000:
            self._series.clear()
        with self._database.begin(durable=False) as connection:
            numbers = ensure_series(connection, missing)
        for series in missing:
            self._series[series] = numbers["0x" + series.id.hex()]

    def _close(self) -> None:
        """Every row is staged: put them in order, make the report, fix the steps."""
        table = tables.imports
        with self._database.begin() as connection:
            self._staging.seal(connection)
            sizes = self._staging.sizes(connection)
            kinds = {kind for size in sizes for kind in (size.low_kind, size.high_kind)}
            found = connection.execute(select(table).where(table.c.id == self._row.id)).one()
            rejected = raw(connection).execute(
                "SELECT row, line, field, value, rule FROM import_rejections"
                " WHERE import_id = %s ORDER BY row LIMIT %s",
                [self._row.id, MOST_LISTED],
            )
            names = ("row", "line", "field", "value", "rule")
            staged = Staged(
                len(sizes),
                self._staging.batches(connection),
                self._staging.rivals(connection) if Kind.PARTITION in kinds else (),
                [dict(zip(names, row, strict=True)) for row in rejected],
            )
            report = self._export.describe(found.progress.get("figures", {}), staged)
            raw(connection).execute(
                "UPDATE imports SET state = 'merging', report = %s, progress = progress || %s"
                " WHERE id = %s",
                [Jsonb(dict(report)), Jsonb({"mixed": len(kinds) > 1}), self._row.id],
            )
            copy_rows(
                connection,
                "import_steps",
                ("import_id", "number", "start_series", "start_first", "end_series", "end_first"),
                ((self._row.id, number, *bounds.start, *bounds.end)
                 for number, bounds in enumerate(list(self._staging.steps(connection, sizes)))),
            )  # fmt: skip


class _Merge:
    """From the import's own tables into the ledger, a step in each transaction."""

    def __init__(
        self,
        database: Database,
        import_id: int,
        plan: Planner,
        labels: Labels,
        progress: Callable[[str], None],
    ) -> None:
        table = tables.imports
        with database.read() as connection:
            self._row = connection.execute(select(table).where(table.c.id == import_id)).one()
        self._database = database
        self._plan = plan
        self._labels = labels
        self._progress = progress
        self._staging = Staging(import_id)
        self._mixed = self._row.progress.get("mixed", False)
        self._clock = _Clock(self._row.progress.get("milliseconds", {}))

    def run(self) -> ImportResult:
        """Every step that is not done, two at a time, then the end; the import's result."""
        with self._database.read() as connection:
            found = raw(connection).execute(
                "SELECT number, start_series, start_first, end_series, end_first, counts"
                " FROM import_steps WHERE import_id = %s ORDER BY number",
                [self._row.id],
            )
            steps = found.fetchall()
        done = sum(sum(step[5].values()) for step in steps if step[5])
        if done:
            self._progress(f"{self._row.file_name}: going on after {done:,} merged rows")
        left = [(step[0], Bounds(step[1:3], step[3:5])) for step in steps if not step[5]]
        with self._clock.measure("merge"), ThreadPoolExecutor(WORKERS) as pool:
            waiting = [pool.submit(self._step, number, bounds) for number, bounds in left]
            try:
                for step in as_completed(waiting):
                    counts, spent = step.result()
                    self._clock.add(spent)
                    count = sum(counts.values())
                    done += count
                    if rate := self._clock.rate(count):
                        self._progress(
                            f"{self._row.file_name}: {done:,} of {self._row.accepted:,} rows"
                            f" merged, {rate:,} rows/s"
                        )
            finally:
                pool.shutdown(cancel_futures=True)
        return self._finish()

    def _step(self, number: int, bounds: Bounds) -> tuple[dict[str, int], dict[str, int]]:
        """One step in one transaction; what it came to, and where its time went."""
        clock = _Clock({})
        with self._database.begin(durable=False) as connection:
            driver = raw(connection)
            with clock.measure("check"):
                found = judge(connection, self._staging, bounds, self._mixed)
            with clock.measure("store"):
                counts = dict.fromkeys(_COUNTS, 0) | {"unchanged": found["same"]}
                if found["review"]:
                    self._review(connection, bounds, counts)
                if found["new"]:
                    counts["new"] += store_new(connection, self._staging, bounds, self._row.id)
                counts["contradictions"] += record_retired_in_trust(
                    connection, self._row.id, bounds
                )
            driver.execute(
                "UPDATE import_steps SET counts = %s WHERE import_id = %s AND number = %s",
                [Jsonb(counts), self._row.id, number],
            )
        return counts, clock.spent

    def _review(self, connection: Connection, bounds: Bounds, counts: dict[str, int]) -> None:
        """What is not plain, by the rules themselves."""
        series, incoming = under_review(connection, self._staging, bounds)
        ids = {one: number for number, one in series.items()}
        writer = RowWriter(self._row.id, ids, self._labels)
        known = known_beside(connection, incoming, ids, series)
        planned = self._plan(known, incoming)
        apply_plan(connection, writer, planned, {piece.key: piece.record for piece in known})
        counts["new"] += len(planned.new)
        counts["unchanged"] += len(planned.unchanged)
        counts["updated"] += len(planned.updated)
        counts["split"] += sum(len(split.parts) for split in planned.split)
        counts["contradictions"] += len(planned.contradictions)

    def _finish(self) -> ImportResult:
        table = tables.imports
        with self._database.begin() as connection:
            with self._clock.measure("store"):
                merged = merge_entries(connection, self._staging, self._row.id, self._row.file_name)
            counts: Counter[str] = Counter()
            driver = raw(connection)
            steps = "import_steps WHERE import_id = %s"
            for (done,) in driver.execute(f"SELECT counts FROM {steps}", [self._row.id]):
                counts.update(done)
            counts.update(merged)
            counts["contradictions"] += record_overdrawn(connection, self._row.id)
            driver.execute(f"DELETE FROM {steps}", [self._row.id])
            self._staging.drop(connection)
            merge = {name: counts[name] for name in _COUNTS}
            report = {"merge": merge, "milliseconds": self._clock.spent}
            raw(connection).execute(
                "UPDATE imports SET report = report || %s, state = 'done', finished_at = now(),"
                " progress = '{}' WHERE id = %s",
                [Jsonb(report), self._row.id],
            )
            row = connection.execute(select(table).where(table.c.id == self._row.id)).one()
        return _result(row, known=False)


def remap_labels(database: Database, labels: Labels) -> int:
    """Give rows that an older vocabulary mapped the cohort of this one; returns how many.

    Credits that are tokens already keep the class they were minted in.
    """
    with database.begin() as connection:
        lock(connection, LOCK_IMPORT)
        driver = raw(connection)
        sets = driver.execute(
            "SELECT DISTINCT programme, labels FROM registry_blocks WHERE vocabulary <> %s",
            [labels.version],
        ).fetchall()
        changed = 0
        for programme, spelled in sets:
            codes, unmapped = labels.apply(programme, tuple(spelled))
            changed += driver.execute(
                "UPDATE registry_blocks SET cohort = %s, unmapped = %s, vocabulary = %s"
                " WHERE programme = %s AND labels = %s AND vocabulary <> %s",
                [codes, unmapped, labels.version, programme, spelled, labels.version],
            ).rowcount
        return changed
