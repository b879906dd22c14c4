"""Candles of the markets and an index of open orders; the projector begins anew to fill them."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE venue_candles (
    venue INTEGER NOT NULL,
    instrument NUMERIC(78, 0) NOT NULL,
    asset NUMERIC(78, 0) NOT NULL,
    seconds INTEGER NOT NULL,
    start BIGINT NOT NULL,
    open NUMERIC(78, 0) NOT NULL,
    high NUMERIC(78, 0) NOT NULL,
    low NUMERIC(78, 0) NOT NULL,
    close NUMERIC(78, 0) NOT NULL,
    trades BIGINT NOT NULL,
    tonnes BIGINT NOT NULL,
    turnover NUMERIC(78, 0) NOT NULL,
    CONSTRAINT pk_venue_candles PRIMARY KEY (venue, instrument, asset, seconds, start)
)
"""
INDEX = """
CREATE INDEX ix_venue_orders_account_open ON venue_orders (venue, account, seq)
    WHERE state = 'open'
"""
PROJECTED = (
    "venue_assets",
    "venue_instruments",
    "venue_markets",
    "venue_orders",
    "venue_trades",
    "venue_balances",
    "venue_movements",
    "venue_deposits",
    "venue_withdrawals",
    "venue_exits",
    "venue_traders",
    "venue_state",
)


def upgrade() -> None:
    """Create table and index; what was projected before it existed is projected again."""
    op.execute(TABLE)
    op.execute(INDEX)
    op.execute(f"TRUNCATE {', '.join(PROJECTED)}")
