"""What Alembic runs: the step functions on the connection that `Database.migrate` opened."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

from backend.store.tables import metadata

_connection: Connection = context.config.attributes["connection"]
context.configure(connection=_connection, target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
