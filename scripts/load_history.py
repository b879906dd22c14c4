"""Makes a real history on a chain: tokenized exports, transfers, retirements, reorganisations.

    python scripts/load_history.py --rpc URL --deployment FILE --keys DIRECTORY EXPORT \
        [--classes 50] [--transfers 1000] [--retirements 500] [--wallets 20] \
        [--reorganisations 20] [--seed 1] [--write-export FILE]

Only for a local Anvil: it makes wallets, gives them ether and reorganises the chain. What it does
is decided by the seed and the balances it finds; a second history of a chain needs another seed.
`--write-export` writes the registry's export as it would look afterwards (Verra's layout), with
every confirmed serial retired: what `causeway audit --custody` needs.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from eth_utils.crypto import keccak

from backend.audit.register import Register
from backend.audit.report import Findings
from backend.chain import calls
from backend.chain.contracts import Contracts
from backend.chain.events import decode_logs
from backend.chain.keys import Key, KeyStore
from backend.chain.manifest import Deployment
from backend.chain.outbox import TransactionLog
from backend.chain.rpc import Rpc
from backend.chain.sender import Call, Sender
from backend.commands.sample_registry import export_after
from backend.domain import custody, records
from backend.domain.classes import CreditClass, from_yyyymmdd
from backend.domain.credits import BlockRecord, Status
from backend.domain.custody import Receipt, RegistryRetirement
from backend.domain.reserve import ReserveTree
from backend.domain.retirements import RetirementDetails
from backend.domain.serials import Interval, IntervalSet, Series, merge
from backend.domain.transactions import TransactionState
from backend.errors import CausewayError, ChainRejected, ChainUnavailable
from backend.registries.labels import credit_class
from backend.registries.reader import open_export
from scripts.backing import backing, minted_tonnes, proof_of, report_call
from scripts.bridge_history import BridgeActs
from tests.chain.memory_log import MemoryLog

FAR_FUTURE = 2**40 - 1
ETHER = hex(10**21)
GAS = {"mint": 1_500_000, "transfer": 150_000, "retire": 450_000, "confirm": 3_000_000}
RETIRED_ON = 20260401
#: Classes that are not minted: substitutes come from them.
SPARE_CLASSES = 4
Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of everything; the seed decides the rest."""

    classes: int = 50
    transfers: int = 1_000
    retirements: int = 500
    wallets: int = 20
    reorganisations: int = 20
    confirmations: int = 20
    closings: int = 5
    #: Whether the bridge acts at the end, see bridge_history.py.
    bridge: bool = False
    seed: int = 1


def lots_of(paths: Iterable[str | Path], classes: int) -> dict[CreditClass, list[Interval]]:
    """Active blocks of the exports by class, the classes with most tonnes first."""
    found: defaultdict[CreditClass, list[Interval]] = defaultdict(list)
    for path in paths:
        with open_export(path) as export:
            for record in export:
                if isinstance(record, BlockRecord) and record.status is Status.ACTIVE:
                    found[credit_class(record)].append(record.interval)
    largest = sorted(found, key=lambda one: (-sum(i.tonnes for i in found[one]), one))
    return {one: sorted(found[one]) for one in largest[:classes]}


class History:
    """Drives one chain; `log` may be Postgres' with a worker running beside it."""

    def __init__(
        self,
        rpc: Rpc,
        deployment: Deployment,
        keys: KeyStore,
        plan: Plan,
        log: TransactionLog | None = None,
        report: Report = lambda line: None,
    ) -> None:
        self.rpc, self.deployment, self.keys, self.plan = rpc, deployment, keys, plan
        self.contracts = Contracts(rpc, deployment)
        self.log = log if log is not None else MemoryLog()
        self.sender = Sender(rpc, self.log, lambda: int(time.time()), confirmations=64)
        self.random = random.Random(plan.seed)
        self.report = report
        self.domain = custody.signing_domain(deployment.chain_id, deployment["Trust"])
        self.records_domain = records.signing_domain(
            deployment.chain_id, deployment["RegistryRecords"]
        )
        #: What the newest reserve report says; every mint of this history proves from it.
        self.reserve = ReserveTree(())
        roles, needed = deployment.roles, deployment.roles.thresholds
        enough = roles.custodians[: needed.custodians] + roles.attestors[: needed.attestors]
        self.signers = [keys.by_address(address) for address in enough]
        self.wallets = [
            keys.create_if_missing(f"load-{number:02d}") for number in range(1, plan.wallets + 1)
        ]
        self.register: dict[Series, IntervalSet] = {}
        self.lots: dict[CreditClass, list[Interval]] = {}
        self.class_ids: list[int] = []
        #: Kilograms that are surely there in whatever order this round's transactions are mined.
        self.safe: dict[tuple[str, int], int] = {}
        self.reorganised = 0

    # ------------------------------------------------------------------- steps

    def run(
        self,
        lots: dict[CreditClass, list[Interval]],
        spare: Sequence[tuple[CreditClass, Interval]] = (),
    ) -> None:
        """The whole history; every transaction of it is mined when this returns.

        `spare` are serials of other classes, for substitutes.
        """
        self.lots = lots
        self.admit()
        first = [(one, [intervals[0]]) for one, intervals in lots.items()]
        rest = [(one, [lot]) for one, intervals in lots.items() for lot in intervals[1:]]
        self.back(first + rest)
        self.mint("first", first)
        self.class_ids = [int(one.token_id) for one in lots]
        rounds = max(self.plan.reorganisations, 1)
        for number in range(rounds):
            self.refresh()
            extra = rest[number * len(rest) // rounds : (number + 1) * len(rest) // rounds]
            self.mint(f"round-{number}", extra)
            self.round(number, rounds)
            self.confirm(number, rounds)
        self.close()
        if self.plan.bridge:
            BridgeActs(self, spare).run()
        self.report(
            f"block {self.rpc.block_number()}: {len(lots)} classes, {self.plan.transfers} "
            f"transfers, {self.plan.retirements} retirements, {self.reorganised} reorganisations"
        )

    def admit(self) -> None:
        """Ether for everybody who sends, admission for the wallets."""
        registrar = self.keys.by_address(self.deployment.roles.registrar)
        for key in [registrar, *self.signers, *self.wallets]:
            self.rpc.call("anvil_setBalance", key.address, ETHER)
        self.send(
            Call(
                f"load:{self.plan.seed}:admit:{wallet.address}",
                registrar,
                self.deployment["Participants"],
                calls.admit(wallet.address, 2, "HK", FAR_FUTURE),
                GAS["transfer"],
            )
            for wallet in self.wallets
        )

    def back(self, lots: Sequence[tuple[CreditClass, list[Interval]]]) -> None:
        """One reserve report that covers every lot this history will mint."""
        receipts = [self._receipt("reserve", self.wallets[0].address, *lot) for lot in lots]
        self.reserve = backing(receipts, minted_tonnes(self.contracts, receipts))
        data = report_call(self.contracts, self.reserve, self.signers)
        key = f"load:{self.plan.seed}:reserve:{self.reserve.tree.root.hash.hex()}"
        self.send([Call(key, self.signers[0], self.deployment["Reserve"], data, GAS["transfer"])])

    def _receipt(
        self, evidence: str, recipient: str, one: CreditClass, intervals: list[Interval]
    ) -> Receipt:
        account, terms = keccak(text="load account"), keccak(text="terms")
        listed = tuple(intervals)
        return Receipt(recipient, one, account, listed, keccak(text=evidence), terms, FAR_FUTURE)

    def mint(self, name: str, lots: Sequence[tuple[CreditClass, list[Interval]]]) -> None:
        """One receipt per lot, signed by custodian and attestor, to a wallet of the seed's."""
        submitted = []
        for index, (one, intervals) in enumerate(lots):
            wallet = self.random.choice(self.wallets)
            receipt = self._receipt(f"{name}:{index}", wallet.address, one, intervals)
            digest = receipt.digest(self.domain)
            key = f"load:{self.plan.seed}:mint:{digest.hex()}"
            hints = [self._hint(interval) for interval in intervals]
            proof = proof_of(self.reserve, receipt)
            data = calls.mint_with_receipt(receipt, hints, proof, self._signatures(digest))
            submitted.append(
                Call(key, self.signers[0], self.deployment["Trust"], data, GAS["mint"])
            )
        self.send(submitted)

    def round(self, number: int, rounds: int) -> None:
        """A share of transfers and retirements, mixed, with one reorganisation in their middle."""
        work = [
            *(
                self._transfer(number, i)
                for i in range(_share(self.plan.transfers, number, rounds))
            ),
            *(
                self._retire(number, i)
                for i in range(_share(self.plan.retirements, number, rounds))
            ),
        ]
        self.random.shuffle(work)
        before = self.rpc.block_number()
        if self.reorganised < self.plan.reorganisations and work:
            self.send(work)
            depth = min(self.rpc.block_number() - before, self.random.randint(1, 12))
            if depth:
                self.reorganise(depth)
        self.send(work)

    def reorganise(self, depth: int) -> None:
        """Throw chain blocks away; the sender must bring every transaction back."""
        self.rpc.call("evm_setAutomine", False)
        self._settle()
        if self.reorganised % 2:
            self.rpc.call("anvil_rollback", depth)
        else:
            self.rpc.call("anvil_reorg", depth, [])
        self.rpc.call("evm_setAutomine", True)
        self.reorganised += 1
        self.report(f"reorganisation {self.reorganised} of depth {depth}")

    def _settle(self) -> None:
        """Wait until Anvil mines nothing more: what it does in between it may do twice or lose."""
        head = -1
        while head != (now := self.rpc.block_number()):
            head = now
            time.sleep(0.05)

    def confirm(self, number: int, rounds: int) -> None:
        """The registry's answers: expected serials and, every other time, others of the class."""
        count = _share(self.plan.confirmations, number, rounds)
        if not count:
            return
        register = self.replay()
        for index in range(count):
            class_id = self.random.choice(self.class_ids)
            state = self.contracts.positions(class_id).positions
            position_map = register.map(class_id)
            end = state.open_tonne if state.dust else state.exited
            first = max((last for _, last in position_map.confirmed), default=0)
            tonnes = min(end - first, self.random.randint(1, 40))
            if tonnes <= 0:
                continue
            actual = [piece.serials for piece in position_map.pieces(first, first + tonnes)]
            if (number + index) % 2:
                # The registry took them from the very end of what was minted.
                last = position_map.minted
                if last - tonnes >= first + tonnes:
                    actual = [piece.serials for piece in position_map.pieces(last - tonnes, last)]
            self._record(register, class_id, first, _joined(actual))

    def close(self) -> None:
        """Close some open tonnes by whoever holds enough of the class."""
        self.refresh()
        closed = 0
        for class_id in self.class_ids:
            state = self.contracts.positions(class_id).positions
            for wallet in self.wallets:
                enough = self.safe[wallet.address, class_id] >= state.dust
                if state.dust and enough and closed < self.plan.closings:
                    key = f"load:{self.plan.seed}:close:{class_id}:{state.open_tonne}"
                    data = calls.close_open_tonne(class_id, state.open_tonne)
                    credits = self.deployment["CarbonCredits"]
                    self.send([Call(key, wallet, credits, data, GAS["retire"])])
                    closed += 1
                    break

    # ------------------------------------------------------------------- parts

    def refresh(self) -> None:
        """Read every balance of the wallets: what can be spent in any order."""
        pairs = [(w.address, class_id) for w in self.wallets for class_id in self.class_ids]
        self.safe = dict(zip(pairs, map(int, self.contracts.balances(pairs)), strict=True))

    def _spend(self, largest: int) -> tuple[Key, int, int]:
        """A wallet, a class it holds, and odd kilograms of it."""
        held = [(pair, amount) for pair, amount in self.safe.items() if amount > 2]
        (address, class_id), amount = self.random.choice(held)
        kilograms = min(self.random.randint(1, largest), amount) | 1
        kilograms = kilograms if kilograms <= amount else kilograms - 2
        self.safe[address, class_id] -= kilograms
        wallet = next(wallet for wallet in self.wallets if wallet.address == address)
        return wallet, class_id, kilograms

    def _transfer(self, number: int, index: int) -> Call:
        wallet, class_id, kilograms = self._spend(200_000)
        others = [one for one in self.wallets if one is not wallet] or [wallet]
        target = self.random.choice(others).address
        data = calls.transfer(wallet.address, target, class_id, kilograms)
        key = f"load:{self.plan.seed}:transfer:{number}:{index}"
        return Call(key, wallet, self.deployment["CarbonCredits"], data, GAS["transfer"])

    def _retire(self, number: int, index: int) -> Call:
        wallet, class_id, kilograms = self._spend(9_999)
        salt = keccak(text=f"salt {number} {index}") if index % 3 == 0 else bytes(32)
        details = RetirementDetails(
            f"Load beneficiary {index % 7}", "Load test", f"2025-{number % 12 + 1:02d}", salt=salt
        )
        data = calls.retire(wallet.address, class_id, kilograms, wallet.address, details)
        key = f"load:{self.plan.seed}:retire:{number}:{index}"
        return Call(key, wallet, self.deployment["CarbonCredits"], data, GAS["retire"])

    def _record(
        self, register: Register, class_id: int, first: int, actual: list[Interval]
    ) -> None:
        position_map = register.map(class_id)
        exchanges = position_map.exchanges_for(first, actual)
        confirmed = [start for start, _ in position_map.confirmed]
        retirement = RegistryRetirement(
            class_id, first, tuple(actual), f"LOAD-{class_id % 10**6}-{first}", RETIRED_ON,
            keccak(text="evidence"),
        )  # fmt: skip
        digest = retirement.digest(self.records_domain)
        data = calls.record_registry_retirement(
            retirement, exchanges, confirmed, self._signatures(digest)
        )
        key = f"load:{self.plan.seed}:confirm:{digest.hex()}"
        target = self.deployment["RegistryRecords"]
        self.send([Call(key, self.signers[0], target, data, GAS["confirm"])])
        for one in exchanges:
            position_map.exchange(one)
        position_map.confirm(first, actual)

    def _hint(self, interval: Interval) -> int:
        held = self.register.setdefault(interval.series, IntervalSet(interval.series))
        hint = held.predecessor(interval.first)
        held.insert(interval)
        return hint

    def _signatures(self, digest: bytes) -> list[tuple[str, bytes]]:
        return [(key.address, key.sign(digest)) for key in self.signers]

    def replay(self) -> Register:
        """The register as the events of Trust and RegistryRecords tell it now."""
        logs = self.rpc.get_logs(
            [self.deployment["Trust"], self.deployment["RegistryRecords"]],
            self.deployment.deployed_at_block,
            self.rpc.block_number(),
        )
        register = Register(Findings())
        for event in decode_logs(logs, self.deployment):
            register.apply(event)
        return register

    def confirmed_serials(self) -> list[Interval]:
        """Every serial that a confirmation names."""
        confirmations = self.replay().confirmations.values()
        return merge(interval for one in confirmations for interval in one.actual)

    def send(self, work: Iterable[Call], seconds: float = 60.0) -> None:
        """Submit calls, each once, and wait until each has had its effect."""
        listed = list(work)
        if not listed:
            return
        self.sender.submit_many(listed)
        deadline, rounds = time.monotonic() + seconds, 0
        while True:
            self.sender.advance()
            states = [self.log.get(call.key) for call in listed]
            for one in states:
                if one is not None and one.state is not TransactionState.SIGNED and one.reason:
                    raise ChainRejected(f"{one.key}: {one.reason}", key=one.key)
            waiting = [one for one in states if one and one.state is TransactionState.SIGNED]
            if not waiting:
                return
            if time.monotonic() > deadline:
                raise ChainUnavailable(
                    f"{len(waiting)} transactions are not mined: {waiting[0].key}"
                )
            time.sleep(0.02)
            rounds += 1
            if rounds % 10 == 0:
                # After a rollback Anvil may hold transactions without mining them.
                self.rpc.call("evm_mine")


def _share(total: int, number: int, rounds: int) -> int:
    """This round's part of a total; the parts add up."""
    return (number + 1) * total // rounds - number * total // rounds


def _joined(intervals: Sequence[Interval]) -> list[Interval]:
    """Neighbours that continue each other as one, in the same order."""
    joined: list[Interval] = []
    for interval in intervals:
        last = joined[-1] if joined else None
        if last and last.series == interval.series and last.last + 1 == interval.first:
            joined[-1] = Interval(last.series, last.first, interval.last)
        else:
            joined.append(interval)
    return joined


def write_export(source: Path, target: Path, retired: Sequence[Interval]) -> None:
    """Verra's export after these serials were retired: their rows split, the pieces dated."""
    export_after(source, retired, from_yyyymmdd(RETIRED_ON), "history", target)


def make(
    rpc: Rpc,
    deployment: Deployment,
    keys: KeyStore,
    exports: Sequence[str | Path],
    plan: Plan,
    log: TransactionLog | None = None,
    report: Report = lambda line: None,
) -> History:
    """Make the history of a plan from registry exports; returns its driver."""
    history = History(rpc, deployment, keys, plan, log, report)
    every = lots_of(exports, plan.classes + SPARE_CLASSES)
    kept = dict(list(every.items())[: plan.classes])
    rest = list(every.items())[plan.classes :]
    history.run(kept, [(one, interval) for one, intervals in rest for interval in intervals])
    return history


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("exports", nargs="+", type=Path)
    parser.add_argument("--rpc", required=True)
    parser.add_argument("--deployment", required=True, type=Path)
    parser.add_argument("--keys", required=True, type=Path)
    parser.add_argument("--write-export", type=Path)
    parser.add_argument(
        "--bridge", action="store_true", help="deliveries, gaps, records at the end"
    )
    for name, default in (
        ("classes", 50), ("transfers", 1_000), ("retirements", 500), ("wallets", 20),
        ("reorganisations", 20), ("confirmations", 20), ("closings", 5), ("seed", 1),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=default)
    options: dict[str, Any] = vars(parser.parse_args())
    exports, target = options.pop("exports"), options.pop("write_export")
    rpc, keys = Rpc(options.pop("rpc")), KeyStore(options.pop("keys"))
    path = options.pop("deployment")
    try:
        history = make(rpc, Deployment.load(path), keys, exports, Plan(**options), report=print)
        if target:
            write_export(exports[0], target, history.confirmed_serials())
    except CausewayError as error:
        print(f"could not make the history: {error.message}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
