"""Tables of imports under way, and of what registries say without serial numbers."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Date,
    ForeignKey,
    Identity,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.sql import text

from backend.store.tables import metadata
from backend.store.types import Text

import_rejections = Table(
    "import_rejections",
    metadata,
    Column("import_id", BigInteger, ForeignKey("imports.id"), nullable=False),
    Column("row", Integer, nullable=False),
    Column("line", Integer, nullable=False),
    Column("field", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("rule", Text, nullable=False),
    PrimaryKeyConstraint("import_id", "row"),
)

#: The steps in which an import is merged, fixed when its rows are complete; `counts` of a step that
#: is done. They are gone with the import's end.
import_steps = Table(
    "import_steps",
    metadata,
    Column("import_id", BigInteger, ForeignKey("imports.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("start_series", Integer, nullable=False),
    Column("start_first", BigInteger, nullable=False),
    Column("end_series", Integer, nullable=False),
    Column("end_first", BigInteger, nullable=False),
    Column("counts", JSONB),
    PrimaryKeyConstraint("import_id", "number"),
)

#: Rows of an import before they are merged. Always empty: each import makes a table like it, which
#: is dropped when it is done, so that no vacuum has to follow a million deleted rows.
import_rows = Table(
    "import_rows",
    metadata,
    Column("row", Integer, nullable=False),
    Column("line", Integer, nullable=False),
    Column("series_id", Integer, nullable=False),
    Column("first", BigInteger, nullable=False),
    Column("last", BigInteger, nullable=False),
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
)

#: The same for volumes and projects; `reference` of a project is its own id.
import_entries = Table(
    "import_entries",
    metadata,
    Column("row", Integer, nullable=False),
    Column("line", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("programme", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("reference", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("kilograms", BigInteger),
    Column("series_id", Integer),
    Column("vintage_start", Date),
    Column("vintage_end", Date),
    Column("content", JSONB, nullable=False),
)

#: Credits without serials: what an event of a registry moved, by its reference. Rows of one file
#: may share it; `ordinal` is their order then.
registry_volumes = Table(
    "registry_volumes",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("programme", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("reference", Text, nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("project", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("kilograms", BigInteger, nullable=False),
    Column("series_id", Integer),
    Column("vintage_start", Date),
    Column("vintage_end", Date),
    Column("content", JSONB, nullable=False),
    Column("source", JSONB, nullable=False),
    Column("first_import", BigInteger, nullable=False),
    Column("last_import", BigInteger, nullable=False),
    UniqueConstraint("programme", "kind", "reference", "ordinal"),
    Index("ix_registry_volumes_project", "programme", "project"),
    Index(
        "ix_registry_volumes_series", "series_id", postgresql_where=text("series_id IS NOT NULL")
    ),
)

#: Projects as their registries spell them after the newest import.
registry_projects = Table(
    "registry_projects",
    metadata,
    Column("programme", Text, primary_key=True),
    Column("project", Text, primary_key=True),
    Column("status", Text, nullable=False),
    Column("content", JSONB, nullable=False),
    Column("source", JSONB, nullable=False),
    Column("first_import", BigInteger, nullable=False),
    Column("last_import", BigInteger, nullable=False),
)

#: What changed in volumes and projects.
registry_entry_history = Table(
    "registry_entry_history",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("import_id", BigInteger, ForeignKey("imports.id"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("programme", Text, nullable=False),
    Column("reference", Text, nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("before", JSONB, nullable=False),
    Column("after", JSONB, nullable=False),
    Index("ix_registry_entry_history_reference", "programme", "kind", "reference", "ordinal"),
)
