"""What holders of a class have to know: holds, labels, invalidations, reserves that are short.

Programme events of the chain, and breaks that say a class is short of serials in trust.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Connection,
    Select,
    Subquery,
    cast,
    func,
    literal,
    null,
    select,
    union,
    union_all,
)

from backend.store import backing_tables, tables
from backend.store.bridge_tables import breaks
from backend.store.exchange_tables import exchange_balances
from backend.store.queries.reading import DEFAULT_LIMIT, Page, fetch_page, shaped
from backend.store.types import Text, Uint256

#: A break of this kind about a class: more is outstanding than stands in trust.
SHORTFALL: Final = "shortfall"
SHORT: Final = "reserve_short"


@dataclass(frozen=True, slots=True)
class Alert:
    """One thing to know. `kind`: of the programme event, or reserve_short.

    `key` names it for ever and grows with time; `at` is Unix seconds, `as_of` the programme's day
    (YYYYMMDD). `block_number` None: no fact of the chain.
    """

    key: str
    kind: str
    class_id: int
    at: int
    first_position: int | None
    tonnes: int | None
    subject: str
    reason: str
    as_of: int | None
    reference: str
    block_number: int | None


def alerts_of_class(
    connection: Connection,
    class_id: int,
    *,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[Alert]:
    """A class's alerts, the newest first."""
    found = _alerts()
    query = select(found).where(found.c.class_id == class_id)
    return _page(connection, found, query, cursor, limit)


def alerts_of_holder(
    connection: Connection,
    account: str,
    *,
    cursor: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page[Alert]:
    """Alerts of the classes that an account holds, in its wallet or at the Exchange."""
    held = holdings([account], None).subquery("held")
    found = _alerts()
    query = select(found).where(found.c.class_id.in_(select(held.c.class_id)))
    return _page(connection, found, query, cursor, limit)


def holdings(accounts: Collection[str], classes: Collection[int] | None) -> Any:
    """(account, class_id) of what these accounts hold; `classes` None: of all."""
    wallet, venue = tables.balances.c, exchange_balances.c
    in_wallet = select(wallet.account, wallet.class_id).where(
        wallet.account.in_(accounts), wallet.kilograms > 0
    )
    at_venue = select(venue.account, venue.asset.label("class_id")).where(
        venue.account.in_(accounts), venue.balance + venue.claimable > 0
    )
    if classes is not None:
        in_wallet = in_wallet.where(wallet.class_id.in_(classes))
        at_venue = at_venue.where(venue.asset.in_(classes))
    return union(in_wallet, at_venue)


def _alerts() -> Subquery:
    """Both sources as one table. Keys compare as texts: numbers in them have a fixed width."""
    events, blocks = backing_tables.programme_events.c, tables.chain_blocks.c
    place = func.lpad(cast(events.block_number, Text), 12, "0")
    within = func.lpad(cast(events.log_index, Text), 6, "0")
    at_second = func.lpad(cast(blocks.timestamp, Text), 12, "0")
    found_at = cast(func.extract("epoch", breaks.c.found_at), BigInteger)
    found_text = func.lpad(cast(found_at, Text), 12, "0")
    nothing = cast(null(), BigInteger)
    programme = select(
        (at_second + ".e" + place + "." + within).label("key"),
        events.kind.label("kind"),
        events.class_id.label("class_id"),
        blocks.timestamp.label("at"),
        events.first_position.label("first_position"),
        events.tonnes.label("tonnes"),
        events.subject.label("subject"),
        events.reason.label("reason"),
        events.as_of.label("as_of"),
        events.event_id.label("reference"),
        events.block_number.label("block_number"),
    ).join_from(
        backing_tables.programme_events,
        tables.chain_blocks,
        blocks.number == events.block_number,
    )
    number = func.lpad(cast(breaks.c.number, Text), 12, "0")
    short = select(
        (found_text + ".b" + number).label("key"),
        literal(SHORT).label("kind"),
        cast(breaks.c.class_id, Uint256).label("class_id"),
        found_at.label("at"),
        nothing.label("first_position"),
        nothing.label("tonnes"),
        literal("").label("subject"),
        breaks.c.detail.label("reason"),
        nothing.label("as_of"),
        (literal("break ") + cast(breaks.c.number, Text)).label("reference"),
        nothing.label("block_number"),
    ).where(breaks.c.kind == SHORTFALL, breaks.c.class_id.is_not(None))
    return union_all(programme, short).subquery("alerts")


def _page(
    connection: Connection, found: Subquery, query: Select[Any], cursor: str | None, limit: int
) -> Page[Alert]:
    rows, following = fetch_page(
        connection, query, [found.c.key], [str], cursor, limit, descending=True
    )
    items = tuple(shaped(Alert, row, class_id=int(row.class_id)) for row in rows)
    return Page(items, following)
