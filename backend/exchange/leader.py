"""The leader of one venue: matches what comes in, commits it in groups, then answers.

One group at a time: while one is being committed, commands arrive and have their signatures
checked; they are matched when it is on disk. So the engine is ahead of the journal only between
matching and commit, when nobody is let near it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple, TypeVar

import structlog

from backend.bus.client import Bus
from backend.bus.venue_messages import (
    AnswerCode,
    Heartbeat,
    commands_subject,
    committed_subject,
    encode_committed,
    encode_journalled,
    encode_refused,
    leader_subject,
)
from backend.chain.signatures import Verifier
from backend.domain.commands import Command, PlaceOrder, Tick, encode_command
from backend.domain.journal import HEAD_BYTES, Head, encode_raw, hash_entry
from backend.domain.orders import Account
from backend.domain.venue_events import Event, encode_events
from backend.errors import BusUnavailable, InvalidValue, ServiceError, VenueUnavailable
from backend.exchange.acknowledgements import Acknowledger, leaf
from backend.exchange.intake import Intake, Item
from backend.exchange.leadership import LeaderHook, VenueConfig
from backend.matching.accounts import NonceState
from backend.matching.engine import Engine
from backend.store.database import Database
from backend.store.journal import Journal, JournalRow, LeaderSession
from backend.store.venue_acts import ActState, VenueAct, read_acts

log = structlog.get_logger("sequencer")
T = TypeVar("T")

#: Most commands in one commit.
GROUP: Final = 512
BEAT_SECONDS: Final = 0.2
RENEW_SECONDS: Final = 0.5
TICK_SECONDS: Final = 1.0
EVERY_SECONDS: Final = 0.1
#: A leader that is stopped takes at most so long to answer what it has taken.
STOP_STEPS: Final = 250
STOP_STEP_SECONDS: Final = 0.02
#: Questions to the journal about used nonces that run at once.
LOOKUPS: Final = 4
_ORDER_KINDS: Final = (1, 2)
_CANCEL_KIND: Final = 3
_SIGNATURE: Final = 65


class _Submission(NamedTuple):
    """Commands of the venue itself that are committed together, and who waits for them."""

    commands: Sequence[Command]
    events: asyncio.Future[list[list[Event]]]


class _Group:
    """What one commit holds, and whom to answer after it."""

    def __init__(self) -> None:
        self.rows: list[JournalRow] = []
        #: Per row the traders' commands that it answers; further ones came twice.
        self.items: list[tuple[int, Item]] = []
        self.made: dict[tuple[Account, int, bool], tuple[int, bytes]] = {}
        self.submissions: list[tuple[_Submission, list[list[Event]]]] = []
        self.lookups: list[Item] = []
        #: Answered after the commit too: what they say may follow from what it holds.
        self.refused: list[tuple[Item, bytes]] = []


class VenueLeader:
    """Leads from the moment its epoch has begun; `serve` runs until `stop` or a failure."""

    def __init__(
        self,
        config: VenueConfig,
        session: LeaderSession,
        database: Database,
        bus: Bus,
        engine: Engine,
        head: Head,
        hooks: Sequence[LeaderHook],
        clock_ms: Callable[[], int],
    ) -> None:
        self.venue = config.venue
        self.epoch = session.epoch
        self.engine = engine
        self.head = head
        self._config = config
        self._session = session
        self._database = database
        self._journal = Journal(database, config.venue)
        self._bus = bus
        self._hooks = hooks
        self._clock_ms = clock_ms
        self._verifier = Verifier(config.domain)
        self._acknowledger = Acknowledger(config.domain, config.key)
        self._address = bytes.fromhex(config.key.address[2:])
        self._work = asyncio.Event()
        self._stopping = asyncio.Event()
        self._submissions: deque[_Submission] = deque()
        self._looks: deque[Callable[[], None]] = deque()
        self._lookups = asyncio.Semaphore(LOOKUPS)
        self._tasks: set[asyncio.Task[None]] = set()
        self._writer = ThreadPoolExecutor(1, "causeway-writer")
        self._outbox: deque[tuple[str, bytes]] = deque()
        self.intake = Intake(
            self._verifier,
            self._reply,
            self._work.set,
            most_waiting=config.most_waiting,
            most_per_trader=config.most_per_trader,
            largest_reply=lambda: bus.largest_body,
        )

    # ── what hooks ask and do ────────────────────────────────────────────────────────────────

    async def look(self, read: Callable[[Engine, Head], T]) -> T:
        """Call `read` at the next moment when the engine stands at the head."""
        found: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def call() -> None:
            if found.done():
                return
            try:
                found.set_result(read(self.engine, self.head))
            except Exception as error:
                found.set_exception(error)

        self._looks.append(call)
        self._work.set()
        return await found

    async def submit(self, command: Command) -> list[Event]:
        """Journal one act of the venue or fact of the chain; its events, once committed."""
        return (await self.submit_all((command,)))[0]

    async def submit_all(self, commands: Sequence[Command]) -> list[list[Event]]:
        """Journal several in their order; raises InvalidValue at the first that cannot be, and
        those before it are journalled."""
        events: asyncio.Future[list[list[Event]]] = asyncio.get_running_loop().create_future()
        self._submissions.append(_Submission(commands, events))
        self._work.set()
        return await events

    async def signatures(
        self, orders: Sequence[tuple[Account, int]]
    ) -> Mapping[tuple[Account, int], bytes]:
        """The 65-byte signatures of committed orders and withdrawals by (trader, nonce)."""
        found = await asyncio.to_thread(self._journal.entries_of, orders, _ORDER_KINDS)
        return {key: entry[-_SIGNATURE:] for key, entry in found.items()}

    async def record_act(self, act: VenueAct) -> None:
        """Store a signed act for the worker to submit, inside the leader's own session."""
        await self._write(self._session.record_act, act)

    async def acts(self, *states: ActState) -> list[VenueAct]:
        """The venue's stored acts in these states (all when none is named), by number."""

        def read() -> list[VenueAct]:
            with self._database.read() as connection:
                return read_acts(connection, self.venue, *states)

        return await asyncio.to_thread(read)

    # ── serving ──────────────────────────────────────────────────────────────────────────────

    def stop(self) -> None:
        """Take nothing more, finish what has begun, then end `serve`."""
        self.intake.closed = True
        self._stopping.set()
        self._work.set()

    async def serve(self) -> None:
        """Lead until `stop`; raises when anything fails that leading depends on."""
        config = self._config
        subject = commands_subject(config.chain_id, self.venue, self.epoch)
        end = await self._bus.subscribe(subject, self.intake.take)
        parts: list[Coroutine[Any, Any, None]] = [
            self._lead(),
            self.intake.check_signatures(),
            self._every(BEAT_SECONDS, self._beat),
            self._every(RENEW_SECONDS, self._renew),
            self._every(TICK_SECONDS, self._tick),
            *(self._run_hook(hook) for hook in self._hooks),
        ]
        tasks: list[asyncio.Task[Any]] = [asyncio.create_task(part) for part in parts]
        stopped: asyncio.Task[Any] = asyncio.create_task(self._stopping.wait())
        log.info("leads", venue=self.venue, epoch=self.epoch, seq=self.head.seq)
        try:
            done, _ = await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
            if stopped in done:
                await end()
                # Everything that was taken is answered; the group on its way is finished.
                for _ in range(STOP_STEPS):
                    if any(task.done() for task in tasks):
                        break
                    if not (self.intake.waiting or self._submissions):
                        break
                    await asyncio.sleep(STOP_STEP_SECONDS)
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            for task in (stopped, *tasks, *self._tasks):
                task.cancel()
            await asyncio.gather(stopped, *tasks, *self._tasks, return_exceptions=True)
            self._writer.shutdown(wait=False)

    async def _lead(self) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            while self.intake.ready or self._submissions or self._looks or self._outbox:
                while self._looks:
                    self._looks.popleft()()
                group = self._match()
                if group.rows:
                    await self._commit(group)
                for item, refused in group.refused:
                    self.intake.answer(item, refused)
                for item in group.lookups:
                    self._start(self._look_up(item))
                for submission, events in group.submissions:
                    if not submission.events.done():
                        submission.events.set_result(events)
                await self._send()

    # ── matching ─────────────────────────────────────────────────────────────────────────────

    def _match(self) -> _Group:
        """Apply what is ready to the engine, in the order it came."""
        group = _Group()
        now = max(self._clock_ms(), self.engine.time_ms)
        while self._submissions and len(group.rows) < GROUP:
            submission = self._submissions.popleft()
            events: list[list[Event]] = []
            try:
                for command in submission.commands:
                    events.append(self._apply(group, now, command, None))
            except InvalidValue as error:
                if not submission.events.done():
                    submission.events.set_exception(error)
            else:
                group.submissions.append((submission, events))
        ready = self.intake.ready
        while ready and len(group.rows) < GROUP:
            item = ready.popleft()
            refused = self._admit(group, now, item)
            if refused is not None:
                group.refused.append((item, refused))
        return group

    def _admit(self, group: _Group, now: int, item: Item) -> bytes | None:
        """Apply a trader's command, or the answer that nothing was journalled."""
        if now > item.request.deadline_ms:
            return encode_refused(AnswerCode.LATE, "came to its turn after its deadline")
        trader, nonce = item.trader, item.nonce
        key = (trader, nonce, item.is_cancel)
        earlier = group.made.get(key)
        if earlier is not None:
            if earlier[1][:-_SIGNATURE] != item.record[:-_SIGNATURE]:
                return _conflict(nonce)
            group.items.append((earlier[0], item))
            return None
        state = self.engine.nonce_state(trader, nonce)
        if state is not NonceState.UNUSED:
            if state is NonceState.TOO_FAR:
                return encode_refused(AnswerCode.NONCE_TOO_FAR, f"{nonce} is too far ahead")
            if not (item.is_cancel and self.engine.open_order(trader, nonce) is not None):
                if state is NonceState.TOO_OLD:
                    return encode_refused(AnswerCode.NONCE_TOO_OLD, f"{nonce} is long used")
                if not item.looked_up:
                    group.lookups.append(item)
                    return None
        elif self._is_nobody(trader):
            return encode_refused(AnswerCode.NOT_ADMITTED, "the trader was never admitted")
        elif self._settlement_is_late(now, item):
            why = "trades wait too long for their settlement: no new orders for now"
            return encode_refused(AnswerCode.BUSY, why)
        elif item.is_pre_signed and not self._is_pre_signed(item):
            return encode_refused(AnswerCode.BAD_SIGNATURE, "is not pre-signed on chain")
        try:
            self._apply(group, now, item.command, item)
        except InvalidValue as error:
            return encode_refused(AnswerCode.INVALID, error.message)
        group.made[key] = (len(group.rows) - 1, item.record)
        group.items.append((len(group.rows) - 1, item))
        return None

    def _is_nobody(self, trader: Account) -> bool:
        # Keys cost nothing: else anybody could fill the journal and the engine with refusals.
        account = self.engine.accounts.get(trader)
        return account is None or (account.tier == 0 and not self.engine.balances(trader))

    def _settlement_is_late(self, now: int, item: Item) -> bool:
        # A trade that cannot settle within the window is undone with all that came after it: while
        # the chain is away it is kinder to take no orders than to take them back.
        waiting = self.engine.unsettled_queue
        if not waiting or type(item.command) is not PlaceOrder:
            return False
        return 2 * (now // 1_000 - waiting[0].time_s) > self.engine.window_seconds

    def _is_pre_signed(self, item: Item) -> bool:
        # Else anybody could use up a stranger's nonces by naming them with this kind.
        account = self.engine.accounts.get(item.trader)
        return account is not None and self._verifier.digest(item.command[0]) in account.pre_signed

    def _apply(self, group: _Group, now: int, command: Command, item: Item | None) -> list[Event]:
        """Apply one command and make its row; InvalidValue when it cannot be in a journal."""
        engine, rows = self.engine, group.rows
        if rows:
            seq, previous = rows[-1].seq + 1, rows[-1].hash
        else:
            seq, previous = self.head.seq + 1, self.head.hash
        rules = engine.rules
        events = engine.apply(now, command)
        if item is None:
            kind, payload = encode_command(command)
            trader = nonce = None
        else:
            kind, payload = item.record[0], item.record[1:]
            trader, nonce = item.trader, item.nonce
        entry = encode_raw(seq, self.epoch, rules, now, previous, kind) + payload
        rows.append(
            JournalRow(
                seq, self.epoch, entry, hash_entry(entry), trader, nonce, kind,
                encode_events(events),
            )
        )  # fmt: skip
        return events

    # ── committing ───────────────────────────────────────────────────────────────────────────

    async def _commit(self, group: _Group) -> None:
        rows = group.rows
        committing = self._write(self._session.append, rows)
        signed = self._acknowledger.sign_commit([(row.seq, row.hash) for row in rows])
        await committing
        self.head = rows[-1].head
        answer = self.intake.answer
        answered = -1
        for index, item in group.items:
            row = rows[index]
            code = AnswerCode.ACCEPTED if index > answered else AnswerCode.REPEATED
            answered = max(answered, index)
            answer(
                item,
                encode_journalled(
                    code, row.entry, row.events, signed.paths[index], signed.signature
                ),
            )
        await self._send()
        subject = committed_subject(self._config.chain_id, self.venue, self.epoch)
        stored = ((row.entry, row.events) for row in rows)
        for body in encode_committed(self.epoch, rows[0].seq, stored):
            await self._publish(subject, body)
        for hook in self._hooks:
            await hook.after_commit(self)

    def _write(self, function: Callable[..., T], *values: Any) -> asyncio.Future[T]:
        """Run on the leader's session, one thing at a time."""
        return asyncio.get_running_loop().run_in_executor(self._writer, function, *values)

    def _reply(self, subject: str, body: bytes) -> None:
        self._outbox.append((subject, body))
        self._work.set()

    async def _send(self) -> None:
        while self._outbox:
            subject, body = self._outbox.popleft()
            if subject:
                await self._publish(subject, body)

    async def _publish(self, subject: str, body: bytes) -> None:
        try:
            await self._bus.publish(subject, body)
        except BusUnavailable as error:
            # What is committed stands; who asks again gets the same answer.
            log.warning("not published", subject=subject, reason=error.message)

    # ── used nonces ──────────────────────────────────────────────────────────────────────────

    async def _look_up(self, item: Item) -> None:
        """Answer a command whose nonce is used from the journal, or admit it after all."""
        try:
            async with self._lookups:
                rows = await asyncio.to_thread(self._journal.find, item.trader, item.nonce)
        except Exception:
            # Its trader gets no answer and asks again; the journal is what it is.
            self.intake.forget(item)
            raise
        mine = [row for row in rows if (row.kind == _CANCEL_KIND) == item.is_cancel]
        if mine:
            first = mine[0]
            same = first.entry[HEAD_BYTES - 1 : -_SIGNATURE] == item.record[:-_SIGNATURE]
            answer = self._repeated(first) if same else _conflict(item.nonce)
        elif item.is_cancel:
            item.looked_up = True
            self.intake.ready.append(item)
            self._work.set()
            return
        else:
            answer = _conflict(item.nonce)
        self.intake.answer(item, answer)
        await self._send()

    def _repeated(self, row: JournalRow) -> bytes:
        signature = self._acknowledger.sign(leaf(row.seq, row.hash))
        return encode_journalled(AnswerCode.REPEATED, row.entry, row.events, b"", signature)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.warning("a lookup failed", reason=str(task.exception()))

    # ── on a timer ───────────────────────────────────────────────────────────────────────────

    async def _every(self, seconds: float, step: Callable[[], Coroutine[Any, Any, None]]) -> None:
        while True:
            await step()
            await asyncio.sleep(seconds)

    async def _beat(self) -> None:
        beat = Heartbeat(self.epoch, *self.head, self._address).encode()
        await self._publish(leader_subject(self._config.chain_id, self.venue), beat)

    async def _renew(self) -> None:
        await self._write(self._session.renew)

    async def _tick(self) -> None:
        """Let what has expired end, when nothing else has come to do it."""
        now = self._clock_ms() // 1_000

        def due(engine: Engine, head: Head) -> bool:
            return bool(engine.due_heap) and engine.due_heap[0] < now

        if await self.look(due):
            await self.submit(Tick())

    async def _run_hook(self, hook: LeaderHook) -> None:
        failing = False
        while True:
            try:
                await hook.every(self)
                failing = False
            except ServiceError as error:
                if isinstance(error, VenueUnavailable) or not failing:
                    log.warning("cannot go on yet", hook=type(hook).__name__, reason=error.message)
                failing = True
                await asyncio.sleep(1.0)
            await asyncio.sleep(EVERY_SECONDS)


def _conflict(nonce: int) -> bytes:
    return encode_refused(AnswerCode.CONFLICT, f"nonce {nonce} was used by another command")
