"""The flow of the benchmark reproduces its expected fills, to the hash."""

from __future__ import annotations

import pytest

from tests.matching import flow_commands as flow

pytestmark = [
    pytest.mark.unit,
    pytest.mark.skipif(
        not flow.FLOW.is_file(), reason="bench/flow.py is not beside CAUSEWAY_SHARED_DATA"
    ),
]


def test_the_engine_makes_the_fills_of_the_flows_own_book() -> None:
    count = 50_000
    rows, expected = flow.rows(count)
    engine, found, commands = flow.opened_engine(), flow.FillHash(rows), flow.Commands()
    for row in range(0, count, 10_000):
        for command in commands.take(rows[row : row + 10_000]):
            found.take(engine.apply(flow.TIME_MS, command))
        at = expected.get(row + 10_000)
        if at:
            assert found.figures() == {name: at[name] for name in found.figures()}
            assert len(engine.open_orders()) == at["live"]
            depth = engine.depth(flow.INSTRUMENT, flow.ASSET, 10_000)
            assert len(depth.bids) + len(depth.asks) == at["levels"]
            assert (depth.bids[0].price, depth.asks[0].price) == (at["best_bid"], at["best_ask"])
