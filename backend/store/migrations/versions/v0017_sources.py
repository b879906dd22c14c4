"""Where a block stands in its newest import's file: two numbers instead of a JSON text per row."""

from __future__ import annotations

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

STATEMENTS = (
    "ALTER TABLE registry_blocks ADD COLUMN source_row INTEGER, ADD COLUMN source_line INTEGER",
    "UPDATE registry_blocks SET source_row = coalesce((source ->> 'row')::integer, 0),"
    " source_line = coalesce((source ->> 'line')::integer, 0)",
    "ALTER TABLE registry_blocks ALTER COLUMN source_row SET NOT NULL,"
    " ALTER COLUMN source_line SET NOT NULL, DROP COLUMN source",
)


def upgrade() -> None:
    """Keep the numbers; the file's name is the import's."""
    for statement in STATEMENTS:
        op.execute(statement)
