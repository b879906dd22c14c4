"""What the registries' exports say: imports, contradictions, and blocks of serials with their use.

A block may become tokens as far as it is active, all its labels are in the vocabulary, and it is
not in trust already; `free` are the serials that are left.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    Connection,
    FromClause,
    Row,
    Select,
    and_,
    func,
    or_,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import INT4RANGE
from sqlalchemy.sql.elements import ColumnElement

from backend.domain.credits import Status, bars_to_tokens
from backend.domain.serials import PARTY_SERIES, SERIES_RULES, VIEWERS, Interval, Series, subtract
from backend.errors import NotFound
from backend.store import tables
from backend.store.queries.reading import DEFAULT_LIMIT, Page, fetch_page

STATUSES = tuple(status.value for status in Status)


@dataclass(frozen=True, slots=True)
class Use:
    """A part of a block that a receipt holds in trust."""

    receipt_id: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class RegistryBlock:
    """One row of an export as it stands after the newest import. Serials are inclusive.

    `reasons` says why nothing of it can be tokenized; empty means `free` can.
    """

    id: int
    series: str
    first: int
    last: int
    kind: str
    programme: str
    project: str
    project_name: str
    vintage_start: date | None
    vintage_end: date | None
    status: str
    cohort: tuple[str, ...] | None
    vocabulary: str
    labels: tuple[str, ...]
    unmapped: tuple[str, ...]
    facts: dict[str, Any]
    source: dict[str, Any]
    first_import: int
    last_import: int
    in_trust: tuple[Use, ...]
    free: tuple[tuple[int, int], ...]
    reasons: tuple[str, ...]

    @property
    def tonnes(self) -> int:
        return self.last - self.first + 1

    @property
    def free_tonnes(self) -> int:
        return sum(last - first + 1 for first, last in self.free)

    @property
    def tokenizable(self) -> bool:
        return not self.reasons


@dataclass(frozen=True, slots=True)
class Import:
    """One imported file. `report` holds its figures and the rows it refused.

    `state` is `done`, `reading` or `merging` while it is under way or was interrupted, or
    `abandoned` when it was given up then (`sha256` ends in `:` and the id); `rows`,
    `accepted` and `rejected` are those read so far.
    """

    id: int
    imported_at: datetime
    file_name: str
    sha256: str
    programme: str
    layout: str
    rows: int
    accepted: int
    rejected: int
    state: str
    finished_at: datetime | None
    report: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ContradictionRow:
    """Two exports that cannot both be true; reported, never merged."""

    id: int
    import_id: int
    series: str
    description: str
    detail: dict[str, Any]
    found_at: datetime


@dataclass(frozen=True, slots=True)
class Lot:
    """Imported credits of one class-to-be: tonnes by what can be done with them."""

    programme: str
    project: str
    project_name: str
    vintage_start: date | None
    vintage_end: date | None
    cohort: tuple[str, ...] | None
    blocks: int
    active_tonnes: int
    in_trust_tonnes: int
    unmapped: bool

    @property
    def tokenizable(self) -> bool:
        """Whether what is not in trust yet can become tokens."""
        return not self.unmapped and self.programme in SERIES_RULES and bool(self.vintage_start)


def _shares_serials(one: FromClause, other: FromClause) -> ColumnElement[bool]:
    """Rows of one series whose blocks share a serial, as the gist indexes find them."""
    # `=` would invite a hash join over the few series there are: every pair of blocks of each.
    return and_(
        _series_range(one).op("&&")(_series_range(other)), one.c.block.op("&&")(other.c.block)
    )


def _series_range(table: FromClause) -> ColumnElement[Any]:
    return func.int4range(table.c.series_id, table.c.series_id, "[]", type_=INT4RANGE)


def _held() -> Select[Any]:
    """What receipts hold of a registry block, as a subquery of a query over the blocks."""
    rows, held = tables.registry_blocks, tables.custody_blocks
    return select(held.c.id).where(_shares_serials(held, rows)).correlate(rows)


def _in_trust() -> ColumnElement[int]:
    """Tonnes of a registry block that receipts hold."""
    rows, held = tables.registry_blocks, tables.custody_blocks
    overlap = held.c.block.op("*")(rows.c.block)
    tonnes = func.coalesce(func.sum(func.upper(overlap) - func.lower(overlap)), 0)
    return _held().with_only_columns(tonnes).scalar_subquery()


def _tonnes() -> ColumnElement[int]:
    block = tables.registry_blocks.c.block
    return func.upper(block) - func.lower(block)


def _tokenizable() -> ColumnElement[bool]:
    rows = tables.registry_blocks
    return and_(
        rows.c.status == "active",
        rows.c.programme.in_(sorted(SERIES_RULES)),
        rows.c.vintage_start.is_not(None),
        func.cardinality(rows.c.unmapped) == 0,
        rows.c.cohort.is_not(None),
        _in_trust() < _tonnes(),
    )


def _blocks() -> Select[Any]:
    rows, series, imports = tables.registry_blocks, tables.series, tables.imports
    return select(
        rows,
        series.c.name,
        func.lower(rows.c.block).label("first"),
        (func.upper(rows.c.block) - 1).label("last"),
        imports.c.file_name,
    ).select_from(
        rows.join(series, series.c.id == rows.c.series_id).join(
            imports, imports.c.id == rows.c.last_import
        )
    )


def list_blocks(
    connection: Connection,
    *,
    programme: str | None = None,
    project: str | None = None,
    status: str | None = None,
    vintage: int | None = None,
    tokenizable: bool | None = None,
    in_trust: bool | None = None,
    import_id: int | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[RegistryBlock]:
    """Imported blocks by series, kind and serial. `vintage` is a year that the vintage touches."""
    rows, query = tables.registry_blocks, _blocks()
    if programme is not None:
        query = query.where(rows.c.programme == programme)
    if project is not None:
        query = query.where(rows.c.project == project)
    if status is not None:
        query = query.where(rows.c.status == status)
    if vintage is not None:
        query = query.where(
            rows.c.vintage_start <= date(vintage, 12, 31),
            rows.c.vintage_end >= date(vintage, 1, 1),
        )
    if tokenizable is not None:
        query = query.where(
            _tokenizable() if tokenizable else ~func.coalesce(_tokenizable(), False)
        )
    if in_trust is not None:
        query = query.where(_held().exists() if in_trust else ~_held().exists())
    if import_id is not None:
        query = query.where(or_(rows.c.first_import == import_id, rows.c.last_import == import_id))
    # The order of an index: a page is read, not sorted.
    key = [rows.c.series_id, rows.c.kind, rows.c.programme, func.lower(rows.c.block), rows.c.id]
    found, following = fetch_page(connection, query, key, [int, str, str, int, int], cursor, limit)
    return Page(tuple(_with_use(connection, found)), following)


#: Blocks of one kind in one series, as one programme tells of them, are disjoint: those that share
#: a serial with [first, last] begin in it, or are the one that begins last before it.
_HOLDING = text(
    "SELECT DISTINCT r.id FROM unnest(CAST(:names AS text[]), CAST(:firsts AS bigint[]),"
    " CAST(:lasts AS bigint[])) AS w(name, first, last) JOIN series s ON s.name = w.name"
    " CROSS JOIN (VALUES ('partition'), ('issuance'), ('retirement')) AS kinds(kind)"
    " CROSS JOIN LATERAL unnest(s.programme || CASE s.programme WHEN :party"
    "   THEN CAST(:viewers AS text[]) ELSE '{}' END) AS tellers(programme)"
    " CROSS JOIN LATERAL ("
    "   (SELECT b.id, b.block FROM registry_blocks b WHERE b.series_id = s.id"
    "      AND b.kind = kinds.kind AND b.programme = tellers.programme"
    "      AND lower(b.block) > w.first AND lower(b.block) <= w.last)"
    "   UNION ALL"
    "   (SELECT b.id, b.block FROM registry_blocks b WHERE b.series_id = s.id"
    "      AND b.kind = kinds.kind AND b.programme = tellers.programme"
    "      AND lower(b.block) <= w.first"
    "      ORDER BY lower(b.block) DESC LIMIT 1)) r"
    " WHERE upper(r.block) > w.first"
)


def blocks_holding(
    connection: Connection, intervals: Sequence[tuple[str, int, int]], limit: int = 200
) -> list[RegistryBlock]:
    """Imported blocks that share a serial with any of (series name, first, last), up to `limit`."""
    if not intervals:
        return []
    rows = tables.registry_blocks
    names, firsts, lasts = (list(part) for part in zip(*intervals, strict=True))
    hit = [
        found
        for (found,) in connection.execute(
            _HOLDING,
            {
                "names": names,
                "firsts": firsts,
                "lasts": lasts,
                "party": PARTY_SERIES,
                "viewers": list(VIEWERS),
            },
        )
    ]
    found = connection.execute(
        _blocks()
        .where(rows.c.id.in_(hit))
        .order_by(rows.c.series_id, func.lower(rows.c.block), rows.c.id)
        .limit(limit)
    ).all()
    return _with_use(connection, found)


def _with_use(connection: Connection, found: Sequence[Row[Any]]) -> list[RegistryBlock]:
    """The rows with what of them is in trust: one query for all of them."""
    rows, held = tables.registry_blocks, tables.custody_blocks
    uses: dict[int, list[Use]] = defaultdict(list)
    if found:
        overlap = held.c.block.op("*")(rows.c.block)
        query = (
            select(
                rows.c.id,
                held.c.receipt_id,
                func.lower(overlap).label("first"),
                (func.upper(overlap) - 1).label("last"),
            )
            .select_from(
                rows.join(
                    held,
                    _shares_serials(held, rows),
                )
            )
            .where(rows.c.id.in_([row.id for row in found]))
            .order_by(rows.c.id, func.lower(overlap))
        )
        for use in connection.execute(query):
            uses[use.id].append(Use(use.receipt_id, use.first, use.last))
    return [_block(row, tuple(uses[row.id])) for row in found]


def _block(row: Row[Any], uses: tuple[Use, ...]) -> RegistryBlock:
    series = Series.parse(row.name)
    whole = Interval(series, row.first, row.last)
    left = subtract([whole], [Interval(series, use.first, use.last) for use in uses])
    reasons = bars_to_tokens(
        series,
        Status(row.status),
        row.vintage_start,
        row.unmapped or (None if row.cohort is None else ()),
        row.vocabulary,
    )
    if not left:
        reasons.append("every serial is in trust already")
    return RegistryBlock(
        id=row.id,
        series=row.name,
        first=row.first,
        last=row.last,
        kind=row.kind,
        programme=row.programme,
        project=row.project,
        project_name=row.project_name,
        vintage_start=row.vintage_start,
        vintage_end=row.vintage_end,
        status=row.status,
        cohort=None if row.cohort is None else tuple(row.cohort),
        vocabulary=row.vocabulary,
        labels=tuple(row.labels),
        unmapped=tuple(row.unmapped),
        facts=row.facts,
        source={"file": row.file_name, "row": row.source_row, "line": row.source_line},
        first_import=row.first_import,
        last_import=row.last_import,
        in_trust=uses,
        free=tuple((interval.first, interval.last) for interval in left),
        reasons=tuple(reasons),
    )


def series_names(connection: Connection) -> dict[int, str]:
    """Number → name of every series."""
    table = tables.series
    return {row.id: row.name for row in connection.execute(select(table.c.id, table.c.name))}


def list_lots(
    connection: Connection, *, programme: str | None = None, project: str | None = None
) -> list[Lot]:
    """Active imported credits grouped as classes would group them, the largest first."""
    rows, held = tables.registry_blocks, tables.custody_blocks
    overlap = held.c.block.op("*")(rows.c.block)
    # From the few blocks in trust to their rows, not from every row to what holds it.
    used = (
        select(rows.c.id, func.sum(func.upper(overlap) - func.lower(overlap)).label("tonnes"))
        .select_from(held.join(rows, _shares_serials(held, rows)))
        .group_by(rows.c.id)
        .subquery("used")
    )
    query = (
        select(
            rows.c.programme,
            rows.c.project,
            func.max(rows.c.project_name).label("project_name"),
            rows.c.vintage_start,
            rows.c.vintage_end,
            rows.c.cohort,
            func.count().label("blocks"),
            func.sum(_tonnes()).label("active"),
            func.coalesce(func.sum(used.c.tonnes), 0).label("in_trust"),
            func.bool_or(func.cardinality(rows.c.unmapped) > 0).label("unmapped"),
        )
        .select_from(rows.outerjoin(used, used.c.id == rows.c.id))
        .where(rows.c.status == "active")
    )
    if programme is not None:
        query = query.where(rows.c.programme == programme)
    if project is not None:
        query = query.where(rows.c.project == project)
    group = (
        rows.c.programme,
        rows.c.project,
        rows.c.vintage_start,
        rows.c.vintage_end,
        rows.c.cohort,
    )
    found = connection.execute(query.group_by(*group).order_by(func.sum(_tonnes()).desc(), *group))
    return [
        Lot(
            r.programme,
            r.project,
            r.project_name,
            r.vintage_start,
            r.vintage_end,
            None if r.cohort is None else tuple(r.cohort),
            r.blocks,
            int(r.active),
            int(r.in_trust),
            r.unmapped,
        )
        for r in found
    ]


def list_imports(
    connection: Connection, *, cursor: str | None = None, limit: int = DEFAULT_LIMIT
) -> Page[Import]:
    """Imported files, the newest first."""
    table = tables.imports
    rows, following = fetch_page(
        connection, select(table), [table.c.id], [int], cursor, limit, descending=True
    )
    return Page(tuple(_import(row) for row in rows), following)


def get_import(connection: Connection, import_id: int) -> Import:
    """One imported file; raises NotFound."""
    row = connection.execute(select(tables.imports).where(tables.imports.c.id == import_id)).first()
    if row is None:
        raise NotFound(f"no import has the id {import_id}", import_id=str(import_id))
    return _import(row)


def _import(row: Row[Any]) -> Import:
    return Import(
        row.id,
        row.imported_at,
        row.file_name,
        row.sha256,
        row.programme,
        row.layout,
        row.rows,
        row.accepted,
        row.rejected,
        row.state,
        row.finished_at,
        row.report,
    )


def list_contradictions(
    connection: Connection,
    *,
    import_id: int | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[ContradictionRow]:
    """Contradictions between exports, the newest first."""
    table, series = tables.contradictions, tables.series
    query = select(table, series.c.name).select_from(
        table.join(series, series.c.id == table.c.series_id)
    )
    if import_id is not None:
        query = query.where(table.c.import_id == import_id)
    rows, following = fetch_page(
        connection, query, [table.c.id], [int], cursor, limit, descending=True
    )
    found = [
        ContradictionRow(r.id, r.import_id, r.name, r.description, r.detail, r.found_at)
        for r in rows
    ]
    return Page(tuple(found), following)
