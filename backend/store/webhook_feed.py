"""From facts to events: each pass reads what is new and tells it once to each endpoint.

One transaction reads, numbers, writes and says how far it read, so an event is made exactly once
whatever is killed. Only final chain blocks are read. A reorganisation below them (any one, where a
deployment waits for no confirmations) retracts the events of what the chain took back, each by an
event of its own, before the facts that took their place are told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, and_, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from backend.domain.webhooks import Fact, event_id, wants
from backend.store.bridge_tables import breaks
from backend.store.database import LOCK_WEBHOOKS, Database, lock
from backend.store.market_tables import venue_state
from backend.store.tables import chain_blocks, chain_state
from backend.store.webhook_chain import chain_facts
from backend.store.webhook_events import write_events
from backend.store.webhook_holders import alert_facts
from backend.store.webhook_journal import journal_facts
from backend.store.webhook_tables import (
    webhook_endpoints,
    webhook_events,
    webhook_feed,
    webhook_outbox,
)

#: What one pass reads at most.
MOST_BLOCKS: Final = 1_000
MOST_ENTRIES: Final = 20_000
#: Chain blocks that are remembered, to find where a reorganisation began.
MOST_MARKS: Final = 200
#: Events are kept so long, delivered or not.
KEEP: Final = timedelta(days=30)
_CHAIN: Final = "chain"


@dataclass(frozen=True, slots=True)
class _Endpoint:
    id: str
    account: str
    types: frozenset[str]
    classes: frozenset[int]


class Collector:
    """Makes events of what is new. Any number of them may run: one at a time reads.

    `confirmations`: chain blocks on top of one before it is told.
    """

    def __init__(self, database: Database, confirmations: int) -> None:
        self._database = database
        self._confirmations = confirmations

    def collect(self) -> int:
        """Read everything that is new; how many events were made."""
        made, behind = 0, True
        while behind:
            with self._database.begin() as connection:
                more, behind = self._pass(connection)
            made += more
        return made

    def prune(self) -> int:
        """Forget events that are older than they are kept; how many."""
        table = webhook_events
        with self._database.begin() as connection:
            old = table.c.created_at < func.now() - KEEP
            return connection.execute(delete(table).where(old)).rowcount

    def _pass(self, connection: Connection) -> tuple[int, bool]:
        """How many events one transaction made, and whether there is more to read."""
        lock(connection, LOCK_WEBHOOKS)
        table = webhook_endpoints
        rows = connection.execute(
            select(table.c.id, table.c.account, table.c.types, table.c.classes)
        )
        known = [
            _Endpoint(row.id, row.account, frozenset(row.types), frozenset(map(int, row.classes)))
            for row in rows
        ]
        retracted, facts, behind = self._chain(connection, bool(known))
        accounts = sorted({one.account for one in known})
        for row in connection.execute(select(venue_state).with_for_update(read=True)).all():
            more, left = _venue(connection, row, accounts)
            facts, behind = facts + more, behind or left
        facts += _outbox(connection)
        facts += alert_facts(connection, facts, accounts)
        told = [
            (one.id, fact)
            for one in known
            for fact in facts
            if wants(one.types, one.classes, one.account, fact)
        ]
        return write_events(connection, [*retracted, *told]), behind

    def _chain(
        self, connection: Connection, wanted: bool
    ) -> tuple[list[tuple[str, Fact]], list[Fact], bool]:
        """Retractions by endpoint, new facts, and whether there is more to read."""
        # No reorganisation and no new chain block comes in between while this is held.
        state = connection.execute(select(chain_state).with_for_update(read=True)).first()
        if state is None:
            return [], [], False
        final = state.indexed_number - self._confirmations
        feed = _feed(connection, _CHAIN, final, state.epoch)
        position, marks = feed.position, list(feed.marks)
        retracted: list[tuple[str, Fact]] = []
        if feed.epoch != state.epoch:
            marks = _standing(connection, marks)
            position = marks[-1][0] if marks else min(position, feed.marks[0][0] - 1)
            retracted = _retract(connection, position, _time_of(connection, state))
        upto = min(final, position + MOST_BLOCKS)
        facts: list[Fact] = []
        if upto > position:
            facts = chain_facts(connection, position, upto) if wanted else []
            position = upto
            marks.append([upto, _hash_of(connection, upto)])
        if (position, state.epoch) != (feed.position, feed.epoch):
            _save(connection, _CHAIN, position, state.epoch, marks[-MOST_MARKS:])
        return retracted, facts, upto < final


def _feed(connection: Connection, source: str, position: int, epoch: int) -> Row[Any]:
    """How far a source was read; a new one begins where it stands now."""
    table = webhook_feed
    found = connection.execute(select(table).where(table.c.source == source)).first()
    if found is None:
        marks = [[position, _hash_of(connection, position)]] if source == _CHAIN else []
        _save(connection, source, position, epoch, marks)
        found = connection.execute(select(table).where(table.c.source == source)).one()
    return found


def _save(
    connection: Connection, source: str, position: int, epoch: int, marks: list[list[Any]]
) -> None:
    values = {"position": position, "epoch": epoch, "marks": marks}
    connection.execute(
        insert(webhook_feed)
        .values(source=source, **values)
        .on_conflict_do_update(index_elements=["source"], set_=values)
    )


def _venue(
    connection: Connection, state: Row[Any], accounts: Sequence[str]
) -> tuple[list[Fact], bool]:
    source = f"venue:{state.venue}"
    after = _feed(connection, source, state.seq, 0).position
    # Read models that are built anew are behind for a while.
    upto = min(state.seq, after + MOST_ENTRIES)
    if upto <= after:
        return [], False
    time = state.time_ms // 1_000
    facts = journal_facts(connection, state.venue, accounts, after, upto, time)
    _save(connection, source, upto, 0, [])
    return facts, upto < state.seq


# ── reorganisations ──────────────────────────────────────────────────────────────────────────


def _hash_of(connection: Connection, number: int) -> str | None:
    query = select(chain_blocks.c.hash).where(chain_blocks.c.number == number)
    return connection.execute(query).scalar()


def _time_of(connection: Connection, state: Row[Any]) -> int:
    query = select(chain_blocks.c.timestamp).where(chain_blocks.c.number == state.indexed_number)
    return connection.execute(query).scalar() or 0


def _standing(connection: Connection, marks: list[list[Any]]) -> list[list[Any]]:
    """The marks up to the newest one that the chain still has."""
    numbers = [number for number, _ in marks]
    rows = connection.execute(
        select(chain_blocks.c.number, chain_blocks.c.hash).where(chain_blocks.c.number.in_(numbers))
    )
    there = {row.number: row.hash for row in rows}
    for at in range(len(marks), 0, -1):
        number, block_hash = marks[at - 1]
        # Before the first chain block (number −1, no hash) there is nothing that could change.
        if there.get(number) == block_hash:
            return marks[:at]
    return []


def _retract(connection: Connection, above: int, time: int) -> list[tuple[str, Fact]]:
    """Mark the events of chain blocks that are gone; who is told so, in their order."""
    table = webhook_events
    gone = connection.execute(
        update(table)
        .where(
            ~table.c.retracted,
            table.c.block_number > above,
            ~select(chain_blocks.c.number)
            .where(
                and_(
                    chain_blocks.c.number == table.c.block_number,
                    chain_blocks.c.hash == table.c.block_hash,
                )
            )
            .exists(),
        )
        .values(retracted=True)
        .returning(table.c.endpoint, table.c.sequence, table.c.type)
    ).all()
    told = []
    for row in sorted(gone, key=lambda one: (one.endpoint, one.sequence)):
        name = event_id(row.endpoint, row.sequence)
        data = {"event": name, "event_sequence": row.sequence, "event_type": row.type}
        told.append((row.endpoint, Fact(f"retracted:{name}", "event.retracted", time, data)))
    return told


# ── the outbox ───────────────────────────────────────────────────────────────────────────────


def _outbox(connection: Connection) -> list[Fact]:
    """Breaks that were found or resolved; taking them out is telling them."""
    taken = connection.execute(
        delete(webhook_outbox).returning(
            webhook_outbox.c.number, webhook_outbox.c.type, webhook_outbox.c.subject
        )
    ).all()
    if not taken:
        return []
    wanted = [row.subject for row in taken]
    rows = connection.execute(select(breaks).where(breaks.c.number.in_(wanted)))
    found = {row.number: row for row in rows}
    return [
        _break(row.type, found[row.subject]) for row in sorted(taken, key=lambda one: one.number)
    ]


def _break(kind: str, row: Row[Any]) -> Fact:
    resolved = kind == "break.resolved"
    at = row.resolved_at if resolved else row.found_at
    data = {
        "break": row.number,
        "kind": row.kind,
        "class_id": None if row.class_id is None else int(row.class_id),
        "flow_kind": row.flow_kind,
        "flow": row.flow,
        "detail": row.detail,
        "state": "resolved" if resolved else "open",
        "resolution": row.resolution if resolved else None,
    }
    class_id: int | None = data["class_id"]
    return Fact(f"{kind}:{row.number}", kind, int(at.timestamp()), data, class_id=class_id)
