"""The chain worker: indexer, sender, the bridge's jobs and what it is given, each on its own loop.

Every loop outlives what it depends on: a service that does not answer is waited for, and said so
once. Nothing here holds state that is not in Postgres or on chain, so a kill costs nothing.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

import structlog

from backend.bridge.accounts import connected_accounts
from backend.bridge.service import Bridge
from backend.bus.publisher import HeadPublisher
from backend.chain.contracts import Contracts
from backend.chain.deployment import Deployment
from backend.chain.keys import Key, Keys
from backend.chain.rpc import Rpc
from backend.chain.sender import Sender
from backend.domain.transactions import TransactionState
from backend.errors import CausewayError, ServiceError
from backend.indexer import Indexer
from backend.registries.custody_file import load_custody
from backend.registries.labels import CODES
from backend.settings import Settings
from backend.store import jobs
from backend.store.database import Database
from backend.store.transactions import PostgresTransactionLog

log = structlog.get_logger("worker")

ADVANCE = "bridge.advance"
CUSTODIAN = "custodian"
INDEX_SECONDS = 0.1
SEND_SECONDS = 0.5
SWEEP_SECONDS = 1.0
#: How often the chain is looked through for what the bridge takes up, the reserve is tended, and
#: open drafts are checked by those who sign on this machine.
DISCOVER_SECONDS = 1.0
RESERVE_SECONDS = 2.0
SIGN_SECONDS = 1.0
STALLED_SECONDS = 15.0
DURABLE_SECONDS = 5.0
#: A transaction that waits so long gets higher fees.
STUCK_SECONDS = 60
_PATIENCE = (0.2, 0.5, 1.0, 2.0, 5.0)
CONCURRENCY = 4


class Loop(NamedTuple):
    """Work of another package: `step` is called again and again, `pause` seconds between."""

    name: str
    pause: float
    step: Callable[[], object]


class Worker:
    """Composed from what it works on; `durable` tells up to where a local chain is saved."""

    def __init__(
        self,
        settings: Settings,
        rpc: Rpc,
        deployment: Deployment,
        keys: Keys,
        clock: Callable[[], int],
        durable: Callable[[], int] | None = None,
        loops: Sequence[Loop] = (),
    ) -> None:
        self._loops = loops
        self._keys = keys
        self._rpc = rpc
        self._confirmations = settings.confirmations
        self._durable = durable
        self._url = settings.require_database_url()
        self._database = Database(self._url)
        self._publisher = HeadPublisher(settings.nats_url) if settings.nats_url else None
        self._indexer = Indexer(rpc, deployment, self._database, self._publisher, CODES)
        transactions = self._transactions = PostgresTransactionLog(self._database)
        self._sender = Sender(rpc, transactions, clock, confirmations=settings.confirmations)
        custody = load_custody(settings.custody)
        self._bridge = Bridge(
            self._database,
            Contracts(rpc, deployment),
            self._sender,
            transactions,
            confirmations=settings.confirmations,
            custody=custody,
            accounts=connected_accounts(custody, self._database, clock),
            custodian=self._custodian,
            signing_keys=self._signing_keys,
        )
        self._payer: Key | None = None
        self._sign_as = settings.signers

    def run(self) -> None:
        """Work until SIGTERM or SIGINT."""
        asyncio.run(self._run())

    async def _run(self) -> None:
        loops = [
            self._forever("index", INDEX_SECONDS, self._in_thread(self._indexer.advance)),
            self._forever("send", SEND_SECONDS, self._in_thread(self._send)),
            self._forever("bump", STUCK_SECONDS / 2, self._in_thread(self._bump)),
            self._forever("discover", DISCOVER_SECONDS, self._in_thread(self._bridge.discover)),
            self._forever("reserve", RESERVE_SECONDS, self._in_thread(self._bridge.tend_reserve)),
            self._forever("sign", SIGN_SECONDS, self._in_thread(self._bridge.signers.sign_all)),
            self._forever("jobs", 0.0, self._work),
        ]
        loops += [
            self._forever(one.name, one.pause, self._in_thread(one.step)) for one in self._loops
        ]
        if self._durable is not None:
            durable = self._in_thread(self._mark_durable)
            loops.append(self._forever("durable", DURABLE_SECONDS, durable))
        tasks = [asyncio.create_task(loop) for loop in loops]
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        log.info("working")
        asked = asyncio.create_task(stop.wait())
        await asyncio.wait([asked, *tasks], return_when=asyncio.FIRST_COMPLETED)
        # A loop never ends by itself: one that did met something nobody foresaw. The process ends
        # with it and is started again, rather than going on with a part missing.
        broken = [task for task in tasks if task.done()]
        for task in (asked, *tasks):
            task.cancel()
        await asyncio.gather(asked, *tasks, return_exceptions=True)
        if self._publisher is not None:
            # Before anything is raised: its thread would keep a broken process alive for ever.
            self._publisher.close()
        for task in broken:
            task.result()
        log.info("stopped")

    def _custodian(self) -> Key | None:
        """The key that begins deliveries, where this machine has it."""
        found = self._signing_keys()
        return next((key for key in found if key.name == CUSTODIAN), None)

    def _signing_keys(self) -> list[Key]:
        """Keys of the signers that this machine is to sign for, by the setting `sign_as`."""
        return [self._keys.get(name) for name in self._sign_as]

    # ── loops ────────────────────────────────────────────────────────────────────────────────

    async def _forever(
        self, name: str, pause: float, step: Callable[[], Awaitable[object]]
    ) -> None:
        failures = 0
        while True:
            try:
                await step()
            except CausewayError as error:
                # Said once per trouble, and louder when waiting cannot end it.
                if failures == 0:
                    say = log.warning if isinstance(error, ServiceError) else log.error
                    say("cannot go on yet", loop=name, reason=error.message, values=error.values)
                failures += 1
                await asyncio.sleep(_PATIENCE[min(failures, len(_PATIENCE)) - 1])
            else:
                if failures:
                    log.info("goes on", loop=name, after=failures)
                failures = 0
                await asyncio.sleep(pause)

    @staticmethod
    def _in_thread(function: Callable[[], Any]) -> Callable[[], Awaitable[object]]:
        async def step() -> object:
            return await asyncio.to_thread(function)

        return step

    def _send(self) -> None:
        """Bring transactions forward; a local chain mines on demand for those that wait for depth.

        Nothing else would make chain blocks there, and empty ones in advance make Anvil slow.
        """
        self._sender.advance()
        if self._confirmations and self._indexer.is_local:
            waiting = self._transactions.open(self._rpc.chain_id())
            if any(one.state is TransactionState.MINED for one in waiting):
                self._rpc.call("evm_mine")

    def _bump(self) -> None:
        for raised in self._sender.bump(self._keys, STUCK_SECONDS):
            log.info("offered higher fees", key=raised.key, nonce=raised.nonce)

    def _mark_durable(self) -> None:
        assert self._durable is not None
        self._indexer.mark_durable(self._durable())

    # ── jobs ─────────────────────────────────────────────────────────────────────────────────

    async def _work(self) -> None:
        """The job queue until it fails; `_forever` opens it again."""
        app = jobs.make_app(self._url)

        @app.task(name=ADVANCE)  # type: ignore[untyped-decorator, unused-ignore]
        async def advance(kind: str, subject: str) -> None:
            await asyncio.to_thread(self.advance, kind, subject)

        async with jobs.opened(app):
            work = asyncio.create_task(
                app.run_worker_async(
                    concurrency=CONCURRENCY,
                    install_signal_handlers=False,
                    fetch_job_polling_interval=1.0,
                    delete_jobs="successful",
                )
            )
            helpers = [
                asyncio.create_task(self._every(SWEEP_SECONDS, lambda: self._sweep(app))),
                asyncio.create_task(self._every(STALLED_SECONDS, lambda: jobs.retry_stalled(app))),
            ]
            try:
                await asyncio.wait([work, *helpers], return_when=asyncio.FIRST_COMPLETED)
                for task in (work, *helpers):
                    if task.done():
                        task.result()
            finally:
                for task in (work, *helpers):
                    task.cancel()
                await asyncio.gather(work, *helpers, return_exceptions=True)

    @staticmethod
    async def _every(pause: float, step: Callable[[], Awaitable[object]]) -> None:
        while True:
            await step()
            await asyncio.sleep(pause)

    async def _sweep(self, app: Any) -> None:
        """Queue every flow that has not ended: the state columns decide, not the queue."""
        for kind, subject in await asyncio.to_thread(self._bridge.open_flows):
            await jobs.defer_once_async(
                app, ADVANCE, f"{kind} {subject}", {"kind": kind, "subject": subject}
            )

    def advance(self, kind: str, subject: str) -> None:
        """One step of one flow; trouble is logged and tried again by the next sweep."""
        try:
            if self._payer is None:
                self._payer = self._keys.get("bridge")
            self._bridge.advance(kind, subject, self._payer)
        except CausewayError as error:
            log.warning("flow waits", kind=kind, id=subject, reason=error.message)
