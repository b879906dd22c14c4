"""An index that stands still is not well, however few chain blocks it is behind."""

from __future__ import annotations

import pytest

from backend.api.routes.health import STANDSTILL_SECONDS, IndexWatch, _index_health
from backend.store.queries.reading import ChainHead

pytestmark = pytest.mark.unit


class Clock:
    """A clock that is set by hand."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def status(watch: IndexWatch, number: int, lag: int | None) -> str:
    return _index_health(ChainHead(1, number, f"0x{number}", 0), lag, watch).status


def test_an_index_that_is_behind_and_does_not_move_is_degraded_until_it_moves() -> None:
    clock = Clock()
    watch = IndexWatch(clock)
    assert status(watch, 5, 1) == "ok"
    clock.now += STANDSTILL_SECONDS - 1
    assert status(watch, 5, 2) == "ok"
    clock.now += 1
    assert status(watch, 5, 3) == "behind"
    assert status(watch, 6, 2) == "ok"
    clock.now += STANDSTILL_SECONDS
    assert status(watch, 6, 2) == "behind"
    assert status(watch, 6, 0) == "ok"


def test_a_quiet_chain_does_not_make_the_index_stand_still() -> None:
    clock = Clock()
    watch = IndexWatch(clock)
    for _ in range(3):
        clock.now += 3_600
        assert status(watch, 5, 0) == "ok"
    assert status(watch, 5, 1) == "ok"
    clock.now += 3_600
    assert status(watch, 5, None) == "ok"
