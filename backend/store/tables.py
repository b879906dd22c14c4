"""The tables as SQLAlchemy Core sees them; the migrations make them, a test compares the two.

Hashes and ids of the chain are text: 0x and lower-case hex; addresses are checksummed.
Kilograms, tonnes, positions and serials are bigint; a block of serials is an int8range `[a,b]`.
Read models carry `block_number` and `log_index` of the event that made the row, so that a
reorganisation can take back exactly the rows above the common chain block.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
    func,
)
from sqlalchemy.dialects.postgresql import ARRAY, INT8RANGE, JSONB, ExcludeConstraint
from sqlalchemy.sql import column, text

from backend.store.types import Text, Uint256

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def made_by() -> list[Column[int]]:
    """The event that made the row."""
    return [
        Column("block_number", BigInteger, nullable=False),
        Column("log_index", Integer, nullable=False),
    ]


def _times() -> list[Column[object]]:
    now = func.now()
    return [
        Column("created_at", DateTime(timezone=True), nullable=False, server_default=now),
        Column("updated_at", DateTime(timezone=True), nullable=False, server_default=now),
    ]


# ── what the registries say ──────────────────────────────────────────────────────────────────

imports = Table(
    "imports",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("imported_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("file_name", Text, nullable=False),
    Column("sha256", Text, nullable=False, unique=True),
    Column("programme", Text, nullable=False),
    Column("layout", Text, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("accepted", Integer, nullable=False),
    Column("rejected", Integer, nullable=False),
    Column("report", JSONB, nullable=False),
    # `reading` while rows are staged, `merging` while they are applied, then `done`; `abandoned`
    # when an interrupted one was given up, its `sha256` then ends in `:` and its id.
    Column("state", Text, nullable=False, server_default="done"),
    Column("progress", JSONB, nullable=False, server_default=text("'{}'")),
    Column("finished_at", DateTime(timezone=True)),
)

series = Table(
    "series",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("programme", Text, nullable=False),
    # Numeric: a UUID has 128 bits. Empty where the issuer's text in `name` is the key.
    Column("codes", ARRAY(Numeric(78, 0)), nullable=False),
    Column("hash", Text, nullable=False, unique=True),
)

#: What rows of exports say after the newest import. Blocks of one kind in one series are disjoint
#: as far as one programme tells of them: the merge refuses anything else, under one lock. So a
#: btree finds overlaps, which a GiST index would do at a third of the import's speed; foreign keys
#: would halve it again.
registry_blocks = Table(
    "registry_blocks",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("series_id", Integer, nullable=False),
    Column("block", INT8RANGE, nullable=False),
    Column("kind", Text, nullable=False),
    Column("programme", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("project_name", Text, nullable=False),
    Column("vintage_start", Date),
    Column("vintage_end", Date),
    Column("batch", BigInteger),
    Column("status", Text, nullable=False),
    Column("cohort", ARRAY(Text)),
    Column("vocabulary", Text, nullable=False),
    Column("labels", ARRAY(Text), nullable=False),
    Column("unmapped", ARRAY(Text), nullable=False),
    Column("facts", JSONB, nullable=False),
    Column("first_import", BigInteger, nullable=False),
    # The newest import that said something new of the row, not the newest that repeated it.
    Column("last_import", BigInteger, nullable=False),
    # Where that import's file says it.
    Column("source_row", Integer, nullable=False),
    Column("source_line", Integer, nullable=False),
    Index("ix_registry_blocks_first", "series_id", "kind", "programme", text("lower(block)")),
    Index("ix_registry_blocks_project", "programme", "project", "vintage_start"),
)

registry_block_history = Table(
    "registry_block_history",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    # No foreign key: the history outlives the row that a split replaced.
    Column("registry_block_id", BigInteger, nullable=False, index=True),
    Column("import_id", BigInteger, ForeignKey("imports.id"), nullable=False, index=True),
    Column("change", Text, nullable=False),
    Column("before", JSONB),
    Column("after", JSONB),
)

contradictions = Table(
    "contradictions",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("import_id", BigInteger, ForeignKey("imports.id"), nullable=False, index=True),
    Column("series_id", Integer, ForeignKey("series.id"), nullable=False),
    Column("description", Text, nullable=False),
    Column("detail", JSONB, nullable=False),
    Column("found_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

# ── what is in trust ─────────────────────────────────────────────────────────────────────────

receipts = Table(
    "receipts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("chain_id", BigInteger, nullable=False),
    Column("trust", Text, nullable=False),
    Column("class_id", Uint256, nullable=False, index=True),
    Column("credit_class", JSONB, nullable=False),
    Column("recipient", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("tonnes", BigInteger, nullable=False),
    Column("valid_until", BigInteger, nullable=False),
    Column("evidence_hash", Text, nullable=False),
    Column("terms_hash", Text, nullable=False),
    Column("content", JSONB, nullable=False),
    Column("state", Text, nullable=False, index=True),
    Column("reason", Text),
    Column("transaction_key", Text),
    *_times(),
)

#: L2 in Postgres. Rows leave when their receipt is cancelled or failed; of a minted one only what
#: a finalised delivery has released, once another receipt wants it.
custody_blocks = Table(
    "custody_blocks",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("series_id", Integer, ForeignKey("series.id"), nullable=False),
    Column("block", INT8RANGE, nullable=False),
    Column(
        "receipt_id",
        Text,
        ForeignKey("receipts.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    Column("ordinal", Integer, nullable=False),
    # The wheel's Postgres has no btree_gist: a one-number range stands for the series.
    ExcludeConstraint(
        (text("int4range(series_id, series_id, '[]')"), "="),
        (column("block"), "&&"),
        name="no_serial_in_two_receipts",
        using="gist",
    ),
)

approvals = Table(
    "approvals",
    metadata,
    Column("subject", Text, nullable=False),
    Column("signer", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("subject", "signer"),
)

confirmations = Table(
    "confirmations",
    metadata,
    Column("id", Text, primary_key=True),
    Column("chain_id", BigInteger, nullable=False),
    Column("trust", Text, nullable=False),
    Column("class_id", Uint256, nullable=False, index=True),
    Column("first_position", BigInteger, nullable=False),
    Column("tonnes", BigInteger, nullable=False),
    Column("reference", Text, nullable=False),
    Column("registry_date", BigInteger, nullable=False),
    Column("content", JSONB, nullable=False),
    Column("state", Text, nullable=False, index=True),
    Column("reason", Text),
    Column("transaction_key", Text),
    *_times(),
)

# ── what we send (L10) ───────────────────────────────────────────────────────────────────────

transactions = Table(
    "transactions",
    metadata,
    Column("key", Text, primary_key=True),
    Column("chain_id", BigInteger, nullable=False),
    Column("account", Text, nullable=False),
    Column("nonce", BigInteger, nullable=False),
    Column("to", Text, nullable=False),
    Column("data", LargeBinary, nullable=False),
    Column("gas", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("block_number", BigInteger),
    Column("block_hash", Text),
    Column("transaction_hash", Text),
    Column("reason", Text),
    *_times(),
    UniqueConstraint("chain_id", "account", "nonce"),
    Index("ix_transactions_open", "chain_id", "state", "account", "nonce"),
)

transaction_attempts = Table(
    "transaction_attempts",
    metadata,
    Column("key", Text, ForeignKey("transactions.key", ondelete="CASCADE"), nullable=False),
    Column("hash", Text, primary_key=True),
    Column("raw", LargeBinary, nullable=False),
    Column("max_fee_per_gas", Uint256, nullable=False),
    Column("max_priority_fee_per_gas", Uint256, nullable=False),
    Column("signed_at", BigInteger, nullable=False),
    Index("ix_transaction_attempts_key", "key"),
)

# ── what the chain says ──────────────────────────────────────────────────────────────────────

chain_state = Table(
    "chain_state",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("chain_id", BigInteger, nullable=False),
    Column("deployment", JSONB, nullable=False),
    Column("indexed_number", BigInteger, nullable=False),
    Column("indexed_hash", Text),
    Column("durable_number", BigInteger),
    # Grows with every rewind, so that a reader of the bus can drop heads of an older view.
    Column("epoch", BigInteger, nullable=False, server_default="0"),
    # A local chain's process: another one may have loaded an older state.
    Column("instance", Text),
)

chain_blocks = Table(
    "chain_blocks",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", Text, nullable=False),
    Column("parent_hash", Text, nullable=False),
    Column("timestamp", BigInteger, nullable=False),
    # Commits to status, gas and logs of every transaction: proves that a replay was exact.
    Column("receipts_root", Text, nullable=False),
    Column("transactions", Integer, nullable=False),
    Column("base_fee", Uint256),
)

chain_transactions = Table(
    "chain_transactions",
    metadata,
    Column("block_number", BigInteger, nullable=False),
    Column("index", Integer, nullable=False),
    Column("hash", Text, nullable=False, index=True),
    Column("raw", LargeBinary, nullable=False),
    PrimaryKeyConstraint("block_number", "index"),
)

chain_events = Table(
    "chain_events",
    metadata,
    *made_by(),
    Column("block_hash", Text, nullable=False),
    Column("transaction_hash", Text, nullable=False, index=True),
    Column("transaction_index", Integer, nullable=False),
    Column("contract", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("args", JSONB, nullable=False),
    PrimaryKeyConstraint("block_number", "log_index"),
    Index("ix_chain_events_name", "contract", "name", "block_number", "log_index"),
)

classes = Table(
    "classes",
    metadata,
    Column("class_id", Uint256, primary_key=True, autoincrement=False),
    Column("number", Integer, nullable=False, unique=True),
    Column("programme", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("unit_type", Integer, nullable=False),
    Column("vintage_start", Date, nullable=False),
    Column("vintage_end", Date, nullable=False),
    Column("cohort_hashes", ARRAY(Text), nullable=False),
    Column("cohort", ARRAY(Text)),
    Column("project_hash", Text, nullable=False),
    Column("vintage_hash", Text, nullable=False),
    *made_by(),
    Index("ix_classes_project", "programme", "project", "vintage_start"),
)

class_blocks = Table(
    "class_blocks",
    metadata,
    Column("class_id", Uint256, nullable=False),
    Column("first_position", BigInteger, nullable=False),
    Column("series_id", Integer, ForeignKey("series.id"), nullable=False),
    Column("series_hash", Text, nullable=False),
    Column("first", BigInteger, nullable=False),
    Column("last", BigInteger, nullable=False),
    # By which the serials came into trust (a receipt, or a published event that registered them);
    # `source` appended this block: the same, or a refund, a passed gap, a conversion.
    Column("receipt_id", Text, nullable=False, index=True),
    Column("source", Text, nullable=False),
    *made_by(),
    PrimaryKeyConstraint("class_id", "first_position"),
    Index("ix_class_blocks_serials", "series_id", "first"),
    # A serial that was refunded or deposited again lies in several blocks.
    Index(
        "ix_class_blocks_range",
        text("int4range(series_id, series_id, '[]')"),
        text("int8range(first, last, '[]')"),
        postgresql_using="gist",
    ),
)

position_changes = Table(
    "position_changes",
    metadata,
    Column("class_id", Uint256, nullable=False),
    Column("minted", BigInteger, nullable=False),
    Column("exited", BigInteger, nullable=False),
    Column("open_tonne", BigInteger, nullable=False),
    Column("dust", Integer, nullable=False),
    *made_by(),
    PrimaryKeyConstraint("class_id", "block_number", "log_index"),
)

balance_changes = Table(
    "balance_changes",
    metadata,
    Column("account", Text, nullable=False),
    Column("class_id", Uint256, nullable=False),
    Column("kilograms", BigInteger, nullable=False),
    Column("retired", BigInteger, nullable=False),
    *made_by(),
    Column("ordinal", Integer, nullable=False),
    PrimaryKeyConstraint("block_number", "log_index", "ordinal"),
    Index("ix_balance_changes_account", "account", "block_number", "log_index"),
)

balances = Table(
    "balances",
    metadata,
    Column("account", Text, nullable=False),
    Column("class_id", Uint256, nullable=False),
    Column("kilograms", BigInteger, nullable=False),
    Column("retired", BigInteger, nullable=False),
    PrimaryKeyConstraint("account", "class_id"),
    Index("ix_balances_class", "class_id"),
)

participant_changes = Table(
    "participant_changes",
    metadata,
    Column("account", Text, nullable=False),
    Column("tier", Integer, nullable=False),
    Column("jurisdiction", Text, nullable=False),
    Column("expiry", BigInteger, nullable=False),
    Column("frozen", Boolean, nullable=False),
    *made_by(),
    PrimaryKeyConstraint("account", "block_number", "log_index"),
)

certificates = Table(
    "certificates",
    metadata,
    Column("certificate_id", Uint256, primary_key=True, autoincrement=False),
    Column("class_id", Uint256, nullable=False),
    Column("owner", Text, nullable=False, index=True),
    Column("holder", Text, nullable=False, index=True),
    Column("operator", Text, nullable=False),
    Column("kilograms", BigInteger, nullable=False),
    Column("exited", BigInteger, nullable=False),
    Column("open_tonne", BigInteger, nullable=False),
    Column("dust", Integer, nullable=False),
    Column("details_hash", Text, nullable=False),
    Column("transaction_hash", Text, nullable=False, index=True),
    *made_by(),
    Index("ix_certificates_class", "class_id", "exited"),
    Index("ix_certificates_order", "block_number", "log_index"),
)

certificate_details = Table(
    "certificate_details",
    metadata,
    Column("certificate_id", Uint256, primary_key=True, autoincrement=False),
    Column("beneficiary", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("period", Text, nullable=False),
    Column("instruction_hash", Text, nullable=False),
    *made_by(),
)

receipts_minted = Table(
    "receipts_minted",
    metadata,
    Column("receipt_id", Text, primary_key=True),
    Column("class_id", Uint256, nullable=False, index=True),
    Column("recipient", Text, nullable=False),
    Column("tonnes", BigInteger, nullable=False),
    Column("account", Text, nullable=False),
    Column("evidence_hash", Text, nullable=False),
    Column("terms_hash", Text, nullable=False),
    Column("signers", ARRAY(Text), nullable=False),
    Column("transaction_hash", Text, nullable=False),
    *made_by(),
)

receipts_cancelled = Table(
    "receipts_cancelled",
    metadata,
    Column("receipt_id", Text, nullable=False),
    Column("signer", Text, nullable=False),
    *made_by(),
    PrimaryKeyConstraint("receipt_id", "block_number", "log_index"),
)

exchanges = Table(
    "exchanges",
    metadata,
    Column("class_id", Uint256, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("counterpart", BigInteger, nullable=False),
    Column("tonnes", BigInteger, nullable=False),
    *made_by(),
    PrimaryKeyConstraint("class_id", "block_number", "log_index"),
)

registry_confirmations = Table(
    "registry_confirmations",
    metadata,
    Column("confirmation_id", Text, primary_key=True),
    Column("class_id", Uint256, nullable=False),
    Column("first_position", BigInteger, nullable=False),
    Column("tonnes", BigInteger, nullable=False),
    Column("actual", JSONB, nullable=False),
    Column("reference", Text, nullable=False),
    Column("registry_date", BigInteger, nullable=False),
    Column("evidence_hash", Text, nullable=False),
    Column("signers", ARRAY(Text), nullable=False),
    Column("transaction_hash", Text, nullable=False),
    *made_by(),
    Index("ix_registry_confirmations_class", "class_id", "first_position"),
)

class_facts = Table(
    "class_facts",
    metadata,
    Column("class_id", Uint256, nullable=False),
    Column("key", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("as_of", BigInteger, nullable=False),
    Column("vocabulary", Text, nullable=False),
    *made_by(),
    PrimaryKeyConstraint("class_id", "block_number", "log_index"),
)

#: One row per act: a freeze (kind `freeze`, state `frozen`/`unfrozen`, order_id its order's
#: hash), a scheduled, executed or cancelled order, a forced transfer of one class.
legal_orders = Table(
    "legal_orders",
    metadata,
    Column("order_id", Text, nullable=False, index=True),
    Column("account", Text, index=True),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("detail", JSONB, nullable=False),
    *made_by(),
    PrimaryKeyConstraint("block_number", "log_index"),
)

# ── sessions of the API ──────────────────────────────────────────────────────────────────────

api_secrets = Table(
    "api_secrets",
    metadata,
    Column("name", Text, primary_key=True),
    Column("secret", LargeBinary, nullable=False),
)
api_sessions = Table(
    "api_sessions",
    metadata,
    Column("token_hash", LargeBinary, primary_key=True),
    Column("nonce", Text, nullable=False, unique=True),
    Column("account", Text, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("kept_until", BigInteger, nullable=False, index=True),
)

#: Rows of these tables came from chain events and fall with their chain block, in this order.
CHAIN_TABLES: tuple[Table, ...] = (
    chain_events,
    chain_transactions,
    classes,
    class_blocks,
    position_changes,
    balance_changes,
    participant_changes,
    certificates,
    certificate_details,
    receipts_minted,
    receipts_cancelled,
    exchanges,
    registry_confirmations,
    class_facts,
    legal_orders,
)
