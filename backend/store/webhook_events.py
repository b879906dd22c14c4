"""Numbered events of endpoints: facts written once, with the text that is sent."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from sqlalchemy import Connection, insert, select, update

from backend.domain.webhooks import Fact, event_id
from backend.store.webhook_tables import webhook_endpoints, webhook_events

#: Bytes of one event's text.
MAX_BYTES: Final = 65_536
#: Longer values are the first to go when a text would be longer than that.
_SHORT: Final = 256


def write_events(connection: Connection, told: Iterable[tuple[str, Fact]]) -> int:
    """Number and write facts of (endpoint, fact), in this order; how many were new.

    A fact that an endpoint has been told already, and that was not retracted, is left out.
    """
    by_endpoint: defaultdict[str, list[Fact]] = defaultdict(list)
    for endpoint, fact in told:
        by_endpoint[endpoint].append(fact)
    # In one order for everybody who writes to several: nobody waits in a circle.
    return sum(_write(connection, name, by_endpoint[name]) for name in sorted(by_endpoint))


def _write(connection: Connection, endpoint: str, facts: list[Fact]) -> int:
    events, endpoints = webhook_events, webhook_endpoints
    known = set(
        connection.execute(
            select(events.c.key).where(
                events.c.endpoint == endpoint,
                events.c.key.in_([fact.key for fact in facts]),
                ~events.c.retracted,
            )
        ).scalars()
    )
    new = list({fact.key: fact for fact in facts if fact.key not in known}.values())
    last = connection.execute(
        update(endpoints)
        .where(endpoints.c.id == endpoint)
        .values(last_sequence=endpoints.c.last_sequence + len(new))
        .returning(endpoints.c.last_sequence)
    ).scalar()
    if last is None or not new:
        return 0
    rows = []
    for sequence, fact in enumerate(new, last - len(new) + 1):
        number, block_hash = fact.block or (None, None)
        rows.append(
            {
                "endpoint": endpoint,
                "sequence": sequence,
                "key": fact.key,
                "type": fact.type,
                "body": event_text(endpoint, sequence, fact),
                "block_number": number,
                "block_hash": block_hash,
            }
        )
    connection.execute(insert(events), rows)
    return len(new)


def event_text(endpoint: str, sequence: int, fact: Fact) -> str:
    """The JSON that is sent. Of data that would make it too long only short values stay."""
    at = datetime.fromtimestamp(fact.time, UTC).isoformat().replace("+00:00", "Z")
    shown: dict[str, Any] = {
        "id": event_id(endpoint, sequence),
        "type": fact.type,
        "timestamp": at,
        "sequence": str(sequence),
        "data": plain(fact.data),
    }
    text = orjson.dumps(shown)
    if len(text) > MAX_BYTES:
        short = {name: one for name, one in fact.data.items() if len(str(one)) <= _SHORT}
        text = orjson.dumps({**shown, "data": {**plain(short), "truncated": True}})
    return text.decode()


def plain(value: Any) -> Any:
    """JSON with integers as decimal strings, as everywhere in the API."""
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value
