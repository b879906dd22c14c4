"""The whole system while the registry misbehaves, its processes are killed and its chain changes.

    python scripts/chaos_bridge.py [--flows 1000] [--kills 30] [--reorganisations 20] [--seed 1]
        [--seconds 0] [--home DIRECTORY]

Starts `causeway up` on a home and ports of its own with a simulated registry that fails, delays,
repeats, reorders and chooses serials itself. Holders deposit, retire and have credits delivered to
buyers that accept, refuse or take their time; meanwhile processes are killed (the registry and the
supervisor too) and the chain is reorganised. When every flow has ended, registry, custody and chain
must agree to the kilogram, every serial must be in exactly one place, the audit must hold and
`scripts/recount.py` must agree. Exit 0 only then. `--seconds`: no new request after so many.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import httpx

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from backend.bridge.receipts import Terms  # noqa: E402
from backend.chain import bridge_calls, calls  # noqa: E402
from backend.chain.keys import Key  # noqa: E402
from backend.commands.context import Context  # noqa: E402
from backend.commands.deliver import do_refund  # noqa: E402
from backend.domain.deliveries import State  # noqa: E402
from backend.domain.registry_answers import AnswerState  # noqa: E402
from backend.domain.registry_requests import SerialRange  # noqa: E402
from backend.domain.retirements import RetirementDetails  # noqa: E402
from backend.domain.serials import Interval  # noqa: E402
from backend.errors import (  # noqa: E402
    CausewayError,
    ChainRejected,
    InvalidValue,
    LocalError,
    ServiceError,
)
from scripts.chaos import (  # noqa: E402
    CONFIRMATIONS,
    DEEPEST,
    GAS_MONEY,
    SPARE_ACCOUNT,
    THREADS,
    Load,
    System,
    judged,
)
from tests.bridge.agreement import KINDS, SPAN, Issued, differences  # noqa: E402
from tests.bridge.chaos import FAULTS  # noqa: E402
from tests.indexer.world import VCS, a_class  # noqa: E402
from tests.store.rows import row, save  # noqa: E402

T = TypeVar("T")

#: Killed at random; the worker as often as all others together.
OTHERS = ("registry", "api", "anvil", "postgres", "nats", "supervisor")
TRUST, YEAR = "sample-vcs", 2023
#: Buyers at the registry and how each answers a transfer.
BUYERS = {"SAMPLE-9001": "accept", "SAMPLE-9002": "reject", "SAMPLE-9003": "manual"}
WALLETS, FIRST_CLASSES, LOT, LARGEST_CLASS = 8, 8, 400, 5_000
#: So many open flows, and no new one is begun: the load follows the worker.
MOST_OPEN = 120
PATIENCE = 600.0


@dataclass
class Desk:
    """One class: who holds it, what was issued of it, and the deposit that is under way."""

    number: int
    wallet: Key
    issued: int = 0
    depositing: str | None = None
    lots: int = 0

    @property
    def base(self) -> int:
        return self.number * SPAN

    @property
    def project(self) -> str:
        return str(900_000 + self.number)

    @property
    def class_id(self) -> int:
        return int(a_class(self.project, year=YEAR).token_id)


@dataclass
class Holders:
    """What the holders ask for, each request once, whatever dies meanwhile."""

    load: Load
    seed: int
    desks: list[Desk] = field(default_factory=list)
    wallets: list[Key] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    #: What holders were told when they could not take back what was rejected.
    refused: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)
    stop_at: float = float("inf")

    def again(self, step: Callable[[Context], T]) -> T:
        """Do it until no service is missing; trouble of another kind is raised."""
        deadline, fresh = time.monotonic() + PATIENCE, False
        while True:
            try:
                return step(self.load.context(fresh))
            except (ServiceError, LocalError, httpx.HTTPError, OSError):
                if time.monotonic() > deadline:
                    raise
                fresh = True
                time.sleep(0.2)

    def registry(self, method: str, path: str, body: Any = None, allowed: int = 200) -> Any:
        """A call at the registry that must work; its document."""

        def step(context: Context) -> Any:
            url = context.custody.link("VCS").url
            answer = httpx.request(method, f"{url}/{path}", json=body, timeout=10, trust_env=False)
            if answer.status_code >= 500:
                raise ServiceError(f"the registry answers {answer.status_code}")
            assert answer.status_code in (200, allowed), answer.text
            return answer

        return self.again(step)

    # ── setting up ───────────────────────────────────────────────────────────────────────────

    def prepare(self) -> None:
        """Wallets, accounts at the registry and the first classes."""
        context = self.load.context()
        rich = context.rpc.call("eth_accounts")[SPARE_ACCOUNT]
        for number in range(WALLETS):
            key = context.keys.create_if_missing(f"chaos-{number}")
            self.wallets.append(key)
            sent = {"from": rich, "to": key.address, "value": GAS_MONEY}
            context.rpc.call("eth_sendTransactionSync", sent)
            data = calls.admit(key.address, 2, "HK", 2**40 - 1)
            self.load.send(f"admit:{number}", context.key("registrar"), "Participants", data)
        account = context.custody.trust(TRUST).account
        self.open_account(account.account, [account.sub_account], holds_for_others=True)
        for name, acceptance in BUYERS.items():
            self.open_account(name, [], acceptance=acceptance)
        for number in range(FIRST_CLASSES):
            self.deposit(self.new_desk(number % WALLETS))
        self.until(lambda: all(self.is_minted(desk) for desk in self.desks))
        self.registry("PUT", "admin/faults", {"seed": self.seed, **FAULTS})

    def open_account(self, account: str, sub_accounts: list[str], **more: Any) -> None:
        body = {"account": account, "holder": "Sample holder", "sub_accounts": sub_accounts}
        self.registry("POST", "admin/accounts", body | more)

    def new_desk(self, wallet: int) -> Desk:
        with self.lock:
            desk = Desk(len(self.desks) + 1, self.wallets[wallet])
            self.desks.append(desk)
            return desk

    def deposit(self, desk: Desk) -> None:
        """A lot is issued into the trust account, imported, and its deposit noticed."""
        first, desk.issued, desk.lots = desk.issued + 1, desk.issued + LOT, desk.lots + 1
        name = desk.depositing = f"dep-{desk.project}-{desk.lots}"
        serials = Interval(VCS, desk.base + first, desk.base + desk.issued)
        day, end = date(YEAR, 1, 1), date(YEAR, 12, 31)
        account = self.load.context().custody.trust(TRUST).account
        body = {
            "serials": str(serials),
            "account": account.account,
            "sub_account": account.sub_account,
            "project": desk.project,
            "vintage_start": day.isoformat(),
            "vintage_end": end.isoformat(),
        }
        self.registry("POST", "admin/issuances", body, allowed=409)
        block = row(
            serials.first, serials.last, project=desk.project, vintage_start=day, vintage_end=end
        )

        def notice(context: Context) -> None:
            trust = context.custody.trust(TRUST)
            save(context.database, [block], f"export {serials}")
            terms = Terms(trust.account_id, trust.terms_hash)
            given = [SerialRange.of(serials)]
            to = desk.wallet.address
            context.bridge.deposits.give_notice(name, str(trust.account), given, to, terms)

        self.again(notice)

    def is_minted(self, desk: Desk) -> bool:
        """Whether its deposit has ended."""
        name = desk.depositing
        if name is not None and self.again(
            lambda context: context.bridge.parts.flows.get("deposit", name).ended
        ):
            desk.depositing = None
        return desk.depositing is None

    def until(self, so: Callable[[], bool], seconds: float = PATIENCE) -> None:
        """Wait until it is so."""
        deadline = time.monotonic() + seconds
        while not so():
            if time.monotonic() > deadline:
                raise RuntimeError("\n".join(self.open_flows()))
            time.sleep(0.5)

    def open_flows(self) -> list[str]:
        """What has not ended, in words."""

        def step(context: Context) -> list[str]:
            flows = context.bridge.parts.flows
            found = [one for kind in KINDS for one in flows.of_kind(kind, only_open=True)]
            more = [*context.bridge.statements.stored.open()]
            return [f"{one.kind} {one.id} {one.state}: {one.reason}" for one in found] + [
                f"{one.type} {one.id} {one.state}: {one.reason}" for one in more
            ]

        return self.again(step)

    def open_count(self) -> int:
        """How many flows have not ended."""

        def step(context: Context) -> int:
            with context.database.read() as connection:
                query = "SELECT count(*) FROM bridge_flows WHERE NOT ended"
                return int(connection.exec_driver_sql(query).scalar() or 0)

        return self.again(step)

    # ── the load ─────────────────────────────────────────────────────────────────────────────

    def work(self, thread: int, numbers: range) -> None:
        """One thread's requests; a wallet and its classes belong to one thread."""
        dice = random.Random(f"{self.seed} {thread}")
        for number in numbers:
            while self.open_count() > MOST_OPEN and time.monotonic() < self.stop_at:
                time.sleep(1.0)
            if time.monotonic() > self.stop_at:
                return
            kind = self.act(thread, number, dice)
            with self.lock:
                self.done[kind] += 1

    def act(self, thread: int, number: int, dice: random.Random) -> str:
        """One new flow; its kind."""
        ready: list[Desk] = []
        while not ready:
            mine = [one for one in self.desks if self.wallets.index(one.wallet) % THREADS == thread]
            ready = [desk for desk in mine if self.is_minted(desk)]
            time.sleep(0.0 if ready else 0.5)
        drawn, desk = dice.random(), dice.choice(ready)
        if drawn > 0.93 or self.balance(desk) < 20_000:
            idle = next((one for one in ready if self.may_grow(one)), None)
            self.deposit(idle or self.new_desk(dice.choice(range(thread, WALLETS, THREADS))))
            return "deposit"
        if drawn < 0.30 and self.deliver(desk, number, dice):
            return "delivery"
        kilograms = dice.randint(1, 4_000)
        details = RetirementDetails(f"Chaos {number}", "test", "2026")
        owner = desk.wallet.address
        data = calls.retire(owner, desk.class_id, kilograms, owner, details)
        self.load.send(f"retire:{number}", desk.wallet, "CarbonCredits", data)
        return "retirement"

    def balance(self, desk: Desk) -> int:
        """Kilograms that its holder has."""
        return self.again(
            lambda context: context.contracts.balance_of(desk.wallet.address, desk.class_id)
        )

    def may_grow(self, desk: Desk) -> bool:
        """Whether no flow of the class is open: a registry that chooses serials may else take
        credits that are not in trust yet, which only a person can set right.
        """
        if desk.issued + LOT > LARGEST_CLASS:
            return False
        return not self.again(
            lambda context: [
                one
                for kind in KINDS
                for one in context.bridge.parts.flows.of_kind(kind, only_open=True)
                if one.class_id == desk.class_id
            ]
        )

    def deliver(self, desk: Desk, number: int, dice: random.Random) -> bool:
        """As many tonnes as lie in one piece from the front; False when the contract refuses."""

        def run(context: Context) -> int:
            positions = context.contracts.positions(desk.class_id).positions
            return context.contracts.serial_at(desk.class_id, positions.exited).run

        tonnes = min(self.again(run), dice.randint(1, 5))
        buyer = dice.choices(list(BUYERS), (6, 2, 2))[0]
        data = bridge_calls.request_delivery(desk.wallet.address, desk.class_id, tonnes, buyer)
        try:
            self.load.send(f"deliver:{number}", desk.wallet, "Deliveries", data)
        except RuntimeError:
            # A reorganisation changed what stands at the front.
            return False
        return True

    def tend(self, number: int, dice: random.Random) -> None:
        """Buyers answer what waits for them; holders take back what they may."""

        def waiting(context: Context) -> list[tuple[str, str, str | None]]:
            parts = context.bridge.parts
            return [
                (flow.id, str(flow.content["holder"]), _reference(parts, flow.id))
                for flow in parts.flows.of_kind("delivery", only_open=True)
            ]

        for flow_id, holder, reference in self.again(waiting):
            if reference is not None:
                verb = "accept" if dice.random() < 0.7 else "reject"
                self.registry("POST", f"v1/transfers/{reference}/{verb}", {"reason": "no"}, 409)
            self.refund(flow_id, holder, number)

    def refund(self, flow_id: str, holder: str, number: int) -> None:
        """By the holder, when the delivery is rejected."""
        key = next(one for one in self.wallets if one.address.lower() == holder.lower())

        def step(context: Context) -> None:
            now = context.bridge.deliveries.on_chain(flow_id)
            if now.phase.state is not State.REJECTED:
                return
            try:
                with self.load.gate:
                    do_refund(context, int(flow_id), key, f"refund:{flow_id}:{number}")
            except (InvalidValue, ChainRejected) as error:
                # A reorganisation took back what allowed it: asked anew next time.
                with self.lock:
                    self.refused[error.message[:120]] += 1

        self.again(step)

    # ── the end ──────────────────────────────────────────────────────────────────────────────

    def finish(self, seconds: float) -> None:
        """Close every opened tonne and wait until every flow has ended."""
        self.registry("PUT", "admin/faults", {})
        dice, deadline = random.Random(self.seed), time.monotonic() + seconds
        number = 1_000_000
        while True:
            number += 1
            self.tend(number, dice)
            closed = [self.close(desk, number) for desk in self.desks]
            left = self.open_flows()
            if not left and not any(closed):
                return
            if time.monotonic() > deadline:
                raise RuntimeError("\n".join(left[:50]))
            time.sleep(1.0)

    def close(self, desk: Desk, number: int) -> bool:
        """Retire what is left of the class's open tonne; whether there was one."""
        state = self.again(lambda context: context.contracts.positions(desk.class_id).positions)
        if not state.dust:
            return False
        data = calls.close_open_tonne(desk.class_id, state.open_tonne)
        key = f"close:{desk.class_id}:{number}"
        self.load.send(key, desk.wallet, "CarbonCredits", data)
        return True

    def differences(self) -> list[str]:
        """Of registry, custody and chain."""
        book = self.registry("GET", "admin/book").json()
        classes = [Issued(one.class_id, one.base, one.issued) for one in self.desks]

        def step(context: Context) -> list[str]:
            account = context.custody.trust(TRUST).account.account
            return differences(context.bridge, book, account, classes)

        return self.again(step)

    def counts(self) -> dict[str, int]:
        """Flows by kind and state, and breaks that were reported."""

        def step(context: Context) -> dict[str, int]:
            with context.database.read() as connection:
                found = connection.exec_driver_sql(
                    "SELECT kind || ' ' || state, count(*) FROM bridge_flows GROUP BY 1"
                    " UNION ALL SELECT 'break ' || kind, count(*) FROM breaks GROUP BY 1 ORDER BY 1"
                )
                return {str(name): int(count) for name, count in found}

        return self.again(step)


def _reference(parts: Any, flow_id: str) -> str | None:
    """The registry's reference of a transfer that waits for a buyer who answers by hand."""
    for one in parts.requests.of_flow("delivery", flow_id):
        if one.answer is not None and one.answer.state is AnswerState.ACCEPTED:
            return str(one.answer.registry_reference)
    return None


class Trouble(threading.Thread):
    """Kills and reorganisations, spread over the requests of the load, until it is told to stop:
    by what was done, not by the clock, since a busy machine takes a minute to start a process.
    """

    def __init__(
        self, holders: Holders, flows: int, kills: int, reorganisations: int, seed: int
    ) -> None:
        super().__init__(daemon=True)
        self.holders, self.flows = holders, flows
        self.load, self.system = holders.load, holders.load.system
        self.dice = random.Random(seed)
        self.events = ["kill"] * kills + ["reorganise"] * reorganisations
        self.dice.shuffle(self.events)
        self.done: Counter[str] = Counter()
        self.ended = threading.Event()

    def run(self) -> None:
        count = len(self.events)
        while self.events and not self.ended.wait(self.dice.uniform(1.0, 4.0)):
            gone = count - len(self.events)
            if sum(self.holders.done.values()) * (count + 1) < self.flows * (gone + 1):
                continue
            event = self.events[-1]
            if self.kill() if event == "kill" else self.reorganise():
                self.events.pop()

    def kill(self) -> bool:
        name = "worker" if self.dice.random() < 0.5 else self.dice.choice(OTHERS)
        killed = self.system.kill(name)
        self.done[f"killed {name}"] += killed
        return killed

    def reorganise(self) -> bool:
        """Between two requests, the worker held still: an Anvil that is mining meanwhile loses
        state by itself.
        """
        for _ in range(THREADS):
            self.load.gate.acquire()
        worker = self.system.pids().get("worker")
        try:
            if worker is None:
                return False
            os.kill(worker, signal.SIGSTOP)
            time.sleep(0.3)
            with self.system.context() as context:
                context.rpc.call("anvil_reorg", self.dice.randint(1, DEEPEST), [])
        except (CausewayError, OSError):
            return False
        finally:
            self.load.gate.release(THREADS)
            if worker is not None:
                _go_on(worker)
        self.done["reorganisations"] += 1
        return True


def _go_on(pid: int) -> None:
    """Let a process that was held still go on, if it is there."""
    try:
        os.kill(pid, signal.SIGCONT)
    except ProcessLookupError:
        return


def run(options: argparse.Namespace, home: Path) -> dict[str, Any]:
    """One whole run; the report."""
    system = System(home, CONFIRMATIONS if options.reorganisations else 0)
    system.start()
    load = Load(system)
    holders = Holders(load, options.seed)
    started = time.monotonic()
    if options.seconds:
        holders.stop_at = started + options.seconds
    try:
        holders.prepare()
        prepared = time.monotonic()
        trouble = Trouble(
            holders, options.flows, options.kills, options.reorganisations, options.seed
        )
        trouble.start()
        tended = threading.Event()
        dice = random.Random(options.seed)

        def tending() -> None:
            number = 0
            while not tended.wait(2.0):
                number += 1
                holders.tend(number, dice)

        parts = [range(first, options.flows, THREADS) for first in range(THREADS)]
        with ThreadPoolExecutor(THREADS + 1) as pool:
            side = pool.submit(tending)
            try:
                for one in [pool.submit(holders.work, *each) for each in enumerate(parts)]:
                    one.result()
            finally:
                tended.set()
            side.result()
        while trouble.events and time.monotonic() < holders.stop_at:
            time.sleep(0.2)
        trouble.ended.set()
        trouble.join()
        loaded = time.monotonic()
        holders.finish(options.patience)
        context = load.settle()
        context.indexer().check()
        wrong = holders.differences()
        export = home.parent / "registry-export.csv"
        export.write_text(holders.registry("GET", "v1/exports/verra-vcu-export").text)
        report: dict[str, Any] = {
            "seconds_to_prepare": round(prepared - started, 1),
            "seconds_of_load": round(loaded - prepared, 1),
            "seconds_to_the_end": round(time.monotonic() - loaded, 1),
            "classes": len(holders.desks),
            "requests": dict(holders.done),
            "refunds_refused": dict(holders.refused),
            "flows": holders.counts(),
            "repeats": load.repeats,
            "longest_request_seconds": round(load.longest, 1),
            "chain_blocks": context.rpc.block_number(),
            "troubles": dict(trouble.done),
            "differences": wrong,
        }
        return report | judged(context, export)
    finally:
        load.close()
        status = system.stop()
        print(f"causeway up ended with {status}", file=sys.stderr)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--home", type=Path)
    for name, default in (
        ("flows", 1_000), ("kills", 30), ("reorganisations", 20), ("seed", 1), ("seconds", 0),
        ("patience", 600),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="causeway-chaos-bridge-") as directory:
        os.chmod(directory, 0o755)
        home = options.home or Path(directory) / "home"
        log = home.with_suffix(".log")
        try:
            report = run(options, home)
        except BaseException:  # the directory goes, and with it what the processes said
            print(log.read_text(errors="replace")[-8000:], file=sys.stderr)
            raise
        if report["differences"] or report["audit_exit"] or report["recount_exit"]:
            report["log"] = log.read_text(errors="replace")[-4000:]
    print(json.dumps(report, indent=2))
    return 1 if "log" in report else 0


if __name__ == "__main__":
    sys.exit(main())
