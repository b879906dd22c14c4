"""Mixed flows of the bridge against a registry that fails, delays, repeats, chooses and dies.

At the end registry, custody and chain agree to the kilogram, every flow has ended, and every
serial is in exactly one place: live in trust, live with the buyer, or retired.

    python scripts/chaos_bridge.py --flows 1000 --seed 7
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from backend.domain.deliveries import State  # noqa: E402
from backend.domain.registry_requests import SerialRange  # noqa: E402
from backend.domain.serials import Interval, merge  # noqa: E402
from backend.local import binaries  # noqa: E402
from backend.local.anvil import Anvil  # noqa: E402
from backend.local.postgres import Postgres, temporary_home  # noqa: E402
from backend.store.database import Database  # noqa: E402
from tests.bridge.scene import BUYER, Desk, Scene  # noqa: E402
from tests.indexer.world import World  # noqa: E402

#: Per mille of requests. `refuse` stays off: a refused retirement is a failure for a person.
FAULTS = {
    "fail_before": 100,
    "fail_after": 100,
    "cut_after": 100,
    "slow": 50,
    "slow_ms": 100,
    "queued": 200,
    "queue_seconds": 3,
    "other_serials": 300,
    "other_serials_scope": "class",
    "repeated": 200,
    "stale": 100,
}
CLASSES = 4
LOT = 400
#: The registry is killed once in so many actions.
KILL_EVERY = 40


class Chaos:
    """A run: actions are drawn, everything is stepped, the registry is killed now and then."""

    def __init__(self, scene: Scene, seed: int) -> None:
        self.scene = scene
        self.random = random.Random(seed)
        self.seed = seed
        self.desks = [scene.desk() for _ in range(CLASSES)]
        self.issued: dict[int, int] = {}
        self.flows = 0

    def run(self, flows: int) -> None:
        """Lots first, then so many retirements, deliveries and further deposits."""
        for desk in self.desks:
            self.deposit(desk)
        self.scene.registry.faults(seed=self.seed, **FAULTS)
        while self.flows < flows:
            self.act()
            if self.flows % KILL_EVERY == 0:
                self.scene.registry.kill()
                self.scene.registry.start()
            self.scene.step()
            self.answer_transfers()
            self.refund_rejected()
        self.finish()

    def act(self) -> None:
        """One new flow."""
        desk = self.random.choice(self.desks)
        held = desk.balance()
        drawn = self.random.random()
        self.flows += 1
        if held < 40_000:
            self.deposit(desk)
        elif drawn < 0.7:
            desk.retire(self.random.randint(1, 4_000))
        elif drawn < 0.95:
            self.deliver(desk)
        else:
            self.deposit(desk)

    def deposit(self, desk: Desk) -> None:
        first = self.issued.get(desk.class_id, 0) + 1
        last = first + LOT - 1
        self.issued[desk.class_id] = last
        self.scene.registry.faults()
        desk.deposit(desk.issue(first, last))
        self.scene.registry.faults(seed=self.seed, **FAULTS)

    def deliver(self, desk: Desk) -> None:
        """As many tonnes as lie in one piece from the front, at most five."""
        positions = self.scene.world.contracts.positions(desk.class_id).positions
        run = self.scene.world.contracts.serial_at(desk.class_id, positions.exited).run
        desk.deliver(min(run, self.random.randint(1, 5)))

    def answer_transfers(self) -> None:
        """The buyer accepts most of what waits, and rejects the rest."""
        for flow in self.scene.bridge.parts.flows.of_kind("delivery", only_open=True):
            reference = self.scene.waiting_transfer(flow.id)
            if reference is not None:
                verb = "accept" if self.random.random() < 0.7 else "reject"
                self.scene.registry.answer_transfer(reference, verb)

    def refund_rejected(self) -> None:
        """Holders take back what was rejected."""
        for flow in self.scene.bridge.parts.flows.of_kind("delivery", only_open=True):
            now = self.scene.bridge.deliveries.on_chain(flow.id)
            if now.phase.state is State.REJECTED:
                self.desks[0].refund(flow.id)

    def finish(self, seconds: float = 300.0) -> None:
        """Close every opened tonne, then step until nothing is open."""
        self.scene.registry.faults()
        for desk in self.desks:
            state = self.scene.world.contracts.positions(desk.class_id).positions
            if state.dust:
                desk.retire(state.dust)

        def nothing_open() -> bool:
            self.answer_transfers()
            self.refund_rejected()
            kinds = ("certificate", "retirement", "delivery", "deposit")
            flows = self.scene.bridge.parts.flows
            return not any(flows.of_kind(kind, only_open=True) for kind in kinds)

        self.scene.settle(nothing_open, seconds)
        self.scene.settle(lambda: not self.scene.bridge.statements.stored.open(), seconds)

    # ── agreement ────────────────────────────────────────────────────────────────────────────

    def check(self) -> None:
        """Registry, custody and chain, class by class; AssertionError where they differ."""
        flows = self.scene.bridge.parts.flows
        for kind in ("certificate", "retirement", "delivery"):
            bad = [one for one in flows.of_kind(kind) if one.state in ("broken", "failed")]
            assert not bad, bad
        book = self.scene.registry.admin("GET", "book")
        assert not book["partition_breaks"]
        for desk in self.desks:
            self.check_class(desk, book["pieces"])

    def check_class(self, desk: Desk, pieces: list[dict[str, str]]) -> None:
        mine = [
            (SerialRange.parse(piece["serials"]).interval, piece)
            for piece in pieces
            if desk.base < SerialRange.parse(piece["serials"]).first <= desk.base + 10_000
        ]
        retired = merge(one for one, piece in mine if piece["state"] == "retired")
        trust = [one for one, p in mine if p["state"] == "live" and p["account"] != BUYER]
        bought = [one for one, p in mine if p["state"] == "live" and p["account"] == BUYER]
        confirmed = merge(desk.chain_confirmed())
        assert retired == confirmed, (desk.project, retired, confirmed)
        state = self.scene.world.contracts.positions(desk.class_id).positions
        supply = self.scene.world.contracts.total_supply(desk.class_id)
        assert state.supply_kilograms == supply
        # No tonne is open: what is live in trust is exactly what tokens stand on.
        assert tonnes(trust) * 1000 == supply, (desk.project, tonnes(trust), supply)
        assert tonnes(trust) + tonnes(bought) + tonnes(retired) == self.issued[desk.class_id]
        coverage = self.scene.bridge.reserve.build().coverage[desk.class_id]
        assert coverage.shortfall == 0
        assert coverage.covered == state.minted


def tonnes(intervals: list[Interval]) -> int:
    """Tonnes of disjoint intervals."""
    return sum(one.tonnes for one in intervals)


def main() -> None:
    """Services of its own, one run, and what agreed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flows", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=7)
    asked = parser.parse_args()
    home = temporary_home("causeway-chaos-bridge-")
    postgres = Postgres(home, log=home / "postgres.log", durable=False)
    postgres.start()
    chain = Anvil(log=home / "anvil.log", binary=binaries.anvil(binaries.project_root()))
    chain.start()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        world = World(chain.url, Path(directory))
        database = Database(postgres.url())
        database.migrate()
        scene = Scene(world, database, Path(directory))
        try:
            chaos = Chaos(scene, asked.seed)
            chaos.run(asked.flows)
            chaos.check()
        finally:
            scene.close()
            chain.stop(save=False)
            postgres.stop()
    print(f"{asked.flows} flows agree after {time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
