"""What the chain says of the Exchange: deposits, acts, balances, exits, retirements."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE exchange_acts (
    kind TEXT COLLATE "C" NOT NULL,
    first_trade BIGINT NOT NULL,
    last_trade BIGINT NOT NULL,
    first_withdrawal BIGINT NOT NULL,
    last_withdrawal BIGINT NOT NULL,
    reason SMALLINT,
    seq BIGINT NOT NULL,
    head TEXT COLLATE "C" NOT NULL,
    transaction_hash TEXT COLLATE "C" NOT NULL,
    block_number BIGINT NOT NULL,
    log_index INTEGER NOT NULL,
    CONSTRAINT pk_exchange_acts PRIMARY KEY (block_number, log_index)
);
CREATE INDEX ix_exchange_acts_trade ON exchange_acts (last_trade);
CREATE INDEX ix_exchange_acts_withdrawal ON exchange_acts (last_withdrawal);

CREATE TABLE exchange_balances (
    account TEXT COLLATE "C" NOT NULL,
    asset NUMERIC(78, 0) NOT NULL,
    balance NUMERIC(78, 0) NOT NULL,
    claimable NUMERIC(78, 0) NOT NULL,
    CONSTRAINT pk_exchange_balances PRIMARY KEY (account, asset)
);

CREATE TABLE exchange_changes (
    account TEXT COLLATE "C" NOT NULL,
    asset NUMERIC(78, 0) NOT NULL,
    balance NUMERIC(78, 0) NOT NULL,
    claimable NUMERIC(78, 0) NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    block_number BIGINT NOT NULL,
    log_index INTEGER NOT NULL,
    ordinal INTEGER NOT NULL,
    CONSTRAINT pk_exchange_changes PRIMARY KEY (block_number, log_index, ordinal)
);
CREATE INDEX ix_exchange_changes_account ON exchange_changes (account, block_number, log_index);

CREATE TABLE exchange_deposits (
    deposit_id BIGINT NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    asset NUMERIC(78, 0) NOT NULL,
    amount NUMERIC(78, 0) NOT NULL,
    transaction_hash TEXT COLLATE "C" NOT NULL,
    block_number BIGINT NOT NULL,
    log_index INTEGER NOT NULL,
    CONSTRAINT pk_exchange_deposits PRIMARY KEY (deposit_id)
);
CREATE INDEX ix_exchange_deposits_account ON exchange_deposits (account);

CREATE TABLE exchange_exits (
    account TEXT COLLATE "C" NOT NULL,
    asset NUMERIC(78, 0) NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    requested_at BIGINT,
    amount NUMERIC(78, 0),
    transaction_hash TEXT COLLATE "C" NOT NULL,
    block_number BIGINT NOT NULL,
    log_index INTEGER NOT NULL,
    CONSTRAINT pk_exchange_exits PRIMARY KEY (block_number, log_index)
);
CREATE INDEX ix_exchange_exits_account ON exchange_exits (account, asset);

CREATE TABLE exchange_retirements (
    order_digest TEXT COLLATE "C" NOT NULL,
    trader TEXT COLLATE "C" NOT NULL,
    instrument NUMERIC(78, 0) NOT NULL,
    kilograms BIGINT NOT NULL,
    certificate_id NUMERIC(78, 0) NOT NULL,
    transaction_hash TEXT COLLATE "C" NOT NULL,
    block_number BIGINT NOT NULL,
    log_index INTEGER NOT NULL,
    CONSTRAINT pk_exchange_retirements PRIMARY KEY (block_number, log_index)
);
CREATE INDEX ix_exchange_retirements_order_digest ON exchange_retirements (order_digest);
CREATE INDEX ix_exchange_retirements_trader ON exchange_retirements (trader);
"""


def upgrade() -> None:
    """Create every table; statements are told apart by the semicolon at a line's end."""
    for statement in TABLES.split(";\n"):
        if statement.strip():
            op.execute(statement)
