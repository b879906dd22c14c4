"""Whether the chain has recorded something: events by an argument, settled positions of a class."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, text

_EVENT = text(
    "SELECT EXISTS (SELECT FROM chain_events WHERE contract = :contract AND name = ANY(:names)"
    " AND args->>:key = :value)"
)
_SETTLED = text(
    "SELECT max(first_position) FROM ("
    " SELECT first_position FROM registry_confirmations WHERE class_id = :class_id"
    " UNION ALL SELECT first_position FROM made_good WHERE class_id = :class_id"
    " UNION ALL SELECT first_position FROM settled_positions WHERE class_id = :class_id"
    ") AS settled WHERE first_position < :position"
)


def event_with(
    connection: Connection, contract: str, names: Sequence[str], key: str, value: str
) -> bool:
    """Whether the index has an event of one of these names with this argument."""
    given = {"contract": contract, "names": list(names), "key": key, "value": str(value)}
    return bool(connection.execute(_EVENT, given).scalar())


def settled_below(connection: Connection, class_id: int, position: int) -> int:
    """`positionHint`: 1 + the first position of the last settled range that begins below a
    position, 0 when there is none.
    """
    found = connection.execute(_SETTLED, {"class_id": class_id, "position": position}).scalar()
    return 0 if found is None else int(found) + 1
