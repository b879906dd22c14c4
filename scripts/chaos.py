"""The whole system under load while its processes are killed and its chain is reorganised.

    python scripts/chaos.py EXPORT [--classes 50] [--transfers 1000] [--retirements 500]
        [--wallets 20] [--kills 30] [--reorganisations 0] [--seed 1] [--home DIRECTORY]

Starts `causeway up` on a home and ports of its own, tokenizes classes of the export, lets wallets
transfer and retire through the sender and the index, and kills processes at random moments (the
supervisor too). Every request has a key and is repeated until it is acknowledged: mined and
indexed. At the end: balances, supplies and certificates must be exactly what the requests add up
to, what was acknowledged must be unchanged, the audit must hold, and `scripts/recount.py`, which
imports nothing of the backend, must agree with chain and index. Exit 0 only then.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from backend.bridge.imports import import_export  # noqa: E402
from backend.bridge.selection import Lot, lots_of  # noqa: E402
from backend.chain import calls  # noqa: E402
from backend.chain.keys import Key  # noqa: E402
from backend.commands.context import Context  # noqa: E402
from backend.commands.demo_registry import DemoRegistry  # noqa: E402
from backend.domain.retirements import RetirementDetails  # noqa: E402
from backend.errors import CausewayError, ChainRejected, LocalError, ServiceError  # noqa: E402
from backend.settings import Settings  # noqa: E402
from backend.store.queries import lookup, registry  # noqa: E402

KILLABLE = ("worker", "api", "anvil", "postgres", "nats", "supervisor")
THREADS = 4
#: Deeper than any reorganisation that is made here.
CONFIRMATIONS = 6
DEEPEST = 3
PATIENCE = 600.0
LOT_TONNES = 40
SPARE_ACCOUNT = 9
GAS_MONEY = hex(5 * 10**18)


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class System:
    """`causeway up` on its own home; started again when its supervisor was killed."""

    def __init__(self, home: Path, confirmations: int) -> None:
        self.home = home
        self.environment = os.environ | {
            "CAUSEWAY_HOME": str(home),
            "CAUSEWAY_API_PORT": str(free_port()),
            "CAUSEWAY_RPC_PORT": str(free_port()),
            "CAUSEWAY_CONFIRMATIONS": str(confirmations),
        }
        self.process: subprocess.Popen[bytes] | None = None
        self.log = home.with_suffix(".log")

    def start(self) -> None:
        """Start the supervisor; it sorts out what a killed one left."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "backend.cli", "up"],
                cwd=REPOSITORY,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def stop(self) -> int:
        """Ctrl-C; returns the exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)

    def context(self) -> Context:
        """A fresh context: endpoints may have moved."""
        return Context(Settings.load(home=self.home))

    def pids(self) -> dict[str, int]:
        """Processes by name, as the run file has them now."""
        try:
            found = json.loads((self.home / "run.json").read_bytes())
        except (OSError, ValueError):
            return {}
        pids = {name: entry["pid"] for name, entry in found["processes"].items()}
        return pids | {"supervisor": found["supervisor"]["pid"]}

    def ready(self) -> Context:
        """Wait until everything answers."""
        deadline = time.monotonic() + PATIENCE
        while True:
            context = self.context()
            try:
                context.database.check()
                context.indexed_number()
                context.rpc.block_number()
                if "worker" not in self.pids():
                    raise LocalError("the worker is not there yet")
                return context
            except CausewayError:
                context.close()
                assert self.process is not None
                # One that was just killed here is about to be started again.
                if self.process.poll() not in (None, -signal.SIGKILL):
                    raise RuntimeError(f"causeway up ended; see {self.log}") from None
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def kill(self, name: str) -> bool:
        """SIGKILL one process; False when it is not there at this moment."""
        pid = self.pids().get(name)
        if pid is None:
            return False
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        if name == "supervisor":
            assert self.process is not None
            self.process.wait()
            self.start()
        return True


@dataclass
class Load:
    """What was asked and what was acknowledged."""

    system: System
    wallets: list[Key] = field(default_factory=list)
    classes: list[int] = field(default_factory=list)
    balances: Counter[tuple[str, int]] = field(default_factory=Counter)
    minted: Counter[int] = field(default_factory=Counter)
    retired: Counter[int] = field(default_factory=Counter)
    certificates: dict[int, tuple[Any, ...]] = field(default_factory=dict)
    opened: list[Context] = field(default_factory=list)
    repeats: int = 0
    longest: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)
    #: Held by every request: who takes all of them finds the chain quiet.
    gate: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(THREADS))
    local: threading.local = field(default_factory=threading.local)

    def context(self, fresh: bool = False) -> Context:
        """One context per thread; a fresh one after trouble."""
        if fresh and hasattr(self.local, "context"):
            self.local.context.close()
            del self.local.context
        if not hasattr(self.local, "context"):
            self.local.context = self.system.ready()
            with self.lock:
                self.opened.append(self.local.context)
        context: Context = self.local.context
        return context

    def close(self) -> None:
        """Give back the connections of every thread."""
        for context in self.opened:
            context.close()

    def send(self, key: str, account: Key, contract: str, data: bytes) -> str:
        """Send with the key again and again until it is mined and indexed."""
        with self.gate:
            return self._send(key, account, contract, data)

    def _send(self, key: str, account: Key, contract: str, data: bytes) -> str:
        started, fresh = time.monotonic(), False
        while True:
            try:
                context = self.context(fresh)
                transaction = context.send(key, account, contract, data)
                break
            except ChainRejected as error:
                raise RuntimeError(f"{key}: {error.message}") from error
            except (ServiceError, LocalError):
                fresh = True
                with self.lock:
                    self.repeats += 1
                if time.monotonic() - started > PATIENCE:
                    raise
                time.sleep(0.1)
        with self.lock:
            self.longest = max(self.longest, time.monotonic() - started)
        return transaction

    # ── setting up ───────────────────────────────────────────────────────────────────────────

    def prepare(self, export: Path, classes: int, wallets: int) -> None:
        """Wallets with gas and admission; one lot of each class, minted to one wallet."""
        context = self.context()
        rich = context.rpc.call("eth_accounts")[SPARE_ACCOUNT]
        for number in range(wallets):
            key = context.keys.create_if_missing(f"chaos-{number}")
            self.wallets.append(key)
            sent = {"from": rich, "to": key.address, "value": GAS_MONEY}
            context.rpc.call("eth_sendTransactionSync", sent)
            data = calls.admit(key.address, 2, "HK", 2**40 - 1)
            self.send(f"admit:{number}", context.key("registrar"), "Participants", data)
        document, code = import_export(context.database, export, lambda text: None)
        if code:
            raise RuntimeError(f"{export}: {document['rejected'][:3]}")
        desk = DemoRegistry(context)
        desk.open_accounts()
        for at, lot in enumerate(self._lots(classes)):
            self._deposit(desk, lot, at)
        for at in range(classes):
            desk.minted(f"chaos-{at}")

    def _lots(self, classes: int) -> list[Lot]:
        with self.context().database.read() as connection:
            page = registry.list_blocks(connection, tokenizable=True, limit=500)
        found: list[Lot] = []
        seen = set()
        for block in page.items:
            lot = lots_of([block], min(block.free_tonnes, LOT_TONNES))[0]
            if lot.credit_class not in seen and len(found) < classes:
                seen.add(lot.credit_class)
                found.append(lot)
        if len(found) < classes:
            raise RuntimeError(f"{len(found)} classes can be tokenized, {classes} asked")
        return found

    def _deposit(self, desk: DemoRegistry, lot: Lot, at: int) -> None:
        wallet = self.wallets[at % len(self.wallets)]
        desk.give_notice(lot, wallet.address, f"chaos-{at}")
        class_id = lot.credit_class.token_id
        self.classes.append(class_id)
        self.minted[class_id] += lot.tonnes * 1000
        self.balances[wallet.address, class_id] += lot.tonnes * 1000

    # ── the load ─────────────────────────────────────────────────────────────────────────────

    def plan(self, transfers: int, retirements: int, dice: random.Random) -> list[list[Any]]:
        """Requests per thread; a wallet belongs to one thread and spends only what it began with,
        so that every order of mining can carry them out."""
        budget = Counter(self.balances)
        kinds = ["transfer"] * transfers + ["retire"] * retirements
        dice.shuffle(kinds)
        work: list[list[Any]] = [[] for _ in range(THREADS)]
        for number, kind in enumerate(kinds):
            holdings = [pair for pair, left in budget.items() if left > 3_000]
            address, class_id = dice.choice(holdings)
            at = next(n for n, key in enumerate(self.wallets) if key.address == address)
            kilograms = dice.randrange(1, max(2, budget[address, class_id] // 20)) | 1
            budget[address, class_id] -= kilograms
            other = dice.choice([key for key in self.wallets if key.address != address])
            work[at % THREADS].append((number, kind, at, class_id, kilograms, other.address))
        return work

    def work(self, requests: list[Any]) -> None:
        """Carry out the requests of one thread in order."""
        for number, kind, at, class_id, kilograms, other in requests:
            key = self.wallets[at]
            if kind == "transfer":
                data = calls.transfer(key.address, other, class_id, kilograms)
                self.send(f"transfer:{number}", key, "CarbonCredits", data)
                with self.lock:
                    self.balances[key.address, class_id] -= kilograms
                    self.balances[other, class_id] += kilograms
            else:
                details = RetirementDetails(f"Chaos {number}", "test", "2026")
                data = calls.retire(key.address, class_id, kilograms, key.address, details)
                sent = self.send(f"retire:{number}", key, "CarbonCredits", data)
                self._acknowledge(sent, key.address, class_id, kilograms)

    def _acknowledge(self, sent: str, address: str, class_id: int, kilograms: int) -> None:
        """Note what the index says of a retirement that is acknowledged."""
        with self.lock:
            self.balances[address, class_id] -= kilograms
            self.retired[class_id] += kilograms
        while True:
            try:
                context = self.context()
                with context.database.read() as connection:
                    found = lookup.certificates_of_transaction(connection, sent)
                facts = [tuple(context.contracts.certificate(one)) for one in found]
                break
            except (ServiceError, LocalError):
                self.context(fresh=True)
        with self.lock:
            self.certificates.update(zip(found, facts, strict=True))

    # ── the reckoning ────────────────────────────────────────────────────────────────────────

    def settle(self) -> Context:
        """Wait until nothing is under way and the index has everything."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                context = self.context(fresh=True)
                chain_id = context.deployment.chain_id
                context.sender.advance()
                if context.log.open(chain_id):
                    for _ in range(CONFIRMATIONS + 1):
                        context.rpc.call("evm_mine")
                elif context.rpc.block_number() == context.indexed_number():
                    return context
            except (ServiceError, LocalError):
                pass
            if time.monotonic() > deadline:
                raise RuntimeError("transactions are still under way")
            time.sleep(0.5)

    def differences(self, context: Context, strict: bool) -> list[str]:
        """What is not as the requests add up to; `strict`: certificates as acknowledged too."""
        wrong = []
        pairs = [(key.address, one) for key in self.wallets for one in self.classes]
        for pair, held in zip(pairs, context.contracts.balances(pairs), strict=True):
            if held != self.balances[pair]:
                wrong.append(f"{pair}: {held} kg, {self.balances[pair]} kg expected")
        for class_id in self.classes:
            expected = self.minted[class_id] - self.retired[class_id]
            supply = context.contracts.total_supply(class_id)
            if supply != expected:
                wrong.append(f"supply of {class_id}: {supply} kg, {expected} kg expected")
        with context.database.read() as connection:
            count = connection.exec_driver_sql("SELECT count(*) FROM certificates").scalar()
        if strict and count != len(self.certificates):
            wrong.append(f"{count} certificates, {len(self.certificates)} acknowledged")
        for certificate_id, facts in self.certificates.items() if strict else ():
            now = tuple(context.contracts.certificate(certificate_id))
            if now != facts:
                wrong.append(f"certificate {certificate_id}: {now}, acknowledged {facts}")
        return wrong


class Trouble(threading.Thread):
    """Kills and reorganises at random moments until it is told to stop."""

    def __init__(self, load: Load, kills: int, reorganisations: int, seed: int) -> None:
        super().__init__(daemon=True)
        self.load, self.system = load, load.system
        self.dice = random.Random(seed)
        events = ["kill"] * kills + ["reorganise"] * reorganisations
        self.dice.shuffle(events)
        self.events = events
        self.done: Counter[str] = Counter()
        self.ended = threading.Event()

    def run(self) -> None:
        while self.events and not self.ended.wait(self.dice.uniform(0.5, 4.0)):
            event = self.events[-1]
            if self.kill() if event == "kill" else self.reorganise():
                self.events.pop()

    def kill(self) -> bool:
        name = self.dice.choice(KILLABLE)
        killed = self.system.kill(name)
        self.done[f"killed {name}"] += killed
        return killed

    def reorganise(self) -> bool:
        """Between two requests: an Anvil that is mining meanwhile loses state by itself."""
        for _ in range(THREADS):
            self.load.gate.acquire()
        try:
            time.sleep(0.2)
            with self.system.context() as context:
                context.rpc.call("anvil_reorg", self.dice.randint(1, DEEPEST), [])
        except (CausewayError, OSError):
            return False
        finally:
            self.load.gate.release(THREADS)
        self.done["reorganisations"] += 1
        return True


def judged(context: Context, export: Path) -> dict[str, Any]:
    """The audit's and the recount's verdicts, each from its own process."""
    rpc, deployment = context.settings.require_chain_url(), context.settings.deployment_file
    where = ["--rpc", rpc, "--deployment", str(deployment)]
    audit = subprocess.run(
        [sys.executable, "-m", "backend.cli", "audit", *where, "--custody", str(export), "--json"],
        cwd=REPOSITORY,
        capture_output=True,
        check=False,
    )
    url = ["--database-url", context.settings.require_database_url()]
    recount = subprocess.run(
        [sys.executable, "scripts/recount.py", *where, *url],
        cwd=REPOSITORY,
        capture_output=True,
        check=False,
    )
    laws = json.loads(audit.stdout)["laws"] if audit.returncode in (0, 1) else {}
    return {
        "audit_exit": audit.returncode,
        "laws": {name: law["status"] for name, law in laws.items()},
        "recount_exit": recount.returncode,
        "recount_says": recount.stderr.decode()[-500:],
    }


def run(options: argparse.Namespace, home: Path) -> dict[str, Any]:
    """One whole run; the report."""
    system = System(home, CONFIRMATIONS if options.reorganisations else 0)
    system.start()
    load = Load(system)
    started = time.monotonic()
    try:
        load.prepare(options.export, options.classes, options.wallets)
        prepared = time.monotonic()
        load.settle()
        trouble = Trouble(load, options.kills, options.reorganisations, options.seed)
        work = load.plan(options.transfers, options.retirements, random.Random(options.seed))
        trouble.start()
        with ThreadPoolExecutor(THREADS) as pool:
            for done in [pool.submit(load.work, requests) for requests in work]:
                done.result()
        while trouble.events:
            time.sleep(0.2)
        trouble.ended.set()
        trouble.join()
        loaded = time.monotonic()
        context = load.settle()
        context.indexer().check()
        wrong = load.differences(context, strict=not options.reorganisations)
        report = {
            "seconds_to_prepare": round(prepared - started, 1),
            "seconds_of_load": round(loaded - prepared, 1),
            "classes": len(load.classes),
            "transfers": options.transfers,
            "retirements": options.retirements,
            "repeats": load.repeats,
            "longest_request_seconds": round(load.longest, 1),
            "chain_blocks": context.rpc.block_number(),
            "troubles": dict(trouble.done),
            "differences": wrong,
        }
        return report | judged(context, options.export)
    finally:
        load.close()
        status = system.stop()
        print(f"causeway up ended with {status}", file=sys.stderr)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("export", type=Path)
    parser.add_argument("--home", type=Path)
    for name, default in (
        ("classes", 50), ("transfers", 1_000), ("retirements", 500), ("wallets", 20),
        ("kills", 30), ("reorganisations", 0), ("seed", 1),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="causeway-chaos-") as directory:
        os.chmod(directory, 0o755)
        home = options.home or Path(directory) / "home"
        report = run(options, home)
        if report["differences"] or report["audit_exit"] or report["recount_exit"]:
            report["log"] = (home.with_suffix(".log")).read_text(errors="replace")[-4000:]
    print(json.dumps(report, indent=2))
    return 1 if "log" in report else 0


if __name__ == "__main__":
    sys.exit(main())
