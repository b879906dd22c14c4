"""Series keyed by a UUID or by text; blocks of exports that give no vintage."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE series ALTER COLUMN codes TYPE NUMERIC(78, 0)[]")
    op.execute("ALTER TABLE registry_blocks ALTER COLUMN vintage_start DROP NOT NULL")
    op.execute("ALTER TABLE registry_blocks ALTER COLUMN vintage_end DROP NOT NULL")
