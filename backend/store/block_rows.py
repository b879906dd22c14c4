"""Rows of `registry_blocks` to BlockRecords and back: the lines of COPY, made by hand for speed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, LiteralString

import orjson
from psycopg.types.json import Jsonb
from sqlalchemy import Connection

from backend.domain.credits import BlockRecord, Facts, Kind, Status
from backend.domain.serials import Interval, Series
from backend.errors import UnmappedLabel
from backend.store.copying import copy_lines, escape
from backend.store.database import raw

COLUMNS = (
    "series_id", "block", "kind", "programme", "project", "project_name", "vintage_start",
    "vintage_end", "batch", "status", "cohort", "vocabulary", "labels", "unmapped", "facts",
    "first_import", "last_import", "source_row", "source_line",
)  # fmt: skip
_NULL = "\\N"
#: Columns of a staged row, as `RowWriter.staged` writes them.
STAGED = (
    "row", "line", "series_id", "first", "last", "kind", "programme", "project", "project_name",
    "vintage_start", "vintage_end", "batch", "status", "cohort", "vocabulary", "labels",
    "unmapped", "facts",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Labels:
    """The vocabulary: its version and (programme, labels) → cohort, or UnmappedLabel."""

    version: str
    cohort_of: Callable[[str, tuple[str, ...]], tuple[str, ...]]

    def apply(self, programme: str, labels: tuple[str, ...]) -> tuple[list[str] | None, list[str]]:
        """(codes or None, labels that are not in the vocabulary)."""
        try:
            return list(self.cohort_of(programme, labels)), []
        except UnmappedLabel as error:
            return None, list(error.values.get("labels") or labels)


def facts_json(facts: Facts) -> str:
    """`Facts.as_json` as text, several times faster."""
    found = dict(facts.stated())
    return orjson.dumps(found).decode() if found else "{}"


def array(values: Sequence[str]) -> str:
    """A text[] literal."""
    quoted = (value.replace("\\", "\\\\").replace('"', '\\"') for value in values)
    return "{" + ",".join(f'"{value}"' for value in quoted) + "}"


def _day(day: date | None) -> str:
    """A date as COPY takes it."""
    return "\\N" if day is None else str(day)


@dataclass(slots=True)
class RowWriter:
    """Writes rows of one import; `series_ids` are the numbers of its series."""

    import_id: int
    series_ids: Mapping[Series, int]
    labels: Labels
    _mapped: dict[tuple[str, tuple[str, ...]], tuple[str, list[str] | None, list[str]]] = field(
        default_factory=dict
    )

    def _label_columns(self, record: BlockRecord) -> tuple[str, list[str] | None, list[str]]:
        """Columns cohort, vocabulary, labels, unmapped as text; few sets of labels ever occur."""
        key = (record.programme, record.labels)
        found = self._mapped.get(key)
        if found is None:
            codes, unmapped = self.labels.apply(record.programme, record.labels)
            texts = (
                "\\N" if codes is None else escape(array(codes)),
                escape(self.labels.version),
                escape(array(record.labels)),
                escape(array(unmapped)),
            )
            found = self._mapped[key] = ("\t".join(texts), codes, unmapped)
        return found

    def line(self, record: BlockRecord) -> str:
        """One line of COPY for `COLUMNS`."""
        interval = record.interval
        batch = "\\N" if record.batch is None else record.batch
        return (
            f"{self.series_ids[interval.series]}\t[{interval.first},{interval.last}]\t"
            f"{record.kind.value}\t{escape(record.programme)}\t{escape(record.project)}\t"
            f"{escape(record.project_name)}\t{_day(record.vintage_start)}"
            f"\t{_day(record.vintage_end)}\t{batch}"
            f"\t{record.status.value}\t{self._label_columns(record)[0]}\t"
            f"{escape(facts_json(record.facts))}\t{self.import_id}\t{self.import_id}"
            f"\t{record.row}\t{record.line}"
        )

    def staged(self, record: BlockRecord) -> str:
        """One line of COPY for `STAGED`: what the row says, nothing of the import."""
        interval = record.interval
        start, end, batch = record.vintage_start, record.vintage_end, record.batch
        return (
            f"{record.row}\t{record.line}\t{self.series_ids[interval.series]}\t{interval.first}"
            f"\t{interval.last}\t{record.kind.value}\t{escape(record.programme)}"
            f"\t{escape(record.project)}\t{escape(record.project_name)}"
            f"\t{_NULL if start is None else start}\t{_NULL if end is None else end}"
            f"\t{_NULL if batch is None else batch}"
            f"\t{record.status.value}\t{self._label_columns(record)[0]}"
            f"\t{escape(facts_json(record.facts))}"
        )

    def copy_new(self, connection: Connection, records: Sequence[BlockRecord]) -> None:
        """Add rows."""
        line = self.line
        copy_lines(connection, "registry_blocks", COLUMNS, [line(record) for record in records])

    def update(self, connection: Connection, changes: Sequence[tuple[int, BlockRecord]]) -> None:
        """Let stored rows say what newer records say."""
        with raw(connection).cursor() as cursor:
            cursor.executemany(
                "UPDATE registry_blocks SET block = int8range(%s, %s, '[]'), project_name = %s,"
                " status = %s, cohort = %s, vocabulary = %s, labels = %s, unmapped = %s,"
                " facts = %s, last_import = %s, source_row = %s, source_line = %s WHERE id = %s",
                [self._update_values(key, record) for key, record in changes],
            )

    def _update_values(self, key: int, record: BlockRecord) -> tuple[Any, ...]:
        _, codes, unmapped = self._label_columns(record)
        return (
            record.interval.first,
            record.interval.last,
            record.project_name,
            record.status.value,
            codes,
            self.labels.version,
            list(record.labels),
            unmapped,
            Jsonb(record.facts.as_json()),
            self.import_id,
            record.row,
            record.line,
            key,
        )

    def as_json(self, record: BlockRecord) -> dict[str, Any]:
        """A record as the history shows it."""
        return {
            "serials": str(record.interval),
            "programme": record.programme,
            "project": record.project,
            "project_name": record.project_name,
            "vintage_start": record.vintage_start and record.vintage_start.isoformat(),
            "vintage_end": record.vintage_end and record.vintage_end.isoformat(),
            "kind": record.kind.value,
            "status": record.status.value,
            "batch": record.batch,
            "labels": list(record.labels),
            "facts": record.facts.as_json(),
        }


def read_records(
    connection: Connection,
    series: Mapping[int, Series],
    condition: LiteralString,
    parameters: Sequence[Any],
) -> Iterator[tuple[int, BlockRecord]]:
    """(id, record) of the stored rows that meet a condition."""
    rows = raw(connection).execute(
        "SELECT id, source_row, source_line, series_id, lower(block),"
        " upper(block) - 1, kind, programme, project, project_name, vintage_start, vintage_end,"
        " batch, status, labels, facts FROM registry_blocks WHERE " + condition,
        parameters,
    )
    for row in rows:
        yield row[0], record_of(series, row[1:])


def record_of(series: Mapping[int, Series], row: Sequence[Any]) -> BlockRecord:
    """A record from its columns: row, line, series, first, last and on as in `STAGED`, of which
    cohort, vocabulary and unmapped are left out."""
    return BlockRecord(
        programme=row[6],
        project=row[7],
        project_name=row[8],
        vintage_start=row[9],
        vintage_end=row[10],
        interval=Interval(series[row[2]], row[3], row[4]),
        kind=Kind(row[5]),
        status=Status(row[12]),
        labels=tuple(row[13]),
        batch=row[11],
        facts=Facts.from_json(row[14]),
        row=row[0],
        line=row[1],
    )
