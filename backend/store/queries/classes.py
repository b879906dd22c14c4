"""Classes of credits: counters, labels, dated facts, and the serials behind their positions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Connection, Row, Select, func, select, true
from sqlalchemy.dialects.postgresql import distinct_on

from backend.domain.classes import label_hash
from backend.domain.positions import Positions
from backend.errors import NotFound
from backend.store import tables
from backend.store.backing_tables import class_exits
from backend.store.queries.assignment import SerialRun, Span, changes_of, serials_at
from backend.store.queries.confirmed import confirmations_within, mark
from backend.store.queries.reading import DEFAULT_LIMIT, Page, fetch_page


@dataclass(frozen=True, slots=True)
class ClassSummary:
    """One class as it stands. `cohort` None: a label's hash is in no vocabulary known here.

    `delivered_tonnes` were burnt for deliveries, refunded ones too; `passed_tonnes` are positions
    that are void because a gap was passed: neither is retired.
    """

    class_id: int
    number: int
    programme: str
    project: str
    project_name: str | None
    unit_type: int
    vintage_start: date
    vintage_end: date
    cohort: tuple[str, ...] | None
    cohort_hashes: tuple[str, ...]
    project_hash: str
    vintage_hash: str
    positions: Positions
    confirmed_tonnes: int
    delivered_tonnes: int
    passed_tonnes: int
    block_number: int
    log_index: int

    @property
    def supply_kilograms(self) -> int:
        """What is outstanding (L1)."""
        return self.positions.supply_kilograms

    @property
    def live_tonnes(self) -> int:
        """Whole tonnes that no retirement has touched."""
        return self.positions.minted - self.positions.exited

    @property
    def retired_kilograms(self) -> int:
        left = (self.delivered_tonnes + self.passed_tonnes) * 1000
        return self.positions.minted * 1000 - self.positions.supply_kilograms - left


@dataclass(frozen=True, slots=True)
class ClassFact:
    """A dated fact about a class; `as_of` is YYYYMMDD. The newest of a key holds."""

    key: str
    value: str
    as_of: int
    vocabulary: str
    block_number: int
    log_index: int


@dataclass(frozen=True, slots=True)
class ClassDetail:
    """A class with the newest fact of each key.

    `stated` are the facts and `labels` the labels of the newest imported row of the class.
    """

    credit_class: ClassSummary
    facts: tuple[ClassFact, ...]
    stated: dict[str, Any] | None
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ClassBlock:
    """Serials as they were minted, and what its positions stand on after every exchange."""

    first_position: int
    tonnes: int
    series: str
    series_hash: str
    first: int
    last: int
    receipt_id: str
    consumed_tonnes: int
    serials: tuple[SerialRun, ...]
    block_number: int
    log_index: int


def _classes() -> Select[Any]:
    classes, changes = tables.classes, tables.position_changes
    confirmations, rows = tables.registry_confirmations, tables.registry_blocks
    newest = (
        select(changes.c.minted, changes.c.exited, changes.c.open_tonne, changes.c.dust)
        .where(changes.c.class_id == classes.c.class_id)
        .order_by(changes.c.block_number.desc(), changes.c.log_index.desc())
        .limit(1)
        .lateral("newest")
    )
    confirmed = (
        select(func.coalesce(func.sum(confirmations.c.tonnes), 0))
        .where(confirmations.c.class_id == classes.c.class_id)
        .scalar_subquery()
    )

    def left(act: str) -> Any:
        return (
            select(func.coalesce(func.sum(class_exits.c.tonnes), 0))
            .where(class_exits.c.class_id == classes.c.class_id, class_exits.c.act == act)
            .scalar_subquery()
        )

    name = (
        select(rows.c.project_name)
        .where(rows.c.programme == classes.c.programme, rows.c.project == classes.c.project)
        .limit(1)
        .scalar_subquery()
    )
    return select(
        classes,
        newest,
        confirmed.label("confirmed"),
        left("delivery").label("delivered"),
        left("gap").label("passed"),
        name.label("project_name"),
    ).select_from(classes.outerjoin(newest, true()))


def _summary(row: Row[Any]) -> ClassSummary:
    return ClassSummary(
        class_id=row.class_id,
        number=row.number,
        programme=row.programme,
        project=row.project,
        project_name=row.project_name,
        unit_type=row.unit_type,
        vintage_start=row.vintage_start,
        vintage_end=row.vintage_end,
        cohort=None if row.cohort is None else tuple(row.cohort),
        cohort_hashes=tuple(row.cohort_hashes),
        project_hash=row.project_hash,
        vintage_hash=row.vintage_hash,
        positions=Positions(row.minted or 0, row.exited or 0, row.open_tonne or 0, row.dust or 0),
        confirmed_tonnes=int(row.confirmed),
        delivered_tonnes=int(row.delivered),
        passed_tonnes=int(row.passed),
        block_number=row.block_number,
        log_index=row.log_index,
    )


def list_classes(
    connection: Connection,
    *,
    programme: str | None = None,
    project: str | None = None,
    label: str | None = None,
    vintage: int | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[ClassSummary]:
    """Classes in the order of their first mints. `label` is a code every credit carries,
    `vintage` a year that the vintage touches."""
    table, query = tables.classes, _classes()
    if programme is not None:
        query = query.where(table.c.programme == programme)
    if project is not None:
        query = query.where(table.c.project == project)
    if label is not None:
        wanted = "0x" + label_hash(label).hex()
        query = query.where(table.c.cohort_hashes.contains([wanted]))
    if vintage is not None:
        query = query.where(
            table.c.vintage_start <= date(vintage, 12, 31),
            table.c.vintage_end >= date(vintage, 1, 1),
        )
    rows, following = fetch_page(connection, query, [table.c.number], [int], cursor, limit)
    return Page(tuple(_summary(row) for row in rows), following)


def get_class(connection: Connection, class_id: int) -> ClassSummary:
    """One class; raises NotFound."""
    row = connection.execute(_classes().where(tables.classes.c.class_id == class_id)).first()
    if row is None:
        raise NotFound(f"no class has the id {class_id}", class_id=str(class_id))
    return _summary(row)


def classes_by_id(connection: Connection, class_ids: set[int]) -> dict[int, ClassSummary]:
    """These classes, as far as they are known; one query."""
    if not class_ids:
        return {}
    query = _classes().where(tables.classes.c.class_id.in_(sorted(class_ids)))
    return {row.class_id: _summary(row) for row in connection.execute(query)}


def class_facts(connection: Connection, class_id: int) -> list[ClassFact]:
    """The newest fact of each key, by key."""
    table = tables.class_facts
    rows = connection.execute(
        select(table)
        .where(table.c.class_id == class_id)
        .order_by(
            table.c.key,
            table.c.as_of.desc(),
            table.c.block_number.desc(),
            table.c.log_index.desc(),
        )
        .ext(distinct_on(table.c.key))
    )
    return [
        ClassFact(r.key, r.value, r.as_of, r.vocabulary, r.block_number, r.log_index) for r in rows
    ]


def minted_with_fact(connection: Connection, key: str) -> list[tuple[int, str, int]]:
    """(class, newest value of the key, tonnes ever minted) of every class that has such a fact."""
    facts, changes = tables.class_facts, tables.position_changes
    newest = (
        select(facts.c.class_id, facts.c.value)
        .where(facts.c.key == key)
        .order_by(
            facts.c.class_id,
            facts.c.as_of.desc(),
            facts.c.block_number.desc(),
            facts.c.log_index.desc(),
        )
        .ext(distinct_on(facts.c.class_id))
        .subquery("newest")
    )
    minted = (
        select(func.coalesce(func.max(changes.c.minted), 0))
        .where(changes.c.class_id == newest.c.class_id)
        .scalar_subquery()
    )
    return [
        (int(row[0]), row[1], int(row[2]))
        for row in connection.execute(select(newest.c.class_id, newest.c.value, minted))
    ]


def get_class_detail(connection: Connection, class_id: int) -> ClassDetail:
    """One class with its facts; raises NotFound."""
    found = get_class(connection, class_id)
    rows = tables.registry_blocks
    newest = connection.execute(
        select(rows.c.facts, rows.c.labels)
        .where(
            rows.c.programme == found.programme,
            rows.c.project == found.project,
            rows.c.vintage_start == found.vintage_start,
            rows.c.vintage_end == found.vintage_end,
            rows.c.cohort == list(found.cohort or ()),
        )
        .order_by(rows.c.last_import.desc(), rows.c.id.desc())
        .limit(1)
    ).first()
    return ClassDetail(
        found,
        tuple(class_facts(connection, class_id)),
        None if newest is None else newest.facts,
        () if newest is None else tuple(newest.labels),
    )


def class_blocks(
    connection: Connection,
    class_id: int,
    *,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[ClassBlock]:
    """Blocks of a class by position, minted and as they stand after every exchange."""
    positions = get_class(connection, class_id).positions
    table, series = tables.class_blocks, tables.series
    query = (
        select(table, series.c.name)
        .select_from(table.join(series, series.c.id == table.c.series_id))
        .where(table.c.class_id == class_id)
    )
    rows, following = fetch_page(connection, query, [table.c.first_position], [int], cursor, limit)
    spans = [
        Span(class_id, row.first_position, row.first_position + row.last - row.first + 1)
        for row in rows
    ]
    made = changes_of(connection, [class_id])[class_id]
    standing = serials_at(connection, spans, [made] * len(spans))
    confirmed = confirmations_within(connection, spans)
    blocks = [
        ClassBlock(
            first_position=span.first,
            tonnes=span.tonnes,
            series=row.name,
            series_hash=row.series_hash,
            first=row.first,
            last=row.last,
            receipt_id=row.receipt_id,
            consumed_tonnes=max(0, min(positions.exited, span.end) - span.first),
            serials=tuple(mark(runs, confirmations)),
            block_number=row.block_number,
            log_index=row.log_index,
        )
        for row, span, runs, confirmations in zip(rows, spans, standing, confirmed, strict=True)
    ]
    return Page(tuple(blocks), following)
