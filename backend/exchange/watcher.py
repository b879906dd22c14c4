"""The watcher's process: replays the journal by itself and signs what its own state gives.

Meant for somebody else's machine: it has a key, an RPC endpoint and an engine of its own and only
reads the database. Once it has found an entry that is not what the rules make of it, it signs
nothing any more, whatever is asked and however often it is started, and says which entry and why.
"""

from __future__ import annotations

import asyncio
import os
import signal
import struct
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Final, TypeVar

import structlog

from backend.bus.client import Bus
from backend.bus.venue_messages import committed_subject, watcher_subject
from backend.bus.watcher_messages import (
    ReplyCode,
    SignReply,
    WatcherStatus,
    decode_sign_request,
    encode_sign_reply,
    watcher_status_subject,
)
from backend.chain.keys import Key
from backend.domain.eip712 import SigningDomain
from backend.domain.journal import Head
from backend.errors import BusUnavailable, InvalidValue, JournalInconsistent, ServiceError
from backend.exchange.own_chain import OwnChain
from backend.exchange.replaying import Replay, broken
from backend.exchange.signing import Signer
from backend.matching import dump, load
from backend.store.database import Database
from backend.store.journal import Journal, JournalRow

log = structlog.get_logger("watcher")
T = TypeVar("T")

#: Entries read at once.
STEP: Final = 2_000
#: It looks for new entries so often when nobody tells it of them.
POLL_SECONDS: Final = 0.1
STATUS_SECONDS: Final = 1.0
#: A request that names an entry not replayed yet waits so long for it.
PATIENCE_SECONDS: Final = 2.0
RETRY_SECONDS: Final = 0.5
#: Its state is kept in a file every so many entries, and when it is stopped.
SNAPSHOT_ENTRIES: Final = 50_000
_MAGIC: Final = b"causeway-watcher"
_SNAPSHOT: Final = struct.Struct(">16sQ32sI32s")


class Watch:
    """What a watcher believes, apart from its process: one journal, replayed by own means."""

    def __init__(
        self,
        key: Key,
        domain: SigningDomain,
        journal: Journal,
        chain: OwnChain,
        snapshot: Path | None = None,
    ) -> None:
        self._journal, self._snapshot = journal, snapshot
        self.chain = chain
        self.replay = Replay(domain, chain)
        #: Why nothing is signed any more, None while everything is right.
        self.stopped: str | None = None
        self.signed = self.refused = 0
        if snapshot is not None:
            self._load(domain, snapshot)
        self._kept_at = self.replay.head.seq
        self._signer = Signer(key, domain, self.replay)

    @property
    def head(self) -> Head:
        """The last entry that was found right."""
        return self.replay.head

    def follow(self) -> int:
        """Take what the journal has more, at most STEP entries; how many.

        Raises ServiceError (but not JournalInconsistent, which stops this watch for good) when
        database or chain do not answer or are behind; what was taken stays taken.
        """
        if self.stopped is not None:
            return 0
        start = self.head.seq
        try:
            rows = self._journal.read(max(start, 1), STEP)
            self._take(rows)
        except JournalInconsistent as error:
            self.stopped = error.message
            log.critical("signs nothing any more", reason=error.message, seq=self.head.seq)
        if self.head.seq - self._kept_at >= SNAPSHOT_ENTRIES:
            self.keep()
        return self.head.seq - start

    def _take(self, rows: list[JournalRow]) -> None:
        if self.head.seq:
            # The last entry known is read again: a journal may not be changed behind us.
            if not rows or rows[0].head != self.head:
                raise broken(self.head.seq, "has been changed or taken out since it was replayed")
            rows = rows[1:]
        for row in rows:
            if row.seq != self.head.seq + 1:
                raise broken(self.head.seq + 1, f"is missing: {row.seq} comes next")
            self.replay.take(row.entry, row.events)
            if row.hash != self.head.hash:
                raise broken(row.seq, f"is stored with the hash {row.hash.hex()}, which is not its")

    def answer(self, body: bytes) -> SignReply:
        """The reply to one request; BEHIND when it names an entry not replayed yet."""
        if self.stopped is not None:
            return SignReply(ReplyCode.STOPPED, reason=self.stopped)
        try:
            reply = self._signer.answer(*decode_sign_request(body))
        except InvalidValue as refusal:
            reply = SignReply(ReplyCode.REFUSED, reason=refusal.message)
        self.signed += reply.code is ReplyCode.SIGNED
        if reply.code is ReplyCode.REFUSED:
            self.refused += 1
            log.error("refused to sign", reason=reply.reason)
        return reply

    # ── the snapshot ─────────────────────────────────────────────────────────────────────────

    def keep(self) -> None:
        """Write the state to the snapshot's file, so that the next start replays less."""
        if self._snapshot is None or self.stopped is not None or self.head.seq == self._kept_at:
            return
        state = dump(self.replay.engine)
        head = (_MAGIC, *self.head, self.replay.epoch, sha256(state).digest())
        self._snapshot.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=self._snapshot.parent, prefix=".")
        with os.fdopen(descriptor, "wb") as file:
            file.write(_SNAPSHOT.pack(*head) + state)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self._snapshot)
        self._kept_at = self.head.seq

    def _load(self, domain: SigningDomain, path: Path) -> None:
        """Begin where the file's state stands; without a good one at the first entry."""
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return
        try:
            magic, seq, entry_hash, epoch, checksum = _SNAPSHOT.unpack_from(content)
            state = content[_SNAPSHOT.size :]
            if magic != _MAGIC or sha256(state).digest() != checksum:
                raise InvalidValue("snapshot", path.name, "is damaged")
            engine = load(state)
        except (struct.error, InvalidValue) as error:
            log.warning("replays from the first entry", reason=str(error))
            return
        head = Head(seq, entry_hash)
        self.replay = Replay(domain, self.chain, engine=engine, head=head, epoch=epoch)


class Watcher:
    """The process: follows the journal, answers on the bus, says how it is once a second."""

    def __init__(self, watch: Watch, key: Key, database: Database, bus_url: str,
                 chain_id: int, venue: int) -> None:  # fmt: skip
        self._watch, self._key, self._database = watch, key, database
        self._bus_url, self._chain_id, self._venue = bus_url, chain_id, venue
        #: Replaying and signing take turns: one thread has the engine.
        self._thread = ThreadPoolExecutor(1, "causeway-watch")
        self._more = asyncio.Event()
        self._stopping = asyncio.Event()
        self._behind: str | None = None
        self._answers: set[asyncio.Task[None]] = set()

    def run(self) -> None:
        """Watch until SIGTERM or SIGINT."""
        asyncio.run(self.work(signals=True))

    async def work(self, signals: bool = False) -> None:
        """The same on the running event loop."""
        if signals:
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, self.stop)
        following = asyncio.create_task(self._follow())
        serving = asyncio.create_task(self._serve())
        stopped = asyncio.create_task(self._stopping.wait())
        try:
            done, _ = await asyncio.wait(
                [following, serving, stopped], return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                task.result()
        finally:
            for task in (following, serving, stopped, *self._answers):
                task.cancel()
            await asyncio.gather(following, serving, stopped, return_exceptions=True)
            with suppress(OSError):
                await self._on_engine(self._watch.keep)
            self._thread.shutdown()
            self._database.close()
        log.info("stopped", seq=self._watch.head.seq)

    def stop(self) -> None:
        """End in order."""
        self._stopping.set()

    def _on_engine(self, function: Callable[..., T], *values: object) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._thread, function, *values)

    # ── following ────────────────────────────────────────────────────────────────────────────

    async def _follow(self) -> None:
        log.info("watches", venue=self._venue, seq=self._watch.head.seq, key=self._key.address)
        while True:
            self._more.clear()
            try:
                taken = await self._on_engine(self._watch.follow)
            except ServiceError as error:
                if self._behind is None:
                    log.warning("cannot go on yet", reason=error.message)
                self._behind = error.message
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if self._behind is not None:
                log.info("goes on", seq=self._watch.head.seq)
            self._behind = None
            if not taken:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._more.wait(), POLL_SECONDS)

    # ── answering ────────────────────────────────────────────────────────────────────────────

    async def _serve(self) -> None:
        bus = await self._connect()
        try:
            await bus.subscribe(
                watcher_subject(self._chain_id, self._venue),
                lambda body, reply: self._take(bus, body, reply),
            )
            await bus.subscribe(
                committed_subject(self._chain_id, self._venue), lambda _, __: self._more.set()
            )
            while True:
                await self._say(bus)
                await asyncio.sleep(STATUS_SECONDS)
        finally:
            await bus.close()

    async def _connect(self) -> Bus:
        while True:
            try:
                return await Bus.connect(self._bus_url)
            except BusUnavailable as error:
                log.warning("no bus yet", reason=error.message)
                await asyncio.sleep(RETRY_SECONDS)

    def _take(self, bus: Bus, body: bytes, reply_to: str) -> None:
        if not reply_to:
            return
        task = asyncio.create_task(self._answer(bus, body, reply_to))
        self._answers.add(task)
        task.add_done_callback(self._answers.discard)

    async def _answer(self, bus: Bus, body: bytes, reply_to: str) -> None:
        """Answer a request; one that names a newer entry waits a moment for it."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            reply = await self._on_engine(self._watch.answer, body)
            if reply.code is not ReplyCode.BEHIND or time.monotonic() > deadline:
                break
            self._more.set()
            await asyncio.sleep(0.01)
        if reply.code is ReplyCode.BEHIND and self._behind is not None:
            reply = reply._replace(reason=f"{reply.reason}: {self._behind}")
        with suppress(BusUnavailable):
            await bus.publish(reply_to, encode_sign_reply(reply))

    async def _say(self, bus: Bus) -> None:
        watch = self._watch
        status = WatcherStatus(
            watch.head, watch.chain.read_to, watch.signed, watch.refused, self._key.address,
            watch.stopped,
        )  # fmt: skip
        with suppress(BusUnavailable):
            await bus.publish(watcher_status_subject(self._chain_id, self._venue), status.encode())
