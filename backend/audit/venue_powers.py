"""L5: what a set-up must have done to the Exchange before its deployer's powers ended.

What is stored of it at the audited block is compared in `venue`; here only what nothing else sees.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from backend.audit.evidence import Evidence, ViewFailed
from backend.chain import blueprint
from backend.chain.manifest import Deployment
from backend.domain.events import ChainEvent


@dataclass(slots=True)
class Venue:
    """Which of its powers the set-up gave to whom, as the contracts published it."""

    named: set[str] = field(default_factory=set)
    listed: set[str] = field(default_factory=set)
    added: dict[str, ChainEvent] = field(default_factory=dict)

    def apply(self, event: ChainEvent) -> None:
        """Take one event of `Exchange` or `Participants`."""
        if event.name in ("KeysSet", "FeePayeesSet"):
            self.named.add(event.name)
        elif event.name == "AssetListed":
            self.listed.add(event.args["asset"])
        elif event.name == "CausewayContractAdded":
            self.added[event.args["account"]] = event

    def missing(self, deployment: Deployment) -> Iterator[str]:
        """What the file says and the set-up did not do."""
        if "KeysSet" not in self.named:
            yield "the set-up gave it no keys"
        if "FeePayeesSet" not in self.named:
            yield "the set-up named nobody to pay its fees to"
        for name in blueprint.ASSETS:
            if name in deployment.contracts and deployment[name] not in self.listed:
                yield f"the set-up did not list {deployment[name]}"
        for name in blueprint.CAUSEWAY_CONTRACTS:
            if deployment[name] not in self.added:
                yield f"the set-up did not make {name} a contract of Causeway"

    def differing(self, evidence: Evidence) -> Iterator[tuple[str, ChainEvent]]:
        """Contracts of Causeway are so for ever: their slot says nothing else."""
        added = list(self.added)
        answers = evidence.views(
            "contracts of Causeway",
            [("Participants", "participant", (account,)) for account in added],
        )
        for account, answer in zip(added, answers, strict=True):
            if answer != blueprint.CAUSEWAY_CONTRACT:
                found = answer.message if isinstance(answer, ViewFailed) else answer
                yield f"participant({account}) is {found}", self.added[account]
