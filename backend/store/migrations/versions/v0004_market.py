"""The read side of the venues: orders, trades, balances, statements, and how far they are."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE venue_assets (
    venue INTEGER NOT NULL,
    asset NUMERIC(78, 0) NOT NULL,
    listed BOOLEAN NOT NULL,
    seq BIGINT NOT NULL,
    CONSTRAINT pk_venue_assets PRIMARY KEY (venue, asset)
);

CREATE TABLE venue_balances (
    venue INTEGER NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    asset NUMERIC(78, 0) NOT NULL,
    total NUMERIC(78, 0) NOT NULL,
    reserved NUMERIC(78, 0) NOT NULL,
    CONSTRAINT pk_venue_balances PRIMARY KEY (venue, account, asset)
);

CREATE TABLE venue_deposits (
    venue INTEGER NOT NULL,
    deposit_id BIGINT NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    asset NUMERIC(78, 0) NOT NULL,
    amount NUMERIC(78, 0) NOT NULL,
    seq BIGINT NOT NULL,
    CONSTRAINT pk_venue_deposits PRIMARY KEY (venue, deposit_id)
);
CREATE INDEX ix_venue_deposits_account ON venue_deposits (venue, account, seq);

CREATE TABLE venue_exits (
    venue INTEGER NOT NULL,
    seq BIGINT NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    asset NUMERIC(78, 0) NOT NULL,
    requested_at BIGINT NOT NULL,
    ended_seq BIGINT,
    amount NUMERIC(78, 0),
    CONSTRAINT pk_venue_exits PRIMARY KEY (venue, seq)
);
CREATE INDEX ix_venue_exits_account ON venue_exits (venue, account, seq);

CREATE TABLE venue_instruments (
    venue INTEGER NOT NULL,
    instrument NUMERIC(78, 0) NOT NULL,
    seq BIGINT NOT NULL,
    CONSTRAINT pk_venue_instruments PRIMARY KEY (venue, instrument)
);

CREATE TABLE venue_markets (
    venue INTEGER NOT NULL,
    instrument NUMERIC(78, 0) NOT NULL,
    asset NUMERIC(78, 0) NOT NULL,
    last_trade BIGINT,
    last_price NUMERIC(78, 0),
    last_time_ms BIGINT,
    trades BIGINT NOT NULL,
    tonnes BIGINT NOT NULL,
    turnover NUMERIC(78, 0) NOT NULL,
    CONSTRAINT pk_venue_markets PRIMARY KEY (venue, instrument, asset)
);

CREATE TABLE venue_movements (
    venue INTEGER NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    seq BIGINT NOT NULL,
    ordinal INTEGER NOT NULL,
    time_ms BIGINT NOT NULL,
    asset NUMERIC(78, 0) NOT NULL,
    change NUMERIC(78, 0) NOT NULL,
    balance NUMERIC(78, 0) NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    reference BIGINT,
    CONSTRAINT pk_venue_movements PRIMARY KEY (venue, account, seq, ordinal)
);

CREATE TABLE venue_orders (
    venue INTEGER NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    nonce BIGINT NOT NULL,
    instrument NUMERIC(78, 0) NOT NULL,
    asset NUMERIC(78, 0) NOT NULL,
    side SMALLINT NOT NULL,
    quantity BIGINT NOT NULL,
    price NUMERIC(78, 0) NOT NULL,
    max_fee_bps INTEGER NOT NULL,
    signed_at BIGINT NOT NULL,
    expiry BIGINT NOT NULL,
    conditions SMALLINT NOT NULL,
    details_hash TEXT COLLATE "C",
    signature_kind SMALLINT NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    reason SMALLINT,
    remaining BIGINT NOT NULL,
    filled BIGINT NOT NULL,
    voided BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    time_ms BIGINT NOT NULL,
    last_seq BIGINT NOT NULL,
    CONSTRAINT pk_venue_orders PRIMARY KEY (venue, account, nonce)
);
CREATE INDEX ix_venue_orders_account ON venue_orders (venue, account, seq);
CREATE INDEX ix_venue_orders_open
    ON venue_orders (venue, instrument, asset, side, price) WHERE state = 'open';

CREATE TABLE venue_state (
    venue INTEGER NOT NULL,
    seq BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    time_ms BIGINT NOT NULL,
    chain_id BIGINT NOT NULL,
    exchange TEXT COLLATE "C" NOT NULL,
    window_seconds BIGINT NOT NULL,
    skew_seconds BIGINT NOT NULL,
    rules INTEGER NOT NULL,
    maker_fee_bps INTEGER NOT NULL,
    taker_fee_bps INTEGER NOT NULL,
    last_trade BIGINT NOT NULL,
    last_withdrawal BIGINT NOT NULL,
    last_deposit BIGINT NOT NULL,
    settled_trade BIGINT NOT NULL,
    settled_withdrawal BIGINT NOT NULL,
    paused_at BIGINT,
    halt_reason SMALLINT,
    halt_detail BIGINT,
    CONSTRAINT pk_venue_state PRIMARY KEY (venue)
);

CREATE TABLE venue_traders (
    venue INTEGER NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    lowest_unused BIGINT NOT NULL,
    used BIGINT[] NOT NULL,
    CONSTRAINT pk_venue_traders PRIMARY KEY (venue, account)
);

CREATE TABLE venue_trades (
    venue INTEGER NOT NULL,
    number BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    time_ms BIGINT NOT NULL,
    instrument NUMERIC(78, 0) NOT NULL,
    asset NUMERIC(78, 0) NOT NULL,
    price NUMERIC(78, 0) NOT NULL,
    quantity BIGINT NOT NULL,
    maker TEXT COLLATE "C" NOT NULL,
    maker_nonce BIGINT NOT NULL,
    taker TEXT COLLATE "C" NOT NULL,
    taker_nonce BIGINT NOT NULL,
    taker_side SMALLINT NOT NULL,
    maker_fee NUMERIC(78, 0) NOT NULL,
    taker_fee NUMERIC(78, 0) NOT NULL,
    retired BOOLEAN NOT NULL,
    voided_seq BIGINT,
    void_reason SMALLINT,
    CONSTRAINT pk_venue_trades PRIMARY KEY (venue, number)
);
CREATE INDEX ix_venue_trades_maker ON venue_trades (venue, maker, number);
CREATE INDEX ix_venue_trades_market ON venue_trades (venue, instrument, asset, number);
CREATE INDEX ix_venue_trades_taker ON venue_trades (venue, taker, number);
CREATE INDEX ix_venue_trades_time ON venue_trades (venue, time_ms);

CREATE TABLE venue_withdrawals (
    venue INTEGER NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    nonce BIGINT NOT NULL,
    number BIGINT,
    asset NUMERIC(78, 0) NOT NULL,
    amount NUMERIC(78, 0) NOT NULL,
    held NUMERIC(78, 0) NOT NULL,
    after_trade BIGINT,
    reason SMALLINT,
    seq BIGINT NOT NULL,
    time_ms BIGINT NOT NULL,
    voided_seq BIGINT,
    void_reason SMALLINT,
    CONSTRAINT pk_venue_withdrawals PRIMARY KEY (venue, account, nonce)
);
CREATE INDEX ix_venue_withdrawals_account ON venue_withdrawals (venue, account, seq);
CREATE UNIQUE INDEX ix_venue_withdrawals_number ON venue_withdrawals (venue, number);
"""


def upgrade() -> None:
    """Create every table; statements are told apart by the semicolon at a line's end."""
    for statement in TABLES.split(";\n"):
        if statement.strip():
            op.execute(statement)
