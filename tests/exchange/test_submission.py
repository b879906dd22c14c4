"""Acts on their way to a real Exchange: in order, once, told when refused, finished."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from eth_utils.crypto import keccak

from backend.chain import abi
from backend.chain.keys import KeyStore
from backend.chain.signatures import NO_SIGNATURE
from backend.domain.batches import compact_signature
from backend.domain.commands import (
    Command,
    CreditDeposit,
    EndExit,
    PlaceOrder,
    SetParticipant,
    VoidTrades,
)
from backend.domain.instructions import BeneficiaryKind, RetirementInstruction, UseCase
from backend.domain.journal import decode_entry
from backend.domain.orders import Conditions, Order, TimeInForce, account_of
from backend.domain.retirements import details_of
from backend.domain.venue_events import VoidReason
from backend.errors import ChainBehind, JournalInconsistent
from backend.exchange.submission import call_data
from backend.exchange.watcher import Watch
from backend.matching.engine import Engine
from backend.store.registry_requests import RegistryRequests
from backend.store.venue_acts import ActKind, ActState, VenueAct
from tests.conftest import AnvilFactory
from tests.exchange.live import KILOGRAMS, MONEY, PAYER, WATCHER, LiveVenue

pytestmark = pytest.mark.integration

BUY, SELL = 0, 1
RETIRING = Conditions(TimeInForce.IOC, retire_on_fill=True).pack()


@pytest.fixture
def venue(
    anvil_factory: AnvilFactory, migrated_url: str, nats_url: str, tmp_path: Path
) -> Iterator[LiveVenue]:
    chain = anvil_factory()
    made = LiveVenue(chain.url, migrated_url, nats_url, tmp_path)
    yield made
    made.close()
    chain.stop()


def _on_chain(venue: LiveVenue, holder: int, asset: int) -> tuple[int, int]:
    found = venue.read("accountOf", venue.holders[holder].address, asset)
    return found["balance"], found["claimable"]


def _engine(venue: LiveVenue) -> Engine:
    engine = Engine()
    for row in venue.journal.read(1, 100_000):
        entry = decode_entry(row.entry)
        engine.apply(entry.time_ms, entry.command)
    return engine


def test_what_is_traded_withdrawn_and_retired_comes_to_the_chain_once(venue: LiveVenue) -> None:
    seller, buyer, other = venue.holders[:3]
    submission = venue.submission()
    details = keccak(text="details")

    async def scene() -> None:
        async with venue.leading(), venue.watching() as watch:
            async with venue.working(submission.advance, venue.sender.advance):
                await venue.funded()
                await venue.say(
                    venue.order(seller, SELL, 10), venue.order(buyer, BUY, 4),
                    venue.withdrawal(buyer, venue.money, 777),
                )  # fmt: skip
                await venue.once(lambda: _done(venue, 1, 1))
                retires = venue.order(other, BUY, 2, conditions=RETIRING, details_hash=details)
                await venue.say(retires, venue.withdrawal(buyer, venue.instrument, 1_000))
                await venue.once(lambda: _done(venue, 2, 2))
                await venue.once(lambda: _engine(venue).settled_withdrawal == 2)
            assert watch.stopped is None
            assert watch.signed >= 2

    asyncio.run(scene())
    engine = _engine(venue)
    assert engine.unsettled() == ((), ())
    for number, holder in enumerate(venue.holders):
        for asset in (venue.money, venue.instrument):
            available, reserved = engine.balance(account_of(holder.address), asset)
            assert _on_chain(venue, number, asset)[0] == available + reserved
    assert _on_chain(venue, 1, venue.money)[1] == 777
    assert _on_chain(venue, 1, venue.instrument) == (3_000, 1_000)
    assert _on_chain(venue, 0, venue.instrument)[0] == KILOGRAMS - 6_000
    taker = _orders(venue)[-1]
    assert taker.conditions == RETIRING
    assert venue.read("earmarked", venue.verifier.digest(taker)) == 0
    assert venue.read("total", venue.instrument) == KILOGRAMS - 2_000
    assert all(act.state is ActState.SETTLED for act in venue.acts())
    held, owed = venue.read("solvency", venue.money).values()
    assert held == owed == MONEY * len(venue.holders)


def test_a_public_retirement_that_was_bought_shows_its_words_on_the_chain_a_private_one_its_hash(
    venue: LiveVenue,
) -> None:
    submission = venue.submission()
    public = RetirementInstruction(
        "VCS", "Sample Ltd", BeneficiaryKind.ENTITY, "HK", UseCase.VOLUNTARY, "Other"
    )
    private = replace(public, is_public=False, salt=b"\7" * 32)
    salt = b"\5" * 32
    kept = RegistryRequests(venue.database)
    hashes = []
    for said, words in ((public, details_of(public)), (private, details_of(private, salt))):
        kept.keep_instruction(said, words.hash)
        hashes.append(words.hash)

    async def scene() -> None:
        async with venue.leading(), venue.watching() as watch:
            async with venue.working(submission.advance, venue.sender.advance):
                await venue.funded()
                await venue.say(venue.order(venue.holders[0], SELL, 10))
                for number, details in enumerate(hashes, 1):
                    buyer = venue.holders[number]
                    order = venue.order(buyer, BUY, 2, conditions=RETIRING, details_hash=details)
                    await venue.say(order)
                    await venue.once(lambda done=number: _done(venue, done, 0))
            assert watch.stopped is None

    asyncio.run(scene())
    assert venue.read("total", venue.instrument) == KILOGRAMS - 4_000
    shown = venue.rpc.call(
        "eth_getLogs",
        {
            "address": venue.deployment["CarbonCredits"],
            "fromBlock": "0x0",
            "topics": [abi.topic("CarbonCredits", "RetirementDetailsPublished")],
        },
    )
    assert [public.hash.hex() in log["data"] for log in shown] == [True]


def test_a_lone_withdrawal_and_a_pre_signed_order_settle_too(venue: LiveVenue) -> None:
    seller, wallet = venue.holders[0], venue.holders[2]
    submission = venue.submission()
    bought = venue.order(wallet, BUY, 3, signature_kind=1).order
    venue.send(wallet, "preSign", venue.verifier.digest(bought))

    async def scene() -> None:
        async with venue.leading(), venue.watching() as watch:
            async with venue.working(submission.advance, venue.sender.advance):
                await venue.funded()
                await venue.say(venue.withdrawal(seller, venue.money, 12))
                await venue.once(lambda: _done(venue, 0, 1))
                await venue.say(venue.order(seller, SELL, 5), PlaceOrder(bought, NO_SIGNATURE))
                await venue.once(lambda: _done(venue, 1, 1))
            assert watch.stopped is None

    asyncio.run(scene())
    assert _on_chain(venue, 0, venue.money)[1] == 12
    assert _on_chain(venue, 2, venue.instrument) == (3_000, 0)
    assert venue.acts()[-1].signatures == compact_signature(_placed(venue)[0].signature)


def _placed(venue: LiveVenue) -> list[PlaceOrder]:
    commands = [decode_entry(row.entry).command for row in venue.journal.read(1, 100_000)]
    return [one for one in commands if isinstance(one, PlaceOrder)]


def _orders(venue: LiveVenue) -> list[Order]:
    return [one.order for one in _placed(venue)]


def _done(venue: LiveVenue, trade: int, withdrawal: int) -> bool:
    acts = venue.acts()
    return (
        bool(acts)
        and all(act.state is ActState.SETTLED for act in acts)
        and acts[-1].last_trade == trade
        and acts[-1].last_withdrawal == withdrawal
    )


async def _store_acts(venue: LiveVenue, count: int) -> list[VenueAct]:
    """So many acts of one trade each, signed and stored, none sent."""
    seller, buyer = venue.holders[:2]
    async with venue.leading(), venue.watching(), venue.working():
        await venue.funded()
        await venue.say(venue.order(seller, SELL, 100))
        for number in range(1, count + 1):
            # The withdrawal makes it go at once.
            await venue.say(venue.order(buyer, BUY, 1), venue.withdrawal(buyer, venue.money, 5))
            await venue.once(lambda n=number: len(venue.acts()) >= n)  # type: ignore[misc]
    return venue.acts()


def test_acts_survive_repetition_strangers_and_refusals(venue: LiveVenue) -> None:
    """One deployment, several courses: sent by a stranger, by two workers, with a bad signature."""
    acts = asyncio.run(_store_acts(venue, 4))
    assert [act.kind for act in acts] == [ActKind.BATCH] * len(acts)

    # Somebody else sends the first: it counts as settled, nothing of ours was sent.
    venue.rpc.call("anvil_setBalance", venue.holders[3].address, hex(10**20))
    world = venue.world
    raw = world.sign_raw(venue.holders[3], venue.domain.contract, call_data(acts[0]), 5_000_000)
    world.send_all([raw])
    # The third has a wrong signature of a key: those before it go, it and those behind it wait.
    _set_signature(venue, 3, acts[3].watcher_signature)
    now = 0.0
    submission = venue.submission(monotonic=lambda: now)
    submission.advance()
    assert venue.act(1).state is ActState.SIGNED, "what is not indexed may be lost with the chain"
    venue.indexer.advance()
    submission.advance()
    first = venue.act(1)
    assert (first.state, first.transaction_key) == (ActState.SETTLED, None)
    for _ in range(6):
        # A worker that is killed leaves nothing behind: each step is a new one's.
        venue.submission(monotonic=lambda: now).advance()
        venue.indexer.advance()
        venue.submission(monotonic=lambda: now).advance()
        venue.sender.advance()
    assert venue.act(2).state is ActState.SETTLED
    progress = submission.progress(venue.rpc.block_number())
    assert progress[:2] == (acts[1].last_trade, acts[1].last_withdrawal)
    assert venue.rpc.call("eth_getTransactionCount", PAYER.address, "latest") == "0x1"
    for seconds in (1.0, 5.0, 12.0):
        now = seconds
        submission.advance()
    third = venue.act(3)
    assert third.state is ActState.REFUSED
    assert "ExchangeKeysDiffer" in str(third.reason)
    assert venue.act(4).state is ActState.SIGNED

    # Signed rightly it is taken, without anybody's help.
    _set_signature(venue, 3, acts[2].watcher_signature)
    for step in range(8):
        now = 20.0 + 5 * step
        venue.indexer.advance()
        submission.advance()
        venue.sender.advance()
    assert [act.state for act in venue.acts()] == [ActState.SETTLED] * len(acts)
    assert submission.progress(venue.rpc.block_number()).trade == acts[-1].last_trade


def test_trades_that_waited_too_long_are_voided_on_the_chain_and_the_venue_goes_on(
    venue: LiveVenue,
) -> None:
    seller, buyer = venue.holders[:2]
    submission = venue.submission()

    async def scene() -> None:
        async with venue.leading(), venue.watching() as watch:
            async with venue.working():
                await venue.funded()
                await venue.say(venue.order(seller, SELL, 10), venue.order(buyer, BUY, 1))
                await venue.say(venue.withdrawal(seller, venue.instrument, 2_000))
                await venue.once(lambda: len(venue.acts()) == 1)
                # Nobody sends it in time.
                await asyncio.to_thread(venue.pass_time, venue.read("WINDOW") + 5)
                await venue.once(lambda: venue.acts()[-1].kind is ActKind.VOID)
            async with venue.working(submission.advance, venue.sender.advance):
                await venue.once(lambda: venue.acts()[1].state is ActState.SETTLED)
                await venue.say(venue.order(seller, SELL, 1), venue.order(buyer, BUY, 1))
                await venue.once(lambda: _done_of(venue, 3, ActState.SETTLED))
            assert watch.stopped is None

    asyncio.run(scene())
    assert [act.state for act in venue.acts()] == [
        ActState.SUPERSEDED, ActState.SETTLED, ActState.SETTLED,
    ]  # fmt: skip
    engine = _engine(venue)
    assert engine.balance(account_of(seller.address), venue.instrument) == (KILOGRAMS - 1_000, 0)
    assert _on_chain(venue, 0, venue.instrument) == (KILOGRAMS - 1_000, 0)
    assert _on_chain(venue, 1, venue.instrument) == (1_000, 0)


def _done_of(venue: LiveVenue, number: int, state: ActState) -> bool:
    acts = venue.acts()
    return len(acts) >= number and acts[number - 1].state is state


def _set_signature(venue: LiveVenue, number: int, signature: bytes) -> None:
    with venue.database.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE venue_acts SET watcher_signature = %s WHERE number = %s", (signature, number)
        )


def test_an_own_view_of_the_chain_finds_what_a_journal_invents_changes_or_leaves_out(
    venue: LiveVenue,
) -> None:
    asyncio.run(_store_acts(venue, 1))
    rows = venue.journal.read(1, 100_000)
    facts = [
        (row.seq, entry.time_ms, entry.command)
        for row in rows
        if (entry := decode_entry(row.entry))
    ]

    def at_first(kind: type[Command], instead: object = None, drop: bool = False) -> None:
        """Replay up to the first fact of a kind, then say something else or nothing."""
        chain, engine = venue.own_chain(), Engine()
        try:
            for seq, time_ms, command in facts:
                if isinstance(command, kind) and (instead is not None or drop):
                    if drop:
                        drop, kind = False, type(None)  # type: ignore[assignment]
                        continue
                    command = instead(command)  # type: ignore[operator]
                if hasattr(command, "log_index"):
                    chain.check_fact(seq, command, engine)
                elif isinstance(command, VoidTrades):
                    chain.check_void(seq, command, engine)
                engine.apply(time_ms, command)
        finally:
            chain._rpc.close()

    at_first(CreditDeposit)
    for changed in (
        lambda one: one._replace(amount=one.amount + 1),
        lambda one: one._replace(account=account_of(venue.holders[3].address)),
        lambda one: one._replace(log_index=one.log_index + 1),
        lambda one: EndExit(one.block, one.log_index, one.account, one.asset, 0),
    ):
        with pytest.raises(JournalInconsistent, match="next fact"):
            at_first(CreditDeposit, changed)
    with pytest.raises(JournalInconsistent, match="next fact"):
        at_first(SetParticipant, lambda one: one._replace(tier=3))
    for kind in (CreditDeposit, SetParticipant):
        with pytest.raises(JournalInconsistent, match=f"next fact is {kind.__name__}"):
            at_first(kind, drop=True)
    with pytest.raises(ChainBehind, match="not final"):
        at_first(CreditDeposit, lambda one: one._replace(block=10**6))
    head = venue.rpc.block("latest")
    assert head is not None
    void = VoidTrades(1, VoidReason.OLDER_THAN_WINDOW, head.number, head.timestamp + 1)
    with pytest.raises(JournalInconsistent, match="names chain block"):
        at_first(CreditDeposit, lambda _: void)
    early = void._replace(block_time=head.timestamp)
    with pytest.raises(JournalInconsistent, match="before the fact"):
        at_first(CreditDeposit, lambda _: early)


def test_a_watcher_process_is_killed_and_comes_back(venue: LiveVenue, tmp_path: Path) -> None:
    seller, buyer = venue.holders[:2]
    environment = {
        **os.environ,
        "CAUSEWAY_HOME": str(tmp_path / "home"),
        "CAUSEWAY_DATABASE_URL": venue.database_url,
        "CAUSEWAY_NATS_URL": venue.nats_url,
        "CAUSEWAY_CHAIN_URL": venue.rpc.url,
        "CAUSEWAY_CHAIN_ID": str(venue.deployment.chain_id),
        "CAUSEWAY_DEPLOYMENT": str(tmp_path / "deployment.json"),
    }
    KeyStore(tmp_path / "home" / "keys").add("watcher", WATCHER.private_key)
    command = [sys.executable, "-m", "backend.cli", "watcher"]

    async def scene() -> None:
        async with venue.leading(), venue.working():
            await venue.funded()
            await venue.say(venue.order(seller, SELL, 9))
            for number in (1, 2):
                process = subprocess.Popen(command, env=environment)
                try:
                    await venue.say(venue.order(buyer, BUY, 1))
                    await venue.once(lambda n=number: len(venue.acts()) == n)  # type: ignore[misc]
                finally:
                    process.kill() if number == 1 else process.terminate()
                    await asyncio.to_thread(process.wait)
            assert process.returncode == 0

    asyncio.run(scene())
    assert [act.last_trade for act in venue.acts()] == [1, 2]
    snapshot = tmp_path / "home" / "watcher" / "venue-1.snapshot"
    watch = Watch(WATCHER, venue.domain, venue.journal, venue.own_chain(), snapshot)
    assert watch.head == venue.journal.tail()
    watch.follow()
    assert watch.stopped is None
    watch.chain._rpc.close()
