"""Settlement in a real leader: what it stores, with whose signatures, and what a takeover keeps."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from backend.bus.venue_messages import watcher_subject
from backend.bus.watcher_messages import ReplyCode, SignReply, decode_void, encode_sign_reply
from backend.chain.keys import named_key, recover
from backend.chain.signatures import Verifier
from backend.domain.batches import (
    Batch,
    anchor_digest,
    batch_digest,
    compact_signature,
    decode_batch,
    signature_slots,
    void_digest,
)
from backend.domain.commands import Command, PlaceOrder, PlaceWithdrawal, TraderCommand
from backend.domain.journal import decode_entry
from backend.domain.orders import Conditions, TimeInForce
from backend.exchange.asking import Asker
from backend.exchange.feed import ChainFeed
from backend.exchange.planning import standing
from backend.exchange.sequencer import Sequencer
from backend.exchange.settlement import ChainPoint, Settlement
from backend.exchange.watcher import Watch, Watcher
from backend.matching.engine import Engine
from backend.store.database import Database
from backend.store.journal import Journal
from backend.store.venue_acts import ActKind, ActState, VenueAct, newest_acts, set_act_state
from tests.exchange.market import MONEY, SEQUENCER_KEY, Market

pytestmark = pytest.mark.integration

SEQUENCER = named_key("sequencer", SEQUENCER_KEY)
WATCHER = named_key("watcher", bytes([8] * 32))
PATIENCE = 90.0


class IndexBelieved:
    """The part of a watcher that looks at the chain: here there is an index and no chain."""

    read_to = 0

    def check_fact(self, seq: int, command: Command, engine: Engine) -> None:
        """Believed."""

    def check_void(self, seq: int, command: Command, engine: Engine) -> None:
        """Believed."""


@dataclass
class Venue:
    """A market with a sequencer and a watcher in this process."""

    market: Market
    anchor_seconds: float = 600.0
    sequencers: list[Sequencer] = field(default_factory=list)

    def acts(self) -> list[VenueAct]:
        with self.market.database.read() as connection:
            return newest_acts(connection, 1, 1_000)

    async def acts_once(self, condition: Callable[[list[VenueAct]], bool]) -> list[VenueAct]:
        deadline = time.monotonic() + PATIENCE
        while not condition(acts := await asyncio.to_thread(self.acts)):
            assert time.monotonic() < deadline, [act[:6] for act in acts]
            await asyncio.sleep(0.02)
        return acts

    @asynccontextmanager
    async def sequencing(self) -> AsyncIterator[None]:
        """A sequencer that leads, with the chain's feed and settlement."""
        market = self.market
        feed = ChainFeed(market.database, 1, 0)

        async def proof() -> ChainPoint | None:
            final = feed.journalled_to
            return ChainPoint(final.number, final.timestamp) if final else None

        ask = Asker(market.nats_url, watcher_subject(market.chain_id, 1), 1.0)
        hook = Settlement(
            SEQUENCER, market.domain, market.database, ask, proof,
            anchor_seconds=self.anchor_seconds,
        )  # fmt: skip
        sequencer = Sequencer(market.config(), market.database_url, market.nats_url, [feed, hook])
        async with _running(sequencer.work(), sequencer.stop):
            yield
        if ask._bus is not None:
            await ask._bus.close()

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[Watch]:
        """A watcher that believes the index of chain facts and nothing else."""
        market = self.market
        database = Database(market.database_url)
        chain = IndexBelieved()
        watch = Watch(WATCHER, market.domain, Journal(database, 1), chain)  # type: ignore[arg-type]
        watcher = Watcher(watch, WATCHER, database, market.nats_url, market.chain_id, 1)
        async with _running(watcher.work(), watcher.stop):
            yield watch

    async def send(self, *commands: TraderCommand) -> None:
        async with self.market.client() as client:
            answers = await client.submit(commands, 5.0)
            assert all(answer.journalled for answer in answers), answers

    async def funded(self) -> None:
        await asyncio.to_thread(self.market.wait_funded)

    def check(self, act: VenueAct) -> Batch:
        """Everything a stored batch must be; its signatures are the keys' and the traders'."""
        batch = decode_batch(act.content)
        digest = batch_digest(self.market.domain, act.content)
        assert recover(digest, act.sequencer_signature) == SEQUENCER.address
        assert recover(digest, act.watcher_signature) == WATCHER.address
        assert (batch.first_trade, batch.first_withdrawal) == (
            act.first_trade,
            act.first_withdrawal,
        )
        stored = self.market.rows()[batch.seq - 1]
        assert (batch.seq, batch.head) == act.head == stored.head
        signed = {
            (command[0].trader, command[0].nonce): command.signature
            for row in self.market.rows()
            if isinstance(command := decode_entry(row.entry).command, PlaceOrder | PlaceWithdrawal)
        }
        slots = signature_slots(batch)
        expected = [compact_signature(signed[slot.trader, slot.nonce]) for slot in slots]
        assert act.signatures == b"".join(expected)
        verifier = Verifier(self.market.domain)
        for trade in batch.trades:
            for order in (trade.maker, trade.taker):
                assert verifier.verify(order, signed[order.trader, order.nonce])
        return batch


@asynccontextmanager
async def _running(work: object, stop: Callable[[], None]) -> AsyncIterator[None]:
    task = asyncio.ensure_future(work)  # type: ignore[call-overload]
    try:
        yield
    finally:
        stop()
        await asyncio.wait_for(task, PATIENCE)


def sell(market: Market, nonce: int, quantity: int = 1, price: int = 100) -> PlaceOrder:
    return market.order(0, nonce, side=1, price=price, quantity=quantity)


def test_trades_and_withdrawals_are_stored_signed_by_both_keys_and_their_traders(
    market: Market,
) -> None:
    venue = Venue(market)

    async def scene() -> list[VenueAct]:
        async with venue.sequencing(), venue.watching() as watch:
            await venue.funded()
            await venue.send(sell(market, 0, 5), market.order(1, 0, quantity=2))
            await venue.acts_once(lambda acts: len(acts) == 1)
            assert watch.stopped is None
            await venue.send(market.order(2, 0, quantity=3), market.withdraw(1, 1, MONEY, 50))
            return await venue.acts_once(lambda acts: acts[-1].last_withdrawal == 1)

    acts = asyncio.run(scene())
    batches = [venue.check(act) for act in acts]
    assert [trade.number for batch in batches for trade in batch.trades] == [1, 2]
    assert [trade.quantity for batch in batches for trade in batch.trades] == [2, 3]
    assert [one.withdrawal.amount for batch in batches for one in batch.withdrawals] == [50]
    assert [act.number for act in acts] == list(range(1, len(acts) + 1))


def test_a_hundred_trades_go_at_once_in_one_batch(market: Market) -> None:
    venue = Venue(market)

    async def scene() -> list[VenueAct]:
        async with venue.sequencing():
            await venue.funded()
            await venue.send(sell(market, 0, 250))
            for start in range(0, 210, 42):
                await venue.send(*(market.order(1, start + n) for n in range(42)))
            # Without a watcher nothing could be signed: all of it waits.
            assert venue.acts() == []
            async with venue.watching():
                return await venue.acts_once(lambda acts: sum(_count(a) for a in acts) == 210)

    acts = asyncio.run(scene())
    for act in acts:
        venue.check(act)
    assert [_count(act) for act in acts] == [100, 100, 10]


def _count(act: VenueAct) -> int:
    return act.last_trade - act.first_trade + 1


def test_a_takeover_goes_on_where_the_last_leader_stopped(market: Market) -> None:
    """What was stored once is never cut anew, and its traders' signatures are still there."""
    venue = Venue(market)

    async def first() -> list[VenueAct]:
        async with venue.sequencing(), venue.watching():
            await venue.funded()
            await venue.send(sell(market, 0, 9), market.order(1, 0))
            await venue.acts_once(lambda acts: len(acts) == 1)
            await venue.send(market.order(1, 1))
            return venue.acts()

    async def second() -> list[VenueAct]:
        async with venue.sequencing(), venue.watching():
            await venue.send(market.order(2, 0))
            return await venue.acts_once(lambda acts: acts[-1].last_trade == 3)

    before = asyncio.run(first())
    after = asyncio.run(second())
    assert after[: len(before)] == before
    numbers = [trade.number for act in after for trade in venue.check(act).trades]
    assert numbers == [1, 2, 3]


def test_a_watcher_that_refuses_stores_nothing_and_is_asked_again(market: Market) -> None:
    venue = Venue(market)

    async def scene() -> list[VenueAct]:
        from backend.bus.client import Bus

        bus = await Bus.connect(market.nats_url)
        asked = 0

        def refuse(body: bytes, reply_to: str) -> None:
            nonlocal asked
            asked += 1
            no_signature = SignReply(ReplyCode.SIGNED, bytes([255] * 65))
            later = SignReply(ReplyCode.BEHIND, reason="not yet")
            reply = encode_sign_reply(no_signature if asked == 1 else later)
            asyncio.get_running_loop().create_task(bus.publish(reply_to, reply))

        end = await bus.subscribe(watcher_subject(market.chain_id, 1), refuse)
        async with venue.sequencing():
            await venue.funded()
            await venue.send(sell(market, 0), market.order(1, 0))
            deadline = time.monotonic() + PATIENCE
            while asked < 2:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.05)
            assert venue.acts() == []
            await end()
            async with venue.watching():
                acts = await venue.acts_once(lambda acts: len(acts) == 1)
        await bus.close()
        return acts

    assert [trade.number for trade in venue.check(asyncio.run(scene())[0]).trades] == [1]


def test_the_head_is_anchored_while_entries_arrive_and_nothing_settles(market: Market) -> None:
    venue = Venue(market, anchor_seconds=0.3)

    async def scene() -> list[VenueAct]:
        async with venue.sequencing(), venue.watching():
            await venue.funded()
            await venue.send(sell(market, 0))
            await venue.acts_once(bool)
            await asyncio.sleep(0.8)
            # One at a time: the chain has not taken the first yet.
            assert len(venue.acts()) == 1
            await venue.send(market.order(1, 0, price=1))
            tail = market.journal.tail()
            with market.database.begin() as connection:
                set_act_state(connection, 1, 1, ActState.SETTLED)
            await venue.acts_once(lambda acts: acts[-1].head == tail)
            with market.database.begin() as connection:
                set_act_state(connection, 1, 2, ActState.SETTLED)
            # Nothing new: nothing to anchor.
            await asyncio.sleep(0.8)
            return venue.acts()

    acts = asyncio.run(scene())
    assert {act.kind for act in acts} == {ActKind.ANCHOR}
    assert acts[-1].head == market.journal.tail()
    heads = [act.head.seq for act in acts]
    assert heads == sorted(set(heads))
    digest = anchor_digest(market.domain, *acts[-1].head)
    assert recover(digest, acts[-1].watcher_signature) == WATCHER.address


def test_trades_that_the_chain_settles_no_more_are_voided_when_a_chain_block_proves_it(
    market: Market,
) -> None:
    market.overrides["window_seconds"] = 1
    venue = Venue(market)

    async def scene() -> list[VenueAct]:
        async with venue.sequencing(), venue.watching() as watch:
            await venue.funded()
            await venue.send(sell(market, 0, 5), market.order(1, 0))
            await venue.acts_once(lambda acts: len(acts) == 1)
            await asyncio.sleep(2.5)
            await venue.send(market.cancel(2, 0))
            await asyncio.sleep(0.5)
            # Old by the venue's clock alone: no final chain block has said so.
            assert len(venue.acts()) == 1
            market.add_block(at=int(time.time()))
            acts = await venue.acts_once(lambda acts: acts[-1].kind is ActKind.VOID)
            assert watch.stopped is None
            return acts

    batch, void = asyncio.run(scene())
    venue.check(batch)
    made = decode_void(void.content)
    assert (made.first_trade, made.last_trade, made.reason) == (1, 1, 1)
    digest = void_digest(market.domain, made)
    assert recover(digest, void.sequencer_signature) == SEQUENCER.address
    assert recover(digest, void.watcher_signature) == WATCHER.address


def test_trades_that_are_too_old_are_voided_although_nobody_trades_any_more(
    market: Market,
) -> None:
    """Else they wait for the next order, which then is voided with them."""
    market.overrides["window_seconds"] = 1
    venue = Venue(market)

    async def scene() -> list[VenueAct]:
        async with venue.sequencing(), venue.watching():
            await venue.funded()
            await venue.send(sell(market, 0, 5), market.order(1, 0))
            await venue.acts_once(lambda acts: len(acts) == 1)
            await asyncio.sleep(2.5)
            market.add_block(at=int(time.time()))
            return await venue.acts_once(lambda acts: acts[-1].kind is ActKind.VOID)

    void = decode_void(asyncio.run(scene())[-1].content)
    assert (void.first_trade, void.last_trade, void.reason) == (1, 1, 1)


def test_a_pause_voids_what_came_after_it_and_the_rest_is_cut_anew(market: Market) -> None:
    venue = Venue(market)

    async def scene() -> list[VenueAct]:
        async with venue.sequencing(), venue.watching() as watch:
            await venue.funded()
            await venue.send(sell(market, 0, 9), market.order(1, 0))
            await asyncio.sleep(1.2)
            await venue.send(market.order(1, 1))
            await venue.acts_once(lambda acts: bool(acts) and acts[-1].last_trade == 2)
            trades = [trade for act in venue.acts() for trade in venue.check(act).trades]
            paused_at = str(trades[1].time_s)
            market.add_block([("Exchange", "VenuePaused", {"at": paused_at})])
            acts = await venue.acts_once(lambda acts: acts[-1].kind is ActKind.VOID)
            assert watch.stopped is None
            return acts

    acts = asyncio.run(scene())
    void = decode_void(acts[-1].content)
    assert (void.first_trade, void.last_trade, void.reason) == (2, 2, 2)
    standing_first = [act for act in acts if (act.first_trade, act.last_trade) == (1, 1)]
    assert len(standing_first) == 1


def test_a_retiring_purchase_and_an_ended_act_make_no_difference_to_what_is_next(
    market: Market,
) -> None:
    venue = Venue(market)
    retiring = Conditions(TimeInForce.IOC, retire_on_fill=True).pack()

    async def scene() -> list[VenueAct]:
        async with venue.sequencing(), venue.watching():
            await venue.funded()
            buys = market.order(1, 0, conditions=retiring, details_hash=bytes([7] * 32))
            await venue.send(sell(market, 0, 2), buys)
            await venue.acts_once(lambda acts: len(acts) == 1)
            with market.database.begin() as connection:
                set_act_state(connection, 1, 1, ActState.SETTLED)
            await venue.send(market.order(2, 0))
            return await venue.acts_once(lambda acts: len(acts) == 2)

    one, other = asyncio.run(scene())
    assert venue.check(one).trades[0].taker.details_hash == bytes([7] * 32)
    assert [trade.number for trade in venue.check(other).trades] == [2]


def test_what_the_chain_refuses_for_its_keys_is_signed_anew(market: Market) -> None:
    """Keys were changed while acts waited: without this their trades would grow too old."""
    venue = Venue(market)

    async def scene() -> list[VenueAct]:
        async with venue.sequencing(), venue.watching():
            await venue.funded()
            await venue.send(sell(market, 0, 5), market.order(1, 0))
            await venue.acts_once(lambda acts: len(acts) == 1)
            await venue.send(market.order(1, 1))
            await venue.acts_once(lambda acts: len(acts) == 2)
            with market.database.begin() as connection:
                reason = "ExchangeKeysDiffer(sequencer=0x1, watcher=0x2)"
                set_act_state(connection, 1, 1, ActState.REFUSED, reason=reason)
            await venue.acts_once(lambda acts: len(acts) == 3)
            await asyncio.sleep(1.5)
            return venue.acts()

    acts = asyncio.run(scene())
    assert [(act.first_trade, act.last_trade) for act in acts] == [(1, 1), (2, 2), (1, 2)]
    assert standing(acts) == [acts[2]]
    venue.check(acts[2])
