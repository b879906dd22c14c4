"""Tables of webhooks: endpoints, their numbered events, attempts, and how far facts were read."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from backend.store.tables import metadata
from backend.store.types import Text

#: `state` is `active` or `disabled` (`reason` says why). `due_at` is when the next attempt may be
#: made; a deliverer holds `lease` until `lease_until`, so that one at a time sends, in order.
webhook_endpoints = Table(
    "webhook_endpoints",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account", Text, nullable=False, index=True),
    Column("url", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("types", ARRAY(Text), nullable=False),
    # Token ids as decimal text; none means every class.
    Column("classes", ARRAY(Text), nullable=False),
    Column("secret", LargeBinary, nullable=False),
    Column("secret_before", LargeBinary),
    Column("secret_before_until", DateTime(timezone=True)),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    Column("last_sequence", BigInteger, nullable=False),
    Column("failing_since", DateTime(timezone=True)),
    Column("attempts", Integer, nullable=False),
    Column("due_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("lease", Text),
    Column("lease_until", DateTime(timezone=True)),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

#: `due` until it is delivered, and again when a replay is asked for; `body` is the text that is
#: sent. The block is the one that its fact stands on.
webhook_events = Table(
    "webhook_events",
    metadata,
    Column(
        "endpoint", Text, ForeignKey("webhook_endpoints.id", ondelete="CASCADE"), nullable=False
    ),
    Column("sequence", BigInteger, nullable=False),
    Column("key", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("block_number", BigInteger),
    Column("block_hash", Text),
    Column("retracted", Boolean, nullable=False, server_default="false"),
    Column("due", Boolean, nullable=False, server_default="true"),
    Column("delivered_at", DateTime(timezone=True)),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("endpoint", "sequence"),
    Index(
        "ix_webhook_events_key",
        "endpoint",
        "key",
        unique=True,
        postgresql_where=text("NOT retracted"),
    ),
    Index("ix_webhook_events_due", "endpoint", "sequence", postgresql_where=text("due")),
    Index("ix_webhook_events_block", "block_number", postgresql_where=text("NOT retracted")),
    Index("ix_webhook_events_created_at", "created_at"),
)

#: One row per request that was made: the answer's status and beginning, or what went wrong.
webhook_attempts = Table(
    "webhook_attempts",
    metadata,
    Column("number", BigInteger, Identity(), primary_key=True),
    Column("endpoint", Text, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("status", SmallInteger),
    Column("error", Text),
    Column("milliseconds", Integer, nullable=False),
    Column("answer", Text, nullable=False),
    ForeignKeyConstraint(
        ["endpoint", "sequence"],
        ["webhook_events.endpoint", "webhook_events.sequence"],
        ondelete="CASCADE",
    ),
    Index("ix_webhook_attempts_event", "endpoint", "sequence", "number"),
)

#: How far each source was read: `chain` by chain block, `venue:1` by journal entry. `marks` are
#: [number, hash] of chain blocks read up to, the newest last: which of them stand shows how far
#: back to go after a reorganisation that was deeper than what counts as final.
webhook_feed = Table(
    "webhook_feed",
    metadata,
    Column("source", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("marks", JSONB, nullable=False),
)

#: Facts without a place on chain or in a journal, written in their own transaction and taken out
#: by the one that makes events of them.
webhook_outbox = Table(
    "webhook_outbox",
    metadata,
    Column("number", BigInteger, Identity(), primary_key=True),
    Column("type", Text, nullable=False),
    Column("subject", BigInteger, nullable=False),
)
