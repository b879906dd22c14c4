"""Tables of the venues: journal, leases of their leaders, snapshots, acts for the chain."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    func,
)

from backend.store.tables import metadata, participant_changes
from backend.store.types import Text

venues = Table(
    "venues",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("chain_id", BigInteger, nullable=False),
    Column("exchange", Text, nullable=False),
    Column("name", Text, nullable=False),
)

#: Append-only (L9). The key fences: of two leaders that write the same number one fails. No
#: foreign keys: they would cost a lock per row of every commit.
journal = Table(
    "journal",
    metadata,
    Column("venue", Integer, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("entry", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("trader", LargeBinary),
    Column("nonce", BigInteger),
    Column("kind", SmallInteger, nullable=False),
    Column("events", LargeBinary, nullable=False),
    PrimaryKeyConstraint("venue", "seq"),
)
Index(
    "ix_journal_nonces",
    journal.c.trader,
    journal.c.nonce,
    journal.c.venue,
    journal.c.seq,
    postgresql_where=journal.c.trader.is_not(None),
)

#: Facts of the chain and acts of the venue, few among the traders' commands.
Index(
    "ix_journal_facts",
    journal.c.venue,
    journal.c.kind,
    journal.c.seq,
    postgresql_where=journal.c.trader.is_(None),
)
#: The leader reads admissions in the chain's order.
Index(
    "ix_participant_changes_place",
    participant_changes.c.block_number,
    participant_changes.c.log_index,
)

#: One row a venue: its newest epoch, who leads, and until when without a sign of life (the
#: database's clock).
venue_leases = Table(
    "venue_leases",
    metadata,
    Column("venue", Integer, ForeignKey("venues.id"), primary_key=True, autoincrement=False),
    Column("epoch", Integer, nullable=False),
    Column("leader", LargeBinary, nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
)

#: States of the engine after an entry; any of them can be thrown away.
journal_snapshots = Table(
    "journal_snapshots",
    metadata,
    Column("venue", Integer, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("schema", Integer, nullable=False),
    Column("state", LargeBinary, nullable=False),
    PrimaryKeyConstraint("venue", "seq", "schema"),
)

#: What the venue sends to its Exchange, signed by both keys, in the order of its numbers.
venue_acts = Table(
    "venue_acts",
    metadata,
    Column("venue", Integer, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("first_trade", BigInteger, nullable=False),
    Column("last_trade", BigInteger, nullable=False),
    Column("first_withdrawal", BigInteger, nullable=False),
    Column("last_withdrawal", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("head", LargeBinary, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("signatures", LargeBinary, nullable=False),
    Column("sequencer_signature", LargeBinary, nullable=False),
    Column("watcher_signature", LargeBinary, nullable=False),
    Column("state", Text, nullable=False),
    Column("transaction_key", Text),
    Column("reason", Text),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("venue", "number"),
    Index("ix_venue_acts_state", "venue", "state", "number"),
)
