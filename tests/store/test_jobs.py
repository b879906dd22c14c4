"""The queue: one waiting job per key, jobs of dead workers taken over."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text

from backend.store import jobs
from backend.store.database import Database

pytestmark = pytest.mark.integration


def test_l10_a_step_waits_once_per_key_and_runs(database: Database) -> None:
    ran: list[str] = []

    async def work() -> tuple[bool, bool, bool]:
        app = jobs.make_app(database.url)

        @app.task(name="advance-receipt")
        async def advance(receipt: str) -> None:
            ran.append(receipt)

        async with app.open_async():
            first = await jobs.defer_once_async(app, "advance-receipt", "r1", {"receipt": "r1"})
            again = await jobs.defer_once_async(app, "advance-receipt", "r1", {"receipt": "r1"})
            other = await jobs.defer_once_async(app, "advance-receipt", "r2", {"receipt": "r2"})
            await app.run_worker_async(wait=False, install_signal_handlers=False)
        return first, again, other

    assert asyncio.run(work()) == (True, False, True)
    assert sorted(ran) == ["r1", "r2"]


def test_a_step_can_be_deferred_without_an_event_loop(database: Database) -> None:
    app = jobs.make_app(database.url, asynchronous=False)
    with app.open():
        assert jobs.defer_once(app, "elsewhere", "k")
        assert not jobs.defer_once(app, "elsewhere", "k")


def test_the_job_of_a_dead_worker_is_taken_over(database: Database) -> None:
    async def work() -> int:
        app = jobs.make_app(database.url)
        async with app.open_async():
            await jobs.defer_once_async(app, "elsewhere", "k")
            with database.begin() as connection:
                connection.execute(
                    text(
                        "WITH dead AS (INSERT INTO procrastinate_workers (last_heartbeat)"
                        " VALUES (now() - interval '1 hour') RETURNING id)"
                        " UPDATE procrastinate_jobs SET status = 'doing',"
                        " worker_id = (SELECT id FROM dead)"
                    )
                )
            return await jobs.retry_stalled(app)

    assert asyncio.run(work()) == 1
    with database.read() as connection:
        states = connection.execute(text("SELECT status FROM procrastinate_jobs")).scalars().all()
    assert [str(state) for state in states] == ["todo"]
