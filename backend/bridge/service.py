"""The bridge: drafts, collects signatures, submits, and brings each flow forward one step.

Every step reads the state first, so any of them can be repeated, by any process, after any crash:
the receipt's id, the transaction's key and the contract's own refusal keep the effect to once.
"""

from __future__ import annotations

from dataclasses import dataclass

from backend.bridge.retirements import confirmations_for
from backend.bridge.selection import Lot
from backend.chain import calls
from backend.chain.abi import checksum
from backend.chain.contracts import Contracts, ReceiptStatus
from backend.chain.keys import Key, sign_digest
from backend.chain.sender import Sender
from backend.domain.custody import Receipt, signing_domain
from backend.domain.eip712 import SigningDomain
from backend.domain.serials import Interval
from backend.domain.transactions import OutgoingTransaction, TransactionState
from backend.errors import ChainRejected, NotAuthorised, RuleError
from backend.store.custody import (
    Approval,
    ConfirmationState,
    Custody,
    ReceiptState,
    StoredConfirmation,
    StoredReceipt,
)
from backend.store.database import Database
from backend.store.queries import lookup
from backend.store.queries.reading import chain_head
from backend.store.transactions import PostgresTransactionLog

_ENDED_RECEIPTS = (ReceiptState.MINTED, ReceiptState.CANCELLED, ReceiptState.FAILED)
ROLES = {1: "custodian", 2: "attestor"}
#: Refusals of the contract that no later try can change.
PERMANENT = frozenset(
    (
        "SerialsOverlap",
        "SerialIntervalInvalid",
        "TrustReceiptCancelled",
        "TrustReceiptExpired",
        "TrustSeriesForeign",
        "TrustSeriesNotCanonical",
        "CreditsClassHashDiffers",
        "CreditsClassNameInvalid",
        "CreditsCohortNotAscending",
        "CreditsVintageInvalid",
        "RegistryDateInvalid",
        "RegistryRetirementTonnesDiffer",
    )
)


@dataclass(frozen=True, slots=True)
class Terms:
    """What every receipt of a trust account carries; hashes are keccak256."""

    account: bytes
    terms_hash: bytes
    valid_seconds: int = 30 * 86_400


class Bridge:
    """Receipts and confirmations of one deployment."""

    def __init__(
        self,
        database: Database,
        contracts: Contracts,
        sender: Sender,
        log: PostgresTransactionLog,
    ) -> None:
        self._database = database
        self._log = log
        self._custody = Custody(database)
        self._contracts = contracts
        self._sender = sender

    @property
    def _trust(self) -> str:
        return self._contracts.deployment["Trust"]

    @property
    def domain(self) -> SigningDomain:
        """What signatures are bound to: this chain and this Trust."""
        return signing_domain(self._contracts.deployment.chain_id, self._trust)

    # ── receipts ─────────────────────────────────────────────────────────────────────────────

    def draft_receipt(self, lot: Lot, recipient: str, terms: Terms) -> StoredReceipt:
        """Draft a receipt over a lot; its serials are taken in Postgres from now on (L2)."""
        now = self._contracts.rpc.block("latest")
        assert now is not None
        receipt = Receipt(
            recipient=checksum(recipient),
            credit_class=lot.credit_class,
            account=terms.account,
            intervals=lot.intervals,
            evidence_hash=lot.evidence_hash,
            terms_hash=terms.terms_hash,
            valid_until=now.timestamp + terms.valid_seconds,
        )
        return self._custody.draft(receipt, self.domain.chain_id, self._trust)

    def sign_receipt(self, receipt_id: str, key: Key) -> StoredReceipt:
        """Sign as custodian or attestor, as the contract knows the key (L5)."""
        held = self._custody.receipt(receipt_id)
        self._approve(receipt_id, held.receipt.digest(self.domain), key)
        return self._custody.receipt(receipt_id)

    def cancel_receipt(self, receipt_id: str, key: Key) -> OutgoingTransaction:
        """Cancel a receipt on chain, by one of its possible signers; the bridge then frees it."""
        data = calls.cancel_receipt(bytes.fromhex(receipt_id.removeprefix("0x")))
        return self._sender.submit(f"cancel:{receipt_id}", key, self._trust, data)

    def advance_receipt(self, receipt_id: str, payer: Key) -> StoredReceipt:
        """One step towards the mint; harmless to repeat. Returns the receipt as it stands."""
        held = self._custody.receipt(receipt_id)
        if held.state in _ENDED_RECEIPTS:
            return held
        with self._database.read() as connection:
            minted = lookup.receipt_is_minted(connection, receipt_id)
        if minted:
            return self._custody.set_state(receipt_id, ReceiptState.MINTED)
        status = self._contracts.receipt_status(receipt_id)
        if status is ReceiptStatus.CANCELLED:
            reason = "cancelled on chain by a signer"
            return self._custody.set_state(receipt_id, ReceiptState.CANCELLED, reason)
        if status is ReceiptStatus.MINTED:
            return held  # mined, and not yet indexed
        if self._is_expired(held.receipt):
            reason = f"validUntil {held.receipt.valid_until} has passed unminted"
            return self._custody.set_state(receipt_id, ReceiptState.FAILED, reason)
        if not self._is_approved(held.approvals):
            return held
        return self._submit_receipt(held, payer)

    def _submit_receipt(self, held: StoredReceipt, payer: Key) -> StoredReceipt:
        key = self._next_key("receipt", held.id, held.transaction_key)
        if self._log.get(key) is not None:
            return held  # under way: the sender brings it forward
        receipt = held.receipt
        hints = self._hints(receipt.intervals)
        data = calls.mint_with_receipt(receipt, hints, _pairs(held.approvals))
        try:
            sent = self._sender.submit(key, payer, self._trust, data)
        except ChainRejected as error:
            failed = error.values.get("error") in PERMANENT
            state = ReceiptState.FAILED if failed else ReceiptState.APPROVED
            return self._custody.set_state(held.id, state, error.message)
        return self._custody.set_state(held.id, ReceiptState.SUBMITTED, sent.reason, sent.key)

    def _hints(self, intervals: tuple[Interval, ...]) -> list[int]:
        """A hint per interval; those of the receipt itself are registered one after the other."""
        hints: list[int] = []
        for index, one in enumerate(intervals):
            with self._database.read() as connection:
                start = lookup.registered_below(connection, one.series, one.first)
            hint = self._contracts.hint_for(one.series.id, one.first, start=start)
            earlier = [
                other.first
                for other in intervals[:index]
                if other.series == one.series and other.first < one.first
            ]
            hints.append(max([hint, *earlier]))
        return hints

    def _is_expired(self, receipt: Receipt) -> bool:
        """Whether the chain's own time has passed it: our clock decides nothing."""
        block = self._contracts.rpc.block("latest")
        return block is not None and block.timestamp > receipt.valid_until

    # ── confirmations ────────────────────────────────────────────────────────────────────────

    def draft_confirmations(
        self,
        certificate_id: int,
        reference: str,
        registry_date: int,
        actual: list[Interval] | None,
        evidence_hash: bytes,
    ) -> list[StoredConfirmation]:
        """Draft what the registry answered for a certificate, one per run of positions.

        `actual` None: exactly the expected serials. Raises when the answer cannot be true.
        """
        with self._database.read() as connection:
            retirements = confirmations_for(
                connection, certificate_id, reference, registry_date, actual, evidence_hash
            )
        return [
            self._custody.draft_confirmation(one, self.domain.chain_id, self._trust)
            for one in retirements
        ]

    def sign_confirmation(self, confirmation_id: str, key: Key) -> StoredConfirmation:
        """Sign as custodian or attestor (L5)."""
        held = self._custody.confirmation(confirmation_id)
        self._approve(confirmation_id, held.retirement.digest(self.domain), key)
        return self._custody.confirmation(confirmation_id)

    def advance_confirmation(self, confirmation_id: str, payer: Key) -> StoredConfirmation:
        """One step towards the record on chain; harmless to repeat."""
        held = self._custody.confirmation(confirmation_id)
        if held.state is ConfirmationState.RECORDED:
            return held
        with self._database.read() as connection:
            recorded = lookup.confirmation_is_recorded(connection, confirmation_id)
        if recorded:
            # Whoever submitted it, and whatever we thought of it before: the chain has it.
            return self._custody.set_confirmation_state(confirmation_id, ConfirmationState.RECORDED)
        if held.state is ConfirmationState.FAILED:
            return held
        if not self._is_approved(held.approvals):
            return held
        key = self._next_key("confirmation", held.id, held.transaction_key)
        if self._log.get(key) is not None:
            return held  # under way: the sender brings it forward
        try:
            sent = self._sender.submit(key, payer, self._trust, self._confirmation_call(held))
        except (ChainRejected, RuleError) as error:
            # An index that lags behind another confirmation of the class refuses what is true a
            # moment later: our own rules count only when it has caught up.
            failed = (
                self._has_caught_up()
                if isinstance(error, RuleError)
                else error.values.get("error") in PERMANENT
            )
            state = ConfirmationState.FAILED if failed else ConfirmationState.APPROVED
            return self._custody.set_confirmation_state(held.id, state, error.message)
        return self._custody.set_confirmation_state(
            held.id, ConfirmationState.SUBMITTED, sent.reason, sent.key
        )

    def _has_caught_up(self) -> bool:
        """Whether the index shows the chain's newest block."""
        with self._database.read() as connection:
            indexed = chain_head(connection).number
        return indexed >= self._contracts.rpc.block_number()

    def _confirmation_call(self, held: StoredConfirmation) -> bytes:
        """The call with the exchanges that lead to the actual serials."""
        retirement = held.retirement
        first = retirement.first_position
        with self._database.read() as connection:
            positions = lookup.position_map(connection, retirement.class_id)
        exchanges = positions.exchanges_for(first, retirement.actual)
        confirmed = [low for low, _ in positions.confirmed]
        return calls.record_registry_retirement(
            retirement, exchanges, confirmed, _pairs(held.approvals)
        )

    # ── every open flow ──────────────────────────────────────────────────────────────────────

    def open_flows(self) -> list[tuple[str, str]]:
        """(kind, id) of every receipt and confirmation that has not ended: the sweeper's list."""
        flows = [("receipt", held.id) for held in self._custody.open_receipts()]
        return flows + [("confirmation", held.id) for held in self._custody.open_confirmations()]

    # ── both ─────────────────────────────────────────────────────────────────────────────────

    def _approve(self, subject: str, digest: bytes, key: Key) -> None:
        role = ROLES.get(self._contracts.read("Trust", "role", key.address))
        if role is None:
            raise NotAuthorised(
                f"{key.address} ({key.name}) is neither custodian nor attestor of {self._trust}",
                signer=key.address,
            )
        signature = sign_digest(key.private_key, digest)
        self._custody.approve(subject, Approval(key.address, role, signature))

    def _is_approved(self, approvals: tuple[Approval, ...]) -> bool:
        custodians, attestors = self._contracts.thresholds()
        roles = [one.role for one in approvals]
        return roles.count("custodian") >= custodians and roles.count("attestor") >= attestors

    def _next_key(self, kind: str, subject: str, last: str | None) -> str:
        """The key of the transaction that is under way, or of the next one after a revert.

        A new transaction for the same subject cannot double anything: the contract takes each
        receipt and each position once.
        """
        if last is None:
            return f"{kind}:{subject}"
        sent = self._log.get(last)
        if sent is None or sent.state is not TransactionState.REVERTED:
            return last
        prefix, _, attempt = last.rpartition("#")
        return f"{prefix}#{int(attempt) + 1}" if prefix else f"{last}#2"


def _pairs(approvals: tuple[Approval, ...]) -> list[tuple[str, bytes]]:
    return [(one.signer, one.signature) for one in approvals]
