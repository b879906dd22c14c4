"""Tables of credits kept as a ledger only: deposits, where each serial is, orders, retirements.

`ledger_blocks` is a partition: every kept serial stands in one row, with its owner, the retirement
that it waits for, or as retired. A trigger lets no retired row change (L4).
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    column,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, INT8RANGE, JSONB, ExcludeConstraint

from backend.store.tables import metadata
from backend.store.types import Text

#: Append-only: what a depositor brought; `owner` is whom the notice names.
ledger_deposits = Table(
    "ledger_deposits",
    metadata,
    Column("reference", Text, primary_key=True),
    Column("account", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("tonnes", BigInteger, nullable=False),
    Column("serials", JSONB, nullable=False),
    Column("kept_at", BigInteger, nullable=False),
)

#: Append-only: an owner's signed order; `serials` are those it named.
ledger_orders = Table(
    "ledger_orders",
    metadata,
    Column("reference", Text, primary_key=True),
    Column("programme", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("tonnes", BigInteger, nullable=False),
    Column("serials", JSONB, nullable=False),
    Column("instruction", JSONB, nullable=False),
    Column("instruction_hash", Text, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    Column("ordered_at", BigInteger, nullable=False),
    Index("ix_ledger_orders_owner", "owner", "ordered_at", "reference"),
    Index("ix_ledger_orders_time", "ordered_at", "reference"),
)

#: `part`: the flow that asks the registry for these serials; NULL while nothing does.
ledger_blocks = Table(
    "ledger_blocks",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("series_id", Integer, ForeignKey("series.id"), nullable=False),
    Column("block", INT8RANGE, nullable=False),
    Column("deposit", Text, ForeignKey("ledger_deposits.reference"), nullable=False),
    Column("account", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("programme", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("vintage_start", Date, nullable=False),
    Column("vintage_end", Date, nullable=False),
    Column("labels", ARRAY(Text), nullable=False),
    Column("part", Text),
    Column("retired", Boolean, nullable=False, server_default="false"),
    CheckConstraint("NOT retired OR part IS NOT NULL", name="ck_ledger_blocks_retired_by"),
    ExcludeConstraint(
        (text("int4range(series_id, series_id, '[]')"), "="),
        (column("block"), "&&"),
        name="no_serial_kept_twice",
        using="gist",
    ),
    Index("ix_ledger_blocks_owner", "owner", "account"),
    Index("ix_ledger_blocks_part", "part"),
)

#: Append-only: what the registry really retired for a part, and the serials that changed owners
#: because it chose others than asked: [taken, given] pairs of equal size.
ledger_retired = Table(
    "ledger_retired",
    metadata,
    Column("part", Text, primary_key=True),
    Column("reference", Text, ForeignKey("ledger_orders.reference"), nullable=False),
    Column("tonnes", BigInteger, nullable=False),
    Column("serials", JSONB, nullable=False),
    Column("registry_reference", Text, nullable=False),
    Column("registry_date", Date, nullable=False),
    Column("certificate_id", Text, nullable=False),
    Column("evidence", Text, nullable=False),
    Column("exchanged", JSONB, nullable=False),
    Column("recorded_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Index("ix_ledger_retired_reference", "reference"),
)
