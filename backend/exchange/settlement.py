"""The leader's part in settlement: builds what comes next, has it signed twice, stores it.

Everything it decides follows from the committed journal and the acts stored before, so a leader
that takes over goes on where the last one stopped. It never waits for the chain: what is stored
here the worker submits.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

import structlog

from backend.bus.watcher_messages import (
    ActCode,
    ReplyCode,
    SignReply,
    decode_sign_reply,
    encode_anchor,
    encode_sign_request,
    encode_void,
)
from backend.chain.keys import Key
from backend.domain.batches import (
    Batch,
    Void,
    anchor_digest,
    batch_digest,
    compact_signature,
    encode_batch,
    pack_signatures,
    signature_slots,
    void_digest,
)
from backend.domain.commands import VoidTrades
from backend.domain.eip712 import SigningDomain
from backend.domain.journal import Head
from backend.domain.venue_events import VoidReason
from backend.errors import InvalidValue, ServiceError
from backend.exchange.leadership import Leader
from backend.exchange.planning import (
    MOST_TRADES,
    Covered,
    Outlook,
    covered_by,
    next_act,
    outlook,
    standing,
)
from backend.matching.engine import Engine
from backend.store.database import Database
from backend.store.venue_acts import ActKind, ActState, VenueAct, newest_acts

log = structlog.get_logger("settlement")

#: A batch goes when its oldest trade has waited so long, or when it is full.
WAIT_SECONDS: Final = 0.5
#: While so many acts wait for the chain, trades gather into fuller batches.
MOST_WAITING: Final = 16
#: The journal's head goes to the chain at least so often while entries arrive.
ANCHOR_SECONDS: Final = 60.0
#: The worker moves acts on; their states are read again after so long.
REFRESH_SECONDS: Final = 1.0
#: After a watcher that did not sign: a moment when it is behind, longer when it refuses.
BEHIND_SECONDS: Final = 0.2
REFUSED_SECONDS: Final = 5.0
#: Acts that the chain refuses for their keys are signed anew, not more often than this.
RENEW_SECONDS: Final = 20.0
_KEYS_DIFFER: Final = "ExchangeKeysDiffer"
#: More acts than can matter: those that wait and those that replaced others.
_REMEMBERED: Final = 64


class ChainPoint(NamedTuple):
    """A final chain block: every fact up to it is in the journal."""

    block: int
    time: int


#: Asks the watcher; raises ServiceError when it does not answer.
Ask = Callable[[bytes], Awaitable[bytes]]
#: The newest chain block that is final and whose facts are all journalled, if any is known.
Proof = Callable[[], Awaitable[ChainPoint | None]]


class _View(NamedTuple):
    covered: Covered
    outlook: Outlook
    #: The first unsettled trade, and the last second in which the chain can settle it.
    oldest: tuple[int, int] | None


class Settlement:
    """A LeaderHook. `key` is the sequencer's."""

    def __init__(
        self,
        key: Key,
        domain: SigningDomain,
        database: Database,
        ask: Ask,
        proof: Proof,
        *,
        anchor_seconds: float = ANCHOR_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._key, self._domain, self._database = key, domain, database
        self._ask, self._proof = ask, proof
        self._anchor_seconds, self._monotonic = anchor_seconds, monotonic
        self._acts: list[VenueAct] = []
        self._read_at: float | None = None
        self._acted_at = monotonic()
        self._anchored_seq = 0
        #: The first trade no act has, and since when it has been that.
        self._oldest = (0, 0.0)
        self._not_before = self._renew_at = 0.0
        self._trouble = ""

    async def after_commit(self, leader: Leader) -> None:
        """Nothing: what is unsettled is still there a moment later."""

    async def every(self, leader: Leader) -> None:
        """Store what is due."""
        await self._refresh(leader)
        if self._monotonic() < self._not_before:
            return
        while await self._next(leader):
            pass
        await self._anchor(leader)

    # ── steps ────────────────────────────────────────────────────────────────────────────────

    async def _refresh(self, leader: Leader) -> None:
        """What was stored before, by whichever leader, and what has become of it."""
        now = self._monotonic()
        if self._read_at is not None:
            moving = any(act.state is not ActState.SETTLED for act in self._acts)
            if not moving or now - self._read_at < REFRESH_SECONDS:
                return
        self._acts = await asyncio.to_thread(self._read, leader.venue)
        sent = (act.head.seq for act in self._acts if act.state is not ActState.SUPERSEDED)
        self._anchored_seq = max(sent, default=0)
        self._read_at = now

    def _read(self, venue: int) -> list[VenueAct]:
        with self._database.read() as connection:
            return newest_acts(connection, venue, _REMEMBERED)

    async def _next(self, leader: Leader) -> bool:
        """One act, if one is due; whether there may be another."""
        view = await leader.look(self._look)
        if view.oldest is not None and await self._void_overdue(leader, view.oldest):
            view = await leader.look(self._look)
        if not self._is_due(view):
            return False
        act = next_act(view.outlook, view.covered)
        return act is not None and await self._store(leader, act)

    def _look(self, engine: Engine, head: Head) -> _View:
        settled = Covered(engine.settled_trade, engine.settled_withdrawal)
        covered = covered_by(self._usable(), settled, engine.pending_voids())
        first = engine.unsettled_queue[0] if engine.unsettled_queue else None
        oldest = (first.number, first.time_s + engine.window_seconds) if first else None
        return _View(covered, outlook(engine, head, covered), oldest)

    def _usable(self) -> list[VenueAct]:
        """The acts before the first that the chain refuses because keys have changed since.

        What it holds is cut anew and signed by the present keys; that replaces it.
        """
        for act in standing(self._acts):
            if act.state is ActState.REFUSED and _KEYS_DIFFER in (act.reason or ""):
                if self._monotonic() < self._renew_at:
                    break
                return [one for one in self._acts if one.number < act.number]
        return self._acts

    def _is_due(self, view: _View) -> bool:
        trades, covered = view.outlook.trades, view.covered
        settled = view.outlook.settled_trade, view.outlook.settled_withdrawal
        waiting = sum(
            act.last_trade > settled[0] or act.last_withdrawal > settled[1]
            for act in standing(self._acts)
            if act.state is not ActState.SETTLED
        )
        if any(void.last > covered.trade for void in view.outlook.voids):
            return True
        if waiting >= MOST_WAITING:
            return False
        if len(trades) >= MOST_TRADES or view.outlook.withdrawals:
            return True
        if not trades:
            return False
        now = self._monotonic()
        if self._oldest[0] != trades[0].number:
            self._oldest = (trades[0].number, now)
        return now - self._oldest[1] >= WAIT_SECONDS

    async def _void_overdue(self, leader: Leader, oldest: tuple[int, int]) -> bool:
        """Void what the chain can settle no more, once a final chain block proves it.

        The facts up to that chain block are journalled: had the chain settled the trade by then,
        the engine would know. Later chain blocks are later still, so it never will. The time of
        the journal is not asked: it stands still while nobody trades.
        """
        number, until = oldest
        point = await self._proof()
        if point is None or point.time <= until:
            return False

        def is_there(engine: Engine, _: Head) -> bool:
            return bool(engine.unsettled_queue) and engine.unsettled_queue[0].number == number

        if not await leader.look(is_there):
            return False
        reason = VoidReason.OLDER_THAN_WINDOW
        try:
            await leader.submit(VoidTrades(number, reason, point.block, point.time))
        except InvalidValue:
            # A fact of the chain that was journalled in between has voided it.
            return False
        log.warning("voided trades that the chain settles no more", first=number, reason=reason)
        return True

    # ── signing and storing ──────────────────────────────────────────────────────────────────

    async def _store(self, leader: Leader, act: Batch | Void) -> bool:
        """Have an act signed and stored; False when the watcher has not signed."""
        if isinstance(act, Batch):
            content = encode_batch(act)
            digest = batch_digest(self._domain, content)
            watcher = await self._watchers_signature(ActCode.BATCH, content)
            kind, packed = ActKind.BATCH, await self._traders_signatures(leader, act)
            last_trade = act.first_trade + len(act.trades) - 1
            last_withdrawal = act.first_withdrawal + len(act.withdrawals) - 1
        else:
            content = encode_void(act)
            digest = void_digest(self._domain, act)
            watcher = await self._watchers_signature(ActCode.VOID, content)
            kind, packed = ActKind.VOID, b""
            last_trade, last_withdrawal = act.last_trade, act.last_withdrawal
        if watcher is None:
            return False
        await self._record(
            leader,
            VenueAct(
                self._next_number(),
                kind,
                act.first_trade,
                last_trade,
                act.first_withdrawal,
                last_withdrawal,
                Head(act.seq, act.head),
                content,
                packed,
                self._key.sign(digest),
                watcher,
            ),
        )
        return True

    async def _traders_signatures(self, leader: Leader, batch: Batch) -> bytes:
        wanted = [(slot.trader, slot.nonce) for slot in signature_slots(batch)]
        found = await leader.signatures(wanted)
        return pack_signatures(found[one] for one in wanted)

    async def _anchor(self, leader: Leader) -> None:
        """The head alone, while entries arrive and nothing settles."""
        if self._monotonic() - self._acted_at < self._anchor_seconds:
            return
        waiting = (ActState.SIGNED, ActState.SUBMITTED)
        if any(act.kind is ActKind.ANCHOR and act.state in waiting for act in self._acts):
            return
        head = await leader.look(lambda _, head: head)
        if head.seq <= self._anchored_seq:
            return
        content = encode_anchor(head)
        watcher = await self._watchers_signature(ActCode.ANCHOR, content)
        if watcher is None:
            return
        digest = anchor_digest(self._domain, *head)
        own = self._key.sign(digest)
        number = self._next_number()
        await self._record(
            leader,
            VenueAct(number, ActKind.ANCHOR, 1, 0, 1, 0, head, content, b"", own, watcher),
        )

    def _next_number(self) -> int:
        return self._acts[-1].number + 1 if self._acts else 1

    async def _record(self, leader: Leader, act: VenueAct) -> None:
        await leader.record_act(act)
        if self._usable() is not self._acts:
            self._renew_at = self._monotonic() + RENEW_SECONDS
        self._acts.append(act)
        self._acted_at = self._monotonic()
        self._anchored_seq = max(self._anchored_seq, act.head.seq)
        log.info(
            "stored", act=act.number, kind=act.kind.value, trades=act.last_trade,
            withdrawals=act.last_withdrawal, seq=act.head.seq,
        )  # fmt: skip

    async def _watchers_signature(self, kind: ActCode, content: bytes) -> bytes | None:
        """Its signature, or None: then this is tried again after a pause."""
        try:
            reply = decode_sign_reply(await self._ask(encode_sign_request(kind, content)))
        except ServiceError as error:
            reply = SignReply(ReplyCode.BEHIND, reason=error.message)
        except InvalidValue as error:
            reply = SignReply(ReplyCode.REFUSED, reason=error.message)
        if reply.code is ReplyCode.SIGNED and not _is_signature(reply.signature):
            # Stored, it could neither be sent nor marked as refused: the acts would end there.
            reply = SignReply(ReplyCode.REFUSED, reason="the watcher's signature is none")
        if reply.code is ReplyCode.SIGNED:
            if self._trouble:
                log.info("the watcher signs again", kind=kind.name)
            self._trouble = ""
            return reply.signature
        behind = reply.code is ReplyCode.BEHIND
        if self._trouble != reply.reason:
            self._trouble = reply.reason
            say = log.info if behind else log.error
            say("the watcher has not signed", kind=kind.name, said=reply.code.name,
                reason=reply.reason)  # fmt: skip
        pause = BEHIND_SECONDS if behind else REFUSED_SECONDS
        self._not_before = self._monotonic() + pause
        return None


def _is_signature(signature: bytes) -> bool:
    try:
        compact_signature(signature)
    except InvalidValue:
        return False
    return True
