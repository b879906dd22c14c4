"""An outgoing transaction and its way to finality: what the sender remembers (L10)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class TransactionState(StrEnum):
    """signed → mined → final; `reverted` is final too. A reorganisation leads back to signed."""

    SIGNED = "signed"
    MINED = "mined"
    REVERTED = "reverted"
    FINAL = "final"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One signed form of a transaction; a fee bump is another attempt with the same nonce."""

    hash: str
    raw: bytes
    max_fee_per_gas: int
    max_priority_fee_per_gas: int
    signed_at: int


@dataclass(frozen=True, slots=True)
class OutgoingTransaction:
    """A transaction known by its key: the same key twice has the effect of once.

    `data` is the call; another `to` or `data` under a known key is a conflict. Amounts in wei,
    `signed_at` in Unix seconds, `block_number`, `block_hash` and `reason` as far as known.
    """

    key: str
    chain_id: int
    account: str
    nonce: int
    to: str
    data: bytes
    gas: int
    attempts: tuple[Attempt, ...]
    state: TransactionState
    block_number: int | None = None
    block_hash: str | None = None
    transaction_hash: str | None = None
    reason: str | None = None
