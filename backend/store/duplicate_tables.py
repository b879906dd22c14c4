"""Tables of duplicates: what sources list, what another bridge holds, cases and decisions."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import INT8RANGE, JSONB

from backend.store.tables import metadata
from backend.store.types import Text

#: The union of everything that a source said of a project (`domain.duplicates.Listing`).
project_listings = Table(
    "project_listings",
    metadata,
    Column("source", Text, nullable=False),
    Column("programme", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("listing", JSONB, nullable=False),
    PrimaryKeyConstraint("source", "programme", "project"),
)

#: Serials that another bridge says it holds; what the registries say is in `registry_blocks`.
bridge_holdings = Table(
    "bridge_holdings",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("source", Text, nullable=False),
    Column("programme", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("series", Text, nullable=False),
    Column("block", INT8RANGE, nullable=False),
    UniqueConstraint(
        "source", "programme", "project", "series", "block", name="uq_bridge_holdings"
    ),
)

#: Pairs with evidence. `state`: noted, open, distinct, duplicate; a side that is blocked is not
#: minted. `evidence` is the hash of the reasons, `score` their sum.
duplicate_cases = Table(
    "duplicate_cases",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("left_source", Text, nullable=False),
    Column("left_programme", Text, nullable=False),
    Column("left_project", Text, nullable=False),
    Column("right_source", Text, nullable=False),
    Column("right_programme", Text, nullable=False),
    Column("right_project", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("score", Integer, nullable=False),
    Column("reasons", JSONB, nullable=False),
    Column("evidence", Text, nullable=False),
    Column("state", Text, nullable=False, index=True),
    Column("left_blocked", Boolean, nullable=False),
    Column("right_blocked", Boolean, nullable=False),
    Column("found_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("changed_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    UniqueConstraint(
        "left_source",
        "left_programme",
        "left_project",
        "right_source",
        "right_programme",
        "right_project",
        name="uq_duplicate_cases_pair",
    ),
    Index(
        "ix_duplicate_cases_left",
        "left_programme",
        "left_project",
        postgresql_where=text("left_blocked"),
    ),
    Index(
        "ix_duplicate_cases_right",
        "right_programme",
        "right_project",
        postgresql_where=text("right_blocked"),
    ),
)

#: Append-only: who decided what of which evidence, and why.
duplicate_decisions = Table(
    "duplicate_decisions",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("case_id", BigInteger, ForeignKey("duplicate_cases.id"), nullable=False, index=True),
    Column("decision", Text, nullable=False),
    Column("keep", Text),
    Column("who", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("score", Integer, nullable=False),
    Column("evidence", Text, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

#: The newest import whose rows were compared; one row.
duplicate_progress = Table(
    "duplicate_progress",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("import_id", BigInteger, nullable=False),
)
