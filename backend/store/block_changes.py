"""What a merge plan does to stored blocks: new rows, updates, splits, history, contradictions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from psycopg.types.json import Jsonb
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import insert

from backend.domain.credits import BlockRecord
from backend.domain.serials import Series
from backend.store import tables
from backend.store.block_rows import RowWriter, read_records
from backend.store.database import raw


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


def known_beside(
    connection: Connection,
    incoming: Sequence[BlockRecord],
    ids: Mapping[Series, int],
    names: Mapping[int, Series],
) -> list[KnownPiece]:
    """Stored rows that a plan must see: of events the whole series, of pieces what is touched."""
    events = sorted({ids[r.interval.series] for r in incoming if r.kind != "partition"})
    found = [
        KnownPiece(key, record)
        for key, record in read_records(
            connection, names, "series_id = ANY(%s) AND kind <> 'partition'", [events]
        )
    ]
    wanted: dict[int, tuple[list[int], list[int]]] = {}
    for record in incoming:
        if record.kind == "partition":
            firsts, lasts = wanted.setdefault(ids[record.interval.series], ([], []))
            firsts.append(record.interval.first)
            lasts.append(record.interval.last)
    for number, (firsts, lasts) in wanted.items():
        found += [
            KnownPiece(key, record)
            for key, record in read_records(connection, names, _TOUCHED, [firsts, lasts, number])
        ]
    return found


# The stored pieces of a series are disjoint: those that a row touches begin inside it, or are the
# one that begins last before it. Both come from the btree on (series, kind, programme, first
# serial); only the owner of a series tells of pieces.
_TOUCHED = """id IN (
    SELECT hit.id FROM (SELECT s.id AS series, s.programme AS teller, row.first, row.last
           FROM series s, unnest(%s::bigint[], %s::bigint[]) AS row(first, last)
          WHERE s.id = %s) wanted
    CROSS JOIN LATERAL (
        SELECT id FROM registry_blocks
         WHERE series_id = wanted.series AND kind = 'partition' AND programme = wanted.teller
           AND lower(block) > wanted.first AND lower(block) <= wanted.last
        UNION ALL
        (SELECT id FROM registry_blocks
          WHERE series_id = wanted.series AND kind = 'partition' AND programme = wanted.teller
           AND lower(block) <= wanted.first
          ORDER BY lower(block) DESC LIMIT 1)) hit)"""


def apply_plan(
    connection: Connection,
    writer: RowWriter,
    plan: Plan,
    known: Mapping[int, BlockRecord],
) -> None:
    writer.copy_new(connection, plan.new)
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
