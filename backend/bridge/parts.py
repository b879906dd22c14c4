"""What every flow of the bridge works with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from backend.bridge.approvals import Services
from backend.bridge.confirmations import Confirmations
from backend.bridge.holdings import Holdings
from backend.bridge.receipts import Receipts
from backend.bridge.reserve import ReserveKeeper
from backend.bridge.statements import SignedStatements
from backend.store.breaks import Breaks
from backend.store.database import Database
from backend.store.flows import Flow, Flows
from backend.store.queries.reading import chain_head
from backend.store.registry_requests import RegistryRequests

#: How often a flow looks again, in seconds: at a registry or the chain, or for what takes longer.
POLL_SECONDS = 1
SLOW_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Parts:
    """One deployment's services, stores and the other parts of the bridge."""

    services: Services
    holdings: Holdings
    receipts: Receipts
    confirmations: Confirmations
    statements: SignedStatements
    reserve: ReserveKeeper

    @property
    def database(self) -> Database:
        return self.services.database

    @property
    def flows(self) -> Flows:
        return Flows(self.services.database)

    @property
    def requests(self) -> RegistryRequests:
        return RegistryRequests(self.services.database)

    @property
    def breaks(self) -> Breaks:
        return Breaks(self.services.database)

    def has_caught_up(self) -> bool:
        """Whether the index shows the chain's newest block."""
        with self.database.read() as connection:
            indexed = chain_head(connection).number
        return indexed >= self.services.contracts.rpc.block_number()

    def report(
        self, flow: Flow, kind: str, about: str, detail: str, evidence: Mapping[str, object]
    ) -> None:
        """A break of a flow that goes on; once for its kind and what it is `about`."""
        key = f"{flow.kind} {flow.id} {kind}" + (f" {about}" if about else "")
        self.breaks.report(
            key[:500],
            kind,
            detail,
            evidence,
            flow_kind=flow.kind,
            flow=flow.id,
            class_id=flow.class_id,
        )

    def break_off(self, flow: Flow, kind: str, detail: str, evidence: Mapping[str, object]) -> None:
        """End a flow with a reported break: a person looks before anything goes on."""
        self.report(flow, kind, detail, detail, evidence)
        self.broken(flow, detail)

    def is_forbidden(self, flow: Flow, bars: Sequence[str], **evidence: object) -> bool:
        """Whether the programme forbids it: then a break, and the registry is never asked."""
        if not bars:
            return False
        found = {"reasons": list(bars), **evidence}
        self.break_off(flow, "programme-forbids", "; ".join(bars), found)
        return True

    def broken(self, flow: Flow, reason: str) -> None:
        """End a flow whose break is reported; whoever waits for it looks at once."""
        self.flows.move(flow, "broken", ended=True, reason=reason)
        if "certificate" in flow.content:
            self.flows.hurry("certificate", str(flow.content["certificate"]))
