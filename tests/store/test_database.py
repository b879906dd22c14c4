"""Migrations, snapshots and failures of the one way to Postgres."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from backend.errors import DatabaseUnavailable, InvalidValue
from backend.store import (  # noqa: F401
    bridge_tables,
    custody_tables,
    duplicate_tables,
    exchange_tables,
    market_tables,
    registry_tables,
    venue_tables,
    webhook_tables,
)
from backend.store.database import Database, raw
from backend.store.tables import metadata

pytestmark = pytest.mark.integration


def test_several_processes_may_migrate_at_once(database_url: str) -> None:
    databases = [Database(database_url) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(Database.migrate, databases))
    with databases[0].read() as connection:
        steps = connection.execute(text("SELECT version_num FROM alembic_version")).scalars().all()
        jobs = connection.execute(text("SELECT to_regclass('procrastinate_jobs')")).scalar()
    assert len(steps) == 1
    assert jobs == "procrastinate_jobs"
    for database in databases:
        database.close()


def test_the_migrations_make_exactly_the_tables_of_the_code(database: Database) -> None:
    ours = set(metadata.tables)

    def include(name: str | None, kind: str, parents: object) -> bool:
        return kind != "table" or name in ours

    with database.begin() as connection:
        context = MigrationContext.configure(
            connection, opts={"include_name": include, "compare_type": True}
        )
        differences = compare_metadata(context, metadata)
        present = set(
            connection.execute(
                text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            ).scalars()
        )
    # Alembic cannot compare indexes over expressions.
    assert [found for found in differences if "int4range" not in str(found)] == []
    assert ours <= present


def test_a_snapshot_sees_one_state_and_writes_nothing(database: Database) -> None:
    with database.read() as reading:
        before = reading.execute(text("SELECT count(*) FROM series")).scalar()
        with database.begin() as writing:
            writing.execute(
                text("INSERT INTO series (name, programme, codes, hash) VALUES ('a','b','{1}','c')")
            )
        assert reading.execute(text("SELECT count(*) FROM series")).scalar() == before
    with pytest.raises(DBAPIError, match="read-only"), database.read() as reading:
        reading.execute(text("DELETE FROM series"))


def test_an_absent_postgres_is_named_without_its_password() -> None:
    absent = Database("postgresql://somebody:secret@127.0.0.1:1/causeway")
    with pytest.raises(DatabaseUnavailable, match=r"127\.0\.0\.1:1") as refused:
        absent.check()
    assert "secret" not in refused.value.message
    assert "secret" not in str(refused.value.values)


def test_a_connection_that_was_cut_inside_a_transaction_is_reported(
    database: Database, migrated_url: str
) -> None:
    def cut_inside() -> None:
        with (
            database.begin() as connection,
            psycopg.connect(migrated_url, autocommit=True) as other,
        ):
            pid = connection.execute(text("SELECT pg_backend_pid()")).scalar()
            other.execute("SELECT pg_terminate_backend(%s)", [pid])
            connection.execute(text("SELECT 1"))

    with pytest.raises(DatabaseUnavailable):
        cut_inside()
    database.check()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://somebody:secret@127.0.0.1:x/causeway",
        "postgresql://somebody:secret",
        "mysql://somebody:secret@127.0.0.1/causeway",
        "host=127.0.0.1 password=secret",
        "postgresql://somebody:sec@ret@127.0.0.1:x/causeway?password=secret",
        "",
    ],
)
def test_a_malformed_url_is_refused_by_its_variable_without_its_password(url: str) -> None:
    with pytest.raises(InvalidValue, match="CAUSEWAY_DATABASE_URL") as refused:
        Database(url)
    assert "secret" not in refused.value.message + str(refused.value.values)
    assert refused.value.__suppress_context__


def test_a_value_that_postgres_cannot_hold_stays_in_the_error_tree(database: Database) -> None:
    with pytest.raises(InvalidValue, match="out of range"), database.read() as connection:
        connection.execute(text("SELECT 9223372036854775808::bigint"))
    with pytest.raises(InvalidValue, match="NUL"), database.read() as connection:
        raw(connection).execute("SELECT %s", ["a\0b"])
    database.check()
