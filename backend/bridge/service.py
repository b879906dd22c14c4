"""The bridge: its parts over one deployment, and every flow a step forward by its kind and id."""

from __future__ import annotations

from backend.bridge.approvals import Services
from backend.bridge.confirmations import Confirmations
from backend.bridge.receipts import Receipts
from backend.chain.contracts import Contracts
from backend.chain.keys import Key
from backend.chain.sender import Sender
from backend.store.custody import Custody
from backend.store.database import Database
from backend.store.transactions import PostgresTransactionLog

RECEIPT, CONFIRMATION = "receipt", "confirmation"


class Bridge:
    """Everything that moves credits between registries and the chain, for one deployment."""

    def __init__(
        self,
        database: Database,
        contracts: Contracts,
        sender: Sender,
        log: PostgresTransactionLog,
    ) -> None:
        self._custody = Custody(database)
        self.services = Services(database, contracts, sender, log)
        self.receipts = Receipts(self.services)
        self.confirmations = Confirmations(self.services)

    def open_flows(self) -> list[tuple[str, str]]:
        """(kind, id) of everything that has not ended and is due: the sweeper's list."""
        flows = [(RECEIPT, held.id) for held in self._custody.open_receipts()]
        return flows + [(CONFIRMATION, held.id) for held in self._custody.open_confirmations()]

    def advance(self, kind: str, subject: str, payer: Key) -> None:
        """One step of one flow; harmless to repeat."""
        if kind == RECEIPT:
            self.receipts.advance(subject, payer)
        else:
            self.confirmations.advance(subject, payer)
