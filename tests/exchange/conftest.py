"""A venue of the test's own: a migrated database with an index, NATS subjects nobody else uses."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator

import pytest

from tests.exchange.market import Market

_chains = itertools.count(1)


@pytest.fixture
def market(database_url: str, nats_url: str) -> Iterator[Market]:
    made = Market(database_url, nats_url, 5_000_000 + os.getpid() * 100 + next(_chains))
    made.database.migrate()
    made.open_index()
    yield made
    made.close()
