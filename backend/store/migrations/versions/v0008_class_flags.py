"""Flags of the classes that a venue trades: nothing of a flagged one is traded."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """A journal from before this has no flags: none is projected again."""
    op.execute("ALTER TABLE venue_instruments ADD COLUMN flags SMALLINT NOT NULL DEFAULT 0")
