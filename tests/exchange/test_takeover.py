"""Leaders that die, hang and come back: nothing acknowledged is lost or doubled (L9, L10)."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import time

import pytest
from sqlalchemy import text

from backend.bus.venue_messages import Answer, AnswerCode
from backend.domain.commands import StartEpoch, TraderCommand
from backend.domain.journal import decode_entry
from backend.errors import BusUnavailable, OutcomeUnknown, VenueUnavailable
from tests.exchange.market import Market

pytestmark = pytest.mark.integration


class Load:
    """Traders that place orders without a pause and repeat what got no answer."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self.acknowledged: dict[tuple[int, int], Answer] = {}
        self.sent: dict[tuple[int, int], TraderCommand] = {}
        #: Longest time between two answers of any trader.
        self.longest_gap = 0.0
        self._last = time.monotonic()
        self.stopping = False

    async def run(self) -> None:
        async with self.market.client() as client:
            traders = range(self.market.traders)
            await asyncio.gather(*(self._trade(client, trader) for trader in traders))

    async def _trade(self, client: object, trader: int) -> None:
        nonce = 0
        while not self.stopping:
            side = random.Random(trader * 10_007 + nonce).randrange(2)
            command = self.market.order(trader, nonce, side=side, price=100 + nonce % 3)
            self.sent[trader, nonce] = command
            answer = await self._until_answered(client, command)
            assert answer.journalled, answer
            self.acknowledged[trader, nonce] = answer
            now = time.monotonic()
            self.longest_gap = max(self.longest_gap, now - self._last)
            self._last = now
            nonce += 1

    async def _until_answered(self, client: object, command: TraderCommand) -> Answer:
        while True:
            try:
                answer = (await client.submit([command], 1.0))[0]  # type: ignore[attr-defined]
            except (VenueUnavailable, OutcomeUnknown, BusUnavailable):
                await asyncio.sleep(0.02)
                continue
            if answer.code not in (AnswerCode.LATE, AnswerCode.BUSY):
                return answer

    def check(self) -> None:
        """Every acknowledged entry stands in the journal as it was promised, once."""
        rows = {row.seq: row for row in self.market.rows()}
        for answer in self.acknowledged.values():
            assert answer.acknowledgement is not None
            row = rows[answer.acknowledgement.seq]
            assert (row.entry, row.events) == (answer.entry, answer.events)
            assert row.hash == answer.acknowledgement.entry_hash
        used = [(row.trader, row.nonce) for row in rows.values() if row.kind == 1]
        assert len(used) == len(set(used))
        self.market.check()


def leader_of(market: Market, processes: list[subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
    """The process that has the newest epoch: its id stands in the lease and in its epoch's entry.

    Standbys do not write, so the one whose death changes the epoch is found by its lock.
    """
    with market.database.read() as connection:
        port = connection.execute(
            text(
                "SELECT client_port FROM pg_stat_activity WHERE application_name ="
                " 'causeway-leader-1' AND datname = current_database()"
            )
        ).scalar()
    for process in processes:
        if process.poll() is None and port in ports_of(process.pid):
            return process
    raise AssertionError("nobody leads")


def stands_by(market: Market) -> bool:
    """Whether a standby has tried to lead: it follows at the journal's head."""
    with market.database.read() as connection:
        found = connection.execute(
            text(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name ="
                " 'causeway-standby-1' AND datname = current_database()"
            )
        )
        return bool(found.scalar())


def ports_of(pid: int) -> set[int]:
    """Local ports of a process's connections."""
    inodes = set()
    for descriptor in os.listdir(f"/proc/{pid}/fd"):
        target = os.readlink(f"/proc/{pid}/fd/{descriptor}")
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    ports = set()
    with open(f"/proc/{pid}/net/tcp") as table:
        for line in table.readlines()[1:]:
            fields = line.split()
            if fields[9] in inodes:
                ports.add(int(fields[1].split(":")[1], 16))
    return ports


def epochs(market: Market) -> list[int]:
    commands = [decode_entry(row.entry) for row in market.rows()]
    return [one.epoch for one in commands if isinstance(one.command, StartEpoch)]


async def under_load(market: Market, load: Load, disturb: object) -> None:
    running = asyncio.create_task(load.run())
    try:
        while len(load.acknowledged) < 20:
            await asyncio.sleep(0.05)
            if running.done():
                running.result()
        await asyncio.to_thread(disturb)  # type: ignore[arg-type]
        enough = len(load.acknowledged) + 50
        while len(load.acknowledged) < enough:
            await asyncio.sleep(0.05)
            if running.done():
                running.result()
    finally:
        load.stopping = True
        await asyncio.wait([running], timeout=10)
        running.cancel()


def test_kill_9_under_load_loses_and_doubles_nothing(market: Market) -> None:
    processes = [market.start_process(), market.start_process()]
    market.wait_funded()
    load = Load(market)
    gaps: list[float] = []

    def disturb() -> None:
        for _ in range(3):
            market.wait_for(lambda: stands_by(market), 30)
            time.sleep(0.5)
            load.longest_gap = 0.0
            leader = leader_of(market, processes)
            leader.kill()
            leader.wait()
            processes.remove(leader)
            count = len(load.acknowledged)
            market.wait_for(lambda count=count: len(load.acknowledged) > count + 20, 30)
            gaps.append(load.longest_gap)
            processes.append(market.start_process())

    asyncio.run(under_load(market, load, disturb))
    load.check()
    assert epochs(market) == [1, 2, 3, 4]
    # The middle one: what else runs on the machine may delay any single one.
    assert sorted(gaps)[1] < 3.0, gaps


def test_a_hung_leader_is_replaced_and_writes_nothing_afterwards(market: Market) -> None:
    first = market.start_process()
    market.wait_funded()
    second = market.start_process()
    market.wait_for(lambda: stands_by(market), 30)
    load = Load(market)
    gaps: list[float] = []

    def disturb() -> None:
        os.kill(first.pid, signal.SIGSTOP)
        count = len(load.acknowledged)
        market.wait_for(lambda: len(load.acknowledged) > count + 20)
        gaps.append(load.longest_gap)
        os.kill(first.pid, signal.SIGCONT)
        assert first.wait(10) != 0, "a leader that lost its session ends with an error"

    asyncio.run(under_load(market, load, disturb))
    load.check()
    rows = market.rows()
    begun = next(row.seq for row in rows if row.epoch == 2)
    assert {row.epoch for row in rows if row.seq >= begun} == {2}
    assert max(gaps) < 10.0
    assert second.poll() is None


def test_a_leader_stopped_inside_its_copy_is_replaced_and_its_group_is_not_there(
    market: Market,
) -> None:
    first = market.start_process(stumble_at=12)
    market.wait_funded()
    market.start_process()
    load = Load(market)

    def disturb() -> None:
        market.wait_for(lambda: len(epochs(market)) == 2)
        count = len(load.acknowledged)
        market.wait_for(lambda: len(load.acknowledged) > count + 20)
        os.kill(first.pid, signal.SIGCONT)
        assert first.wait(10) != 0

    asyncio.run(under_load(market, load, disturb))
    load.check()
    assert epochs(market) == [1, 2]


def test_a_leader_whose_session_is_cut_ends_and_answers_nothing_it_did_not_commit(
    market: Market,
) -> None:
    process = market.start_process()
    market.wait_funded()
    market.start_process()
    load = Load(market)

    def disturb() -> None:
        with market.database.begin() as connection:
            connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE application_name = 'causeway-leader-1'"
                    " AND datname = current_database()"
                )
            )
        assert process.wait(10) != 0

    asyncio.run(under_load(market, load, disturb))
    load.check()
    assert epochs(market) == [1, 2]


def test_a_journal_that_was_changed_is_not_followed(market: Market) -> None:
    process = market.start_process()
    market.wait_funded()
    market.send(market.order(0, 0))
    process.kill()
    process.wait()
    with market.database.begin() as connection:
        connection.execute(
            text("UPDATE journal SET events = events || events WHERE kind = 1 AND nonce = 0")
        )
    assert market.start_process().wait(15) != 0
    assert epochs(market) == [1]
