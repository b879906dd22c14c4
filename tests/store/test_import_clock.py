"""Where the time of an import goes: what is measured inside something else counts once."""

from __future__ import annotations

import pytest

from backend.store import imports

pytestmark = pytest.mark.unit


def test_what_is_measured_inside_is_not_counted_again_outside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    milliseconds = iter((0, 100, 130, 150, 190, 200, 300, 305))
    monkeypatch.setattr(imports.time, "monotonic_ns", lambda: next(milliseconds) * 1_000_000)
    clock = imports._Clock({"parse": 1})

    with clock.measure("stage"):
        with clock.measure("parse"):
            pass
        with clock.measure("parse"):
            pass
    with clock.measure("seal"):
        pass

    assert clock.spent == {"parse": 1 + 30 + 40, "stage": 200 - 30 - 40, "seal": 5}


def test_parts_of_a_millisecond_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    microseconds = iter(range(0, 4_000, 400))
    monkeypatch.setattr(imports.time, "monotonic_ns", lambda: next(microseconds) * 1_000)
    clock = imports._Clock({})
    for _ in range(5):
        with clock.measure("parse"):
            pass

    assert clock.spent == {"parse": 2}
