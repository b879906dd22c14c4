"""A projector killed with -9 at any moment leaves whole runs, and the next one goes on."""

from __future__ import annotations

import random
import subprocess
import sys
import time

import pytest

from backend.exchange.projector import Projector
from backend.store.database import Database
from backend.store.market_index import check_market, projected_seq
from tests.exchange.test_projector import VENUE, assert_equal_to_engine, journalled

pytestmark = pytest.mark.integration


def test_l10_killed_projectors_leave_whole_runs(database: Database) -> None:
    journal = journalled(database, 31, 1_000)
    chance, reached, unfinished = random.Random(7), 0, 0
    for _ in range(6):
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.exchange.project_and_die", database.url],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        try:
            assert child.stdout.readline() == "ready\n"
            time.sleep(chance.uniform(0.0, 0.25))
        finally:
            child.kill()
            child.wait()
            child.stdout.close()
        with database.read() as connection:
            seq = projected_seq(connection, VENUE)
            check_market(connection, VENUE)
        assert seq >= reached
        assert seq % 5 == 0 or seq == len(journal.rows)
        reached = seq
        unfinished += seq < len(journal.rows)
    assert unfinished, "every process came to the end before it was killed"
    assert reached, "no process came to its first run before it was killed"
    Projector(database, VENUE).catch_up()
    assert_equal_to_engine(database, journal)
