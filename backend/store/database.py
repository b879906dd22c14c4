"""The one way to Postgres: engine, transactions, migrations, readable failures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from typing import Any, cast

import psycopg
from sqlalchemy import Connection as Connection
from sqlalchemy import Engine, create_engine, make_url, text
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    InterfaceError,
    OperationalError,
    ProgrammingError,
)

from backend.errors import DatabaseUnavailable, InvalidValue

#: Advisory locks of Causeway: the first number of the pair, so that no other user collides.
LOCK_SPACE = 0x43575901
LOCK_MIGRATE = 1
LOCK_IMPORT = 2
LOCK_INDEX = 3
LOCK_DUPLICATES = 4
LOCK_WEBHOOKS = 5
#: A connection that Postgres does not accept within this many seconds is reported, not awaited.
CONNECT_TIMEOUT_SECONDS = 5
_UNDEFINED_TABLE = "42P01"


def sqlalchemy_url(url: str) -> str:
    """`postgres://…` or `postgresql://…` as SQLAlchemy wants it, on psycopg 3.

    Raises InvalidValue, which shows nothing of the URL but what comes after its password.
    """
    try:
        parsed = make_url(url.replace("postgres://", "postgresql://", 1))
        if parsed.get_backend_name() != "postgresql":
            raise ValueError(parsed.drivername)
    except (ArgumentError, ValueError):
        # Without an `@` any part may be the password: nothing is shown then.
        _, at, where = url.rpartition("@")
        raise InvalidValue(
            "CAUSEWAY_DATABASE_URL",
            f"…@{where.partition('?')[0]}" if at else "…",
            "is not of the form postgresql://user:password@host:port/name",
        ) from None
    return parsed.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)


class Database:
    """A pool of connections to one database; safe to share between threads.

    `url` as libpq takes it (`postgresql://user:password@host:port/name`).
    """

    def __init__(self, url: str, pool_size: int = 8) -> None:
        self.url = url.replace("postgresql+psycopg://", "postgresql://", 1)
        self._engine = create_engine(
            sqlalchemy_url(url),
            pool_size=pool_size,
            max_overflow=pool_size,
            # A Postgres that was killed and restarted must not cost one error per connection.
            pool_pre_ping=True,
            connect_args={"connect_timeout": CONNECT_TIMEOUT_SECONDS},
        )
        self._snapshots = self._engine.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )

    @property
    def engine(self) -> Engine:
        return self._engine

    @contextmanager
    def begin(self, *, durable: bool = True) -> Iterator[Connection]:
        """One transaction: committed at the end, rolled back by an exception.

        With `durable` False the commit does not wait for the disk: a crash of Postgres may take it
        back, but never one that a later durable commit stands on.
        Raises DatabaseUnavailable when Postgres does not answer or goes away meanwhile and
        InvalidValue when a statement was given a value that Postgres cannot hold.
        """
        with self._reporting(), self._engine.begin() as connection:
            if not durable:
                raw(connection).execute("SET LOCAL synchronous_commit = off")
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One snapshot to read from: every statement sees the same state; writes are refused."""
        with self._reporting(), self._snapshots.begin() as connection:
            yield connection

    @contextmanager
    def hold(self, number: int) -> Iterator[None]:
        """One of the locks above through many transactions; a process that dies lets go of it."""
        engine = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        with self._reporting(), engine.connect() as connection:
            key = {"space": LOCK_SPACE, "number": number}
            connection.execute(text("SELECT pg_advisory_lock(:space, :number)"), key)
            try:
                yield
            finally:
                # A connection that is lost has let go already, and must not be used again.
                try:
                    connection.execute(text("SELECT pg_advisory_unlock(:space, :number)"), key)
                except DBAPIError:
                    connection.invalidate()

    def check(self) -> None:
        """Raises DatabaseUnavailable unless Postgres answers."""
        with self.read() as connection:
            connection.execute(text("SELECT 1"))

    def migrate(self) -> None:
        """Bring the schema to the newest step; two processes may call it at once."""
        # Imported here: only one process of many migrates, and alembic takes long to import.
        from alembic import command
        from alembic.config import Config

        location = files("backend.store") / "migrations"
        with as_file(location) as directory, self.begin() as connection:
            lock(connection, LOCK_MIGRATE)
            config = Config()
            config.set_main_option("script_location", str(directory))
            config.set_main_option("path_separator", "os")
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def close(self) -> None:
        """Give every connection back to Postgres."""
        self._engine.dispose()

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        try:
            yield
        except (OperationalError, InterfaceError) as error:
            if isinstance(error, DBAPIError) and is_lost(error.orig):
                raise self._unavailable(error.orig) from error
            raise
        except (DataError, psycopg.DataError) as error:
            reason = str(error.orig if isinstance(error, DataError) else error).split("\n")[0]
            rule = "is what Postgres answers to a value that it cannot hold"
            raise InvalidValue("database", reason, rule) from error
        except ProgrammingError as error:
            if getattr(error.orig, "sqlstate", None) == _UNDEFINED_TABLE:
                raise self._unavailable(
                    "the schema is not there yet: run `causeway db migrate`"
                ) from error
            raise
        except psycopg.OperationalError as error:
            # COPY and other raw statements come past SQLAlchemy's wrapping.
            if is_lost(error):
                raise self._unavailable(error) from error
            raise

    def _unavailable(self, error: BaseException | str | None) -> DatabaseUnavailable:
        where = make_url(sqlalchemy_url(self.url)).render_as_string(hide_password=True)
        where = where.replace("+psycopg", "")
        reason = " ".join(str(error).split())
        return DatabaseUnavailable(
            f"Postgres at {where} does not answer: {reason}", url=where, reason=reason
        )


def is_lost(error: BaseException | None) -> bool:
    """Whether the connection is gone, rather than one statement refused."""
    state = getattr(error, "sqlstate", None)
    # 08: connection, 57P: shutdown, crash, not yet up; none: the client saw it, not the server.
    return state is None or state.startswith(("08", "57P"))


def lock(connection: Connection, number: int) -> None:
    """Take one of the locks above until the transaction ends."""
    connection.execute(
        text("SELECT pg_advisory_xact_lock(:space, :number)"),
        {"space": LOCK_SPACE, "number": number},
    )


def raw(connection: Connection) -> psycopg.Connection[Any]:
    """The psycopg connection below, for COPY and unnest inside the same transaction."""
    return cast("psycopg.Connection[Any]", connection.connection.driver_connection)
