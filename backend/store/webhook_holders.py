"""Facts about classes, told to those who hold them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection

from backend.domain.webhooks import CLASS_TYPES, Fact
from backend.store.queries.alerts import SHORT, SHORTFALL, holdings

ALERT: Final = "alert.held"
_FLAGS: Final = "class.flags"


def alert_facts(
    connection: Connection, facts: Sequence[Fact], accounts: Sequence[str]
) -> list[Fact]:
    """Per account an alert for each fact about a class that it holds now."""
    alerts = [(kind, fact) for fact in facts if (kind := _kind(fact)) and fact.class_id is not None]
    if not alerts or not accounts:
        return []
    wanted = {fact.class_id for _, fact in alerts if fact.class_id is not None}
    holders: defaultdict[int, list[str]] = defaultdict(list)
    for row in connection.execute(holdings(accounts, wanted)):
        holders[int(row.class_id)].append(row.account)
    return [
        Fact(
            f"{ALERT}:{account}:{fact.key}",
            ALERT,
            fact.time,
            {**fact.data, "alert": kind},
            account,
            fact.class_id,
            fact.block,
        )
        for kind, fact in alerts
        for account in sorted(holders[fact.class_id or 0])
    ]


def _kind(fact: Fact) -> str | None:
    """What an alert is called, None for what is none: as `/v1/accounts/{address}/alerts` does."""
    if fact.type in CLASS_TYPES and fact.type != _FLAGS:
        return fact.type.partition(".")[2]
    if fact.type == "break.found" and fact.data.get("kind") == SHORTFALL:
        return SHORT
    return None
