"""What a watcher signs: only bytes that its own replay of the journal gives (L5, L6).

It is asked with finished bytes, takes from them nothing but numbers, builds the act anew from its
own engine and compares. A cancelled order, another price, an unfair priority or a withdrawal that
its owner did not sign can so never come before the contract with both signatures.
"""

from __future__ import annotations

from itertools import islice
from typing import Final, NamedTuple

from backend.bus.watcher_messages import (
    ActCode,
    ReplyCode,
    SignReply,
    decode_anchor,
    decode_void,
    encode_void,
)
from backend.chain.keys import Key
from backend.domain.batches import (
    Batch,
    SettlementTrade,
    SettlementWithdrawal,
    Void,
    anchor_digest,
    batch_digest,
    decode_batch,
    encode_batch,
    void_digest,
)
from backend.domain.eip712 import SigningDomain
from backend.domain.journal import Head
from backend.errors import Conflict, InvalidValue
from backend.exchange.replaying import Replay


class Signer:
    """The watcher's key and the state it believes: its own."""

    def __init__(self, key: Key, domain: SigningDomain, replay: Replay) -> None:
        self._key, self._domain, self._replay = key, domain, replay

    def answer(self, kind: ActCode, content: bytes) -> SignReply:
        """Sign an act, or say why not."""
        try:
            head, digest = _ACTS[kind](self, content)
        except (Conflict, InvalidValue) as refusal:
            return SignReply(ReplyCode.REFUSED, reason=refusal.message)
        if digest is None:
            return SignReply(
                ReplyCode.BEHIND, reason=f"entry {head.seq} is not replayed here yet: "
                f"{self._replay.head.seq} is"
            )  # fmt: skip
        return SignReply(ReplyCode.SIGNED, self._key.sign(digest))

    # ── acts: the head they name, and what is signed when the own state gives the same ─────────

    def _batch(self, content: bytes) -> _Judged:
        asked = decode_batch(content)
        head = Head(asked.seq, asked.head)
        if not self._is_reached(head):
            return _Judged(head, None)
        fees = (asked.maker_fee_bps, asked.taker_fee_bps) if asked.trades else (0, 0)
        own = Batch(
            asked.first_trade,
            self._trades(asked),
            asked.first_withdrawal,
            self._withdrawals(asked),
            *head,
            *fees,
        )
        rebuilt = encode_batch(own)
        if rebuilt != content:
            raise _differs(own, asked)
        return _Judged(head, batch_digest(self._domain, rebuilt))

    def _void(self, content: bytes) -> _Judged:
        asked = decode_void(content)
        head = Head(asked.seq, asked.head)
        if not self._is_reached(head):
            return _Judged(head, None)
        engine = self._replay.engine
        voids = [one for one in engine.pending_voids() if one.first == asked.first_trade]
        if not voids:
            raise Conflict(f"nothing was voided from trade {asked.first_trade} on")
        first, last, first_withdrawal, last_withdrawal, reason = voids[0]
        own = Void(first, last, first_withdrawal, last_withdrawal, reason, *head)
        rebuilt = encode_void(own)
        if rebuilt != content:
            raise Conflict(f"the void is {own}, not {asked}")
        return _Judged(head, void_digest(self._domain, own))

    def _anchor(self, content: bytes) -> _Judged:
        head = decode_anchor(content)
        if not self._is_reached(head):
            return _Judged(head, None)
        return _Judged(head, anchor_digest(self._domain, *head))

    # ── the own state ────────────────────────────────────────────────────────────────────────

    def _is_reached(self, head: Head) -> bool:
        """Whether the entry has been replayed; Conflict when it has another hash here."""
        if head.seq > self._replay.head.seq:
            return False
        known = self._replay.hash_at(head.seq)
        if known is None:
            raise Conflict(f"entry {head.seq} is too long ago to be compared", seq=head.seq)
        if known != head.hash:
            raise Conflict(
                f"entry {head.seq} has the hash {known.hex()} here, not {head.hash.hex()}",
                seq=head.seq,
            )
        return True

    def _trades(self, asked: Batch) -> tuple[SettlementTrade, ...]:
        first, count = asked.first_trade, len(asked.trades)
        engine = self._replay.engine
        found = tuple(islice((one for one in engine.unsettled_queue if one.number >= first), count))
        for number, trade in enumerate(found, first):
            if trade.number != number:
                raise Conflict(f"trade {number} is settled, void or unknown", trade=number)
        if len(found) != count:
            missing = first + len(found)
            raise Conflict(f"trade {missing} is settled, void or unknown", trade=missing)
        return found

    def _withdrawals(self, asked: Batch) -> tuple[SettlementWithdrawal, ...]:
        first, count = asked.first_withdrawal, len(asked.withdrawals)
        pending = self._replay.engine.unsettled_withdrawals()
        found = [one for one in pending if first <= one.number < first + count]
        if len(found) != count:
            known = {one.number for one in found}
            missing = next(n for n in range(first, first + count) if n not in known)
            raise Conflict(f"withdrawal {missing} is settled, void or unknown", withdrawal=missing)
        last_trade = asked.first_trade + len(asked.trades) - 1
        for one in found:
            if one.after_trade > last_trade:
                raise Conflict(
                    f"withdrawal {one.number} comes after trade {one.after_trade}, which is not "
                    "settled with it", withdrawal=one.number,
                )  # fmt: skip
        return tuple(found)


class _Judged(NamedTuple):
    head: Head
    #: None while the head is not replayed.
    digest: bytes | None


_ACTS: Final = {
    ActCode.BATCH: Signer._batch,
    ActCode.VOID: Signer._void,
    ActCode.ANCHOR: Signer._anchor,
}


def _differs(own: Batch, asked: Batch) -> Conflict:
    """Names the first trade or withdrawal that is another."""
    for mine, theirs in zip(own.trades, asked.trades, strict=True):
        if mine != theirs:
            return Conflict(f"trade {mine.number} is {mine}, not {theirs}", trade=mine.number)
    for one, other in zip(own.withdrawals, asked.withdrawals, strict=True):
        if one.withdrawal != other.withdrawal:
            return Conflict(
                f"withdrawal {one.number} is {one.withdrawal}, not {other.withdrawal}",
                withdrawal=one.number,
            )
    return Conflict(f"the batch's fees or head differ: {own[5:]}, not {asked[5:]}")
