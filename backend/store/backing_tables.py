"""Tables of what the chain says of backing: register, settlements, reserve, deliveries, gaps.

They fall with their chain block like the other read models of the index. Positions [first_position,
+tonnes) of a class; serials [first, last] of a series; times of the chain are Unix seconds, days
YYYYMMDD.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from backend.store.tables import made_by, metadata
from backend.store.types import Text, Uint256


def _serials() -> list[Column[object]]:
    return [
        Column("series_id", Integer, ForeignKey("series.id"), nullable=False),
        Column("series_hash", Text, nullable=False),
        Column("first", BigInteger, nullable=False),
        Column("last", BigInteger, nullable=False),
    ]


def _positions() -> list[Column[object]]:
    return [
        Column("class_id", Uint256, nullable=False),
        Column("first_position", BigInteger, nullable=False),
        Column("tonnes", BigInteger, nullable=False),
    ]


#: Serials that came into the register without a receipt: substitutes, converted units, what was
#: retired to make good. `source` is the id of the published event.
serials_registered = Table(
    "serials_registered",
    metadata,
    *_serials(),
    Column("source", Text, nullable=False),
    Column("class_id", Uint256, nullable=False),
    *made_by(),
    PrimaryKeyConstraint("block_number", "log_index"),
    Index("ix_serials_registered_serials", "series_id", "first"),
)

#: Serials that left the register with a finalised delivery: they may be deposited again.
serials_released = Table(
    "serials_released",
    metadata,
    *_serials(),
    *made_by(),
    PrimaryKeyConstraint("block_number", "log_index"),
    Index("ix_serials_released_serials", "series_id", "first"),
)

#: Positions of a gap that stand on substitute serials from this event on.
rebinds = Table(
    "rebinds",
    metadata,
    *_positions(),
    *_serials(),
    *made_by(),
    PrimaryKeyConstraint("block_number", "log_index"),
    Index("ix_rebinds_class", "class_id"),
    Index("ix_rebinds_serials", "series_id", "first"),
)

#: Positions whose serial left: kind `delivered` (a delivery named it) or `void` (a gap was passed).
settled_positions = Table(
    "settled_positions",
    metadata,
    *_positions(),
    Column("kind", Text, nullable=False),
    *made_by(),
    PrimaryKeyConstraint("class_id", "first_position"),
)

#: The registry did not retire what these positions expected; settles nothing.
registry_failures = Table(
    "registry_failures",
    metadata,
    Column("failure_id", Text, primary_key=True),
    *_positions(),
    Column("reason", Text, nullable=False),
    Column("registry_date", BigInteger, nullable=False),
    Column("evidence_hash", Text, nullable=False),
    Column("signers", ARRAY(Text), nullable=False),
    Column("transaction_hash", Text, nullable=False),
    *made_by(),
    Index("ix_registry_failures_class", "class_id", "first_position"),
)

#: Substitutes of equal size were retired for these positions.
made_good = Table(
    "made_good",
    metadata,
    Column("made_good_id", Text, primary_key=True),
    *_positions(),
    Column("substitute_class", Uint256, nullable=False),
    Column("substitutes", JSONB, nullable=False),
    Column("reference", Text, nullable=False),
    Column("registry_date", BigInteger, nullable=False),
    Column("evidence_hash", Text, nullable=False),
    Column("signers", ARRAY(Text), nullable=False),
    Column("transaction_hash", Text, nullable=False),
    *made_by(),
    Index("ix_made_good_class", "class_id", "first_position"),
)

reserves_reported = Table(
    "reserves_reported",
    metadata,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("report_id", Text, nullable=False, unique=True),
    Column("as_of", BigInteger, nullable=False),
    Column("chain_block", BigInteger, nullable=False),
    Column("root", Text, nullable=False),
    Column("tonnes", BigInteger, nullable=False),
    Column("liabilities_root", Text, nullable=False),
    Column("liabilities_kilograms", Uint256, nullable=False),
    Column("evidence_hash", Text, nullable=False),
    Column("signers", ARRAY(Text), nullable=False),
    Column("transaction_hash", Text, nullable=False),
    *made_by(),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("delivery_id", BigInteger, primary_key=True, autoincrement=False),
    *_positions(),
    Column("holder", Text, nullable=False, index=True),
    Column("series_id", Integer, ForeignKey("series.id"), nullable=False),
    Column("series_hash", Text, nullable=False),
    Column("first_serial", BigInteger, nullable=False),
    Column("registry_account", Text, nullable=False),
    Column("deadline", BigInteger, nullable=False),
    Column("fee_asset", Text, nullable=False),
    Column("fee", Uint256, nullable=False),
    Column("transaction_hash", Text, nullable=False),
    *made_by(),
    Index("ix_deliveries_class", "class_id", "first_position"),
    Index("ix_deliveries_order", "block_number", "log_index"),
)

#: One row per phase after the request; `state` is where the delivery stands from it on (a break
#: and the end of a dispute move it to no other). Columns that a phase does not say are null.
delivery_changes = Table(
    "delivery_changes",
    metadata,
    Column("delivery_id", BigInteger, nullable=False),
    Column("act", Text, nullable=False),
    Column("custodian", Text),
    Column("reference", Text),
    Column("expires_at", BigInteger),
    Column("second_deadline", BigInteger),
    Column("registry_date", BigInteger),
    Column("reason", Text),
    Column("evidence_hash", Text),
    Column("first_position", BigInteger),
    Column("disputed", Boolean),
    Column("signers", ARRAY(Text), nullable=False),
    Column("transaction_hash", Text, nullable=False),
    *made_by(),
    PrimaryKeyConstraint("delivery_id", "block_number", "log_index"),
)

#: Everything programmes do, in one order: kind of IProgrammeEvents.Kind in lower case, or
#: `invalidation`, `substitution`, `delivery_invalidation`. `detail` holds what only one kind says.
programme_events = Table(
    "programme_events",
    metadata,
    Column("event_id", Text, nullable=False, index=True),
    Column("class_id", Uint256, nullable=False),
    Column("kind", Text, nullable=False),
    Column("first_position", BigInteger),
    Column("tonnes", BigInteger),
    Column("subject", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("as_of", BigInteger),
    Column("evidence_hash", Text),
    Column("detail", JSONB, nullable=False),
    Column("signers", ARRAY(Text), nullable=False),
    Column("transaction_hash", Text, nullable=False),
    *made_by(),
    PrimaryKeyConstraint("block_number", "log_index"),
    Index("ix_programme_events_class", "class_id", "block_number", "log_index"),
)

#: What opened, closed or moved a gap; `act` open, close or pass (then `new_position` says where
#: it stands again). The gaps that there are follow by `domain.gaps`.
gap_changes = Table(
    "gap_changes",
    metadata,
    *_positions(),
    Column("act", Text, nullable=False),
    Column("kind", SmallInteger),
    Column("new_position", BigInteger),
    *made_by(),
    PrimaryKeyConstraint("class_id", "block_number", "log_index"),
)

conversions = Table(
    "conversions",
    metadata,
    Column("conversion_id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("from_class", Uint256, nullable=False, index=True),
    Column("to_class", Uint256, nullable=False, index=True),
    Column("first_position", BigInteger, nullable=False),
    Column("tonnes", BigInteger, nullable=False),
    Column("new_position", BigInteger, nullable=False),
    Column("root", Text, nullable=False),
    Column("chain_block", BigInteger, nullable=False),
    Column("transaction_hash", Text, nullable=False),
    *made_by(),
)

conversion_claims = Table(
    "conversion_claims",
    metadata,
    Column("conversion_id", Text, nullable=False),
    Column("holder", Text, nullable=False, index=True),
    Column("kilograms", BigInteger, nullable=False),
    Column("transaction_hash", Text, nullable=False),
    *made_by(),
    PrimaryKeyConstraint("block_number", "log_index"),
    Index("ix_conversion_claims_conversion", "conversion_id"),
)

#: Kilograms of a class that left without a retirement: burnt for a delivery, or void with a gap
#: that was passed. With what is held and retired they make up everything that was minted (L1).
class_exits = Table(
    "class_exits",
    metadata,
    *_positions(),
    Column("act", Text, nullable=False),
    *made_by(),
    PrimaryKeyConstraint("class_id", "block_number", "log_index"),
)

#: Flags of a class from this event on (domain.classes.ClassFlag).
class_flags = Table(
    "class_flags",
    metadata,
    Column("class_id", Uint256, nullable=False),
    Column("flags", SmallInteger, nullable=False),
    *made_by(),
    PrimaryKeyConstraint("class_id", "block_number", "log_index"),
)

#: In the order in which a rewind takes rows back.
BACKING_TABLES: tuple[Table, ...] = (
    serials_registered,
    serials_released,
    rebinds,
    settled_positions,
    registry_failures,
    made_good,
    reserves_reported,
    deliveries,
    delivery_changes,
    programme_events,
    gap_changes,
    conversions,
    conversion_claims,
    class_exits,
    class_flags,
)
