"""The job queue: procrastinate on the same database, with what it does not do by itself.

Jobs are small steps "advance this one" that may run twice. A key keeps at most one of them
waiting. procrastinate does not take over the jobs of a killed worker: `retry_stalled` does. The
state columns, not the queue, say what is left to do: a sweeper of the bridge defers again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg
from procrastinate import App, PsycopgConnector, SyncPsycopgConnector
from procrastinate.exceptions import AlreadyEnqueued, ConnectorException, UniqueViolation
from procrastinate.jobs import Status
from psycopg_pool import PoolTimeout

from backend.errors import DatabaseUnavailable

#: A worker that was silent for so long is dead; workers report every 10 s.
STALLED_AFTER_SECONDS = 30.0


def make_app(database_url: str, *, asynchronous: bool = True) -> App:
    """A procrastinate app; the worker needs the asynchronous form, callers may defer with either.

    Open it before use: `async with app.open_async()` or `with app.open()`. Its tables come with
    `Database.migrate`.
    """
    url = database_url.replace("postgresql+psycopg://", "postgresql://", 1)
    if asynchronous:
        return App(connector=PsycopgConnector(conninfo=url))
    return App(connector=SyncPsycopgConnector(conninfo=url))


def defer_once(
    app: App, task: str, key: str, arguments: Mapping[str, Any] | None = None, **options: Any
) -> bool:
    """Queue a step by the task's name unless one with this key waits already; whether it did.

    Steps of one key never run at the same time. `options`: `queue`, `priority`, `schedule_in`.
    """
    deferrer = _deferrer(app, task, key, options)
    try:
        deferrer.defer(**dict(arguments or {}))
    except AlreadyEnqueued:
        return False
    except ConnectorException as error:
        raise _unavailable(error) from error
    return True


async def defer_once_async(
    app: App, task: str, key: str, arguments: Mapping[str, Any] | None = None, **options: Any
) -> bool:
    """As `defer_once`, without blocking the event loop."""
    deferrer = _deferrer(app, task, key, options)
    try:
        await deferrer.defer_async(**dict(arguments or {}))
    except AlreadyEnqueued:
        return False
    except ConnectorException as error:
        raise _unavailable(error) from error
    return True


async def retry_stalled(app: App, after_seconds: float = STALLED_AFTER_SECONDS) -> int:
    """Queue again what dead workers left running; returns how many. Run it every minute.

    A job whose key waits again already is ended instead: one of them is enough.
    """
    retried = 0
    manager = app.job_manager
    stalled = await manager.get_stalled_jobs(seconds_since_heartbeat=after_seconds)
    for job in stalled:
        try:
            await manager.retry_job(job, retry_at=datetime.now(UTC))
        except (AlreadyEnqueued, UniqueViolation):
            await manager.finish_job(job, status=Status.FAILED, delete_job=True)
        else:
            retried += 1
    await manager.prune_stalled_workers(after_seconds)
    return retried


def _deferrer(app: App, task: str, key: str, options: Mapping[str, Any]) -> Any:
    # By name: who defers a step need not import the code that does it.
    return app.configure_task(
        task, allow_unknown=True, lock=key, queueing_lock=f"{task} {key}", **options
    )


def _unavailable(error: Exception) -> DatabaseUnavailable:
    return DatabaseUnavailable(f"the job queue does not answer: {error}", reason=str(error))


@asynccontextmanager
async def opened(app: App) -> AsyncIterator[App]:
    """The app with its connections, for a worker; a lost database is a DatabaseUnavailable."""
    try:
        async with app.open_async():
            yield app
    except (ConnectorException, psycopg.OperationalError, PoolTimeout) as error:
        raise _unavailable(error) from error
