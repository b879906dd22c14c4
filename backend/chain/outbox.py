"""What the sender asks of its log, and its decisions that need no chain: pure functions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

from backend.chain.fees import Fees
from backend.domain.transactions import Attempt, OutgoingTransaction, TransactionState
from backend.errors import Conflict


class TransactionLog(Protocol):
    """Where outgoing transactions are kept, durably, before they are sent."""

    def get(self, key: str) -> OutgoingTransaction | None:
        """The transaction with this key, with all its attempts in the order they were signed."""
        ...

    def reserve_and_store(
        self,
        chain_id: int,
        account: str,
        chain_nonce: int,
        sign: Callable[[int], OutgoingTransaction],
    ) -> OutgoingTransaction:
        """Sign with the next nonce of the account and store, in one database transaction.

        Under a lock per (chain_id, account): nonce = max(chain_nonce, last own nonce + 1). When
        the key of what `sign` returns is stored already, nothing is stored and no nonce is used;
        the stored transaction is returned.
        """
        ...

    def add_attempt(self, key: str, attempt: Attempt) -> None:
        """Append an attempt; the same hash again changes nothing."""
        ...

    def update(self, transaction: OutgoingTransaction) -> None:
        """Store state, block_number, block_hash, transaction_hash and reason by the key."""
        ...

    def open(self, chain_id: int) -> list[OutgoingTransaction]:
        """Transactions in state `signed` or `mined`, by account and nonce."""
        ...


@runtime_checkable
class BatchTransactionLog(TransactionLog, Protocol):
    """A log that can take many transactions of one account at once, for loads."""

    def reserve_and_store_many(
        self,
        chain_id: int,
        account: str,
        chain_nonce: int,
        keys: Sequence[str],
        sign: Callable[[str, int], OutgoingTransaction],
    ) -> list[OutgoingTransaction]:
        """As reserve_and_store for each key in order, in one database transaction.

        Keys that are stored already are returned as they are and use no nonce.
        """
        ...


class Placement(NamedTuple):
    """Where a receipt says that a transaction stands."""

    transaction_hash: str
    block_number: int
    block_hash: str
    succeeded: bool


#: What nodes answer to raw bytes that they have already, or that are mined already.
_KNOWN: Final = ("already known", "known transaction", "already imported", "already in mempool")
_NONCE_USED: Final = ("nonce too low", "nonce is too low", "invalid nonce", "old nonce")
_UNDERPRICED: Final = ("underpriced", "replacement fee too low", "gas price too low to replace")


def is_known(message: str) -> bool:
    """The node holds exactly these bytes already."""
    return any(part in message.lower() for part in _KNOWN)


def is_nonce_used(message: str) -> bool:
    """Something with this nonce was mined: one of our attempts, or a foreign transaction."""
    return any(part in message.lower() for part in _NONCE_USED)


def is_underpriced(message: str) -> bool:
    """The node holds another transaction with this nonce that pays as much."""
    return any(part in message.lower() for part in _UNDERPRICED)


def same_content(stored: OutgoingTransaction, account: str, to: str, data: bytes) -> None:
    """Raise Conflict when a key is presented again with another account, target or call (L10)."""
    for name, held, given in (
        ("account", stored.account, account),
        ("to", stored.to, to),
        ("data", stored.data, data),
    ):
        if held != given:
            raise Conflict(
                f"the transaction {stored.key!r} was submitted with another {name}",
                key=stored.key,
                differs=name,
                held=held if isinstance(held, str) else "0x" + held.hex(),
                given=given if isinstance(given, str) else "0x" + bytes(given).hex(),
            )


def block_numbers(receipts: Iterable[Mapping[str, Any] | None]) -> set[int]:
    """Numbers of the chain blocks that receipts name."""
    return {int(one["blockNumber"], 16) for one in receipts if one and one.get("blockNumber")}


def placement(
    receipts: Iterable[Mapping[str, Any] | None], standing: Collection[str]
) -> Placement | None:
    """The receipt among those of all attempts whose chain block is one of `standing`.

    At most one attempt can be mined: they share their nonce.
    """
    for receipt in receipts:
        if receipt and receipt.get("blockNumber") and receipt["blockHash"] in standing:
            return Placement(
                receipt["transactionHash"],
                int(receipt["blockNumber"], 16),
                receipt["blockHash"],
                receipt["status"] == "0x1",
            )
    return None


def settled(
    transaction: OutgoingTransaction, place: Placement, reason: str | None, final: bool
) -> OutgoingTransaction:
    """The transaction as mined at `place`; `final` when it is as deep as asked.

    A transaction that reverted keeps `mined` with its reason until it is final: a
    reorganisation could still let it succeed.
    """
    state = TransactionState.MINED
    if final:
        state = TransactionState.FINAL if place.succeeded else TransactionState.REVERTED
    return replace(
        transaction,
        state=state,
        block_number=place.block_number,
        block_hash=place.block_hash,
        transaction_hash=place.transaction_hash,
        reason=None if place.succeeded else reason,
    )


def unmined(transaction: OutgoingTransaction, reason: str | None = None) -> OutgoingTransaction:
    """The transaction as signed and not, or no longer, in any chain block."""
    return replace(
        transaction,
        state=TransactionState.SIGNED,
        block_number=None,
        block_hash=None,
        transaction_hash=None,
        reason=reason,
    )


def foreign_reason(transaction: OutgoingTransaction) -> str:
    """How a transaction is reported whose nonce another program used up."""
    return (
        f"nonce {transaction.nonce} of {transaction.account} was used by a transaction that is "
        "not in this log; this one can never be mined and was not sent with another nonce"
    )


def is_stuck(
    transaction: OutgoingTransaction, next_nonce: int, base_fee: int, now: int, after: int
) -> bool:
    """Whether a bump can help: old enough, and first in line or below the chain's base fee."""
    last = transaction.attempts[-1]
    first_in_line = transaction.nonce == next_nonce
    too_low = last.max_fee_per_gas < base_fee
    return now - last.signed_at >= after and (first_in_line or too_low)


def fees_of(attempt: Attempt) -> Fees:
    """Fees of an attempt."""
    return Fees(attempt.max_fee_per_gas, attempt.max_priority_fee_per_gas)
