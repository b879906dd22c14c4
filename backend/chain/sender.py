"""Sends transactions so that each has its effect once, whatever dies in between (L10).

A transaction is signed with the account's next nonce and stored before it is sent. What is stored
is sent again until it is mined: always the same bytes, or the same nonce with higher fees, never
another nonce. So retries, crashes and reorganisations cannot double anything.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from backend.chain import outbox
from backend.chain.abi import checksum
from backend.chain.development import DevelopmentMiner
from backend.chain.fees import FEE_CALLS, Fees, bumped, current_fees, fees_from
from backend.chain.keys import Key, Keys
from backend.chain.outbox import BatchTransactionLog, Placement, TransactionLog
from backend.chain.rawtx import MAX_TRANSACTION_GAS, sign_transaction
from backend.chain.reasons import revert_reason
from backend.chain.rpc import Request, Rpc
from backend.domain.transactions import Attempt, OutgoingTransaction, TransactionState
from backend.errors import ChainRejected, ChainUnavailable, InvalidValue, NotFound

#: An estimate is for the state now; a fifth more for the state when it is mined.
_GAS_MARGIN: Final = (6, 5)
#: A foreign use of a nonce is believed after so many seconds without a receipt of our own.
_FOREIGN_SECONDS: Final = 5
_POLL: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)


@dataclass(frozen=True, slots=True)
class Call:
    """One transaction to be sent. `gas` None is estimated."""

    key: str
    account: Key
    to: str
    data: bytes
    gas: int | None = None


class Sender:
    """Sends for any number of accounts of one chain; safe to share between threads.

    `clock` gives Unix seconds. `confirmations`: how many chain blocks above a transaction make it
    final, 0 as soon as it is mined; None follows the chain's own finalised block. Errors:
    Conflict for a known key with other content, ChainRejected with the decoded reason when the
    estimate or the transaction reverts, ChainUnavailable when the endpoint does not answer.
    """

    def __init__(
        self,
        rpc: Rpc,
        log: TransactionLog,
        clock: Callable[[], int],
        *,
        confirmations: int | None = 12,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rpc, self._log, self._clock, self._sleep = rpc, log, clock, sleep
        self._confirmations = confirmations
        self._miner = DevelopmentMiner(rpc)
        #: Key → (chain block, time) in which a foreign use of its nonce was first seen.
        self._foreign: dict[str, tuple[int, int]] = {}
        self._lock = threading.Lock()

    # ------------------------------------------------------------------ submit

    def submit(
        self, key: str, account: Key, to: str, data: bytes, gas: int | None = None
    ) -> OutgoingTransaction:
        """Sign, store and send a call; the same key again returns the same transaction.

        The transaction comes back `signed` even when the node could not be reached after it was
        stored: `advance` sends it again. A refused estimate stores nothing and uses no nonce.
        """
        call = Call(key, account, checksum(to), data, gas)
        stored = self._known(call)
        if stored is None:
            gas, nonce, fees = self._prepare(call)
            stored = self._log.reserve_and_store(
                self._rpc.chain_id(),
                account.address,
                nonce,
                lambda own_nonce: self._signed(call, own_nonce, gas, fees),
            )
            outbox.same_content(stored, account.address, call.to, data)
        if stored.state is not TransactionState.SIGNED:
            return stored
        return self._broadcast([stored])[0]

    def submit_many(self, calls: Sequence[Call]) -> list[OutgoingTransaction]:
        """Many calls: one stored batch per account, sent by one JSON-RPC batch.

        Estimates cannot see the earlier calls of the batch: give `gas` where one needs another.
        The log must be a BatchTransactionLog.
        """
        log = self._log
        if not isinstance(log, BatchTransactionLog):
            raise InvalidValue("log", type(log).__name__, "cannot store many at once")
        calls = [replace(call, to=checksum(call.to)) for call in calls]
        by_key = {call.key: call for call in calls}
        if len(by_key) != len(calls):
            raise InvalidValue("calls", len(calls), "name one key twice")
        gas = self._estimates(calls)
        fees = current_fees(self._rpc)
        accounts = list(dict.fromkeys(call.account.address for call in calls))
        nonces = self._nonces(accounts, "pending")
        done: dict[str, OutgoingTransaction] = {}
        for account, nonce in zip(accounts, nonces, strict=True):
            stored = log.reserve_and_store_many(
                self._rpc.chain_id(),
                account,
                nonce,
                [call.key for call in calls if call.account.address == account],
                lambda key, own: self._signed(by_key[key], own, gas[key], fees),
            )
            for one in stored:
                call = by_key[one.key]
                outbox.same_content(one, account, call.to, call.data)
                done[one.key] = one
        signed = [one for one in done.values() if one.state is TransactionState.SIGNED]
        done.update((one.key, one) for one in self._broadcast(signed))
        return [done[call.key] for call in calls]

    def _known(self, call: Call) -> OutgoingTransaction | None:
        stored = self._log.get(call.key)
        if stored is not None:
            outbox.same_content(stored, call.account.address, call.to, call.data)
        return stored

    def _prepare(self, call: Call) -> tuple[int, int, Fees]:
        """Gas, the chain's pending nonce and fees, by one batch."""
        count: Request = ("eth_getTransactionCount", (call.account.address, "pending"))
        calls = [*FEE_CALLS, count]
        if call.gas is None:
            calls.append(_estimate(call))
        block, priority, nonce, *estimate = self._rpc.try_batch(calls)
        for answer in (block, nonce, *estimate):
            if isinstance(answer, ChainRejected):
                raise answer
        gas = _checked_gas(call, int(estimate[0], 16) if estimate else None)
        return gas, int(nonce, 16), fees_from(block, priority)

    def _estimates(self, calls: Sequence[Call]) -> dict[str, int]:
        unknown = [call for call in calls if call.gas is None]
        answers = self._rpc.try_batch(_estimate(call) for call in unknown)
        for call, answer in zip(unknown, answers, strict=True):
            if isinstance(answer, ChainRejected):
                raise ChainRejected(
                    f"{call.key}: {answer.message}", **answer.values | {"key": call.key}
                )
        gas = {
            call.key: _checked_gas(call, int(answer, 16))
            for call, answer in zip(unknown, answers, strict=True)
        }
        return gas | {call.key: _checked_gas(call, None) for call in calls if call.key not in gas}

    def _signed(self, call: Call, nonce: int, gas: int, fees: Fees) -> OutgoingTransaction:
        return OutgoingTransaction(
            key=call.key,
            chain_id=self._rpc.chain_id(),
            account=call.account.address,
            nonce=nonce,
            to=call.to,
            data=call.data,
            gas=gas,
            attempts=(self._attempt(call.account, nonce, call.to, call.data, gas, fees),),
            state=TransactionState.SIGNED,
        )

    def _attempt(
        self, account: Key, nonce: int, to: str, data: bytes, gas: int, fees: Fees
    ) -> Attempt:
        digest, raw = sign_transaction(
            account,
            chain_id=self._rpc.chain_id(),
            nonce=nonce,
            to=to,
            data=data,
            gas=gas,
            max_fee_per_gas=fees.max_fee_per_gas,
            max_priority_fee_per_gas=fees.max_priority_fee_per_gas,
        )
        return Attempt(digest, raw, *fees, self._clock())

    # --------------------------------------------------------------- broadcast

    def _broadcast(self, signed: Sequence[OutgoingTransaction]) -> list[OutgoingTransaction]:
        """Send the newest attempt of each; returns them as they stand afterwards."""
        if not signed:
            return []
        ordered = sorted(signed, key=lambda one: (one.account, one.nonce))
        try:
            answers = self._rpc.try_batch(
                ("eth_sendRawTransaction", ("0x" + one.attempts[-1].raw.hex(),)) for one in ordered
            )
        except ChainUnavailable:
            return list(signed)  # stored: advance sends them again
        done: dict[str, OutgoingTransaction] = {}
        unclear = []
        for one, answer in zip(ordered, answers, strict=True):
            message = ""
            if isinstance(answer, ChainRejected):
                message = str(answer.values.get("node_message", answer.message))
            if outbox.is_nonce_used(message):
                unclear.append(one)
                done[one.key] = one
            else:
                taken = not message or outbox.is_known(message)
                done[one.key] = self._told(one, None if taken else message)
        if unclear:
            # One of the attempts is mined, or a foreign transaction: the receipts tell.
            done.update((one.key, one) for one in self._advance(unclear, rebroadcast=False))
        return [done[one.key] for one in signed]

    def _told(self, one: OutgoingTransaction, message: str | None) -> OutgoingTransaction:
        """Keep what the node says against the bytes (no funds, underpriced); None clears it."""
        if message is not None and outbox.is_underpriced(message):
            message = f"{message}: the node holds another transaction with nonce {one.nonce}"
        reason = None if message is None else f"not taken by the node: {message}"
        return self._store(one, replace(one, reason=reason))

    # ----------------------------------------------------------------- advance

    def advance(self) -> list[OutgoingTransaction]:
        """Bring every open transaction forward one step; returns those that changed.

        Mined ones get their receipt and, deep enough, become final; those that a reorganisation
        took out are signed again; those that the node does not know are sent again.
        """
        return self._advance(self._log.open(self._rpc.chain_id()), rebroadcast=True)

    def _advance(
        self, transactions: Sequence[OutgoingTransaction], *, rebroadcast: bool
    ) -> list[OutgoingTransaction]:
        if not transactions:
            return []
        final_below = self._final_number()
        places = self._placements(transactions)
        changed: list[OutgoingTransaction] = []
        missing = []
        for one, place in zip(transactions, places, strict=True):
            if place is None:
                missing.append(one)
            else:
                self._note(changed, one, self._settled(one, place, final_below))
        waiting = self._sort_out_foreign(missing, final_below, changed) if missing else []
        if rebroadcast and waiting:
            lost = self._unknown_to_node(waiting)
            sent = self._broadcast(lost)
            changed += [after for before, after in zip(lost, sent, strict=True) if after != before]
            if len(lost) < len(waiting):
                self._miner.mine_left_over()
        return list({one.key: one for one in changed}.values())

    def _note(
        self,
        changed: list[OutgoingTransaction],
        before: OutgoingTransaction,
        after: OutgoingTransaction,
    ) -> None:
        if after != before:
            self._store(before, after)
            changed.append(after)

    def _store(
        self, before: OutgoingTransaction, after: OutgoingTransaction
    ) -> OutgoingTransaction:
        if after != before:
            self._log.update(after)
        return after

    def _final_number(self) -> int:
        """Chain blocks up to this number are final."""
        if self._confirmations is not None:
            return self._rpc.block_number() - self._confirmations
        finalized = self._rpc.block("finalized")
        return finalized.number if finalized else -1

    def _placements(self, transactions: Iterable[OutgoingTransaction]) -> list[Placement | None]:
        """Where each stands in the chain as it is now; None for what is in no chain block.

        A receipt alone proves nothing: nodes give receipts of chain blocks that a reorganisation
        has replaced. Its chain block must be the one that stands at its number.
        """
        listed = list(transactions)
        receipts = iter(
            self._rpc.batch(
                ("eth_getTransactionReceipt", (attempt.hash,))
                for one in listed
                for attempt in one.attempts
            )
        )
        found = [[next(receipts) for _ in one.attempts] for one in listed]
        numbers = sorted({number for some in found for number in outbox.block_numbers(some)})
        standing = {block.hash for block in self._rpc.blocks(numbers) if block}
        return [outbox.placement(some, standing) for some in found]

    def _settled(
        self, one: OutgoingTransaction, place: Placement, final_below: int
    ) -> OutgoingTransaction:
        with self._lock:
            self._foreign.pop(one.key, None)
        reason = one.reason if one.block_hash == place.block_hash else None
        if not place.succeeded and reason is None:
            reason = self._reason(one, place)
        return outbox.settled(one, place, reason, place.block_number <= final_below)

    def _reason(self, one: OutgoingTransaction, place: Placement) -> str:
        receipt = self._rpc.call("eth_getTransactionReceipt", place.transaction_hash)
        if receipt is None:
            return "reverted; a reorganisation took the receipt away while it was read"
        return revert_reason(
            self._rpc, receipt, sender=one.account, to=one.to, data=one.data, gas=one.gas
        )

    def _sort_out_foreign(
        self,
        missing: list[OutgoingTransaction],
        final_below: int,
        changed: list[OutgoingTransaction],
    ) -> list[OutgoingTransaction]:
        """Those without a receipt that can still be mined; the others are reported in `changed`.

        A nonce that the chain has used without one of our attempts belongs to a foreign
        transaction. That is provisional until it is as deep as final needs, and for a while:
        nodes count a nonce a moment before they give the receipt.
        """
        accounts = list(dict.fromkeys(one.account for one in missing))
        used = dict(zip(accounts, self._nonces(accounts, "latest"), strict=True))
        suspects = [one for one in missing if one.nonce < used[one.account]]
        waiting = [self._still_waiting(one, changed) for one in missing if one not in suspects]
        # Receipts after the nonces: what was mined between the two readings is not foreign.
        for one, place in zip(suspects, self._placements(suspects), strict=True):
            if place is not None:
                self._note(changed, one, self._settled(one, place, final_below))
                continue
            with self._lock:
                seen, since = self._foreign.setdefault(
                    one.key, (self._rpc.block_number(), self._clock())
                )
            after = outbox.unmined(one, outbox.foreign_reason(one))
            if seen <= final_below and self._clock() - since >= _FOREIGN_SECONDS:
                after = replace(after, state=TransactionState.REVERTED)
            self._note(changed, one, after)
        return waiting

    def _still_waiting(
        self, one: OutgoingTransaction, changed: list[OutgoingTransaction]
    ) -> OutgoingTransaction:
        """Back to signed where a reorganisation took it out, or gave its nonce back."""
        with self._lock:
            self._foreign.pop(one.key, None)
        after = one
        if one.state is TransactionState.MINED or one.reason == outbox.foreign_reason(one):
            after = outbox.unmined(one)
        self._note(changed, one, after)
        return after

    def _unknown_to_node(self, waiting: Sequence[OutgoingTransaction]) -> list[OutgoingTransaction]:
        """Those of which the newest attempt is not in the node's pool, although none is mined."""
        answers = self._rpc.batch(
            ("eth_getTransactionByHash", (one.attempts[-1].hash,)) for one in waiting
        )
        return [
            one
            for one, answer in zip(waiting, answers, strict=True)
            if answer is None or answer.get("blockHash")
        ]

    def _nonces(self, accounts: Sequence[str], block: str) -> list[int]:
        answers = self._rpc.batch(
            ("eth_getTransactionCount", (account, block)) for account in accounts
        )
        return [int(answer, 16) for answer in answers]

    # -------------------------------------------------------------------- bump

    def bump(self, keys: Keys, after_seconds: int) -> list[OutgoingTransaction]:
        """Offer more for transactions that wait longer than `after_seconds` since their last
        attempt: the first in line of each account, and those below the base fee.

        Both fees rise by at least an eighth; the new attempt is stored before it is sent.
        """
        signed = [
            one
            for one in self._log.open(self._rpc.chain_id())
            if one.state is TransactionState.SIGNED
        ]
        if not signed:
            return []
        accounts = list(dict.fromkeys(one.account for one in signed))
        used = dict(zip(accounts, self._nonces(accounts, "latest"), strict=True))
        block = self._rpc.call("eth_getBlockByNumber", "latest", False)
        base_fee, now_fees = int(block.get("baseFeePerGas") or "0x0", 16), current_fees(self._rpc)
        raised = []
        for one in signed:
            if not outbox.is_stuck(one, used[one.account], base_fee, self._clock(), after_seconds):
                continue
            key = keys.by_address(one.account)
            fees = bumped(outbox.fees_of(one.attempts[-1]), now_fees)
            attempt = self._attempt(key, one.nonce, one.to, one.data, one.gas, fees)
            self._log.add_attempt(one.key, attempt)
            raised.append(replace(one, attempts=(*one.attempts, attempt)))
        return self._broadcast(raised)

    # -------------------------------------------------------------------- wait

    def wait(self, key: str, timeout: float) -> OutgoingTransaction:
        """The transaction once it is mined; `timeout` in seconds.

        Raises ChainRejected with the decoded reason when it reverted or can never be mined,
        ChainUnavailable when it is not mined in time, NotFound for an unknown key.
        """
        waited, polls = 0.0, 0
        while True:
            one = self._log.get(key)
            if one is None:
                raise NotFound(f"no transaction has the key {key!r}", key=key)
            if one.state in (TransactionState.SIGNED, TransactionState.MINED):
                one = next(iter(self._advance([one], rebroadcast=polls > 0)), one)
            if one.state is not TransactionState.SIGNED:
                return _mined(one)
            if waited >= timeout:
                raise ChainUnavailable(
                    f"{key} is not mined after {timeout} s"
                    + (f": {one.reason}" * bool(one.reason)),
                    key=key,
                    nonce=one.nonce,
                )
            pause = _POLL[min(polls, len(_POLL) - 1)]
            self._sleep(pause)
            waited, polls = waited + pause, polls + 1


def _mined(one: OutgoingTransaction) -> OutgoingTransaction:
    if one.reason is not None:
        raise ChainRejected(
            one.reason, key=one.key, transaction=one.transaction_hash, block=one.block_number
        )
    return one


def _estimate(call: Call) -> Request:
    sent: dict[str, Any] = {
        "from": call.account.address,
        "to": call.to,
        "data": "0x" + call.data.hex(),
    }
    return "eth_estimateGas", (sent, "pending")


def _checked_gas(call: Call, estimate: int | None) -> int:
    """The gas to ask for: as given, or the estimate with a margin; below EIP-7825's limit."""
    if call.gas is not None:
        gas = call.gas
    else:
        numerator, denominator = _GAS_MARGIN
        needed = estimate or 0
        gas = max(needed, min(needed * numerator // denominator, MAX_TRANSACTION_GAS - 1))
    if not 21_000 <= gas < MAX_TRANSACTION_GAS:
        raise InvalidValue(f"gas of {call.key}", gas, f"is outside 21000 … {MAX_TRANSACTION_GAS}")
    return gas
