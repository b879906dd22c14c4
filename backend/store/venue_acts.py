"""What the venue sends to its Exchange: batches, voids and anchors that both keys have signed."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import Connection, RowMapping, func, select, update
from sqlalchemy.dialects.postgresql import insert

from backend.domain.journal import Head
from backend.store.venue_tables import venue_acts, venues


class ActKind(StrEnum):
    """Which function of the Exchange the act calls."""

    BATCH = "batch"
    VOID = "void"
    ANCHOR = "anchor"


class ActState(StrEnum):
    """How far an act is; `settled`, `refused` and `superseded` are the ends."""

    SIGNED = "signed"
    SUBMITTED = "submitted"
    SETTLED = "settled"
    REFUSED = "refused"
    SUPERSEDED = "superseded"


class VenueAct(NamedTuple):
    """One act. An empty range of trades or withdrawals has last = first − 1.

    `number` counts a venue's acts from 1; `head` is the journal's place it carries; `content` the
    bytes that were signed (a batch's), `signatures` those of its orders and withdrawals.
    """

    number: int
    kind: ActKind
    first_trade: int
    last_trade: int
    first_withdrawal: int
    last_withdrawal: int
    head: Head
    content: bytes
    signatures: bytes
    sequencer_signature: bytes
    watcher_signature: bytes
    state: ActState = ActState.SIGNED
    transaction_key: str | None = None
    reason: str | None = None


def register_venue(
    connection: Connection, venue: int, chain_id: int, exchange: str, name: str
) -> None:
    """Name a venue; one that is there already stays as it is."""
    values = {"id": venue, "chain_id": chain_id, "exchange": exchange, "name": name}
    connection.execute(insert(venues).values(values).on_conflict_do_nothing())


def read_acts(
    connection: Connection, venue: int, *states: ActState, limit: int = 1_000
) -> list[VenueAct]:
    """A venue's acts in these states (all when none is named) in the order of their numbers."""
    query = select(venue_acts).where(venue_acts.c.venue == venue)
    if states:
        query = query.where(venue_acts.c.state.in_([state.value for state in states]))
    rows = connection.execute(query.order_by(venue_acts.c.number).limit(limit)).mappings()
    return [_act(row) for row in rows]


def newest_acts(connection: Connection, venue: int, count: int) -> list[VenueAct]:
    """The venue's last `count` acts in the order of their numbers."""
    query = select(venue_acts).where(venue_acts.c.venue == venue)
    query = query.order_by(venue_acts.c.number.desc()).limit(count)
    return [_act(row) for row in connection.execute(query).mappings()][::-1]


def _act(row: RowMapping) -> VenueAct:
    return VenueAct(
        row["number"],
        ActKind(row["kind"]),
        row["first_trade"],
        row["last_trade"],
        row["first_withdrawal"],
        row["last_withdrawal"],
        Head(row["seq"], bytes(row["head"])),
        bytes(row["content"]),
        bytes(row["signatures"]),
        bytes(row["sequencer_signature"]),
        bytes(row["watcher_signature"]),
        ActState(row["state"]),
        row["transaction_key"],
        row["reason"],
    )


def last_act_number(connection: Connection, venue: int) -> int:
    """Number of the newest act, 0 when there is none."""
    highest = select(func.max(venue_acts.c.number)).where(venue_acts.c.venue == venue)
    return connection.execute(highest).scalar() or 0


def set_act_state(
    connection: Connection,
    venue: int,
    number: int,
    state: ActState,
    *,
    transaction_key: str | None = None,
    reason: str | None = None,
) -> None:
    """Move an act on; a key or reason that is not given stays."""
    values: dict[str, object] = {"state": state.value, "updated_at": func.now()}
    if transaction_key is not None:
        values["transaction_key"] = transaction_key
    if reason is not None:
        values["reason"] = reason
    mine = (venue_acts.c.venue == venue) & (venue_acts.c.number == number)
    connection.execute(update(venue_acts).where(mine).values(values))
