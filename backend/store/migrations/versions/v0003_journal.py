"""The venues: journal, leases of their leaders, snapshots, acts for the chain."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE venues (
    id INTEGER NOT NULL,
    chain_id BIGINT NOT NULL,
    exchange TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    CONSTRAINT pk_venues PRIMARY KEY (id)
);

CREATE TABLE journal (
    venue INTEGER NOT NULL,
    seq BIGINT NOT NULL,
    epoch INTEGER NOT NULL,
    entry BYTEA NOT NULL,
    hash BYTEA NOT NULL,
    trader BYTEA,
    nonce BIGINT,
    kind SMALLINT NOT NULL,
    events BYTEA NOT NULL,
    CONSTRAINT pk_journal PRIMARY KEY (venue, seq)
);
CREATE INDEX ix_journal_nonces ON journal (trader, nonce, venue, seq) WHERE trader IS NOT NULL;
CREATE INDEX ix_journal_facts ON journal (venue, kind, seq) WHERE trader IS NULL;
CREATE INDEX ix_participant_changes_place ON participant_changes (block_number, log_index);
ALTER TABLE journal ALTER COLUMN entry SET STORAGE EXTERNAL;
ALTER TABLE journal ALTER COLUMN events SET STORAGE EXTERNAL;

CREATE TABLE venue_leases (
    venue INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    leader BYTEA NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_venue_leases PRIMARY KEY (venue),
    CONSTRAINT fk_venue_leases_venue FOREIGN KEY(venue) REFERENCES venues (id)
);

CREATE TABLE journal_snapshots (
    venue INTEGER NOT NULL,
    seq BIGINT NOT NULL,
    hash BYTEA NOT NULL,
    schema INTEGER NOT NULL,
    state BYTEA NOT NULL,
    CONSTRAINT pk_journal_snapshots PRIMARY KEY (venue, seq, schema)
);

CREATE TABLE venue_acts (
    venue INTEGER NOT NULL,
    number BIGINT NOT NULL,
    epoch INTEGER NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    first_trade BIGINT NOT NULL,
    last_trade BIGINT NOT NULL,
    first_withdrawal BIGINT NOT NULL,
    last_withdrawal BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    head BYTEA NOT NULL,
    content BYTEA NOT NULL,
    signatures BYTEA NOT NULL,
    sequencer_signature BYTEA NOT NULL,
    watcher_signature BYTEA NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    transaction_key TEXT COLLATE "C",
    reason TEXT COLLATE "C",
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_venue_acts PRIMARY KEY (venue, number)
);
CREATE INDEX ix_venue_acts_state ON venue_acts (venue, state, number);
"""


def upgrade() -> None:
    """Create every table; statements are told apart by the semicolon at a line's end."""
    for statement in TABLES.split(";\n"):
        if statement.strip():
            op.execute(statement)
