"""Tables of custody by people: tasks and their answers, trust accounts, where receipts stand."""

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
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB

from backend.store.tables import metadata
from backend.store.types import Text

#: What people at a registry's pages are asked to do. `content_hash`: the same reference with other
#: content is a conflict (L10); `standing`: the newest approved answer, or statement.
custody_tasks = Table(
    "custody_tasks",
    metadata,
    Column("reference", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("request", JSONB, nullable=False),
    Column("content_hash", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("deadline", BigInteger),
    Column("created_at", BigInteger, nullable=False),
    Column("standing", JSONB),
    Column("as_of", BigInteger),
    Index("ix_custody_tasks_state", "state", "deadline", "reference"),
    Index("ix_custody_tasks_statements", "account", "as_of"),
)

#: Append-only but for the review, which is written once. The check is the four eyes (L5): no
#: program can record that one person approved their own answer.
custody_task_answers = Table(
    "custody_task_answers",
    metadata,
    Column("reference", Text, ForeignKey("custody_tasks.reference"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("content", JSONB, nullable=False),
    Column("evidence", Text, nullable=False),
    Column("file_name", Text, nullable=False),
    Column("file", LargeBinary, nullable=False),
    Column("answered_by", Text, nullable=False),
    Column("answered_at", BigInteger, nullable=False),
    Column("reviewed_by", Text),
    Column("reviewed_at", BigInteger),
    Column("approved", Boolean),
    Column("note", Text),
    PrimaryKeyConstraint("reference", "number"),
    CheckConstraint(
        "lower(btrim(reviewed_by)) <> lower(btrim(answered_by))",
        name="ck_custody_task_answers_four_eyes",
    ),
)

#: The register of trust accounts: one row for each version of an account's terms.
trust_accounts = Table(
    "trust_accounts",
    metadata,
    Column("number", BigInteger, Identity(), primary_key=True),
    Column("account", Text, nullable=False),
    Column("account_id", Text, nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("terms_hash", Text, nullable=False, index=True),
    Column("content", JSONB, nullable=False),
    Column("content_hash", Text, nullable=False),
    Column("recorded_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    UniqueConstraint("account", "content_hash"),
)

#: Append-only: where the blocks of a receipt stand after a change of custodian.
receipt_rebindings = Table(
    "receipt_rebindings",
    metadata,
    Column("number", BigInteger, Identity(), primary_key=True),
    Column("receipt_id", Text, nullable=False),
    Column("old_account", Text, nullable=False),
    Column("new_account", Text, nullable=False),
    Column("terms_hash", Text, nullable=False),
    Column("registry_reference", Text, nullable=False),
    Column("rebound_on", Date, nullable=False),
    Column("recorded_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    UniqueConstraint("receipt_id", "registry_reference"),
    Index("ix_receipt_rebindings_receipt", "receipt_id", "number"),
)
