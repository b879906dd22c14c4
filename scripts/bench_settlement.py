"""Settled trades per second through the whole path, beside the chain alone in the same run.

Whole path: orders over the bus to a leader, matched and committed, batches cut, rebuilt and signed
by a watcher that replays everything, submitted, final in the index, noted in the journal; all of it
in one process on one event loop. Baseline: the very same calls of `settle` in the same order, sent
raw to another chain in the same state, nothing stored and nothing read.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from backend.bus.client import Bus  # noqa: E402
from backend.bus.leader_client import LeaderClient  # noqa: E402
from backend.domain.commands import PlaceOrder  # noqa: E402
from backend.domain.venue_events import OrderRested, decode_events  # noqa: E402
from backend.exchange.submission import call_data  # noqa: E402
from backend.local.anvil import Anvil  # noqa: E402
from backend.local.nats import Nats  # noqa: E402
from backend.local.postgres import Postgres, temporary_home  # noqa: E402
from backend.store.venue_acts import ActKind, ActState, VenueAct  # noqa: E402
from tests.exchange.live import PATIENCE, PAYER, LiveVenue  # noqa: E402

TRADES = 2_000
REQUEST = 50
SECONDS = 60.0
GAS = 8_000_000
BUY, SELL = 0, 1


async def _trade(venue: LiveVenue, orders: list[PlaceOrder]) -> float:
    """Seconds from the first order until the journal knows that the last trade is settled."""
    submission = venue.submission()
    trades = len(orders) - 1
    async with (
        venue.leading(),
        venue.watching() as watch,
        venue.working(submission.advance, venue.sender.advance),
    ):
        await venue.funded()
        bus = await Bus.connect(venue.nats_url)
        client = await LeaderClient.open(bus, venue.deployment.chain_id, 1)
        await client.wait_for_leader(PATIENCE)
        (resting,) = await client.submit(orders[:1], PATIENCE)
        assert any(isinstance(one, OrderRested) for one in decode_events(resting.events))
        started = time.perf_counter()
        for start in range(1, len(orders), REQUEST):
            answers = await client.submit(orders[start : start + REQUEST], PATIENCE)
            assert all(answer.journalled for answer in answers)
        while not _is_settled(await asyncio.to_thread(venue.acts), trades):
            assert time.perf_counter() - started < SECONDS
            await asyncio.sleep(0.05)
        seconds = time.perf_counter() - started
        assert watch.stopped is None
        await client.close()
        await bus.close()
    return seconds


def _is_settled(acts: list[VenueAct], trades: int) -> bool:
    last = acts[-1:] and acts[-1].last_trade == trades
    return bool(last) and all(act.state is ActState.SETTLED for act in acts)


def orders_of(venue: LiveVenue, trades: int) -> list[PlaceOrder]:
    """One maker, three takers in turn; each taker's order is one trade of a tonne."""
    maker, *takers = venue.holders
    made = [venue.order(maker, SELL, trades)]
    made += [venue.order(takers[n % len(takers)], BUY, 1) for n in range(trades)]
    return made


def baseline(venue: LiveVenue, acts: list[VenueAct]) -> float:
    """Seconds of the chain alone for the calls of these acts, signed before the clock starts."""
    world = venue.world
    to = venue.domain.contract
    raws = [world.sign_raw(PAYER, to, call_data(act), GAS) for act in acts]
    started = time.perf_counter()
    sent = world.rpc.batch(("eth_sendRawTransaction", ("0x" + raw.hex(),)) for raw in raws)
    while venue.read("settled")["trade"] != acts[-1].last_trade:
        assert time.perf_counter() - started < SECONDS, f"{len(sent)} sent, not all mined"
        time.sleep(0.005)
    seconds = time.perf_counter() - started
    world.require_success(sent)
    return seconds


def run(trades: int = TRADES) -> dict[str, Any]:
    """Start what the bench needs, with two chains alike; the figures of one run."""
    with ExitStack() as stack:
        home = temporary_home("causeway-bench-")
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        postgres = Postgres(home, log=home / "postgres.log")
        postgres.start()
        stack.callback(postgres.stop)
        nats = Nats(home, log=home / "nats.log")
        nats.start()
        stack.callback(nats.stop)
        venues = []
        for name in ("whole", "alone"):
            anvil = Anvil(log=directory / f"{name}.log")
            anvil.start()
            stack.callback(anvil.stop, save=False)
            (directory / name).mkdir()
            url = postgres.url("postgres")
            venues.append(LiveVenue(anvil.url, url, nats.url, directory / name))
            stack.callback(venues[-1].close)
        whole, alone = venues
        orders = orders_of(whole, trades)
        seconds = asyncio.run(_trade(whole, orders))
        acts = [act for act in whole.acts() if act.kind is not ActKind.ANCHOR]
        chain_seconds = baseline(alone, acts)
    return {
        "trades": trades,
        "batches": len(acts),
        "settled_trades_per_second": round(trades / seconds),
        "chain_alone_per_second": round(trades / chain_seconds),
        "ratio": round(chain_seconds / seconds, 2),
    }


if __name__ == "__main__":
    print(run())
