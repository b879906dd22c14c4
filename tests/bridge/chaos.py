"""Mixed flows of the bridge against a registry that fails, delays, repeats, chooses and dies.

All in one process, for the tests; `scripts/chaos_bridge.py` does the same to the whole system.
"""

from __future__ import annotations

import random

from backend.domain.deliveries import State
from tests.bridge.agreement import Issued, differences
from tests.bridge.scene import TRUST, Desk, Scene

#: Per mille of requests. `refuse` stays off: a refused retirement is a failure for a person.
FAULTS = {
    "fail_before": 100,
    "fail_after": 100,
    "cut_after": 100,
    "slow": 50,
    "slow_ms": 100,
    "queued": 200,
    "queue_seconds": 2,
    "other_serials": 300,
    "other_serials_scope": "class",
    # A delivery of other credits than the burnt ones ends as a break for a person.
    "other_serials_of": "retirement",
    "repeated": 200,
    "stale": 100,
}
CLASSES = 3
LOT = 400
#: The registry is killed once in so many actions.
KILL_EVERY = 8
#: Seconds; a busy machine takes its time.
PATIENCE = 300.0


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
        noticed = [desk.notice(desk.issue(1, LOT)) for desk in self.desks]
        self.issued = {desk.class_id: LOT for desk in self.desks}
        deposits = self.scene.bridge.parts.flows
        self.scene.settle(
            lambda: all(deposits.get("deposit", name).ended for name in noticed), PATIENCE
        )
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

    def finish(self, seconds: float = PATIENCE) -> None:
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
            left = [one for kind in kinds for one in flows.of_kind(kind, only_open=True)]
            return not left

        self.scene.settle(nothing_open, seconds)
        self.scene.settle(lambda: not self.scene.bridge.statements.stored.open(), seconds)

    def check(self) -> None:
        """Registry, custody and chain, class by class; AssertionError where they differ."""
        bridge = self.scene.bridge
        book = self.scene.registry.admin("GET", "book")
        issued = [
            Issued(desk.class_id, desk.base, self.issued[desk.class_id]) for desk in self.desks
        ]
        wrong = differences(bridge, book, TRUST.account, issued)
        assert not wrong, "\n".join(wrong)
