"""Flows of the bridge as a person looks at them: which are stuck, why, and when they go on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import BigInteger, Connection, func, or_, select

from backend.store.bridge_tables import bridge_flows
from backend.store.queries.reading import DEFAULT_LIMIT, Page, fetch_page

#: A flow that failed so often in a row is stuck, however soon it is tried again.
STUCK_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class FlowSummary:
    """One flow. `due_at`: when it is tried again; `deadline`: Unix seconds; `since`: its state."""

    kind: str
    id: str
    state: str
    ended: bool
    class_id: int | None
    tonnes: int | None
    deadline: int | None
    attempts: int
    due_at: datetime
    reason: str | None
    since: datetime


def list_flows(
    connection: Connection,
    *,
    now: int,
    stuck: bool = True,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[FlowSummary]:
    """Flows that have not ended, the longest unchanged first; `stuck`: those that failed again and
    again or are past their deadline (`now`: Unix seconds).
    """
    table = bridge_flows
    changed = func.cast(func.floor(func.extract("epoch", table.c.updated_at)), BigInteger)
    query = select(table).where(~table.c.ended)
    if stuck:
        query = query.where(or_(table.c.attempts >= STUCK_ATTEMPTS, table.c.deadline < now))
    rows, following = fetch_page(
        connection, query, [changed, table.c.kind, table.c.id], [int, str, str], cursor, limit
    )
    found = tuple(
        FlowSummary(
            row.kind,
            row.id,
            row.state,
            row.ended,
            None if row.class_id is None else int(row.class_id),
            row.tonnes,
            row.deadline,
            row.attempts,
            row.due_at,
            row.reason,
            row.updated_at,
        )
        for row in rows
    )
    return Page(found, following)
