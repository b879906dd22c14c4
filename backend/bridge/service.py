"""The bridge: its parts over one deployment, and every flow a step forward by its kind and id."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from backend.bridge.approvals import Services
from backend.bridge.certificates import CERTIFICATE, RETIREMENT, CertificateFlow
from backend.bridge.confirmations import Confirmations
from backend.bridge.delivery_flow import DELIVERY, DeliveryFlow
from backend.bridge.deposit_flow import DEPOSIT, DepositFlow
from backend.bridge.holdings import ConnectedAccount, Holdings
from backend.bridge.ledger_flow import LedgerFlow
from backend.bridge.looks import Looks
from backend.bridge.move_flow import MOVE, MoveFlow
from backend.bridge.parts import Parts
from backend.bridge.permits import Permits
from backend.bridge.receipts import WAITS, Receipts
from backend.bridge.reserve import ReserveKeeper
from backend.bridge.retirement_flow import RetirementFlow
from backend.bridge.signers import Signers
from backend.bridge.statements import SignedStatements
from backend.chain.contracts import Contracts
from backend.chain.keys import Key
from backend.chain.sender import Sender
from backend.errors import CausewayError, Conflict
from backend.registries.custody_file import Custody, load_custody
from backend.store.custody import Custody as CustodyStore
from backend.store.custody import StoredConfirmation, StoredReceipt
from backend.store.database import Database
from backend.store.flows import Flow
from backend.store.ledger import LEDGER_RETIREMENT
from backend.store.statements import Statement
from backend.store.transactions import PostgresTransactionLog
from backend.store.trust_accounts import record_trusts

log = structlog.get_logger("bridge")

RECEIPT, CONFIRMATION, STATEMENT, RESERVE = "receipt", "confirmation", "statement", "reserve"


class Bridge:
    """Everything that moves credits between registries and the chain, for one deployment.

    `accounts`: trust accounts at registries that can be asked; `custodian`: the key that may begin
    deliveries, None where this machine has none; `signing_keys`: what this machine signs with.
    """

    def __init__(
        self,
        database: Database,
        contracts: Contracts,
        sender: Sender,
        log: PostgresTransactionLog,
        *,
        confirmations: int = 0,
        accounts: Sequence[ConnectedAccount] = (),
        custody: Custody | None = None,
        custodian: Callable[[], Key | None] = lambda: None,
        signing_keys: Callable[[], Sequence[Key]] = tuple,
    ) -> None:
        self._custody = CustodyStore(database)
        self._custodian = custodian
        self.services = Services(database, contracts, sender, log, confirmations)
        self.holdings = Holdings(database, accounts)
        terms = custody or load_custody(None)
        self._trusts = terms.trusts
        self.permits = Permits(terms, self.services.chain_day)
        self.moves = MoveFlow(database, self.holdings, terms)
        self.statements = SignedStatements(self.services)
        self.reserve = ReserveKeeper(self.services, self.statements, self.holdings)
        self.receipts = Receipts(self.services, self.reserve)
        self.confirmations = Confirmations(self.services)
        self.parts = Parts(
            self.services,
            self.holdings,
            self.receipts,
            self.confirmations,
            self.statements,
            self.reserve,
        )
        self.certificates = CertificateFlow(self.parts)
        self.retirements = RetirementFlow(self.parts, self.permits)
        self.deliveries = DeliveryFlow(self.parts, self.permits)
        self.deposits = DepositFlow(self.parts, self.permits)
        self.ledger = LedgerFlow(self.parts, self.permits)
        self.signers = Signers(self.parts, signing_keys)
        self._looks = Looks(database)

    # ── what is open ─────────────────────────────────────────────────────────────────────────

    def discover(self) -> None:
        """Take up what final chain blocks brought: certificates and requests."""
        if self._trusts:
            # Once a process: a receipt's hash of terms can be looked up whatever the file says.
            with self.services.database.begin() as connection:
                record_trusts(connection, self._trusts)
            self._trusts = ()
        self.certificates.discover()
        self.deliveries.discover()

    def open_flows(self) -> list[tuple[str, str]]:
        """(kind, id) of everything that has not ended and is due: the sweeper's list."""
        drafts: list[tuple[str, StoredReceipt | StoredConfirmation | Statement]] = []
        drafts += [(RECEIPT, held) for held in self._custody.open_receipts()]
        drafts += [(CONFIRMATION, held) for held in self._custody.open_confirmations()]
        drafts += [(STATEMENT, held) for held in self.statements.stored.open()]
        return self._looks.due(drafts) + self.parts.flows.due()

    def advance(self, kind: str, subject: str, payer: Key) -> None:
        """One step of one flow; harmless to repeat."""
        if kind == RECEIPT:
            self.receipts.advance(subject, payer)
        elif kind == CONFIRMATION:
            if self.confirmations.is_recorded(subject):
                # Before it counts as done, here and below: no crash comes between.
                retirement = self._custody.confirmation(subject).retirement
                self.certificates.look_again(retirement.class_id)
                self.retirements.look_again(retirement.class_id, retirement.first_position)
            self.confirmations.advance(subject, payer)
        elif kind == STATEMENT:
            held = self.statements.stored.get(subject)
            if held.flow_kind or held.type == "MadeGood":
                self._tell(held)
            self.statements.advance(subject, payer)
        else:
            self._advance_flow(self.parts.flows.get(kind, subject))

    def _tell(self, held: Statement) -> None:
        """Who waits for a statement looks again once it is recorded."""
        if not self.statements.is_recorded(held):
            return
        if held.type == "MadeGood":
            self.certificates.look_again(int(held.content["classId"]))
        if held.flow_kind and held.flow:
            self.parts.flows.hurry(held.flow_kind, held.flow)

    def _advance_flow(self, flow: Flow) -> None:
        if flow.ended:
            return
        try:
            if flow.kind == CERTIFICATE:
                self.certificates.advance(flow)
            elif flow.kind == RETIREMENT:
                self.retirements.advance(flow)
            elif flow.kind == DELIVERY:
                self.deliveries.advance(flow, self._custodian())
            elif flow.kind == DEPOSIT:
                self.deposits.advance(flow)
            elif flow.kind == LEDGER_RETIREMENT:
                self.ledger.advance(flow)
            elif flow.kind == MOVE:
                self.moves.advance(flow)
        except Conflict as error:
            # Another worker was faster: the next sweep sees where it stands.
            log.info("flow was moved meanwhile", kind=flow.kind, id=flow.id, reason=error.message)
            self.parts.flows.retry(self.parts.flows.get(flow.kind, flow.id), error.message)
        except CausewayError as error:
            self.parts.flows.retry(self.parts.flows.get(flow.kind, flow.id), error.message)
            raise

    def tend_reserve(self) -> None:
        """Draft a reserve report when one is due or an approved receipt waits for it."""
        waiting = any(
            held.reason is not None and held.reason.startswith(WAITS)
            for held in self._custody.open_receipts()
        )
        self.reserve.tend(uncovered=waiting)
