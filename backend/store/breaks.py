"""Breaks: where registry, custody and chain do not agree, with evidence, until a person ends it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select, update
from sqlalchemy.dialects.postgresql import insert

from backend.errors import Conflict, InvalidValue, NotFound
from backend.store.bridge_tables import breaks
from backend.store.database import Database
from backend.store.queries.reading import DEFAULT_LIMIT, Page, fetch_page
from backend.store.webhook_tables import webhook_outbox

OPEN, RESOLVED = "open", "resolved"


@dataclass(frozen=True, slots=True)
class StoredBreak:
    """One difference. `flow_kind` and `flow` name the flow that met it, if one did."""

    number: int
    kind: str
    flow_kind: str | None
    flow: str | None
    class_id: int | None
    detail: str
    evidence: Mapping[str, Any]
    state: str
    resolution: str | None
    found_at: datetime
    resolved_at: datetime | None


class Breaks:
    """The breaks of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def report(
        self,
        key: str,
        kind: str,
        detail: str,
        evidence: Mapping[str, Any],
        *,
        flow_kind: str | None = None,
        flow: str | None = None,
        class_id: int | None = None,
    ) -> StoredBreak:
        """Record a break; the same key again gives the first one and changes nothing."""
        with self._database.begin() as connection:
            add_break(
                connection,
                key,
                kind,
                detail,
                evidence,
                flow_kind=flow_kind,
                flow=flow,
                class_id=class_id,
            )
            row = connection.execute(select(breaks).where(breaks.c.key == key)).one()
            return _as_break(row)

    def resolve(self, number: int, resolution: str) -> StoredBreak:
        """A person says what became of it; Conflict when it was resolved otherwise."""
        if not resolution.strip():
            raise InvalidValue("resolution", resolution, "is empty")
        with self._database.begin() as connection:
            row = connection.execute(
                select(breaks).where(breaks.c.number == number).with_for_update()
            ).first()
            if row is None:
                raise NotFound(f"there is no break {number}", number=number)
            if row.state == RESOLVED and row.resolution != resolution:
                raise Conflict(f"break {number} was resolved: {row.resolution}", number=number)
            done = connection.execute(
                update(breaks)
                .where(breaks.c.number == number)
                .values(
                    state=RESOLVED,
                    resolution=resolution,
                    resolved_at=func.coalesce(breaks.c.resolved_at, func.now()),
                )
                .returning(breaks)
            ).one()
            if row.state != RESOLVED:
                _tell(connection, "break.resolved", number)
            return _as_break(done)

    def get(self, number: int) -> StoredBreak:
        """One break; raises NotFound."""
        with self._database.read() as connection:
            row = connection.execute(select(breaks).where(breaks.c.number == number)).first()
        if row is None:
            raise NotFound(f"there is no break {number}", number=number)
        return _as_break(row)


def add_break(
    connection: Connection,
    key: str,
    kind: str,
    detail: str,
    evidence: Mapping[str, Any],
    *,
    flow_kind: str | None = None,
    flow: str | None = None,
    class_id: int | None = None,
) -> None:
    """Insert a break unless its key is known."""
    found = connection.execute(
        insert(breaks)
        .values(
            key=key,
            kind=kind,
            flow_kind=flow_kind,
            flow=flow,
            class_id=class_id,
            detail=detail,
            evidence=dict(evidence),
            state=OPEN,
        )
        .on_conflict_do_nothing()
        .returning(breaks.c.number)
    ).scalar()
    if found is not None:
        _tell(connection, "break.found", found)


def _tell(connection: Connection, kind: str, number: int) -> None:
    """In the same transaction: whoever asked for webhooks is told once."""
    connection.execute(insert(webhook_outbox).values(type=kind, subject=number))


def list_breaks(
    connection: Connection,
    *,
    state: str | None = None,
    kind: str | None = None,
    class_id: int | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[StoredBreak]:
    """Breaks, the newest first."""
    query = select(breaks)
    for column, wanted in ((breaks.c.state, state), (breaks.c.kind, kind)):
        if wanted is not None:
            query = query.where(column == wanted)
    if class_id is not None:
        query = query.where(breaks.c.class_id == class_id)
    rows, following = fetch_page(
        connection, query, [breaks.c.number], [int], cursor, limit, descending=True
    )
    return Page(tuple(_as_break(row) for row in rows), following)


def _as_break(row: Row[Any]) -> StoredBreak:
    return StoredBreak(
        row.number,
        row.kind,
        row.flow_kind,
        row.flow,
        None if row.class_id is None else int(row.class_id),
        row.detail,
        row.evidence,
        row.state,
        row.resolution,
        row.found_at,
        row.resolved_at,
    )
