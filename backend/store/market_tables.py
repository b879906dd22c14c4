"""Tables of the exchange's read side: what the projector makes of a venue's journal.

Every row follows from the journal alone, so that the tables can be dropped and made again. `seq`
is the entry that made a row. Quantities are tonnes, amounts are base units of a settlement asset
or kilograms of a class; an asset is an ERC-20 address as a number (below 2^160) or a token id.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql import text

from backend.store.tables import metadata
from backend.store.types import Text, Uint256


def _venue() -> Column[int]:
    return Column("venue", Integer, nullable=False)


#: One row a venue: the entry that every other table is true at, and what the engine stands at.
venue_state = Table(
    "venue_state",
    metadata,
    Column("venue", Integer, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("time_ms", BigInteger, nullable=False),
    Column("chain_id", BigInteger, nullable=False),
    Column("exchange", Text, nullable=False),
    Column("window_seconds", BigInteger, nullable=False),
    Column("skew_seconds", BigInteger, nullable=False),
    Column("rules", Integer, nullable=False),
    Column("maker_fee_bps", Integer, nullable=False),
    Column("taker_fee_bps", Integer, nullable=False),
    Column("last_trade", BigInteger, nullable=False),
    Column("last_withdrawal", BigInteger, nullable=False),
    Column("last_deposit", BigInteger, nullable=False),
    # A trade or withdrawal that is not voided is settled when its number is at most this.
    Column("settled_trade", BigInteger, nullable=False),
    Column("settled_withdrawal", BigInteger, nullable=False),
    Column("paused_at", BigInteger),
    Column("halt_reason", SmallInteger),
    Column("halt_detail", BigInteger),
)

venue_assets = Table(
    "venue_assets",
    metadata,
    _venue(),
    Column("asset", Uint256, nullable=False),
    Column("listed", Boolean, nullable=False),
    Column("seq", BigInteger, nullable=False),
    PrimaryKeyConstraint("venue", "asset"),
)

venue_instruments = Table(
    "venue_instruments",
    metadata,
    _venue(),
    Column("instrument", Uint256, nullable=False),
    Column("seq", BigInteger, nullable=False),
    # As on chain: nothing of a class is traded while they are not 0.
    Column("flags", SmallInteger, nullable=False, server_default="0"),
    PrimaryKeyConstraint("venue", "instrument"),
)

#: A market appears with its first accepted order; sums leave out what was voided.
venue_markets = Table(
    "venue_markets",
    metadata,
    _venue(),
    Column("instrument", Uint256, nullable=False),
    Column("asset", Uint256, nullable=False),
    Column("last_trade", BigInteger),
    Column("last_price", Uint256),
    Column("last_time_ms", BigInteger),
    Column("trades", BigInteger, nullable=False),
    Column("tonnes", BigInteger, nullable=False),
    Column("turnover", Uint256, nullable=False),
    PrimaryKeyConstraint("venue", "instrument", "asset"),
)

#: Trades that stand by minute, hour and day (`seconds` 60, 3600, 86400) from Unix second `start`.
venue_candles = Table(
    "venue_candles",
    metadata,
    _venue(),
    Column("instrument", Uint256, nullable=False),
    Column("asset", Uint256, nullable=False),
    Column("seconds", Integer, nullable=False),
    Column("start", BigInteger, nullable=False),
    Column("open", Uint256, nullable=False),
    Column("high", Uint256, nullable=False),
    Column("low", Uint256, nullable=False),
    Column("close", Uint256, nullable=False),
    Column("trades", BigInteger, nullable=False),
    Column("tonnes", BigInteger, nullable=False),
    Column("turnover", Uint256, nullable=False),
    PrimaryKeyConstraint("venue", "instrument", "asset", "seconds", "start"),
)

#: `filled` counts tonnes whose trades stand, `voided` those that were undone.
venue_orders = Table(
    "venue_orders",
    metadata,
    _venue(),
    Column("account", Text, nullable=False),
    Column("nonce", BigInteger, nullable=False),
    Column("instrument", Uint256, nullable=False),
    Column("asset", Uint256, nullable=False),
    Column("side", SmallInteger, nullable=False),
    Column("quantity", BigInteger, nullable=False),
    Column("price", Uint256, nullable=False),
    Column("max_fee_bps", Integer, nullable=False),
    Column("signed_at", BigInteger, nullable=False),
    Column("expiry", BigInteger, nullable=False),
    Column("conditions", SmallInteger, nullable=False),
    Column("details_hash", Text),
    Column("signature_kind", SmallInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", SmallInteger),
    Column("remaining", BigInteger, nullable=False),
    Column("filled", BigInteger, nullable=False),
    Column("voided", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("time_ms", BigInteger, nullable=False),
    Column("last_seq", BigInteger, nullable=False),
    PrimaryKeyConstraint("venue", "account", "nonce"),
    Index("ix_venue_orders_account", "venue", "account", "seq"),
    Index(
        "ix_venue_orders_account_open",
        "venue",
        "account",
        "seq",
        postgresql_where=text("state = 'open'"),
    ),
    Index(
        "ix_venue_orders_open",
        "venue",
        "instrument",
        "asset",
        "side",
        "price",
        postgresql_where=text("state = 'open'"),
    ),
)

venue_trades = Table(
    "venue_trades",
    metadata,
    _venue(),
    Column("number", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("time_ms", BigInteger, nullable=False),
    Column("instrument", Uint256, nullable=False),
    Column("asset", Uint256, nullable=False),
    Column("price", Uint256, nullable=False),
    Column("quantity", BigInteger, nullable=False),
    Column("maker", Text, nullable=False),
    Column("maker_nonce", BigInteger, nullable=False),
    Column("taker", Text, nullable=False),
    Column("taker_nonce", BigInteger, nullable=False),
    Column("taker_side", SmallInteger, nullable=False),
    Column("maker_fee", Uint256, nullable=False),
    Column("taker_fee", Uint256, nullable=False),
    Column("retired", Boolean, nullable=False),
    Column("voided_seq", BigInteger),
    Column("void_reason", SmallInteger),
    PrimaryKeyConstraint("venue", "number"),
    Index("ix_venue_trades_market", "venue", "instrument", "asset", "number"),
    Index("ix_venue_trades_time", "venue", "time_ms"),
    Index("ix_venue_trades_maker", "venue", "maker", "number"),
    Index("ix_venue_trades_taker", "venue", "taker", "number"),
)

#: `reserved` of `total` is held by open orders.
venue_balances = Table(
    "venue_balances",
    metadata,
    _venue(),
    Column("account", Text, nullable=False),
    Column("asset", Uint256, nullable=False),
    Column("total", Uint256, nullable=False),
    Column("reserved", Uint256, nullable=False),
    PrimaryKeyConstraint("venue", "account", "asset"),
)

#: The statement: every change of a total and what it left.
venue_movements = Table(
    "venue_movements",
    metadata,
    _venue(),
    Column("account", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("time_ms", BigInteger, nullable=False),
    Column("asset", Uint256, nullable=False),
    Column("change", Uint256, nullable=False),
    Column("balance", Uint256, nullable=False),
    Column("kind", Text, nullable=False),
    # Number of the deposit, trade or withdrawal.
    Column("reference", BigInteger),
    PrimaryKeyConstraint("venue", "account", "seq", "ordinal"),
)

venue_deposits = Table(
    "venue_deposits",
    metadata,
    _venue(),
    Column("deposit_id", BigInteger, nullable=False),
    Column("account", Text, nullable=False),
    Column("asset", Uint256, nullable=False),
    Column("amount", Uint256, nullable=False),
    Column("seq", BigInteger, nullable=False),
    PrimaryKeyConstraint("venue", "deposit_id"),
    Index("ix_venue_deposits_account", "venue", "account", "seq"),
)

#: A refused one has no number; `held` of the amount is what settling moves (an exit may take it).
venue_withdrawals = Table(
    "venue_withdrawals",
    metadata,
    _venue(),
    Column("account", Text, nullable=False),
    Column("nonce", BigInteger, nullable=False),
    Column("number", BigInteger),
    Column("asset", Uint256, nullable=False),
    Column("amount", Uint256, nullable=False),
    Column("held", Uint256, nullable=False),
    Column("after_trade", BigInteger),
    Column("reason", SmallInteger),
    Column("seq", BigInteger, nullable=False),
    Column("time_ms", BigInteger, nullable=False),
    Column("voided_seq", BigInteger),
    Column("void_reason", SmallInteger),
    PrimaryKeyConstraint("venue", "account", "nonce"),
    Index("ix_venue_withdrawals_number", "venue", "number", unique=True),
    Index("ix_venue_withdrawals_account", "venue", "account", "seq"),
)

venue_exits = Table(
    "venue_exits",
    metadata,
    _venue(),
    Column("seq", BigInteger, nullable=False),
    Column("account", Text, nullable=False),
    Column("asset", Uint256, nullable=False),
    Column("requested_at", BigInteger, nullable=False),
    Column("ended_seq", BigInteger),
    Column("amount", Uint256),
    PrimaryKeyConstraint("venue", "seq"),
    Index("ix_venue_exits_account", "venue", "account", "seq"),
)

#: The lowest nonce that a trader has not used, and the used ones above it.
venue_traders = Table(
    "venue_traders",
    metadata,
    _venue(),
    Column("account", Text, nullable=False),
    Column("lowest_unused", BigInteger, nullable=False),
    Column("used", ARRAY(BigInteger), nullable=False),
    PrimaryKeyConstraint("venue", "account"),
)

#: In the order in which a rebuild empties them.
MARKET_TABLES: tuple[Table, ...] = (
    venue_assets,
    venue_instruments,
    venue_markets,
    venue_candles,
    venue_orders,
    venue_trades,
    venue_balances,
    venue_movements,
    venue_deposits,
    venue_withdrawals,
    venue_exits,
    venue_traders,
    venue_state,
)
