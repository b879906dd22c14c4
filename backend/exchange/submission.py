"""Sends what both keys have signed to the Exchange, in order, and finishes what follows from it.

Runs in the worker. What is done is read from the chain, never remembered: an act counts when the
Exchange's numbers have passed it, whoever sent it. An act that the chain refuses for good is
marked with the chain's reason and those behind it wait; everything else of the worker goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

import structlog

from backend.bus.watcher_messages import decode_void
from backend.chain import abi, exchange_calls
from backend.chain.keys import Key
from backend.chain.outbox import TransactionLog
from backend.chain.rpc import Rpc
from backend.chain.sender import Sender
from backend.chain.signatures import Verifier
from backend.domain.batches import decode_batch, pack_signatures
from backend.domain.eip712 import SigningDomain
from backend.domain.orders import Order
from backend.domain.retirements import RetirementDetails, details_of
from backend.domain.transactions import OutgoingTransaction, TransactionState
from backend.errors import ChainRejected, InvalidValue, RuleError
from backend.exchange.planning import replaced
from backend.store.database import Database
from backend.store.index import load_state
from backend.store.registry_requests import RegistryRequests
from backend.store.venue_acts import ActKind, ActState, VenueAct, read_acts, set_act_state

log = structlog.get_logger("submission")

#: An act that the chain has refused for so long is marked as refused; it is still tried.
REFUSED_SECONDS: Final = 10.0
#: What was refused is tried again after so long.
AGAIN_SECONDS: Final = 3.0
#: Acts whose transactions wait at once: nonces in order carry them over in order.
MOST_AT_ONCE: Final = 16
_RETIRES: Final = 32


class Progress(NamedTuple):
    """How far the Exchange is: last settled or voided trade and withdrawal, anchored entry."""

    trade: int
    withdrawal: int
    anchored: int

    def has(self, act: VenueAct) -> bool:
        """Whether the chain has gone past the act."""
        if act.kind is ActKind.ANCHOR:
            return self.anchored >= act.head.seq
        return self.trade >= act.last_trade and self.withdrawal >= act.last_withdrawal


class _Refusal(NamedTuple):
    since: float
    again_at: float
    reason: str


class Submission:
    """One venue's; `advance` is one step of the worker's loop. `payer` pays for gas.

    `confirmations` as the sender's: how many chain blocks on top make something final.
    """

    def __init__(
        self,
        rpc: Rpc,
        domain: SigningDomain,
        sender: Sender,
        transactions: TransactionLog,
        database: Database,
        venue: int,
        payer: Callable[[], Key],
        confirmations: int = 0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rpc, self._exchange = rpc, domain.contract
        self._verifier = Verifier(domain)
        self._sender, self._transactions = sender, transactions
        self._database, self._venue, self._payer = database, venue, payer
        self._confirmations, self._monotonic = confirmations, monotonic
        self._refusals: dict[str, _Refusal] = {}
        #: Retire-on-fill orders of acts that are not finished, by the act's number.
        self._orders: dict[int, list[tuple[bytes, Order]]] = {}

    def advance(self) -> None:
        """Mark what is done, send what comes next, retire what was bought to be retired."""
        with self._database.read() as connection:
            acts = read_acts(
                connection, self._venue, ActState.SIGNED, ActState.SUBMITTED, ActState.REFUSED
            )
            index = load_state(connection)
        if not acts:
            return
        for act in replaced(acts):
            self._set(act, ActState.SUPERSEDED, reason="a later act took its numbers")
            acts.remove(act)
        newest = self._rpc.block_number()
        now = self.progress(newest)
        # What a chain loses that is not in the index, nobody sends again: it is not settled yet.
        indexed = -1 if index is None else index.indexed_number
        final_block = min(newest - self._confirmations, indexed)
        final = now if final_block == newest else self._earlier(final_block)
        waiting = 0
        blocked = False
        for act in acts:
            if now.has(act):
                if final is not None and final.has(act):
                    self._finish(act, final_block)
            elif waiting < MOST_AT_ONCE and not (blocked and act.kind is not ActKind.ANCHOR):
                if self._bring(act, waiting > 0):
                    waiting += 1
                elif act.kind is not ActKind.ANCHOR:
                    blocked = True

    def progress(self, block: int) -> Progress:
        """What the Exchange says of itself at a chain block."""
        trade, withdrawal, _ = self._ask("settled", (), block).values()
        return Progress(trade, withdrawal, self._ask("anchored", (), block)["seq"])

    def _earlier(self, block: int) -> Progress | None:
        """The same at an older chain block; None where the node has no state of it any more."""
        try:
            return self.progress(block) if block >= 0 else None
        except ChainRejected:
            return None

    # ── sending ──────────────────────────────────────────────────────────────────────────────

    def _bring(self, act: VenueAct, is_behind: bool) -> bool:
        """Send an act unless it is on its way; False when the chain does not take it now."""
        name = self._name(act)
        sent = self._newest(name)
        if sent is not None and not _has_failed(sent):
            self._note_sent(act, sent.key)
            return True
        return self._send(name, sent, call_data(act), act, is_behind)

    def _name(self, act: VenueAct) -> str:
        return f"venue-{self._venue}-act-{act.number}"

    def _send(
        self,
        name: str,
        sent: OutgoingTransaction | None,
        data: bytes,
        act: VenueAct,
        is_behind: bool,
    ) -> bool:
        refusal = self._refusals.get(name)
        if refusal is not None and self._monotonic() < refusal.again_at:
            return False
        key = _next_key(name, sent)
        try:
            # Estimated first: what would revert is neither signed nor paid for.
            stored = self._sender.submit(key, self._payer(), self._exchange, data)
        except (ChainRejected, RuleError) as error:
            if not is_behind:
                self._note_refusal(name, error.message, act)
            return False
        if self._refusals.pop(name, None) is not None:
            log.info("the chain takes it now", transaction=name)
        if name == self._name(act):
            self._note_sent(act, stored.key)
        return True

    def _newest(self, name: str) -> OutgoingTransaction | None:
        """The last transaction made for something: one that reverted is followed by another."""
        found = self._transactions.get(name)
        attempt = 1
        while found is not None and _has_failed(found):
            later = self._transactions.get(f"{name}-again-{attempt}")
            if later is None:
                break
            found, attempt = later, attempt + 1
        return found

    def _note_sent(self, act: VenueAct, key: str) -> None:
        if act.state is not ActState.SUBMITTED or act.transaction_key != key:
            self._set(act, ActState.SUBMITTED, key=key)

    def _note_refusal(self, name: str, reason: str, act: VenueAct) -> None:
        now = self._monotonic()
        earlier = self._refusals.get(name)
        since = now if earlier is None or earlier.reason != reason else earlier.since
        self._refusals[name] = _Refusal(since, now + AGAIN_SECONDS, reason)
        if earlier is None or earlier.reason != reason:
            log.error("the chain refuses", transaction=name, act=act.number, reason=reason)
        is_new = act.state is not ActState.REFUSED or act.reason != reason
        if is_new and name == self._name(act) and now - since >= REFUSED_SECONDS:
            self._set(act, ActState.REFUSED, reason=reason)

    # ── what follows from a settled act ──────────────────────────────────────────────────────

    def _finish(self, act: VenueAct, final_block: int) -> None:
        """Settled, once nothing that it bought to be retired is left."""
        if act.number not in self._orders:
            self._orders[act.number] = list(self._retiring(act))
        orders = self._orders[act.number]
        left = [one for one in orders if self._earmarked(one[0], final_block)]
        for digest, order in left:
            self._retire(act, digest, order)
        if not left:
            sent = self._newest(self._name(act))
            self._set(act, ActState.SETTLED, key=sent.key if sent else None)
            del self._orders[act.number]

    def _retiring(self, act: VenueAct) -> Iterable[tuple[bytes, Order]]:
        if act.kind is not ActKind.BATCH:
            return
        seen = set()
        for trade in decode_batch(act.content).trades:
            for order in (trade.maker, trade.taker):
                if order.conditions & _RETIRES and order not in seen:
                    seen.add(order)
                    yield self._verifier.digest(order), order

    def _retire(self, act: VenueAct, digest: bytes, order: Order) -> None:
        name = f"venue-{self._venue}-retire-{digest.hex()}-{act.number}"
        sent = self._newest(name)
        if sent is not None and not _has_failed(sent):
            return
        data = retirement_data(order, self._words(order))
        self._send(name, sent, data, act, is_behind=False)

    def _words(self, order: Order) -> RetirementDetails | None:
        """What the certificate shall show: the words of a public instruction that was given to us,
        when they are those that the order binds."""
        key = "0x" + order.details_hash.hex()
        try:
            said = RegistryRequests(self._database).instruction(key)
            if said is None or not said.is_public:
                return None
            words = details_of(said)
        except InvalidValue as error:
            # Kept by older rules. The retirement goes on without its words.
            log.warning("instruction", hash=key, problem=error.message)
            return None
        return words if words.hash == order.details_hash else None

    def _earmarked(self, digest: bytes, block: int) -> bool:
        return bool(self._ask("earmarked", (digest,), block))

    # ── chain and store ──────────────────────────────────────────────────────────────────────

    def _ask(self, function: str, args: tuple[Any, ...], block: int) -> Any:
        data = abi.encode_call("Exchange", function, args)
        answer = self._rpc.eth_call(self._exchange, data, block)
        return abi.decode_result("Exchange", function, answer)

    def _set(
        self, act: VenueAct, state: ActState, *, key: str | None = None, reason: str | None = None
    ) -> None:
        with self._database.begin() as connection:
            set_act_state(
                connection, self._venue, act.number, state, transaction_key=key, reason=reason
            )
        say = log.error if state is ActState.REFUSED else log.info
        say("act", act=act.number, kind=act.kind.value, state=state.value, reason=reason)


def _has_failed(sent: OutgoingTransaction) -> bool:
    """Whether the transaction was mined without effect, or can never be mined."""
    return sent.state is not TransactionState.SIGNED and sent.reason is not None


def _next_key(name: str, sent: OutgoingTransaction | None) -> str:
    if sent is None:
        return name
    _, found, number = sent.key.rpartition("-again-")
    return f"{name}-again-{int(number) + 1 if found else 1}"


def call_data(act: VenueAct) -> bytes:
    """The call that carries an act to the Exchange."""
    keys = pack_signatures((act.sequencer_signature, act.watcher_signature))
    if act.kind is ActKind.BATCH:
        return exchange_calls.settle(act.content, keys + act.signatures)
    if act.kind is ActKind.VOID:
        return exchange_calls.void_trades(decode_void(act.content), keys)
    return exchange_calls.anchor(act.head, keys)


def retirement_data(order: Order, words: RetirementDetails | None) -> bytes:
    """The call that retires what is earmarked for a retire-on-fill order; `words` it publishes."""
    if order.conditions & _RETIRES == 0:
        raise InvalidValue("conditions", order.conditions, "do not retire on fill")
    if words is None:
        return exchange_calls.complete_retirement(order)
    return exchange_calls.complete_retirement_publicly(order, words)
