"""What runs inside the leader sees committed state alone, journals acts and ends with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from backend.domain.commands import Halt, Resume, SetFees
from backend.domain.journal import Head
from backend.domain.venue_events import (
    HaltReason,
    Traded,
    VenueHalted,
    VenueResumed,
    decode_events,
)
from backend.errors import InvalidValue, LeadershipLost
from backend.exchange.feed import ChainFeed
from backend.exchange.leadership import Leader
from backend.exchange.sequencer import Sequencer
from backend.matching.engine import Engine
from backend.store.venue_acts import ActKind, ActState, VenueAct
from tests.exchange.market import Market, account

pytestmark = pytest.mark.integration


class Recorder:
    """Notes what it sees after every commit, and does one thing once the venue is funded."""

    def __init__(self, market: Market, act: Callable[[Leader], Any]) -> None:
        self._market, self._act = market, act
        self.seen: list[tuple[int, int]] = []
        self.done = asyncio.Event()

    async def after_commit(self, leader: Leader) -> None:
        # Every entry adds to the state; the engine is exactly where the journal is.
        self.seen.append((leader.head.seq, leader.engine.next_trade))

    async def every(self, leader: Leader) -> None:
        if leader.head.seq > 15 and not self.done.is_set():
            await self._act(leader)
            self.done.set()


def lead_with(market: Market, act: Callable[[Leader], Any]) -> Recorder:
    """Run a sequencer in this thread's event loop until the hook has acted."""

    async def work() -> Recorder:
        hook = Recorder(market, act)
        sequencer = Sequencer(
            market.config(),
            market.database_url,
            market.nats_url,
            [ChainFeed(market.database, 1, 0), hook],
        )
        running = asyncio.create_task(sequencer.work())
        waiting = asyncio.create_task(hook.done.wait())
        await asyncio.wait([running, waiting], timeout=20, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        sequencer.stop()
        await running
        assert hook.done.is_set()
        return hook

    return asyncio.run(work())


def test_a_hook_sees_the_engine_at_the_head_while_orders_come(market: Market) -> None:
    looked: list[tuple[int, int]] = []

    async def act(leader: Leader) -> None:
        async def trade() -> None:
            async with market.client() as client:
                for nonce in range(20):
                    orders = [market.order(0, nonce, side=1), market.order(1, nonce)]
                    await client.submit(orders, 5)

        trading = asyncio.create_task(trade())
        while not trading.done():
            looked.append(await leader.look(lambda engine, head: (head.seq, engine.next_trade - 1)))
        await trading

    hook = lead_with(market, act)
    rows = market.rows()
    trades_at = {}
    follower_trades = 0
    for row in rows:
        follower_trades += sum(1 for at in _traded(row.events) if at)
        trades_at[row.seq] = follower_trades
    assert follower_trades == 20
    for seq, trades in looked:
        assert trades_at[seq] == trades
    assert [seq for seq, _ in hook.seen] == sorted(seq for seq, _ in hook.seen)
    for seq, next_trade in hook.seen:
        assert trades_at[seq] == next_trade - 1


def _traded(events: bytes) -> list[bool]:
    return [isinstance(one, Traded) for one in decode_events(events)]


def test_a_hook_journals_acts_and_finds_signatures(market: Market) -> None:
    async def act(leader: Leader) -> None:
        order = market.order(0, 0, side=1)
        async with market.client() as client:
            await client.submit([order, market.cancel(0, 0)], 5)
        found = await leader.signatures([(account(0), 0), (account(1), 0)])
        assert found == {(account(0), 0): order.signature}
        halted = await leader.submit(Halt(HaltReason.OPERATOR, 3))
        assert halted == [VenueHalted(HaltReason.OPERATOR, 3)]
        assert await leader.submit_all([Resume(), Resume()]) == [[VenueResumed()]] * 2
        with pytest.raises(InvalidValue):
            await leader.submit(SetFees(101, 0))
        made = VenueAct(
            1, ActKind.ANCHOR, 1, 0, 1, 0, leader.head, b"", b"", b"sequencer", b"watcher"
        )
        await leader.record_act(made)
        assert await leader.acts(ActState.SIGNED) == [made]
        assert await leader.acts(ActState.SETTLED) == []

    lead_with(market, act)
    market.check()


def test_an_act_under_a_newer_epoch_ends_the_leader(market: Market) -> None:
    async def act(leader: Leader) -> None:
        with market.database.begin() as connection:
            connection.execute(text("UPDATE venue_leases SET epoch = epoch + 1"))
        head = await leader.look(_head)
        await leader.record_act(
            VenueAct(1, ActKind.ANCHOR, 1, 0, 1, 0, head, b"", b"", b"sequencer", b"watcher")
        )

    with pytest.raises(LeadershipLost, match="newer epoch"):
        lead_with(market, act)
    with market.database.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM venue_acts")).scalar() == 0


def _head(engine: Engine, head: Head) -> Head:
    return head
