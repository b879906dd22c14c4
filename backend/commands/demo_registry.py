"""The demo's side of the registry: its accounts, its issuances, what the buyer answers."""

from __future__ import annotations

import time
from collections.abc import Callable

from backend.bridge.receipts import Terms
from backend.bridge.selection import Lot
from backend.commands.context import Context
from backend.errors import ChainRejected, ServiceError
from backend.sandbox.registry import SimulatedRegistry
from backend.store.custody import Custody, StoredReceipt
from backend.store.flows import Flow

#: How long the demo waits for one flow, in seconds.
PATIENCE = 120.0


class DemoRegistry(SimulatedRegistry):
    """The simulated registry of this machine, and the worker's flows that talk to it."""

    def __init__(self, context: Context) -> None:
        super().__init__(context.custody)
        self._context = context

    # ── flows ────────────────────────────────────────────────────────────────────────────────

    def give_notice(self, lot: Lot, recipient: str, name: str) -> None:
        """Credits into trust and the notice of their deposit; the worker does the rest."""
        self.issue(lot)
        trust = self.trust
        self._context.bridge.deposits.give_notice(
            name,
            str(trust.account),
            lot.ranges,
            recipient,
            Terms(trust.account_id, trust.terms_hash),
        )

    def minted(self, name: str) -> StoredReceipt:
        """The receipt of a deposit once its tokens are minted."""
        flow = self.ended("deposit", name, ("minted",))
        return Custody(self._context.database).receipt(str(flow.content["receipt"]))

    def ended(self, kind: str, flow_id: str, wanted: tuple[str, ...]) -> Flow:
        """A flow of the worker's once it has ended as wanted."""
        return self.reached(kind, flow_id, lambda flow: flow.ended and flow.state in wanted)

    def reached(self, kind: str, flow_id: str, so: Callable[[Flow], bool]) -> Flow:
        """A flow of the worker's once it is so."""
        flows = self._context.bridge.parts.flows
        deadline = time.monotonic() + PATIENCE
        while True:
            known = [one for one in flows.of_kind(kind) if one.id == flow_id]
            if known and so(known[0]):
                return known[0]
            if known and known[0].ended:
                raise ChainRejected(f"{kind} {flow_id} {known[0].state}: {known[0].reason}")
            if time.monotonic() > deadline:
                state = f"{known[0].state}: {known[0].reason}" if known else "not taken up"
                raise ServiceError(f"{kind} {flow_id} is {state} after {PATIENCE:.0f} s")
            time.sleep(0.1)
