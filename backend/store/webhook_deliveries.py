"""Who delivers an endpoint's events now, what is next, and what became of each attempt.

A deliverer holds an endpoint by a lease, so that its events go out one after the other. One that
was killed loses it after a while; then the event that it may have sent goes out again under the
same id.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sqlalchemy import Connection, and_, case, func, insert, or_, select, update

from backend.domain.webhooks import event_id
from backend.store.database import Database
from backend.store.webhook_tables import webhook_attempts, webhook_endpoints, webhook_events

#: Seconds until the next attempt after so many that failed; the last one from then on.
BACK_OFF: Final = (5, 10, 30, 60, 300, 900, 1_800, 3_600)
#: An endpoint that fails for so long, without one success in between, is disabled.
GIVE_UP: Final = timedelta(days=3)
LEASE: Final = timedelta(seconds=60)
#: The receiver's way of saying that nobody wants this any more.
GONE: Final = 410


@dataclass(frozen=True, slots=True)
class Claim:
    """An endpoint that this process delivers to while it holds the lease."""

    endpoint: str
    lease: str


@dataclass(frozen=True, slots=True)
class Outgoing:
    """The next event: what is sent where, and the secrets that sign it."""

    sequence: int
    id: str
    url: str
    body: str
    secrets: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an attempt brought: the answer, or `error`."""

    status: int | None
    error: str | None
    milliseconds: int
    answer: str = ""

    @property
    def delivered(self) -> bool:
        return self.error is None and self.status is not None and 200 <= self.status < 300

    @property
    def problem(self) -> str:
        return self.error or f"HTTP {self.status}"


class Deliveries:
    """The events that wait in one database."""

    def __init__(self, database: Database, lease: timedelta = LEASE) -> None:
        self._database = database
        self._lease = lease

    def claim(self, most: int, without: Collection[str] = ()) -> list[Claim]:
        """Take at most so many endpoints with something to deliver, the longest waiting first."""
        table, events = webhook_endpoints, webhook_events
        waits = select(events.c.sequence).where(events.c.endpoint == table.c.id, events.c.due)
        with self._database.begin() as connection:
            free = (
                select(table.c.id)
                .where(
                    table.c.state == "active",
                    table.c.due_at <= func.now(),
                    or_(table.c.lease_until.is_(None), table.c.lease_until < func.now()),
                    table.c.id.not_in(sorted(without)),
                    waits.exists(),
                )
                .order_by(table.c.due_at)
                .limit(most)
                .with_for_update(skip_locked=True)
            )
            lease = secrets.token_hex(8)
            taken = connection.execute(
                update(table)
                .where(table.c.id.in_(free))
                .values(lease=lease, lease_until=func.now() + self._lease)
                .returning(table.c.id)
            ).scalars()
            return [Claim(endpoint, lease) for endpoint in taken]

    def next(self, claim: Claim) -> Outgoing | None:
        """The next event, with the lease renewed; None when there is none, or no lease."""
        table, events = webhook_endpoints, webhook_events
        with self._database.begin() as connection:
            row = connection.execute(
                update(table)
                .where(
                    table.c.id == claim.endpoint,
                    table.c.lease == claim.lease,
                    table.c.state == "active",
                    table.c.due_at <= func.now(),
                )
                .values(lease_until=func.now() + self._lease)
                .returning(
                    table.c.url,
                    table.c.secret,
                    case((table.c.secret_before_until > func.now(), table.c.secret_before)).label(
                        "before"
                    ),
                )
            ).first()
            if row is None:
                return None
            event = connection.execute(
                select(events.c.sequence, events.c.body)
                .where(events.c.endpoint == claim.endpoint, events.c.due)
                .order_by(events.c.sequence)
                .limit(1)
            ).first()
        if event is None:
            return None
        name = event_id(claim.endpoint, event.sequence)
        keys = tuple(key for key in (row.secret, row.before) if key is not None)
        return Outgoing(event.sequence, name, row.url, event.body, keys)

    def record(self, claim: Claim, sequence: int, outcome: Outcome) -> None:
        """Keep what an attempt brought; after a failure the endpoint waits, or is disabled."""
        where = and_(
            webhook_events.c.endpoint == claim.endpoint, webhook_events.c.sequence == sequence
        )
        with self._database.begin() as connection:
            there = connection.execute(
                select(webhook_events.c.sequence).where(where).with_for_update()
            ).first()
            if there is None:
                return  # The endpoint was removed meanwhile.
            connection.execute(
                insert(webhook_attempts).values(
                    endpoint=claim.endpoint,
                    sequence=sequence,
                    status=outcome.status,
                    error=outcome.error,
                    milliseconds=outcome.milliseconds,
                    answer=outcome.answer,
                )
            )
            if outcome.delivered:
                connection.execute(
                    update(webhook_events)
                    .where(where)
                    .values(
                        due=False,
                        delivered_at=func.coalesce(webhook_events.c.delivered_at, func.now()),
                    )
                )
                _went_well(connection, claim.endpoint)
            else:
                _went_wrong(connection, claim, outcome)

    def release(self, claim: Claim) -> None:
        """Let go of an endpoint, if it still is held."""
        table = webhook_endpoints
        with self._database.begin() as connection:
            connection.execute(
                update(table)
                .where(table.c.id == claim.endpoint, table.c.lease == claim.lease)
                # Behind the others that wait.
                .values(
                    lease=None,
                    lease_until=None,
                    due_at=func.greatest(table.c.due_at, func.now()),
                )
            )


def _went_well(connection: Connection, endpoint: str) -> None:
    table = webhook_endpoints
    connection.execute(
        update(table).where(table.c.id == endpoint).values(attempts=0, failing_since=None)
    )


def _went_wrong(connection: Connection, claim: Claim, outcome: Outcome) -> None:
    """Only whoever holds the lease decides when the next attempt is."""
    table = webhook_endpoints
    row = connection.execute(
        select(table.c.attempts, table.c.failing_since, func.now().label("time"))
        .where(table.c.id == claim.endpoint, table.c.lease == claim.lease)
        .with_for_update()
    ).first()
    if row is None:
        return
    since = row.failing_since or row.time
    values = {
        "attempts": row.attempts + 1,
        "failing_since": since,
        "due_at": func.now() + timedelta(seconds=BACK_OFF[min(row.attempts, len(BACK_OFF) - 1)]),
    }
    if outcome.status == GONE:
        values |= {"state": "disabled", "reason": "the receiver answered 410 Gone"}
    elif row.time - since >= GIVE_UP:
        day = since.strftime("%Y-%m-%d %H:%M UTC")
        values |= {
            "state": "disabled",
            "reason": f"nothing was delivered since {day}: {outcome.problem}"[:300],
        }
    connection.execute(update(table).where(table.c.id == claim.endpoint).values(**values))
