"""The job queue's own tables, as the pinned procrastinate defines them."""

from __future__ import annotations

from alembic import op
from procrastinate.schema import SchemaManager
from sqlalchemy import text

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply procrastinate's schema; a newer procrastinate needs a step with its migrations."""
    connection = op.get_bind()
    present = connection.execute(text("SELECT to_regclass('procrastinate_jobs')")).scalar()
    if present is None:
        # Past SQLAlchemy: the script holds many statements and its own percent signs.
        driver = connection.connection.driver_connection
        assert driver is not None
        with driver.cursor() as cursor:
            cursor.execute(SchemaManager.get_schema())
