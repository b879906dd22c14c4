"""Saves a registry's export: once per content, merged by series, with history, by COPY.

The rules of the merge are pure and belong to `registries`; the caller hands them in. One lock
serialises imports, so what a plan was made from is what it is applied to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple, Protocol

from psycopg.types.json import Jsonb
from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert

from backend.domain.credits import BlockRecord
from backend.domain.serials import Series
from backend.store import tables
from backend.store.backing_index import ensure_series
from backend.store.block_rows import Labels, RowWriter, read_records
from backend.store.copying import copy_lines
from backend.store.database import LOCK_IMPORT, Database, lock, raw
from backend.store.retired_in_trust import record_retired_in_trust

_CHUNK = 50_000


class KnownPiece(NamedTuple):
    """A stored row under its id, as the merge rules take it."""

    key: int
    record: BlockRecord


class Updated(Protocol):
    """A stored row about which the export says something newer."""

    @property
    def key(self) -> int: ...
    @property
    def record(self) -> BlockRecord: ...
    @property
    def changes(self) -> tuple[str, ...]: ...


class Divided(Protocol):
    """A stored row that is now several."""

    @property
    def key(self) -> int: ...
    @property
    def parts(self) -> tuple[BlockRecord, ...]: ...
    @property
    def changes(self) -> tuple[str, ...]: ...


class Refused(Protocol):
    """A row that cannot be true beside what is known."""

    @property
    def record(self) -> BlockRecord: ...
    @property
    def field(self) -> str: ...
    @property
    def rule(self) -> str: ...
    @property
    def known(self) -> tuple[int, ...]: ...


class Plan(Protocol):
    """`registries.merge.MergePlan`, as far as it is read here."""

    @property
    def new(self) -> Sequence[BlockRecord]: ...
    @property
    def unchanged(self) -> Sequence[Any]: ...
    @property
    def updated(self) -> Sequence[Updated]: ...
    @property
    def split(self) -> Sequence[Divided]: ...
    @property
    def contradictions(self) -> Sequence[Refused]: ...


Planner = Callable[[Any, Sequence[BlockRecord]], Plan]


@dataclass(frozen=True, slots=True)
class ExportFile:
    """One export as its adapter read it. `report` is what `import --json` prints of it."""

    name: str
    sha256: str
    programme: str
    layout: str
    rows: int
    rejected: int
    records: Sequence[BlockRecord]
    report: Mapping[str, Any]


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
    new: int = 0
    unchanged: int = 0
    updated: int = 0
    split: int = 0
    contradictions: int = 0
    known: bool = False


def save_import(
    database: Database, export: ExportFile, plan: Planner, labels: Labels
) -> ImportResult:
    """Merge an export into what is known, in one transaction.

    The same content (SHA-256) again changes nothing and gives the first result, `known` True.
    `plan` is `registries.merge.plan_merge`; contradictions are recorded, never merged. Rows that
    show credits in trust as gone are merged, and recorded as contradictions too.
    """
    with database.begin() as connection:
        lock(connection, LOCK_IMPORT)
        earlier = _earlier(connection, export.sha256)
        if earlier is not None:
            return earlier
        import_id = _insert_import(connection, export)
        series = ensure_series(connection, {record.interval.series for record in export.records})
        ids = {s: series["0x" + s.id.hex()] for s in {r.interval.series for r in export.records}}
        writer = RowWriter(import_id, export.name, ids, labels)
        known, incoming, unchanged = _compare(connection, writer, export.records)
        planned = plan(known, incoming)
        _apply(connection, writer, planned, {piece.key: piece.record for piece in known})
        in_trust = record_retired_in_trust(connection, import_id, list(ids.values()))
        result = ImportResult(
            import_id=import_id,
            file_name=export.name,
            sha256=export.sha256,
            programme=export.programme,
            layout=export.layout,
            rows=export.rows,
            accepted=len(export.records),
            rejected=export.rejected,
            new=len(planned.new),
            unchanged=unchanged + len(planned.unchanged),
            updated=len(planned.updated),
            split=sum(len(split.parts) for split in planned.split),
            contradictions=len(planned.contradictions) + in_trust,
        )
        raw(connection).execute(
            "UPDATE imports SET report = report || %s WHERE id = %s",
            [Jsonb({"merge": _counts(result)}), import_id],
        )
        return result


_COUNTS = ("new", "unchanged", "updated", "split", "contradictions")


def _counts(result: ImportResult) -> dict[str, int]:
    return {name: value for name, value in asdict(result).items() if name in _COUNTS}


def _earlier(connection: Connection, sha256: str) -> ImportResult | None:
    table = tables.imports
    found = connection.execute(select(table).where(table.c.sha256 == sha256)).first()
    if found is None:
        return None
    result = ImportResult(
        import_id=found.id,
        file_name=found.file_name,
        sha256=found.sha256,
        programme=found.programme,
        layout=found.layout,
        rows=found.rows,
        accepted=found.accepted,
        rejected=found.rejected,
        known=True,
    )
    return replace(result, **found.report["merge"])


def _insert_import(connection: Connection, export: ExportFile) -> int:
    return int(
        connection.execute(
            insert(tables.imports)
            .values(
                file_name=export.name,
                sha256=export.sha256,
                programme=export.programme,
                layout=export.layout,
                rows=export.rows,
                accepted=len(export.records),
                rejected=export.rejected,
                report=dict(export.report),
            )
            .returning(tables.imports.c.id)
        ).scalar_one()
    )


# ── what is known already ────────────────────────────────────────────────────────────────────


def _compare(
    connection: Connection, writer: RowWriter, records: Sequence[BlockRecord]
) -> tuple[list[KnownPiece], Sequence[BlockRecord], int]:
    """(pieces the plan must see, records it must judge, records that are stored just so).

    Rows equal to a stored one are found by one join and left out, unless rows of the export
    overlap each other: then the plan must see them all.
    """
    ids = list(writer.series_ids.values())
    driver = raw(connection)
    held = driver.execute(
        "SELECT EXISTS (SELECT FROM registry_blocks WHERE series_id = ANY(%s))", [ids]
    ).fetchone()
    if not records or not held or not held[0]:
        return [], records, 0
    driver.execute("DROP TABLE IF EXISTS incoming")
    driver.execute(
        "CREATE TEMP TABLE incoming (ordinal int, series_id int, first bigint, last bigint,"
        " kind text, programme text, project text, project_name text, vintage_start date,"
        " vintage_end date, batch bigint, status text, labels text[], facts jsonb)"
        " ON COMMIT DROP"
    )
    lines = [writer.comparable(ordinal, record) for ordinal, record in enumerate(records)]
    copy_lines(connection, "incoming", _INCOMING, lines)
    driver.execute("ANALYZE incoming")
    same: set[int] = set()
    if not _overlaps(connection):
        same = {row[0] for row in driver.execute(_SAME)}
    if len(same) == len(records):
        return [], [], len(same)
    incoming = [record for ordinal, record in enumerate(records) if ordinal not in same]
    left = {writer.series_ids[record.interval.series] for record in incoming}
    names = {number: series for series, number in writer.series_ids.items()}
    return _known(connection, left, incoming, writer, names), incoming, len(same)


_INCOMING = (
    "ordinal", "series_id", "first", "last", "kind", "programme", "project", "project_name",
    "vintage_start", "vintage_end", "batch", "status", "labels", "facts",
)  # fmt: skip
_SAME = """
    SELECT i.ordinal FROM incoming i JOIN registry_blocks r
      ON r.series_id = i.series_id AND r.kind = i.kind AND lower(r.block) = i.first
     AND upper(r.block) = i.last + 1
   WHERE r.programme = i.programme AND r.project = i.project AND r.project_name = i.project_name
     AND r.vintage_start IS NOT DISTINCT FROM i.vintage_start
     AND r.vintage_end IS NOT DISTINCT FROM i.vintage_end
     AND r.batch IS NOT DISTINCT FROM i.batch AND r.status = i.status AND r.labels = i.labels
     AND r.facts = i.facts
"""
_OVERLAPS = """
    SELECT EXISTS (SELECT FROM (
        SELECT first, max(last) OVER (PARTITION BY series_id, kind ORDER BY first, last, ordinal
               ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS reached FROM incoming) o
     WHERE first <= reached)
"""


def _overlaps(connection: Connection) -> bool:
    found = raw(connection).execute(_OVERLAPS).fetchone()
    return bool(found and found[0])


def _known(
    connection: Connection,
    series_ids: Iterable[int],
    incoming: Sequence[BlockRecord],
    writer: RowWriter,
    names: Mapping[int, Series],
) -> list[KnownPiece]:
    """Stored rows that the plan must see: of events the whole series, of pieces what is touched."""
    events = [
        writer.series_ids[series]
        for series in {r.interval.series for r in incoming if r.kind != "partition"}
    ]
    found = [
        KnownPiece(key, record)
        for key, record in read_records(
            connection, names, "series_id = ANY(%s) AND kind <> 'partition'", [events]
        )
    ]
    firsts: dict[int, list[int]] = {number: [] for number in series_ids}
    lasts: dict[int, list[int]] = {number: [] for number in series_ids}
    for record in incoming:
        if record.kind == "partition":
            number = writer.series_ids[record.interval.series]
            firsts[number].append(record.interval.first)
            lasts[number].append(record.interval.last)
    for number in firsts:
        if firsts[number]:
            found += [
                KnownPiece(key, record)
                for key, record in read_records(
                    connection, names, _TOUCHED, [number, firsts[number], lasts[number]]
                )
            ]
    return found


# The stored pieces of a series are disjoint: those that a row touches begin inside it, or are the
# one that begins last before it. Both come from the btree on (series, kind, first serial).
_TOUCHED = """id IN (
    SELECT hit.id FROM (SELECT %s::int AS series, * FROM unnest(%s::bigint[], %s::bigint[])
           AS row(first, last)) wanted
    CROSS JOIN LATERAL (
        SELECT id FROM registry_blocks
         WHERE series_id = wanted.series AND kind = 'partition'
           AND lower(block) > wanted.first AND lower(block) <= wanted.last
        UNION ALL
        (SELECT id FROM registry_blocks
          WHERE series_id = wanted.series AND kind = 'partition' AND lower(block) <= wanted.first
          ORDER BY lower(block) DESC LIMIT 1)) hit)"""


# ── applying a plan ──────────────────────────────────────────────────────────────────────────


def _apply(
    connection: Connection,
    writer: RowWriter,
    plan: Plan,
    known: Mapping[int, BlockRecord],
) -> None:
    for start in range(0, len(plan.new), _CHUNK):
        writer.copy_new(connection, plan.new[start : start + _CHUNK])
    if plan.updated:
        writer.update(connection, [(update.key, update.record) for update in plan.updated])
        _add_history(
            connection,
            writer.import_id,
            (
                (
                    update.key,
                    "updated" if "status" in update.changes else "facts",
                    {**writer.as_json(known[update.key]), "changes": list(update.changes)},
                    writer.as_json(update.record),
                )
                for update in plan.updated
            ),
        )
    if plan.split:
        _divide(connection, writer, plan.split, known)
    if plan.contradictions:
        _contradict(connection, writer, plan.contradictions)


def _divide(
    connection: Connection,
    writer: RowWriter,
    splits: Sequence[Divided],
    known: Mapping[int, BlockRecord],
) -> None:
    """The first part keeps the row's id, so that its history goes on; the others are new rows."""
    writer.update(connection, [(split.key, split.parts[0]) for split in splits])
    writer.copy_new(connection, [part for split in splits for part in split.parts[1:]])
    _add_history(
        connection,
        writer.import_id,
        (
            (
                split.key,
                "split",
                {**writer.as_json(known[split.key]), "changes": list(split.changes)},
                {"parts": [writer.as_json(part) for part in split.parts]},
            )
            for split in splits
        ),
    )


def _add_history(
    connection: Connection,
    import_id: int,
    changes: Iterable[tuple[int, str, dict[str, Any], dict[str, Any]]],
) -> None:
    with (
        raw(connection).cursor() as cursor,
        cursor.copy(
            "COPY registry_block_history (registry_block_id, import_id, change, before, after)"
            " FROM STDIN"
        ) as copy,
    ):
        for key, change, before, after in changes:
            copy.write_row((key, import_id, change, Jsonb(before), Jsonb(after)))


def _contradict(connection: Connection, writer: RowWriter, refused: Sequence[Refused]) -> None:
    connection.execute(
        insert(tables.contradictions),
        [
            {
                "import_id": writer.import_id,
                "series_id": writer.series_ids[found.record.interval.series],
                "description": (
                    f"row {found.record.row}, {found.record.interval}: {found.field} {found.rule}"
                ),
                "detail": {
                    "field": found.field,
                    "rule": found.rule,
                    "known": list(found.known),
                    "row": found.record.row,
                    "line": found.record.line,
                    "record": writer.as_json(found.record),
                },
            }
            for found in refused
        ],
    )


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
