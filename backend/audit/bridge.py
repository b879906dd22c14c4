"""Replays the whole history in one pass: register, ledger, gaps, deliveries, reserve together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from backend.audit.calls import Calls
from backend.audit.deliveries import DeliveryBook, read_periods
from backend.audit.evidence import Evidence
from backend.audit.ledger import Ledger
from backend.audit.programme import Programme
from backend.audit.reserves import ReserveBook
from backend.domain.events import ChainEvent

_REGISTER: Final = ("Trust", "RegistryRecords")
_LEDGER: Final = ("CarbonCredits", "RetirementCertificates")
#: Events whose chain block's time is judged, beside those of deliveries.
_TIMED: Final = frozenset({"ReserveReported", "ReceiptMinted"})
#: What the registry can only have done for positions that are consumed.
_RECORDS: Final = frozenset(
    {"RegistryRetirementRecorded", "RegistryFailureRecorded", "MadeGoodRecorded"}
)


@dataclass(slots=True)
class Bridge:
    """The books that only make sense together; `replay` fills them, `check` judges them."""

    evidence: Evidence
    ledger: Ledger
    programme: Programme = field(init=False)
    deliveries: DeliveryBook = field(init=False)
    reserve: ReserveBook = field(init=False)

    def __post_init__(self) -> None:
        evidence, findings = self.evidence, self.ledger.findings
        times = evidence.times(
            event.block_number
            for event in evidence.events
            if event.contract == "Deliveries" or event.name in _TIMED
        )
        self.programme = Programme(findings, self.ledger)
        self.deliveries = DeliveryBook(findings, self.ledger, times, read_periods(evidence))
        self.reserve = ReserveBook(findings, self.ledger, times)

    def replay(self) -> None:
        """Every event in the order of the chain."""
        wanted = sorted(
            {e.args["chainBlock"] for e in self.evidence.events if e.name == "ReserveReported"}
        )
        for event in self.evidence.events:
            while wanted and wanted[0] < event.block_number:
                self.reserve.supply_at[wanted.pop(0)] = self._supply()
            self.apply(event)
        for block in wanted:
            self.reserve.supply_at[block] = self._supply()

    def apply(self, event: ChainEvent) -> None:
        """One event, by every book that it concerns."""
        self.programme.apply(event)
        if event.contract in _REGISTER:
            if event.name in _RECORDS:
                self.ledger.require_retired(event)
            self.ledger.register.apply(event)
        elif event.contract in _LEDGER:
            self.ledger.apply(event)
            self._consumed(event)
        self.deliveries.apply(event)
        self.reserve.apply(event)

    def _consumed(self, event: ChainEvent) -> None:
        """Nothing takes a position of a gap."""
        if event.name == "CreditsRetired":
            held = self.ledger.classes[event.args["id"]]
            for first, end in held.retirements[-1].ranges():
                self.programme.check_ranges(event, held.id, first, end)
        elif event.name == "CreditsBurntForDelivery":
            first = event.args["firstPosition"]
            end = first + event.args["tonnes"]
            self.programme.check_ranges(event, event.args["id"], first, end)

    def _supply(self) -> int:
        return sum(held.positions.supply_kilograms for held in self.ledger.classes.values())

    def check(self, calls: Calls) -> None:
        """What is stored, what was proven, where every serial is."""
        self.programme.check(self.evidence)
        self.deliveries.check(self.evidence, calls)
        self.reserve.check(self.evidence, calls)
