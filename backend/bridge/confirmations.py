"""Confirmations of registries on their way to the chain: drafted, signed apart, recorded once."""

from __future__ import annotations

from backend.bridge.approvals import Services, pairs
from backend.bridge.refusals import PERMANENT
from backend.bridge.retirements import confirmations_for
from backend.chain import calls
from backend.chain.keys import Key
from backend.domain.eip712 import SigningDomain
from backend.domain.records import signing_domain
from backend.domain.serials import Interval
from backend.errors import ChainRejected, RuleError
from backend.store.custody import ConfirmationState, Custody, StoredConfirmation
from backend.store.queries import lookup
from backend.store.queries.reading import chain_head


class Confirmations:
    """The confirmations of one deployment."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._custody = Custody(services.database)

    @property
    def domain(self) -> SigningDomain:
        """What signatures are bound to: this chain and this contract."""
        return signing_domain(self._services.chain_id, self._services.records)

    def draft(
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
        with self._services.database.read() as connection:
            retirements = confirmations_for(
                connection, certificate_id, reference, registry_date, actual, evidence_hash
            )
        return [
            self._custody.draft_confirmation(one, self.domain.chain_id, self._services.records)
            for one in retirements
        ]

    def sign(self, confirmation_id: str, key: Key) -> StoredConfirmation:
        """Sign as custodian or attestor (L5)."""
        held = self._custody.confirmation(confirmation_id)
        self._services.approve(confirmation_id, held.retirement.digest(self.domain), key)
        return self._custody.confirmation(confirmation_id)

    def is_recorded(self, confirmation_id: str) -> bool:
        """Whether the index has it, whoever submitted it."""
        with self._services.database.read() as connection:
            return lookup.confirmation_is_recorded(connection, confirmation_id)

    def advance(self, confirmation_id: str, payer: Key) -> StoredConfirmation:
        """One step towards the record on chain; harmless to repeat."""
        held = self._custody.confirmation(confirmation_id)
        if held.state is ConfirmationState.RECORDED:
            return held
        if self.is_recorded(confirmation_id):
            # Whoever submitted it, and whatever we thought of it before: the chain has it.
            return self._custody.set_confirmation_state(confirmation_id, ConfirmationState.RECORDED)
        if held.state is ConfirmationState.FAILED:
            return held
        if not self._services.is_approved(held.approvals):
            return held
        key = self._services.next_key("confirmation", held.id, held.transaction_key)
        if self._services.is_under_way(key):
            return held  # under way: the sender brings it forward
        try:
            sent = self._services.sender.submit(
                key, payer, self._services.records, self._confirmation_call(held)
            )
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
        with self._services.database.read() as connection:
            indexed = chain_head(connection).number
        return indexed >= self._services.contracts.rpc.block_number()

    def _confirmation_call(self, held: StoredConfirmation) -> bytes:
        """The call with the exchanges that lead to the actual serials."""
        retirement = held.retirement
        first = retirement.first_position
        with self._services.database.read() as connection:
            positions = lookup.position_map(connection, retirement.class_id)
        exchanges = positions.exchanges_for(first, retirement.actual)
        settled = [one.first for one in positions.settled]
        return calls.record_registry_retirement(
            retirement, exchanges, settled, pairs(held.approvals)
        )
