"""Everything that waits for signatures, in one shape: receipts, confirmations, statements."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from backend.bridge.statements import KINDS
from backend.domain import custody, records
from backend.domain.eip712 import SigningDomain, Types
from backend.errors import NotFound
from backend.store.custody import Approval, Custody, StoredConfirmation, StoredReceipt
from backend.store.database import Database
from backend.store.statements import Statement, Statements, message_json

#: States in which a signature still counts for something.
WAITING = ("drafted", "approved")
_DOMAIN_TYPE = (
    ("name", "string"),
    ("version", "string"),
    ("chainId", "uint256"),
    ("verifyingContract", "address"),
)


@dataclass(frozen=True, slots=True)
class Draft:
    """One message that custodian and attestor sign; `id` is its EIP-712 digest, 0x hex.

    `type` is the primary type: `Receipt`, `RegistryRetirement` or a type of statement; `held` the
    stored row behind it.
    """

    id: str
    type: str
    domain: SigningDomain
    types: Types
    message: Mapping[str, Any]
    state: str
    reason: str | None
    class_id: int | None
    approvals: tuple[Approval, ...]
    held: StoredReceipt | StoredConfirmation | Statement

    @property
    def waits(self) -> bool:
        """Whether a signature still counts for something."""
        return self.state in WAITING

    @property
    def digest(self) -> bytes:
        return bytes.fromhex(self.id.removeprefix("0x"))

    def typed_data(self) -> dict[str, Any]:
        """What `eth_signTypedData_v4` takes: integers as decimal strings, bytes as 0x hex."""
        return {
            "domain": {
                "name": self.domain.name,
                "version": self.domain.version,
                "chainId": str(self.domain.chain_id),
                "verifyingContract": self.domain.contract,
            },
            "types": {
                name: [{"name": field, "type": kind} for field, kind in fields]
                for name, fields in [("EIP712Domain", _DOMAIN_TYPE), *self._needed().items()]
            },
            "primaryType": self.type,
            "message": message_json(self.message),
        }

    def _needed(self) -> dict[str, Any]:
        """The primary type and those it names: a wallet refuses what it cannot place."""
        found: dict[str, Any] = {}
        open_types = [self.type]
        while open_types:
            name = open_types.pop()
            if name in self.types and name not in found:
                found[name] = self.types[name]
                open_types += [kind.removesuffix("[]") for _, kind in self.types[name]]
        return found


def open_drafts(database: Database) -> list[Draft]:
    """Every draft that has not ended, receipts first, then the oldest first."""
    kept = Custody(database)
    return [
        *map(_of_receipt, kept.open_receipts()),
        *map(_of_confirmation, kept.open_confirmations()),
        *map(_of_statement, Statements(database).open()),
    ]


def get_draft(database: Database, draft_id: str) -> Draft:
    """One draft, ended or not; raises NotFound."""
    kept = Custody(database)
    with suppress(NotFound):
        return _of_receipt(kept.receipt(draft_id))
    with suppress(NotFound):
        return _of_confirmation(kept.confirmation(draft_id))
    with suppress(NotFound):
        return _of_statement(Statements(database).get(draft_id))
    raise NotFound(f"nothing to sign has the id {draft_id}", id=draft_id)


def _of_receipt(held: StoredReceipt) -> Draft:
    return Draft(
        held.id,
        "Receipt",
        custody.signing_domain(held.chain_id, held.trust),
        custody.TYPES,
        held.receipt.message(),
        held.state.value,
        held.reason,
        int(held.receipt.credit_class.token_id),
        held.approvals,
        held,
    )


def _of_confirmation(held: StoredConfirmation) -> Draft:
    return Draft(
        held.id,
        "RegistryRetirement",
        records.signing_domain(held.chain_id, held.trust),
        custody.TYPES,
        held.retirement.message(),
        held.state.value,
        held.reason,
        held.retirement.class_id,
        held.approvals,
        held,
    )


def _of_statement(held: Statement) -> Draft:
    kind = KINDS[held.type]
    return Draft(
        held.id,
        held.type,
        kind.domain(held.chain_id, held.contract),
        kind.types,
        held.message(kind.types),
        held.state.value,
        held.reason,
        held.class_id,
        held.approvals,
        held,
    )
