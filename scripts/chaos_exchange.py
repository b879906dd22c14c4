"""The whole exchange under load of signed commands while its processes are killed.

    python scripts/chaos_exchange.py EXPORT [--commands 20000] [--classes 50] [--wallets 20]
        [--kills 0] [--only sequencer] [--standby] [--exits 3] [--seed 1] [--home DIRECTORY]

Starts `causeway up` on a home and ports of its own, tokenizes classes of the export, deposits
credits and test money and lets wallets trade through the API: all order types, cancels,
withdrawals, further deposits, forced exits. Every message is repeated under its nonce until its
outcome is known. At the end everything is settled and claimed; then every acknowledged entry must
stand in the exported journal with the same bytes and every nonce once, the contract's accounts must
equal the venue's, the money must add up, `causeway audit --journal` must hold in every law and
`scripts/recount_exchange.py`, which imports nothing of the backend, must agree. Exit 0 only then.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from backend.chain import abi, calls, exchange_calls  # noqa: E402
from backend.client import Client, Placed, Trader  # noqa: E402
from backend.commands.context import Context  # noqa: E402
from backend.commands.funds import Holding, account_of, settlement_asset  # noqa: E402
from backend.commands.venue import do_export  # noqa: E402
from backend.domain.journal import decode_entry  # noqa: E402
from backend.domain.journal_file import read_stored  # noqa: E402
from backend.errors import CausewayError, RuleError, VenueUnavailable  # noqa: E402
from scripts.chaos import Load, System  # noqa: E402

KILLABLE = ("sequencer", "watcher", "worker", "api", "nats", "postgres", "anvil", "supervisor")
THREADS = 4
PATIENCE = 240.0
MONEY = 10**12
TONNES_DEPOSITED = 30
MIDDLE = 50_000_000
TICK = 10_000
MOST_AT_ONCE = 10


@dataclass
class Desk:
    """One wallet at the exchange: what it was acknowledged, what it may still cancel."""

    trader: Trader
    holds: Counter[int] = field(default_factory=Counter)
    nonces: list[int] = field(default_factory=list)
    exiting_since: float = 0.0


class Market:
    """The load: wallets, their desks, and everything the sequencer promised."""

    def __init__(self, load: Load, seed: int, window: int) -> None:
        self.load, self.system = load, load.system
        self.seed, self.window = seed, window
        self.desks: list[Desk] = []
        self.promised: dict[int, bytes] = {}
        self.kinds: Counter[str] = Counter()
        self.longest = 0.0
        self.lock = threading.Lock()
        self.money: Holding = Holding(0, "")

    # ── setting up ───────────────────────────────────────────────────────────────────────────

    def open(self) -> None:
        """Money for everybody, deposits of everybody, desks at the API."""
        context = self.load.context()
        self.money = settlement_asset(context, "HKD")
        url = context.settings.api_url
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(self._fund, range(len(self.load.wallets))))
        for key in self.load.wallets:
            self.desks.append(Desk(Trader(Client(url, timeout=20.0), key, patience=PATIENCE)))
        for (address, class_id), kilograms in self.load.balances.items():
            at = next(n for n, key in enumerate(self.load.wallets) if key.address == address)
            tonnes = min(TONNES_DEPOSITED, kilograms // 1000)
            self.deposit_credits(at, class_id, tonnes)
            self.desks[at].holds[class_id] += tonnes
        wanted = int(context.contracts.read("Exchange", "depositCount"))
        self._wait(lambda: int(self.venue()["last_deposit"]) >= wanted, "deposits are credited")

    def _fund(self, at: int) -> None:
        key, context = self.load.wallets[at], self.load.context()
        issuer, exchange = context.key("issuer"), context.deployment["Exchange"]
        self.load.send(f"fund:{at}", issuer, "HKD", calls.issue_asset("HKD", key.address, MONEY))
        approval = abi.encode_call("HKD", "approve", (exchange, MONEY))
        self.load.send(f"approve:{at}", key, "HKD", approval)
        data = exchange_calls.deposit(self.money.asset, MONEY // 2)
        self.load.send(f"deposit-money:{at}", key, "Exchange", data)

    def deposit_credits(self, at: int, class_id: int, tonnes: int) -> None:
        key, exchange = self.load.wallets[at], self.load.context().deployment["Exchange"]
        data = calls.transfer(key.address, exchange, class_id, tonnes * 1000)
        self.load.send(f"deposit:{at}:{class_id}", key, "CarbonCredits", data)

    def venue(self) -> dict[str, Any]:
        return self.desks[0].trader.client.venue() if self.desks else {}

    # ── the load ─────────────────────────────────────────────────────────────────────────────

    def work(self, thread: int, commands: int, exits: int, trouble: Trouble) -> None:
        """One thread's share, and on while there is trouble; a desk belongs to one thread."""
        dice = random.Random(self.seed * 1000 + thread)
        desks = self.desks[thread::THREADS]
        leaving = desks[:exits]
        done = 0
        while done < commands or trouble.goes_on:
            desk = dice.choice(desks)
            started = time.monotonic()
            try:
                done += self._step(desk, dice)
            except (RuleError, VenueUnavailable) as error:
                # An exit makes nonces and balances move; a rule that says no is an answer too.
                self._count(f"error {error.values.get('code', error.code)}: {error.message[:60]}")
                done += 1
            with self.lock:
                self.longest = max(self.longest, time.monotonic() - started)
            if leaving and 10 * done > 6 * commands:
                self._exit(leaving.pop())
            for one in desks:
                if one.exiting_since and time.monotonic() > one.exiting_since + self.due:
                    self._leave(one)

    def _step(self, desk: Desk, dice: random.Random) -> int:
        chance = dice.random()
        if chance < 0.70:
            orders = [self._order(desk, dice) for _ in range(dice.randint(1, MOST_AT_ONCE))]
            for answer in desk.trader.place_many(orders):
                self._note(desk, answer)
            return len(orders)
        if chance < 0.93 and desk.nonces:
            nonce = desk.nonces.pop(dice.randrange(len(desk.nonces)))
            self._note(desk, desk.trader.cancel(nonce))
        elif chance < 0.94:
            self._note(desk, desk.trader.cancel_all())
        elif chance < 0.98:
            asset, amount = self.money.asset, dice.randrange(1, 50_000_000)
            if dice.random() < 0.3:
                asset, amount = dice.choice(self.load.classes), dice.randrange(1, 900)
            self._note(desk, desk.trader.withdraw(asset, amount))
        else:
            self._deposit(desk, dice)
        return 1

    def _order(self, desk: Desk, dice: random.Random) -> Any:
        held = [class_id for class_id, tonnes in desk.holds.items() if tonnes > 0]
        sells = bool(held) and dice.random() < 0.5
        class_id = dice.choice(held) if sells else dice.choice(self.load.classes)
        price = MIDDLE + dice.randint(-150, 150) * TICK
        kind, conditions = dice.random(), {}
        if kind < 0.10:
            conditions = {"post_only": True}
        elif kind < 0.25:
            conditions = {"time_in_force": "ioc"}
        elif kind < 0.33:
            conditions = {"time_in_force": "fok"}
        elif kind < 0.345 and not sells:
            details = dice.randbytes(32)
            conditions = {
                "time_in_force": "ioc", "retire_on_fill": True, "details_hash": details,
            }  # fmt: skip
        conditions["self_trade"] = dice.choice(("cancel_taker", "cancel_maker", "cancel_both"))
        side = "sell" if sells else "buy"
        asset, tonnes = self.money.asset, dice.randint(1, 3)
        return desk.trader.order(side, class_id, asset, tonnes, price, **conditions)

    def _note(self, desk: Desk, answer: Placed | CausewayError) -> None:
        if isinstance(answer, CausewayError):
            # A venue that says it took nothing has not promised anything.
            if not isinstance(answer, RuleError | VenueUnavailable):
                raise answer
            self._count(f"error {answer.values.get('code', answer.code)}: {answer.message[:60]}")
            return
        with self.lock:
            known = self.promised.setdefault(answer.seq, answer.entry)
        if known != answer.entry:
            raise RuntimeError(f"entry {answer.seq} was acknowledged with two contents")
        if answer.resting:
            desk.nonces.append(answer.nonce)
        for fill in answer.fills:
            command = decode_entry(answer.entry).command
            order = getattr(command, "order", None)
            if order is not None and not fill.get("retired"):
                desk.holds[order.instrument] += (1 - 2 * order.side) * int(fill["quantity"])
        self._count(f"{answer.status} {answer.reason or ''}".strip())

    def _deposit(self, desk: Desk, dice: random.Random) -> None:
        data = exchange_calls.deposit(self.money.asset, dice.randrange(1, 10**9))
        request = f"more:{desk.trader.key.name}:{dice.getrandbits(64):x}"
        self.load.send(request, desk.trader.key, "Exchange", data)
        self._count("deposit")

    def _exit(self, desk: Desk) -> None:
        data = exchange_calls.request_exit([self.money.asset])
        self.load.send(f"exit:{desk.trader.key.name}", desk.trader.key, "Exchange", data)
        desk.exiting_since = time.monotonic()
        self._count("exit requested")

    @property
    def due(self) -> float:
        """Seconds from an exit's request until it can surely be executed."""
        return 2 * self.window + 3.0

    def _leave(self, desk: Desk) -> None:
        """Execute an exit; one that lapsed while something was down is asked for no more."""
        data = exchange_calls.execute_exit(desk.trader.key.address, [self.money.asset])
        try:
            self.load.send(f"leave:{desk.trader.key.name}", desk.trader.key, "Exchange", data)
            self._count("exit executed")
        except RuntimeError as error:
            if "ExitNotDue" not in str(error):
                raise
            self._count("exit lapsed")
        desk.exiting_since = 0.0

    def _count(self, what: str) -> None:
        with self.lock:
            self.kinds[what] += 1

    # ── the end ──────────────────────────────────────────────────────────────────────────────

    def close(self) -> None:
        """Execute what is due, settle everything, pay everything out that is claimable."""
        for desk in self.desks:
            if desk.exiting_since:
                time.sleep(max(0.0, desk.exiting_since + self.due - time.monotonic()))
                self._leave(desk)
        for desk in self.desks:
            self._note(desk, desk.trader.cancel_all())
        self._wait(self._is_settled, "everything is settled")
        context = self.load.context(fresh=True)
        assets = [self.money, *(Holding(one, str(one)) for one in self.load.classes)]
        for desk in self.desks:
            for held in assets:
                address = desk.trader.key.address
                if account_of(context, address, held)[1]:
                    data = exchange_calls.claim(address, held.asset)
                    self.load.send(
                        f"claim:{address}:{held.asset}", desk.trader.key, "Exchange", data
                    )

    def _is_settled(self) -> bool:
        seq = max(self.promised, default=0)
        client = self.desks[0].trader.client
        now = client.get("/v1/venue", {"min_seq": seq})["data"]
        return bool(
            now["last_trade"] == now["settled_trade"]
            and now["last_withdrawal"] == now["settled_withdrawal"]
        )

    @staticmethod
    def _wait(reached: Any, what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                if reached():
                    return
            except CausewayError:
                pass
            if time.monotonic() > deadline:
                raise RuntimeError(f"not within {PATIENCE:.0f} s: {what}")
            time.sleep(0.3)

    # ── the reckoning ────────────────────────────────────────────────────────────────────────

    def differences(self, context: Context, journal: Path) -> list[str]:
        """What is not as promised, or does not add up."""
        return [*self._journal(journal), *self._accounts(context), *self._money(context)]

    def _journal(self, journal: Path) -> list[str]:
        stored: dict[int, bytes] = {}
        used: Counter[tuple[bytes, int]] = Counter()
        with journal.open("rb") as source:
            for entry, _ in read_stored(source):
                decoded = decode_entry(entry)
                stored[decoded.seq] = entry
                message = decoded.command[0] if decoded.command else None
                name = type(decoded.command).__name__
                if name in ("PlaceOrder", "PlaceWithdrawal", "PlaceCancelAll"):
                    used[message.trader, message.nonce] += 1
        wrong = [
            f"entry {seq} was acknowledged and is not in the journal so"
            for seq, entry in self.promised.items()
            if stored.get(seq) != entry
        ]
        return wrong + [f"nonce {who}: {count} times" for who, count in used.items() if count > 1]

    def _accounts(self, context: Context) -> list[str]:
        wrong = []
        for desk in self.desks:
            shown = {int(b["asset"], 0): int(b["total"]) for b in desk.trader.account()["balances"]}
            for asset in (self.money.asset, *self.load.classes):
                address = desk.trader.key.address
                held = account_of(context, address, Holding(asset, str(asset)))[0]
                if held != shown.get(asset, 0):
                    wrong.append(f"{address} {asset}: chain {held}, venue {shown.get(asset, 0)}")
        return wrong

    def _money(self, context: Context) -> list[str]:
        exchange = context.deployment["Exchange"]
        read = context.contracts.read
        wallets = sum(read("HKD", "balanceOf", key.address) for key in self.load.wallets)
        held = read("HKD", "balanceOf", exchange)
        owed = read("Exchange", "total", self.money.asset)
        issued = MONEY * len(self.load.wallets)
        wrong = [] if wallets + held == issued else [f"{wallets} + {held} HKD of {issued}"]
        return wrong if held == owed else [*wrong, f"held {held} HKD, owed {owed}"]


class Trouble(threading.Thread):
    """Kills at random moments until it is told to stop."""

    def __init__(self, market: Market, options: argparse.Namespace) -> None:
        super().__init__(daemon=True)
        self.system, self.dice = market.system, random.Random(options.seed)
        self.names = (options.only,) if options.only else KILLABLE
        self.left: int = options.kills
        self.done: Counter[str] = Counter()
        self.ended = threading.Event()
        self.standby = Standby(self.system) if options.standby else None

    @property
    def goes_on(self) -> bool:
        return self.left > 0 and self.is_alive() and not self.ended.is_set()

    def run(self) -> None:
        # The supervisor gives up on what dies five times within ten seconds of its start each.
        shortest = 6.0 if len(self.names) == 1 else 2.0
        while self.left and not self.ended.wait(self.dice.uniform(shortest, shortest + 3.0)):
            name = self.dice.choice(self.names)
            if name == "sequencer" and self.standby and self.standby.leads:
                killed = self.standby.kill()
                self.standby.leads = False
            else:
                killed = self.system.kill(name)
                if self.standby and name == "sequencer":
                    self.standby.leads = killed
            self.done[f"killed {name}"] += killed
            self.left -= killed


class Standby:
    """A second sequencer beside the supervised one; started again when it was killed or ended."""

    def __init__(self, system: System) -> None:
        self.system = system
        #: Whether it should lead by now: the other sequencer was killed last.
        self.leads = False
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        with self.system.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "backend.cli", "sequencer"],
                cwd=REPOSITORY, env=self.system.environment, stdout=log, stderr=log,
            )  # fmt: skip

    def kill(self) -> bool:
        alive = self.process.poll() is None
        if alive:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process = self._start()
        return alive

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(20)


def judged(context: Context, export: Path, journal: Path) -> dict[str, Any]:
    """The verdicts of the audit, the recount and the journal's replay, each of its own process."""
    rpc, deployment = context.settings.require_chain_url(), context.settings.deployment_file
    where = ["--rpc", rpc, "--deployment", str(deployment)]

    def ran(*command: str) -> subprocess.CompletedProcess[bytes]:
        words = [sys.executable, *command]
        return subprocess.run(words, cwd=REPOSITORY, capture_output=True, check=False)

    both = ["--custody", str(export), "--journal", str(journal), "--json"]
    audit = ran("-m", "backend.cli", "audit", *where, *both)
    recount = ran("scripts/recount_exchange.py", *where)
    replay = ran("-m", "backend.cli", "journal", "verify", str(journal), "--events")
    laws = json.loads(audit.stdout)["laws"] if audit.returncode in (0, 1) else {}
    broken = {n: one["reason"] for n, one in laws.items() if one["status"] != "holds"}
    return {
        "audit_exit": audit.returncode,
        "laws": {name: law["status"] for name, law in laws.items()},
        "laws_that_do_not_hold": broken,
        "audit_says": "" if laws else audit.stderr.decode()[-500:],
        "recount_exit": recount.returncode,
        "recount_says": (recount.stdout + recount.stderr).decode()[-500:],
        "replay_exit": replay.returncode,
    }


def run(options: argparse.Namespace, home: Path) -> dict[str, Any]:
    """One whole run; the report."""
    system = System(home, 0)
    system.environment["CAUSEWAY_WINDOW_SECONDS"] = str(options.window)
    system.start()
    load = Load(system)
    market = Market(load, options.seed, options.window)
    standby: Standby | None = None
    started = time.monotonic()
    try:
        load.prepare(options.export, options.classes, options.wallets)
        market.open()
        prepared = time.monotonic()
        trouble = Trouble(market, options)
        standby = trouble.standby
        trouble.start()
        share, exits = options.commands // THREADS, -(-options.exits // THREADS)
        with ThreadPoolExecutor(THREADS) as pool:
            work = [
                pool.submit(market.work, number, share, exits, trouble) for number in range(THREADS)
            ]
            # The first that fails ends the others too.
            wait(work, return_when=FIRST_EXCEPTION)
            failed = [one for one in work if one.done() and one.exception() is not None]
            if failed:
                trouble.ended.set()
            for one in failed or work:
                one.result()
        loaded = time.monotonic()
        trouble.ended.set()
        trouble.join()
        market.close()
        context = load.settle()
        context.indexer().check()
        journal = home / "journal"
        entries = do_export(context, journal)
        venue = market.venue()
        report = {
            "seconds_to_prepare": round(prepared - started, 1),
            "seconds_of_load": round(loaded - prepared, 1),
            "seconds_to_settle": round(time.monotonic() - loaded, 1),
            "promised": len(market.promised),
            "answers": dict(market.kinds),
            "entries": entries,
            "trades": venue["last_trade"],
            "withdrawals": venue["last_withdrawal"],
            "epochs": venue["epoch"],
            "longest_request_seconds": round(market.longest, 1),
            "troubles": dict(trouble.done),
            "differences": market.differences(context, journal),
        }
        return report | judged(context, options.export, journal)
    finally:
        load.close()
        for desk in market.desks:
            desk.trader.client.close()
        if standby is not None:
            standby.stop()
        status = system.stop()
        print(f"causeway up ended with {status}", file=sys.stderr)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("export", type=Path)
    parser.add_argument("--home", type=Path)
    parser.add_argument("--only", choices=KILLABLE)
    parser.add_argument("--standby", action="store_true")
    for name, default in (
        ("commands", 20_000), ("classes", 50), ("wallets", 20), ("kills", 0), ("exits", 3),
        ("seed", 1), ("window", 60),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="causeway-chaos-") as directory:
        os.chmod(directory, 0o755)
        home = options.home or Path(directory) / "home"
        report = run(options, home)
        exits = ("audit_exit", "recount_exit", "replay_exit")
        if report["differences"] or any(report[name] for name in exits):
            report["log"] = (home.with_suffix(".log")).read_text(errors="replace")[-4000:]
    print(json.dumps(report, indent=2))
    return 1 if "log" in report else 0


if __name__ == "__main__":
    sys.exit(main())
