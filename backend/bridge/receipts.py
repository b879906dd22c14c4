"""Custody receipts on their way to the mint: drafted, signed apart, submitted, minted once.

Every step reads the state first, so any of them can be repeated, by any process, after any crash:
the receipt's id, the transaction's key and the contract's own refusal keep the effect to once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from backend.bridge.approvals import Services, pairs
from backend.bridge.refusals import PERMANENT
from backend.bridge.reserve import ReserveKeeper
from backend.bridge.selection import Lot
from backend.chain import calls
from backend.chain.abi import checksum
from backend.chain.contracts import ReceiptStatus
from backend.chain.keys import Key
from backend.domain.capabilities import Mode
from backend.domain.custody import Receipt, signing_domain
from backend.domain.eip712 import SigningDomain
from backend.domain.reserve import ReserveProof
from backend.domain.serials import Interval
from backend.domain.transactions import OutgoingTransaction
from backend.errors import (
    ChainRejected,
    DuplicateOpen,
    NotEnough,
    NotFound,
    ProgrammeForbids,
    ServiceError,
)
from backend.registries.programmes import programmes
from backend.store.custody import Custody, ReceiptState, StoredReceipt
from backend.store.duplicates import require_no_duplicates
from backend.store.queries import lookup
from backend.store.queries.register import registered_below

#: How the reason of a receipt begins that no reserve report covers yet.
WAITS = "waits for a reserve report"
_ENDED = (ReceiptState.MINTED, ReceiptState.CANCELLED, ReceiptState.FAILED)


@dataclass(frozen=True, slots=True)
class Terms:
    """What every receipt of a trust account carries; hashes are keccak256."""

    account: bytes
    terms_hash: bytes
    valid_seconds: int = 30 * 86_400


def require_tokens(programme: str) -> None:
    """Raises ProgrammeForbids for a programme whose credits are kept as a ledger only."""
    found = programmes().get(programme)
    if found is not None and found.capabilities.mode is Mode.LEDGER:
        reason = found.capabilities.mode_reason
        raise ProgrammeForbids(
            f"{programme} is kept as a ledger only, no tokens are made: {reason}",
            what="tokens",
            reasons=[reason],
        )


class Receipts:
    """The receipts of one deployment."""

    def __init__(self, services: Services, reserve: ReserveKeeper) -> None:
        self._services = services
        self._reserve = reserve
        self._custody = Custody(services.database)

    @property
    def domain(self) -> SigningDomain:
        """What signatures are bound to: this chain and this Trust."""
        return signing_domain(self._services.chain_id, self._services.trust)

    def draft(
        self,
        lot: Lot,
        recipient: str,
        terms: Terms,
        valid_until: int | None = None,
        confirmed: Sequence[Interval] = (),
    ) -> StoredReceipt:
        """Draft a receipt over a lot; its serials are taken in Postgres from now on (L2).

        `valid_until`: Unix seconds; by default so long as the terms say. `confirmed`: serials that
        the registry's inventory of the account holds live, without which credits of an export of
        issuances (Gold Standard) are refused. Raises DuplicateOpen
        while the project may be credited elsewhere and nobody has decided, ProgrammeForbids where
        the programme allows no tokens.
        """
        require_tokens(lot.credit_class.programme)
        if valid_until is None:
            valid_until = self._services.chain_time() + terms.valid_seconds
        receipt = Receipt(
            recipient=checksum(recipient),
            credit_class=lot.credit_class,
            account=terms.account,
            intervals=lot.intervals,
            evidence_hash=lot.evidence_hash,
            terms_hash=terms.terms_hash,
            valid_until=valid_until,
        )
        return self._custody.draft(receipt, self.domain.chain_id, self._services.trust, confirmed)

    def sign(self, receipt_id: str, key: Key) -> StoredReceipt:
        """Sign as custodian or attestor, as the contract knows the key (L5).

        Raises DuplicateOpen when a case was opened after the draft: what is signed can be minted.
        """
        held = self._custody.receipt(receipt_id)
        self._require_no_duplicates(held)
        self._services.approve(receipt_id, held.receipt.digest(self.domain), key)
        return self._custody.receipt(receipt_id)

    def cancel(self, receipt_id: str, key: Key) -> OutgoingTransaction:
        """Cancel a receipt on chain, by one of its possible signers; the bridge then frees it."""
        data = calls.cancel_receipt(bytes.fromhex(receipt_id.removeprefix("0x")))
        return self._services.sender.submit(f"cancel:{receipt_id}", key, self._services.trust, data)

    def advance(self, receipt_id: str, payer: Key) -> StoredReceipt:
        """One step towards the mint; harmless to repeat. Returns the receipt as it stands."""
        held = self._custody.receipt(receipt_id)
        if held.state in _ENDED:
            return held
        with self._services.database.read() as connection:
            minted = lookup.receipt_is_minted(connection, receipt_id)
        if minted:
            return self._custody.set_state(receipt_id, ReceiptState.MINTED)
        status = self._services.contracts.receipt_status(receipt_id)
        if status is ReceiptStatus.CANCELLED:
            reason = "cancelled on chain by a signer"
            return self._custody.set_state(receipt_id, ReceiptState.CANCELLED, reason)
        if status is ReceiptStatus.MINTED:
            return held  # mined, and not yet indexed
        if self._is_expired(held.receipt):
            reason = f"validUntil {held.receipt.valid_until} has passed unminted"
            return self._custody.set_state(receipt_id, ReceiptState.FAILED, reason)
        if not self._services.is_approved(held.approvals):
            return held
        return self._submit(held, payer)

    def _submit(self, held: StoredReceipt, payer: Key) -> StoredReceipt:
        key = self._services.next_key("receipt", held.id, held.transaction_key)
        if self._services.is_under_way(key):
            return held  # under way: the sender brings it forward
        try:
            self._require_no_duplicates(held)
        except DuplicateOpen as error:
            # Not its end: once a person has decided, the next step goes on.
            return self._custody.set_state(held.id, ReceiptState.APPROVED, error.message)
        receipt = held.receipt
        try:
            proof = self._proof(receipt)
        except (NotFound, NotEnough, ServiceError) as error:
            # Minting waits until a report covers the class and lists these serials (L3).
            reason = f"{WAITS}: {error.message}"
            return self._custody.set_state(held.id, ReceiptState.APPROVED, reason)
        hints = self._hints(receipt.intervals)
        data = calls.mint_with_receipt(receipt, hints, proof, pairs(held.approvals))
        try:
            sent = self._services.sender.submit(key, payer, self._services.trust, data)
        except ChainRejected as error:
            failed = error.values.get("error") in PERMANENT
            state = ReceiptState.FAILED if failed else ReceiptState.APPROVED
            return self._custody.set_state(held.id, state, error.message)
        return self._custody.set_state(held.id, ReceiptState.SUBMITTED, sent.reason, sent.key)

    def _proof(self, receipt: Receipt) -> ReserveProof:
        class_id = int(receipt.credit_class.token_id)
        minted = self._services.contracts.positions(class_id).positions.minted
        return self._reserve.proof_for_mint(
            class_id, minted + receipt.tonnes, receipt.account, receipt.intervals
        )

    def _require_no_duplicates(self, held: StoredReceipt) -> None:
        wanted = held.receipt.credit_class
        with self._services.database.read() as connection:
            require_no_duplicates(connection, wanted.programme, wanted.project)

    def _hints(self, intervals: tuple[Interval, ...]) -> list[int]:
        """A hint per interval; those of the receipt itself are registered one after the other."""
        hints: list[int] = []
        for index, one in enumerate(intervals):
            with self._services.database.read() as connection:
                start = registered_below(connection, one.series, one.first)
            hint = self._services.contracts.hint_for(one.series.id, one.first, start=start)
            earlier = [
                other.first
                for other in intervals[:index]
                if other.series == one.series and other.first < one.first
            ]
            hints.append(max([hint, *earlier]))
        return hints

    def _is_expired(self, receipt: Receipt) -> bool:
        """Whether the chain's own time has passed it: our clock decides nothing."""
        block = self._services.contracts.rpc.block("latest")
        return block is not None and block.timestamp > receipt.valid_until
