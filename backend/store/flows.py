"""Flows of the bridge: rows with a state that jobs bring forward; each state stays in the history.

A step reads the row, acts and moves it. Two workers may step the same flow: whoever moves it from
a state that it has left already gets a Conflict and has changed nothing (L10).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from backend.errors import Conflict, NotFound
from backend.store.bridge_tables import bridge_flows, bridge_steps
from backend.store.database import Database

#: Seconds until a step that failed is tried again: doubled each time, up to the last.
BACK_OFF = (1, 2, 4, 8, 15, 30, 60, 120, 300)
#: A retirement in these may have taken serials at the registry that the chain has not exchanged.
UNCONFIRMED = ("asked", "done", "confirming")


@dataclass(frozen=True, slots=True)
class Flow:
    """One flow as it stands. `deadline`: Unix seconds; `content`: JSON that its kind defines."""

    kind: str
    id: str
    state: str
    ended: bool
    class_id: int | None
    first_position: int | None
    tonnes: int | None
    deadline: int | None
    attempts: int
    due_at: datetime
    reason: str | None
    transaction_key: str | None
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Step:
    """A state that a flow was in since `at`, and why."""

    state: str
    reason: str | None
    at: datetime


class Flows:
    """The flows of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(
        self,
        kind: str,
        flow_id: str,
        state: str,
        content: Mapping[str, Any],
        *,
        class_id: int | None = None,
        first_position: int | None = None,
        tonnes: int | None = None,
        deadline: int | None = None,
    ) -> Flow:
        """Make a flow; one with this id that is there already stays as it is."""
        with self._database.begin() as connection:
            add_flow(
                connection,
                kind,
                flow_id,
                state,
                content,
                class_id=class_id,
                first_position=first_position,
                tonnes=tonnes,
                deadline=deadline,
            )
            return get_flow(connection, kind, flow_id)

    def get(self, kind: str, flow_id: str) -> Flow:
        """One flow; raises NotFound."""
        with self._database.read() as connection:
            return get_flow(connection, kind, flow_id)

    def due(self, limit: int = 500) -> list[tuple[str, str]]:
        """(kind, id) of open flows whose time has come, the longest waiting first."""
        table = bridge_flows
        with self._database.read() as connection:
            rows = connection.execute(
                select(table.c.kind, table.c.id)
                .where(~table.c.ended, table.c.due_at <= func.now())
                .order_by(table.c.due_at)
                .limit(limit)
            )
            return [(row.kind, row.id) for row in rows]

    def move(
        self,
        flow: Flow,
        state: str,
        *,
        ended: bool = False,
        reason: str | None = None,
        wait: int = 0,
        **changes: Any,
    ) -> Flow:
        """Move a flow that still is as `flow` says; Conflict when somebody else moved it.

        `wait`: seconds until its next step. `changes`: `content`, `tonnes`, `deadline`,
        `transaction_key`.
        """
        with self._database.begin() as connection:
            return move_flow(
                connection, flow, state, ended=ended, reason=reason, wait=wait, **changes
            )

    def wait(self, flow: Flow, seconds: int, reason: str | None = None) -> None:
        """Nothing to do yet: look again in `seconds`."""
        self._postpone(flow, seconds, 0, reason)

    def retry(self, flow: Flow, reason: str) -> None:
        """A step failed: try again later, each time after a longer pause."""
        pause = BACK_OFF[min(flow.attempts, len(BACK_OFF) - 1)]
        self._postpone(flow, pause, flow.attempts + 1, reason)

    def _postpone(self, flow: Flow, seconds: int, attempts: int, reason: str | None) -> None:
        with self._database.begin() as connection:
            postpone_flow(connection, flow, seconds, attempts, reason)

    def reopen(self, kind: str, flow_id: str, state: str, reason: str) -> Flow:
        """A person sends a flow on after looking at what broke it."""
        with self._database.begin() as connection:
            flow = get_flow(connection, kind, flow_id)
            return move_flow(connection, flow, state, reason=reason)

    def hurry(self, kind: str, flow_id: str) -> None:
        """Make a flow due now: something it waits for has come."""
        table = bridge_flows
        with self._database.begin() as connection:
            connection.execute(
                update(table)
                .where(table.c.kind == kind, table.c.id == flow_id, ~table.c.ended)
                .values(due_at=func.now())
            )

    def of_kind(self, kind: str, *, only_open: bool = False) -> list[Flow]:
        """Flows of a kind, oldest first."""
        table = bridge_flows
        query = select(table).where(table.c.kind == kind).order_by(table.c.created_at, table.c.id)
        if only_open:
            query = query.where(~table.c.ended)
        with self._database.read() as connection:
            return [_as_flow(row) for row in connection.execute(query)]

    def history(self, kind: str, flow_id: str) -> list[Step]:
        """Every state the flow was in, oldest first."""
        table = bridge_steps
        query = select(table).where(table.c.kind == kind, table.c.id == flow_id)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(table.c.number))
            return [Step(row.state, row.reason, row.at) for row in rows]


def add_flow(
    connection: Connection,
    kind: str,
    flow_id: str,
    state: str,
    content: Mapping[str, Any],
    **columns: Any,
) -> bool:
    """Insert a flow unless it is there; whether it was new."""
    added = connection.execute(
        upsert(bridge_flows)
        .values(kind=kind, id=flow_id, state=state, content=dict(content), **columns)
        .on_conflict_do_nothing()
        .returning(bridge_flows.c.id)
    ).first()
    if added is not None:
        connection.execute(insert(bridge_steps).values(kind=kind, id=flow_id, state=state))
    return added is not None


def get_flow(connection: Connection, kind: str, flow_id: str) -> Flow:
    """One flow; raises NotFound."""
    table = bridge_flows
    row = connection.execute(
        select(table).where(table.c.kind == kind, table.c.id == flow_id)
    ).first()
    if row is None:
        raise NotFound(f"there is no {kind} {flow_id}", kind=kind, id=flow_id)
    return _as_flow(row)


def move_flow(
    connection: Connection,
    flow: Flow,
    state: str,
    *,
    ended: bool = False,
    reason: str | None = None,
    wait: int = 0,
    **changes: Any,
) -> Flow:
    """As `Flows.move`, inside a transaction of the caller's."""
    table = bridge_flows
    moved = connection.execute(
        update(table)
        .where(table.c.kind == flow.kind, table.c.id == flow.id, table.c.state == flow.state)
        .values(
            state=state,
            ended=ended,
            reason=reason,
            attempts=0,
            due_at=func.now() + timedelta(seconds=wait),
            updated_at=func.now(),
            **changes,
        )
        .returning(table)
    ).first()
    if moved is None:
        raise Conflict(
            f"{flow.kind} {flow.id} is no longer {flow.state}", kind=flow.kind, id=flow.id
        )
    if state != flow.state:
        connection.execute(
            insert(bridge_steps).values(kind=flow.kind, id=flow.id, state=state, reason=reason)
        )
    return _as_flow(moved)


def postpone_flow(
    connection: Connection,
    flow: Flow,
    seconds: int,
    attempts: int = 0,
    reason: str | None = None,
) -> None:
    """Look at a flow again in `seconds`, unless somebody moved it meanwhile."""
    table = bridge_flows
    connection.execute(
        update(table)
        .where(table.c.kind == flow.kind, table.c.id == flow.id, table.c.state == flow.state)
        .values(
            due_at=func.now() + timedelta(seconds=seconds),
            attempts=attempts,
            reason=reason,
        )
    )


def flows_at(
    connection: Connection, kind: str, class_id: int, states: Sequence[str] | None = None
) -> list[Flow]:
    """Flows of a kind over positions of one class, by position."""
    table = bridge_flows
    query = select(table).where(table.c.kind == kind, table.c.class_id == class_id)
    if states is not None:
        query = query.where(table.c.state.in_(list(states)))
    return [_as_flow(row) for row in connection.execute(query.order_by(table.c.first_position))]


def _as_flow(row: Row[Any]) -> Flow:
    return Flow(
        row.kind,
        row.id,
        row.state,
        row.ended,
        None if row.class_id is None else int(row.class_id),
        row.first_position,
        row.tonnes,
        row.deadline,
        row.attempts,
        row.due_at,
        row.reason,
        row.transaction_key,
        row.content,
    )
