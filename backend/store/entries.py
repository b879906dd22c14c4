"""Volumes and projects: what registries say without serials, kept by reference, with history.

Credits without serials cannot be told apart, so nothing is merged but by the event's own reference:
a newer export says something newer of it, and the history keeps what it said before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

import orjson
from psycopg.types.json import Jsonb
from sqlalchemy import Connection

from backend.domain.credits import Facts, Kind, ProjectRecord, Status, VolumeRecord
from backend.domain.serials import Series
from backend.store.block_rows import facts_json
from backend.store.copying import copy_lines, escape
from backend.store.database import raw
from backend.store.import_rows import Staging

_COLUMNS = (
    "row", "line", "kind", "programme", "project", "reference", "status", "kilograms",
    "series_id", "vintage_start", "vintage_end", "content",
)  # fmt: skip
_NULL = "\\N"
_PROJECT_DATES = {"status_on", "registered_on", "crediting_start", "crediting_end"}
_SHOWN = "jsonb_build_object('status', {0}.status, 'content', {0}.content"
_VOLUME = "project, status, kilograms, series_id, vintage_start, vintage_end, content"
#: Values of `_VOLUME` that differ between the stored and the staged row.
_OTHER = (
    f"({', '.join('v.' + name for name in _VOLUME.split(', '))}) IS DISTINCT FROM"
    f" ({', '.join('e.' + name for name in _VOLUME.split(', '))})"
)
_KEYS = "e.programme = v.programme AND e.kind = v.kind AND e.reference = v.reference"
_SAME_VOLUME = f"{_KEYS} AND e.ordinal = v.ordinal"
_SOURCE = "jsonb_build_object('file', %(file)s::text, 'row', e.row, 'line', e.line)"


def _show(table: str) -> str:
    return (
        f"{_SHOWN.format(table)}, 'project', {table}.project, 'kilograms', {table}.kilograms,"
        f" 'vintage_start', {table}.vintage_start, 'vintage_end', {table}.vintage_end)"
    )


_VOLUMES = (
    """CREATE TEMP TABLE volumes ON COMMIT DROP AS SELECT *, (row_number() OVER (
         PARTITION BY programme, kind, reference ORDER BY row))::int AS ordinal
         FROM {entries} WHERE kind <> 'project'""",
    f"""INSERT INTO registry_entry_history
         (import_id, kind, programme, reference, ordinal, before, after)
        SELECT %(import)s, e.kind, e.programme, e.reference, e.ordinal, {_show("v")}, {_show("e")}
          FROM volumes e JOIN registry_volumes v ON {_SAME_VOLUME} WHERE {_OTHER}""",
    f"""UPDATE registry_volumes v SET ({_VOLUME}) = (e.project, e.status, e.kilograms,
            e.series_id, e.vintage_start, e.vintage_end, e.content),
            source = {_SOURCE}, last_import = %(import)s
          FROM volumes e WHERE {_SAME_VOLUME} AND {_OTHER}""",
    f"""INSERT INTO registry_volumes (programme, kind, reference, ordinal, {_VOLUME}, source,
            first_import, last_import)
        SELECT e.programme, e.kind, e.reference, e.ordinal, e.project, e.status, e.kilograms,
               e.series_id, e.vintage_start, e.vintage_end, e.content, {_SOURCE}, %(import)s,
               %(import)s
          FROM volumes e ORDER BY e.row
        ON CONFLICT (programme, kind, reference, ordinal) DO NOTHING""",
)
_OTHER_PROJECT = "(v.status, v.content) IS DISTINCT FROM (e.status, e.content)"
_SAME_PROJECT = "e.programme = v.programme AND e.project = v.project"
_PROJECTS = (
    # Of a project that a file lists twice the later row counts.
    """CREATE TEMP TABLE projects ON COMMIT DROP AS SELECT DISTINCT ON (programme, project) *
         FROM {entries} WHERE kind = 'project' ORDER BY programme, project, row DESC""",
    f"""INSERT INTO registry_entry_history
         (import_id, kind, programme, reference, ordinal, before, after)
        SELECT %(import)s, 'project', e.programme, e.project, 1, {_SHOWN.format("v")}),
               {_SHOWN.format("e")})
          FROM projects e JOIN registry_projects v ON {_SAME_PROJECT} WHERE {_OTHER_PROJECT}""",
    f"""UPDATE registry_projects v SET status = e.status, content = e.content,
            source = {_SOURCE}, last_import = %(import)s
          FROM projects e WHERE {_SAME_PROJECT} AND {_OTHER_PROJECT}""",
    f"""INSERT INTO registry_projects (programme, project, status, content, source, first_import,
            last_import)
        SELECT e.programme, e.project, e.status, e.content, {_SOURCE}, %(import)s, %(import)s
          FROM projects e ORDER BY e.row
        ON CONFLICT (programme, project) DO NOTHING""",
)


def _content(content: Mapping[str, Any]) -> str:
    kept = {name: value for name, value in content.items() if value not in ("", None, ())}
    return escape(orjson.dumps(kept).decode())


def volume_line(record: VolumeRecord, series_ids: Mapping[Series, int]) -> str:
    """One line of COPY for a staged volume."""
    content = {
        "project_name": record.project_name,
        "labels": record.labels,
        "parts": dict(record.parts) or None,
        "facts": orjson.Fragment(facts_json(record.facts)),
    }
    series = _NULL if record.series is None else series_ids[record.series]
    return (
        f"{record.row}\t{record.line}\t{record.kind.value}\t{escape(record.programme)}"
        f"\t{escape(record.project)}\t{escape(record.reference)}\t{record.status.value}"
        f"\t{record.kilograms}\t{series}\t{record.vintage_start or _NULL}"
        f"\t{record.vintage_end or _NULL}\t{_content(content)}"
    )


def project_line(record: ProjectRecord) -> str:
    """One line of COPY for a staged project."""
    content = {
        name: getattr(record, name)
        for name in ProjectRecord.__slots__
        if name not in ("programme", "project", "status", "row", "line")
    }
    project = escape(record.project)
    return (
        f"{record.row}\t{record.line}\tproject\t{escape(record.programme)}\t{project}\t{project}"
        f"\t{escape(record.status)}\t{_NULL}\t{_NULL}\t{_NULL}\t{_NULL}\t{_content(content)}"
    )


def stage_entries(connection: Connection, staging: Staging, lines: list[str]) -> None:
    """Add lines of volumes and projects to an import's own table."""
    copy_lines(connection, staging.entries, _COLUMNS, lines)


def projects_said(connection: Connection, import_id: int) -> Iterator[ProjectRecord]:
    """The projects of which an import said something new."""
    rows = raw(connection).execute(
        "SELECT programme, project, status, content, source -> 'row', source -> 'line'"
        " FROM registry_projects WHERE last_import = %s",
        [import_id],
    )
    for programme, project, status, content, row, line in rows:
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in content.items()
        }
        for name in _PROJECT_DATES & values.keys():
            values[name] = date.fromisoformat(values[name])
        yield ProjectRecord(
            programme=programme, project=project, status=status, row=row, line=line, **values
        )


def volumes_said(connection: Connection, import_id: int) -> Iterator[VolumeRecord]:
    """The volumes of which an import said something new."""
    rows = raw(connection).execute(
        "SELECT v.programme, v.project, v.reference, v.kilograms, v.kind, v.status,"
        " v.vintage_start, v.vintage_end, v.content, v.source -> 'row', v.source -> 'line', s.name"
        " FROM registry_volumes v LEFT JOIN series s ON s.id = v.series_id"
        " WHERE v.last_import = %s",
        [import_id],
    )
    for row in rows:
        content = row[8]
        yield VolumeRecord(
            programme=row[0],
            project=row[1],
            project_name=content.get("project_name", ""),
            reference=row[2],
            kilograms=row[3],
            kind=Kind(row[4]),
            status=Status(row[5]),
            vintage_start=row[6],
            vintage_end=row[7],
            labels=tuple(content.get("labels", ())),
            parts=tuple(content.get("parts", {}).items()),
            series=None if row[11] is None else Series.parse(row[11]),
            facts=Facts.from_json(content.get("facts", {})),
            row=row[9],
            line=row[10],
        )


def merge_entries(
    connection: Connection, staging: Staging, import_id: int, file_name: str
) -> dict[str, int]:
    """Let the staged volumes and projects be known; counts `new`, `updated`, `unchanged`."""
    driver = raw(connection)
    total = driver.execute(staging.sql("SELECT count(*) FROM {entries}")).fetchone()
    counts = {"new": 0, "updated": 0, "unchanged": total[0] if total else 0}
    if not counts["unchanged"]:
        return counts
    values = {"import": import_id, "file": file_name}
    for made, history, updated, added in (_VOLUMES, _PROJECTS):
        driver.execute(staging.sql(made))
        driver.execute(staging.sql(history), values)
        counts["updated"] += driver.execute(staging.sql(updated), values).rowcount
        counts["new"] += driver.execute(staging.sql(added), values).rowcount
    counts["unchanged"] -= counts["updated"] + counts["new"]
    return counts


#: Series whose issuances are volumes and of which this import said something: what is retired in
#: them can be numbered, what was issued only summed.
_OVERDRAWN = """
    SELECT v.series_id, s.name, sum(v.kilograms) AS issued, gone.kilograms
      FROM registry_volumes v JOIN series s ON s.id = v.series_id
     CROSS JOIN LATERAL (
        SELECT 1000 * sum(upper(b.block) - lower(b.block)) AS kilograms,
               bool_or(b.last_import = %(import)s) AS touched
          FROM registry_blocks b WHERE b.series_id = v.series_id AND b.kind = 'retirement') gone
     WHERE v.kind = 'issuance'
     GROUP BY v.series_id, s.name, gone.kilograms, gone.touched
    HAVING gone.kilograms > sum(v.kilograms)
       AND (gone.touched OR bool_or(v.last_import = %(import)s))
     ORDER BY s.name
"""


def record_overdrawn(connection: Connection, import_id: int) -> int:
    """Write a contradiction for each series of which more is retired than was issued."""
    driver = raw(connection)
    found = driver.execute(_OVERDRAWN, {"import": import_id}).fetchall()
    for series_id, name, issued, gone in found:
        issued, gone = int(issued), int(gone)
        driver.execute(
            "INSERT INTO contradictions (import_id, series_id, description, detail)"
            " VALUES (%s, %s, %s, %s)",
            [
                import_id,
                series_id,
                f"{gone:,} kg are retired in {name}, {issued:,} kg were issued",
                Jsonb({"kind": "overdrawn", "issued_kilograms": issued, "gone_kilograms": gone}),
            ],
        )
    return len(found)
