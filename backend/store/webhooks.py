"""Webhook endpoints of accounts: made, changed, given new secrets; their events and replays."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from backend.domain.webhooks import Fact, event_id
from backend.errors import Conflict, InvalidValue, NotFound
from backend.store.queries.reading import DEFAULT_LIMIT, Page, fetch_page
from backend.store.webhook_events import write_events
from backend.store.webhook_tables import webhook_attempts, webhook_endpoints, webhook_events

ACTIVE, DISABLED = "active", "disabled"
#: Endpoints that one account may have.
MOST_PER_ACCOUNT: Final = 10
SECRET_BYTES: Final = 32
_BY_OWNER: Final = "disabled by its owner"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint. `reason` says why it is disabled; `waiting` events are not delivered yet."""

    id: str
    account: str
    url: str
    description: str
    types: tuple[str, ...]
    classes: tuple[int, ...]
    state: str
    reason: str | None
    last_sequence: int
    waiting: int
    failing_since: datetime | None
    next_attempt_at: datetime | None
    secret_before_until: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request: the answer's status and beginning, or `error`, what went wrong."""

    at: datetime
    status: int | None
    error: str | None
    milliseconds: int
    answer: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event of an endpoint and every attempt to deliver it, the oldest first."""

    sequence: int
    event_id: str
    type: str
    body: str
    state: str
    retracted: bool
    created_at: datetime
    delivered_at: datetime | None
    attempts: tuple[Attempt, ...]


def add_endpoint(
    connection: Connection,
    account: str,
    url: str,
    types: Sequence[str],
    classes: Sequence[int] = (),
    description: str = "",
) -> tuple[Endpoint, bytes]:
    """A new endpoint and its secret. Raises Conflict when the account has as many as it may."""
    table = webhook_endpoints
    own = select(table.c.id).where(table.c.account == account).with_for_update()
    if len(connection.execute(own).all()) >= MOST_PER_ACCOUNT:
        message = f"{account} has {MOST_PER_ACCOUNT} endpoints, the most there may be"
        raise Conflict(message, account=account, most=MOST_PER_ACCOUNT)
    made, secret = f"ep_{secrets.token_hex(8)}", secrets.token_bytes(SECRET_BYTES)
    connection.execute(
        insert(table).values(
            id=made,
            account=account,
            url=url,
            description=description,
            types=list(types),
            classes=[str(one) for one in sorted(set(classes))],
            secret=secret,
            state=ACTIVE,
            last_sequence=0,
            attempts=0,
        )
    )
    return get_endpoint(connection, account, made), secret


def get_endpoint(connection: Connection, account: str, endpoint: str) -> Endpoint:
    """One of the account's; NotFound for another's too."""
    table = webhook_endpoints
    row = connection.execute(
        select(table, _WAITING).where(table.c.id == endpoint, table.c.account == account)
    ).first()
    if row is None:
        raise NotFound(f"the account has no endpoint {endpoint}", endpoint=endpoint)
    return _as_endpoint(row)


def list_endpoints(connection: Connection, account: str) -> list[Endpoint]:
    """The account's, the oldest first."""
    table = webhook_endpoints
    query = select(table, _WAITING).where(table.c.account == account)
    rows = connection.execute(query.order_by(table.c.created_at, table.c.id))
    return [_as_endpoint(row) for row in rows]


def change_endpoint(
    connection: Connection,
    account: str,
    endpoint: str,
    *,
    active: bool | None = None,
    classes: Sequence[int] | None = None,
    **values: Any,
) -> Endpoint:
    """Change `url`, `types`, `classes`, `description`; switch it off, or on again at once.

    What waits is delivered when it is on again, in its order.
    """
    get_endpoint(connection, account, endpoint)
    if classes is not None:
        values["classes"] = [str(one) for one in sorted(set(classes))]
    if active is False:
        values |= {"state": DISABLED, "reason": _BY_OWNER}
    elif active:
        values |= {"state": ACTIVE, "reason": None, "failing_since": None, "attempts": 0}
        values["due_at"] = func.now()
    if values:
        table = webhook_endpoints
        connection.execute(update(table).where(table.c.id == endpoint).values(**values))
    return get_endpoint(connection, account, endpoint)


def remove_endpoint(connection: Connection, account: str, endpoint: str) -> None:
    """Forget an endpoint with its events; raises NotFound."""
    get_endpoint(connection, account, endpoint)
    connection.execute(delete(webhook_endpoints).where(webhook_endpoints.c.id == endpoint))


def rotate_secret(
    connection: Connection, account: str, endpoint: str, overlap: timedelta
) -> tuple[Endpoint, bytes]:
    """A new secret; the one before signs beside it until the overlap ends."""
    get_endpoint(connection, account, endpoint)
    table, secret = webhook_endpoints, secrets.token_bytes(SECRET_BYTES)
    connection.execute(
        update(table)
        .where(table.c.id == endpoint)
        .values(
            secret=secret,
            secret_before=table.c.secret,
            secret_before_until=func.now() + overlap,
        )
    )
    return get_endpoint(connection, account, endpoint), secret


def ping(connection: Connection, account: str, endpoint: str) -> int:
    """Add a test event behind what waits; its sequence. Conflict while nothing is delivered."""
    found = get_endpoint(connection, account, endpoint)
    if found.state != ACTIVE:
        raise Conflict(f"{endpoint} is disabled: {found.reason}", endpoint=endpoint)
    now = connection.execute(select(func.now())).scalar_one()
    key = f"ping:{secrets.token_hex(8)}"
    fact = Fact(key, "ping", int(now.timestamp()), {"endpoint": endpoint})
    write_events(connection, [(endpoint, fact)])
    return get_endpoint(connection, account, endpoint).last_sequence


def replay(
    connection: Connection, account: str, endpoint: str, first: int, last: int | None = None
) -> int:
    """Deliver events [first, last] once more, in their order; how many there are.

    Without `last` everything from `first` on. Raises InvalidValue when there is none, and Conflict
    while the endpoint is disabled.
    """
    found = get_endpoint(connection, account, endpoint)
    if found.state != ACTIVE:
        raise Conflict(f"{endpoint} is disabled: {found.reason}", endpoint=endpoint)
    table = webhook_events
    where = [table.c.endpoint == endpoint, table.c.sequence >= first]
    if last is not None:
        where.append(table.c.sequence <= last)
    count = connection.execute(update(table).where(*where).values(due=True)).rowcount
    if not count:
        raise InvalidValue("from_sequence", first, "is no event that is kept")
    return count


def list_deliveries(
    connection: Connection,
    account: str,
    endpoint: str,
    *,
    state: str | None = None,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[Delivery]:
    """Events with their attempts, the newest first. `state`: waiting or delivered."""
    get_endpoint(connection, account, endpoint)
    table, tried = webhook_events, webhook_attempts
    query = select(table).where(table.c.endpoint == endpoint)
    if state is not None:
        query = query.where(table.c.due == (state == "waiting"))
    rows, following = fetch_page(
        connection, query, [table.c.sequence], [int], cursor, limit, descending=True
    )
    attempts: dict[int, list[Attempt]] = {row.sequence: [] for row in rows}
    made = select(tried).where(tried.c.endpoint == endpoint, tried.c.sequence.in_(list(attempts)))
    for one in connection.execute(made.order_by(tried.c.number)):
        attempts[one.sequence].append(
            Attempt(one.at, one.status, one.error, one.milliseconds, one.answer)
        )
    return Page(
        tuple(
            Delivery(
                row.sequence,
                event_id(endpoint, row.sequence),
                row.type,
                row.body,
                "waiting" if row.due else "delivered",
                row.retracted,
                row.created_at,
                row.delivered_at,
                tuple(attempts[row.sequence]),
            )
            for row in rows
        ),
        following,
    )


_WAITING: Final = (
    select(func.count())
    .where(webhook_events.c.endpoint == webhook_endpoints.c.id, webhook_events.c.due)
    .correlate(webhook_endpoints)
    .scalar_subquery()
    .label("waiting")
)


def _as_endpoint(row: Row[Any]) -> Endpoint:
    return Endpoint(
        row.id,
        row.account,
        row.url,
        row.description,
        tuple(row.types),
        tuple(map(int, row.classes)),
        row.state,
        row.reason,
        row.last_sequence,
        row.waiting,
        row.failing_since,
        row.due_at if row.state == ACTIVE and row.waiting else None,
        row.secret_before_until if row.secret_before is not None else None,
        row.created_at,
    )
