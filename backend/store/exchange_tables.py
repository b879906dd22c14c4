"""Tables of what the chain says of the Exchange: rows of its events, and balances that follow.

They fall with their chain block like the other read models of the index. Amounts are base units
of a settlement asset or kilograms of a class; an asset is an address as a number or a token id.
Keys, payees, listed assets, pauses, invalidations and pre-signatures are read from `chain_events`.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, PrimaryKeyConstraint, SmallInteger, Table

from backend.store.tables import made_by, metadata
from backend.store.types import Text, Uint256

exchange_deposits = Table(
    "exchange_deposits",
    metadata,
    Column("deposit_id", BigInteger, primary_key=True, autoincrement=False),
    Column("account", Text, nullable=False, index=True),
    Column("asset", Uint256, nullable=False),
    Column("amount", Uint256, nullable=False),
    Column("transaction_hash", Text, nullable=False),
    *made_by(),
)

#: What settled, voided or anchored: kind `batch`, `void` or `anchor` (with empty ranges).
exchange_acts = Table(
    "exchange_acts",
    metadata,
    Column("kind", Text, nullable=False),
    Column("first_trade", BigInteger, nullable=False),
    Column("last_trade", BigInteger, nullable=False),
    Column("first_withdrawal", BigInteger, nullable=False),
    Column("last_withdrawal", BigInteger, nullable=False),
    Column("reason", SmallInteger),
    Column("seq", BigInteger, nullable=False),
    Column("head", Text, nullable=False),
    Column("transaction_hash", Text, nullable=False),
    *made_by(),
    PrimaryKeyConstraint("block_number", "log_index"),
    Index("ix_exchange_acts_trade", "last_trade"),
    Index("ix_exchange_acts_withdrawal", "last_withdrawal"),
)

#: Every change of a balance or a claimable. The zero address stands for what is nobody's yet:
#: its balance is the fees and what is earmarked to be retired.
exchange_changes = Table(
    "exchange_changes",
    metadata,
    Column("account", Text, nullable=False),
    Column("asset", Uint256, nullable=False),
    Column("balance", Uint256, nullable=False),
    Column("claimable", Uint256, nullable=False),
    Column("kind", Text, nullable=False),
    *made_by(),
    Column("ordinal", Integer, nullable=False),
    PrimaryKeyConstraint("block_number", "log_index", "ordinal"),
    Index("ix_exchange_changes_account", "account", "block_number", "log_index"),
)

exchange_balances = Table(
    "exchange_balances",
    metadata,
    Column("account", Text, nullable=False),
    Column("asset", Uint256, nullable=False),
    Column("balance", Uint256, nullable=False),
    Column("claimable", Uint256, nullable=False),
    PrimaryKeyConstraint("account", "asset"),
)

#: One row per event: `requested`, `cancelled` or `executed`.
exchange_exits = Table(
    "exchange_exits",
    metadata,
    Column("account", Text, nullable=False),
    Column("asset", Uint256, nullable=False),
    Column("state", Text, nullable=False),
    Column("requested_at", BigInteger),
    Column("amount", Uint256),
    Column("transaction_hash", Text, nullable=False),
    *made_by(),
    PrimaryKeyConstraint("block_number", "log_index"),
    Index("ix_exchange_exits_account", "account", "asset"),
)

exchange_retirements = Table(
    "exchange_retirements",
    metadata,
    Column("order_digest", Text, nullable=False, index=True),
    Column("trader", Text, nullable=False, index=True),
    Column("instrument", Uint256, nullable=False),
    Column("kilograms", BigInteger, nullable=False),
    Column("certificate_id", Uint256, nullable=False),
    Column("transaction_hash", Text, nullable=False),
    *made_by(),
    PrimaryKeyConstraint("block_number", "log_index"),
)

#: These fall with their chain block; `exchange_balances` is summed up anew.
EXCHANGE_TABLES: tuple[Table, ...] = (
    exchange_deposits,
    exchange_acts,
    exchange_changes,
    exchange_exits,
    exchange_retirements,
)
