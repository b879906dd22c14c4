"""The sequencer's process: follows the journal as a standby, leads when there is no leader.

A leader that fails in any way ends its process: the journal says what happened, and who starts
anew, here or elsewhere, begins with it. A standby has replayed the journal already.
"""

from __future__ import annotations

import asyncio
import gc
import secrets
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import Final

import structlog
import uvloop

from backend.bus.client import Bus
from backend.domain.commands import (
    ActivateRules,
    Command,
    OpenVenue,
    SetFees,
    StartEpoch,
    encode_command,
)
from backend.domain.journal import Head, encode_raw, hash_entry
from backend.domain.venue_events import encode_events
from backend.errors import Conflict, InvalidValue, ServiceError
from backend.exchange.leader import VenueLeader
from backend.exchange.leadership import LeaderHook, VenueConfig
from backend.exchange.recovery import STEP, Follower, catch_up
from backend.matching import SCHEMA, dump, load
from backend.matching.rulebook import VERSIONS
from backend.store.database import Database
from backend.store.journal import Journal, JournalRow, LeaderSession
from backend.store.venue_acts import register_venue

log = structlog.get_logger("sequencer")

#: A standby looks for new entries and for the leader's place so often.
FOLLOW_SECONDS: Final = 0.1
#: A standby keeps its state every so many entries, so that nobody replays more.
SNAPSHOT_ENTRIES: Final = 100_000
RETRY_SECONDS: Final = 0.5
SWITCH_SECONDS: Final = 0.0005
#: Attempts to begin an epoch while an old leader's last commit comes through.
_EPOCH_ATTEMPTS: Final = 20


def clock_ms() -> int:
    """Unix milliseconds."""
    return time.time_ns() // 1_000_000


class Sequencer:
    """One process of a venue; any number may run, one of them leads.

    `hooks` run inside the leader. `clock_ms` is the only clock: entries carry the later of it and
    of the entry before them.
    """

    def __init__(
        self,
        config: VenueConfig,
        database_url: str,
        nats_url: str,
        hooks: Sequence[LeaderHook] = (),
        clock_ms: Callable[[], int] = clock_ms,
    ) -> None:
        self._config = config
        self._database = Database(database_url)
        self._nats_url = nats_url
        self._hooks = hooks
        self._clock_ms = clock_ms
        self._id = secrets.token_bytes(16)
        self._journal = Journal(self._database, config.venue)
        self._follower = Follower()
        self._session = LeaderSession(
            self._database.url, config.venue, self._id, config.lease_seconds
        )
        self._stopping = asyncio.Event()
        self._leader: VenueLeader | None = None
        self._kept_at = 0

    def run(self) -> None:
        """Follow, then lead, until SIGTERM or SIGINT; raises what ended the leadership."""
        # Signatures are checked in a thread: who waits for Python's lock waits less.
        sys.setswitchinterval(SWITCH_SECONDS)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self.work(signals=True))

    async def work(self, signals: bool = False) -> None:
        """The same on the running event loop."""
        if signals:
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, self.stop)
        try:
            await asyncio.to_thread(self._open)
            if await self._follow():
                await self._lead()
        finally:
            self._session.close()
            self._database.close()

    def stop(self) -> None:
        """End in order: what was taken is answered first."""
        self._stopping.set()
        if self._leader is not None:
            self._leader.stop()

    # ── standing by ──────────────────────────────────────────────────────────────────────────

    def _open(self) -> None:
        config = self._config
        with self._database.begin() as connection:
            register_venue(
                connection, config.venue, config.chain_id, "0x" + config.exchange.hex(), config.name
            )
        snapshot = self._journal.newest_snapshot(SCHEMA)
        if snapshot is not None:
            head, state = snapshot
            try:
                self._follower = Follower(load(state), head)
                self._kept_at = head.seq
            except InvalidValue as error:
                log.warning("a snapshot cannot be used", seq=head.seq, reason=error.message)

    async def _follow(self) -> bool:
        """Replay until this process may lead; False when it was stopped before."""
        log.info("follows", venue=self._config.venue, seq=self._follower.head.seq)
        failing = False
        while not self._stopping.is_set():
            try:
                caught_up = await self._catch_up()
                if caught_up and await asyncio.to_thread(self._session.try_lead):
                    return True
                failing = False
            except ServiceError as error:
                if error.code == "journal-inconsistent":
                    raise
                if not failing:
                    log.warning("cannot follow yet", reason=error.message)
                failing = True
                await asyncio.sleep(RETRY_SECONDS)
            if not failing:
                await self._pause(FOLLOW_SECONDS)
        return False

    async def _catch_up(self) -> bool:
        """Replay what there is; True when that was all."""
        reading = self._read(self._follower.head.seq + 1)
        while True:
            rows = await reading
            full = len(rows) == STEP
            if full:
                # The next page comes from Postgres while this one is replayed.
                reading = self._read(rows[-1].seq + 1)
                await asyncio.sleep(0)
            self._follower.take(rows)
            if self._follower.head.seq - self._kept_at >= SNAPSHOT_ENTRIES:
                await asyncio.to_thread(self._keep_snapshot)
            if not full:
                return True
            if self._stopping.is_set():
                await reading
                return False

    def _read(self, seq: int) -> asyncio.Future[list[JournalRow]]:
        return asyncio.ensure_future(asyncio.to_thread(self._journal.read, seq, STEP))

    def _keep_snapshot(self) -> None:
        head = self._follower.head
        self._journal.save_snapshot(head, SCHEMA, dump(self._follower.engine))
        self._kept_at = head.seq
        log.info("kept a snapshot", seq=head.seq)

    async def _pause(self, seconds: float) -> None:
        waiting = asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait([waiting], timeout=seconds)
        waiting.cancel()

    # ── leading ──────────────────────────────────────────────────────────────────────────────

    async def _lead(self) -> None:
        """Begin an epoch and serve it; the lock is held."""
        await asyncio.to_thread(self._begin_epoch)
        bus = await self._connect()
        follower = self._follower
        # The state of a venue stays: the collector need not walk through it again and again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000, 10_000, 1_000)
        leader = VenueLeader(
            self._config,
            self._session,
            self._database,
            bus,
            follower.engine,
            follower.head,
            self._hooks,
            self._clock_ms,
        )
        self._leader = leader
        if self._stopping.is_set():
            leader.stop()
        configured = asyncio.create_task(self._configure(leader))
        try:
            await leader.serve()
        except BaseException as error:
            log.critical("leads no more", venue=self._config.venue, reason=repr(error))
            raise
        finally:
            configured.cancel()
            await asyncio.gather(configured, return_exceptions=True)
            await bus.close()
        follower.head = leader.head
        await asyncio.to_thread(self._hand_over)

    def _hand_over(self) -> None:
        self._session.give_up()
        self._keep_snapshot()
        log.info("stopped", venue=self._config.venue, seq=self._follower.head.seq)

    async def _connect(self) -> Bus:
        while True:
            try:
                return await Bus.connect(self._nats_url)
            except ServiceError as error:
                log.warning("no bus yet", reason=error.message)
                # Who leads must give signs of life, also while nobody can hear it.
                await asyncio.to_thread(self._session.renew)
                await asyncio.sleep(RETRY_SECONDS)

    def _begin_epoch(self) -> None:
        for _ in range(_EPOCH_ATTEMPTS):
            while catch_up(self._journal, self._follower) == STEP:
                pass
            try:
                self._start_epoch()
                return
            except Conflict as error:
                log.warning("an old leader's commit came through", reason=error.message)
        raise Conflict("the journal goes on although this process holds the leader's lock")

    def _start_epoch(self) -> None:
        """Write the first entries of the epoch behind the last one known; raises Conflict."""
        follower, config = self._follower, self._config
        commands: list[Command] = [StartEpoch(self._id)]
        if follower.head.seq == 0:
            opened = (config.chain_id, config.exchange, config.window_seconds, config.skew_seconds)
            commands.insert(0, OpenVenue(*opened))
        else:
            self._require_same_venue()
        now = max(self._clock_ms(), follower.engine.time_ms)
        rows: list[JournalRow] = []

        def write(epoch: int) -> list[JournalRow]:
            rows[:] = self._rows(epoch, now, commands)
            return rows

        def apply() -> list[bytes]:
            return [encode_events(follower.engine.apply(now, one)) for one in commands]

        epoch = self._session.start_epoch(follower.head, write, apply)
        follower.head, follower.epoch = rows[-1].head, epoch

    def _rows(self, epoch: int, now: int, commands: Sequence[Command]) -> list[JournalRow]:
        head, made = self._follower.head, []
        for command in commands:
            kind, payload = encode_command(command)
            rules = self._follower.engine.rules
            entry = encode_raw(head.seq + 1, epoch, rules, now, head.hash, kind) + payload
            head = Head(head.seq + 1, hash_entry(entry))
            made.append(JournalRow(head.seq, epoch, entry, head.hash, None, None, kind, b""))
        return made

    def _require_same_venue(self) -> None:
        engine, config = self._follower.engine, self._config
        mine = (config.chain_id, bytes(config.exchange), config.window_seconds, config.skew_seconds)
        found = (
            engine.chain_id, bytes(engine.exchange), engine.window_seconds, engine.skew_seconds
        )  # fmt: skip
        if mine != found:
            raise InvalidValue(
                "venue", self._config.venue, f"was opened for another Exchange: {found}, not {mine}"
            )

    async def _configure(self, leader: VenueLeader) -> None:
        """The rules and fees of the configuration, when the journal has others."""
        wanted = (self._config.maker_bps, self._config.taker_bps)
        fees, rules = await leader.look(lambda engine, head: (engine.fees, engine.rules))
        if rules != max(VERSIONS) or leader.epoch == 1:
            await leader.submit(ActivateRules(max(VERSIONS)))
        if fees != wanted:
            await leader.submit(SetFees(*wanted))
