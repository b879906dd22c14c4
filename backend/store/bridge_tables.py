"""Tables of the bridge: flows with their steps, requests to registries, what is signed, breaks."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from backend.store.tables import metadata
from backend.store.types import Text, Uint256


def _now() -> Column[object]:
    return Column("at", DateTime(timezone=True), nullable=False, server_default=func.now())


#: One row per deposit, retirement, delivery: what a job brings forward a step at a time. `due_at`
#: is when it is tried again; `deadline` Unix seconds; `content` what its kind needs.
bridge_flows = Table(
    "bridge_flows",
    metadata,
    Column("kind", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("ended", Boolean, nullable=False, server_default=text("false")),
    Column("class_id", Uint256),
    Column("first_position", BigInteger),
    Column("tonnes", BigInteger),
    Column("deadline", BigInteger),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("due_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("reason", Text),
    Column("transaction_key", Text),
    Column("content", JSONB, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("kind", "id"),
    Index("ix_bridge_flows_due", "due_at", postgresql_where=text("NOT ended")),
    Index("ix_bridge_flows_positions", "kind", "class_id", "first_position"),
)

#: Append-only: every state a flow was in (L4).
bridge_steps = Table(
    "bridge_steps",
    metadata,
    Column("number", BigInteger, Identity(), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    _now(),
    ForeignKeyConstraint(["kind", "id"], ["bridge_flows.kind", "bridge_flows.id"]),
    Index("ix_bridge_steps_flow", "kind", "id", "number"),
)

#: What a registry was asked, kept before it is asked, and the answer that stands (L10).
registry_requests = Table(
    "registry_requests",
    metadata,
    Column("reference", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("flow", Text, nullable=False),
    Column("request", JSONB, nullable=False),
    Column("answer", JSONB),
    Column("state", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    ForeignKeyConstraint(["kind", "flow"], ["bridge_flows.kind", "bridge_flows.id"]),
    Index("ix_registry_requests_flow", "kind", "flow"),
)

#: Append-only: every answer that said something else than the one before.
registry_answers = Table(
    "registry_answers",
    metadata,
    Column("number", BigInteger, Identity(), primary_key=True),
    Column("reference", Text, nullable=False, index=True),
    Column("answer", JSONB, nullable=False),
    _now(),
)

#: Differences between registry, custody and chain; `key` makes the same one found twice one row.
breaks = Table(
    "breaks",
    metadata,
    Column("number", BigInteger, Identity(), primary_key=True),
    Column("key", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("flow_kind", Text),
    Column("flow", Text),
    Column("class_id", Uint256),
    Column("detail", Text, nullable=False),
    Column("evidence", JSONB, nullable=False),
    Column("state", Text, nullable=False),
    Column("resolution", Text),
    Column("found_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("resolved_at", DateTime(timezone=True)),
    Index("ix_breaks_state", "state", "number"),
)

#: What custodian and attestor sign beside receipts and confirmations; `id` is the EIP-712 digest,
#: `content` the message, `extra` what the call needs beyond it.
statements = Table(
    "statements",
    metadata,
    Column("id", Text, primary_key=True),
    Column("type", Text, nullable=False),
    Column("chain_id", BigInteger, nullable=False),
    Column("contract", Text, nullable=False),
    Column("flow_kind", Text),
    Column("flow", Text),
    Column("class_id", Uint256),
    Column("content", JSONB, nullable=False),
    Column("extra", JSONB, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    Column("transaction_key", Text),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Index("ix_statements_open", "state", "created_at"),
    Index("ix_statements_flow", "flow_kind", "flow"),
)

#: The trees under a reserve report; `id` is its statement's.
reserve_trees = Table(
    "reserve_trees",
    metadata,
    Column("id", Text, primary_key=True),
    Column("sequence", BigInteger, nullable=False, index=True),
    Column("as_of", BigInteger, nullable=False),
    Column("chain_block", BigInteger, nullable=False),
    Column("classes", JSONB, nullable=False),
    Column("liabilities", JSONB, nullable=False),
    Column("figures", JSONB, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

#: Instructions of retirements by the hash that certificates bind.
retirement_instructions = Table(
    "retirement_instructions",
    metadata,
    Column("hash", Text, primary_key=True),
    Column("content", JSONB, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)
