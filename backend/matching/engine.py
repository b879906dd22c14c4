"""The engine: accounts and books of one venue, `apply(time, command)` → events, nothing else.

Pure: no clock, no input or output, no randomness; the same commands at the same times give the
same events, state and digest (L9). The time of everything is the time of its journal entry.
`apply` raises InvalidValue for a command that no honest journal holds, and changes nothing then.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from hashlib import sha256
from typing import Any, Final

from backend.domain.batches import SettlementTrade, SettlementWithdrawal
from backend.domain.commands import (
    Command,
    OpenVenue,
    PlaceCancel,
    PlaceCancelAll,
    PlaceOrder,
    PlaceWithdrawal,
)
from backend.domain.eip712 import SigningDomain
from backend.domain.orders import (
    Account,
    Order,
    Withdrawal,
    check_message,
    exchange_domain,
    message_digest,
)
from backend.domain.venue_events import (
    AllCancelled,
    Event,
    NonceUsed,
    Reason,
    Refused,
    TradesVoided,
    WithdrawalAccepted,
)
from backend.errors import InvalidValue
from backend.matching import facts, snapshot
from backend.matching.accounts import AccountState, NonceState, PendingWithdrawal
from backend.matching.book import (
    Depth,
    Ladder,
    Market,
    OpenOrder,
    OrderState,
    Pool,
    depth_of,
)
from backend.matching.placing import place_order
from backend.matching.resting import end_order
from backend.matching.rulebook import FIRST_VERSION, NEVER, withdrawal_refusal

_new: Final = tuple.__new__
_CANCELLED: Final = int(Reason.CANCELLED)
#: Applies one kind of command at a time in milliseconds.
Act = Callable[[int, Any], list[Event]]


class Engine:
    """One venue. What readers may read is in the attributes and methods without underscore."""

    def __init__(self) -> None:
        #: Version of the rules in force (rulebook.py).
        self.rules = FIRST_VERSION
        self.time_ms = 0
        #: Leaders so far, and the id of the present one.
        self.epochs = 0
        self.leader = bytes(16)
        self.chain_id = 0
        self.exchange = Account(bytes(20))
        self.domain: SigningDomain | None = None
        self.window_seconds = 0
        self.skew_seconds = 0
        #: (chain block, log index) of the newest fact of the chain.
        self.chain_place = (0, 0)
        self.last_deposit = 0
        self.next_trade = 1
        self.next_withdrawal = 1
        self.settled_trade = 0
        self.settled_withdrawal = 0
        #: (maker, taker) in basis points, and the higher of the two.
        self.fees = (0, 0)
        self.highest_fee_bps = 0
        self.halted = False
        #: Matches from this second on can be settled again; NEVER while paused.
        self.paused_until = 0
        #: No order before this second: `paused_until`, or NEVER while halted.
        self.closed_until = 0
        self.assets: set[int] = set()
        self.classes: set[int] = set()
        #: Classes that are halted on chain, with their flags.
        self.class_flags: dict[int, int] = {}
        self.accounts: dict[bytes, AccountState] = {}
        self.markets_by_key: dict[tuple[int, int], Market] = {}
        self.fee_pools: dict[int, Pool] = {}
        self.earmark_pools: dict[int, Pool] = {}
        self.unsettled_queue: deque[SettlementTrade] = deque()
        self.leaving: deque[PendingWithdrawal] = deque()
        self.void_queue: deque[TradesVoided] = deque()
        #: Resting orders by the last second they may match in.
        self.due: Ladder[dict[OpenOrder, None]] = Ladder()
        self.due_heap, self.due_items = self.due.heap, self.due.items
        self.next_rank = 1
        self._acts: dict[type[Any], Act] = {OpenVenue: self._open}

    def apply(self, time_ms: int, command: Command) -> list[Event]:
        """What the command does at this time. Raises InvalidValue, changing nothing."""
        if time_ms < self.time_ms:
            raise InvalidValue("time_ms", time_ms, f"is before {self.time_ms}")
        if type(command) is PlaceOrder and self.domain is not None:
            return place_order(self, time_ms, command)
        act = self._acts.get(type(command))
        if act is None:
            rule = "is the first command only" if self.domain else "comes after OpenVenue"
            raise InvalidValue("command", type(command).__name__, rule)
        return act(time_ms, command)

    # ── commands ─────────────────────────────────────────────────────────────────────────────

    def _open(self, time_ms: int, command: OpenVenue) -> list[Event]:
        self.time_ms = time_ms
        self.chain_id, self.exchange = command.chain_id, command.exchange
        self.window_seconds, self.skew_seconds = command.window_seconds, command.skew_seconds
        self.opened()
        return []

    def opened(self) -> None:
        """From here on every command but OpenVenue can come."""
        self.domain = exchange_domain(self.chain_id, "0x" + self.exchange.hex())
        self._acts = {
            PlaceCancel: self._cancel,
            PlaceCancelAll: self._cancel_all,
            PlaceWithdrawal: self._withdraw,
        }
        self._acts |= dict.fromkeys(facts.FACTS, self._fact)

    def _fact(self, time_ms: int, command: Any) -> list[Event]:
        check, act = facts.FACTS[type(command)]
        check(self, command)
        self.time_ms = time_ms
        if type(command) in facts.OF_CHAIN:
            self.chain_place = (command.block, command.log_index)
        events = self.expire(time_ms // 1_000)
        act(self, command, events)
        return events

    def _cancel(self, time_ms: int, command: PlaceCancel) -> list[Event]:
        trader, nonce = command[0]
        account = self.accounts.get(trader) or self.account(trader)
        ended = account.orders.get(nonce)
        unused = ended is None and account.nonce_state(nonce) is NonceState.UNUSED
        if unused:
            account.use(nonce)
        elif nonce >= account.base and ended is None:
            # Not unused and above the lowest unused: used, or too far for any journal.
            self._require_near(account, nonce)
        self.time_ms = time_ms
        due, now = self.due_heap, time_ms // 1_000
        if due and due[0] < now:
            events = self.expire(now)
            ended = account.orders.get(nonce)
        else:
            events = []
        if ended is not None:
            end_order(self, ended, _CANCELLED, events)
        elif unused:
            account.invalidated.discard(nonce)
            events.append(NonceUsed(trader, nonce))
        else:
            events.append(Refused(trader, nonce, Reason.NOTHING_OPEN))
        return events

    @staticmethod
    def _require_near(account: AccountState, nonce: int) -> None:
        if account.nonce_state(nonce) is NonceState.TOO_FAR:
            account.require_unused(nonce)

    def _cancel_all(self, time_ms: int, command: PlaceCancelAll) -> list[Event]:
        trader, nonce, instrument = command.cancel_all
        check_message(command.cancel_all)
        account = self.account(trader)
        account.use(nonce)
        account.invalidated.discard(nonce)
        self.time_ms = time_ms
        events = self.expire(time_ms // 1_000)
        orders = [one for one in account.orders.values() if instrument in (0, one.order.instrument)]
        for one in orders:
            end_order(self, one, Reason.CANCELLED, events)
        events.append(AllCancelled(trader, nonce, len(orders)))
        return events

    def _withdraw(self, time_ms: int, command: PlaceWithdrawal) -> list[Event]:
        withdrawal = command.withdrawal
        trader, nonce, asset, amount, _ = withdrawal
        check_message(withdrawal)
        account = self.account(trader)
        account.use(nonce)
        self.time_ms = time_ms
        events = self.expire(time_ms // 1_000)
        reason = withdrawal_refusal(self, account, withdrawal)
        if reason:
            return self.refuse(account, nonce, reason, events)
        self.take_pre_signature(account, withdrawal)
        account.slot(asset).available -= amount
        number, after_trade = self.next_withdrawal, self.next_trade - 1
        self.next_withdrawal += 1
        self.leaving.append(PendingWithdrawal(number, after_trade, withdrawal, amount))
        events.append(WithdrawalAccepted(number, trader, nonce, asset, amount, after_trade))
        return events

    # ── what the commands share ──────────────────────────────────────────────────────────────

    def account(self, address: Account) -> AccountState:
        """The account's state; made at first use."""
        found = self.accounts.get(address)
        if found is None:
            if len(address) != 20:
                raise InvalidValue("account", address.hex(), "is not 20 bytes")
            found = self.accounts[address] = AccountState(address)
        return found

    def market(self, instrument: int, asset: int) -> Market:
        """The book of a listed asset and a known class; made at first use."""
        key = (instrument, asset)
        found = self.markets_by_key.get(key)
        if found is None:
            found = Market(instrument, asset, self.fee_pool(asset), self.earmark_pool(instrument))
            self.markets_by_key[key] = found
        return found

    def list_markets(self) -> None:
        """Derive which markets take orders, after a change of the assets or of a class's flags."""
        for market in self.markets_by_key.values():
            open_asset = market.asset in self.assets
            market.listed = open_asset and market.instrument not in self.class_flags

    def fee_pool(self, asset: int) -> Pool:
        return self.fee_pools.setdefault(asset, Pool())

    def earmark_pool(self, instrument: int) -> Pool:
        return self.earmark_pools.setdefault(instrument, Pool())

    def refuse(
        self, account: AccountState, nonce: int, reason: int, events: list[Event]
    ) -> list[Event]:
        """Answer a command that the rules refuse; its nonce has been used."""
        account.invalidated.discard(nonce)
        events.append(_new(Refused, (account.address, nonce, reason)))
        return events

    def take_pre_signature(self, account: AccountState, message: Order | Withdrawal) -> None:
        """Forget the pre-signature of a message whose nonce is used now."""
        if message.signature_kind and self.domain is not None:
            account.pre_signed.discard(message_digest(self.domain, message))

    def expire(self, now: int) -> list[Event]:
        """End what may match no longer: expired orders, orders of accounts no longer admitted."""
        events: list[Event] = []
        heap, due = self.due_heap, self.due
        while heap and heap[0] < now:
            second = due.lowest()
            if second is None or second >= now:
                break
            for ended in sorted(due.items[second], key=lambda one: one.rank):
                lapsed = ended.order.expiry < now
                reason = Reason.EXPIRED if lapsed else Reason.NOT_ADMITTED
                end_order(self, ended, reason, events)
        return events

    def wait_until(self, waiting: OpenOrder, due: int) -> None:
        """Move a resting order to another end of its time."""
        if due == waiting.due:
            return
        bucket = waiting.bucket
        del bucket[waiting]
        if not bucket:
            del self.due.items[waiting.due]
        if due not in self.due.items:
            self.due.add(due, {})
        waiting.due, waiting.bucket = due, self.due.items[due]
        waiting.bucket[waiting] = None

    def reopen(self) -> None:
        """Derive `closed_until` after a halt, a pause or the end of one."""
        self.closed_until = NEVER if self.halted else self.paused_until

    # ── questions ────────────────────────────────────────────────────────────────────────────

    def nonce_state(self, trader: Account, nonce: int) -> NonceState:
        """Whether a command with this nonce may be journalled."""
        account = self.accounts.get(trader)
        return (account or AccountState(trader)).nonce_state(nonce)

    def balance(self, account: Account, asset: int) -> tuple[int, int]:
        """(available, reserved)."""
        found = self.accounts.get(account)
        slot = found.slots.get(asset) if found else None
        return (slot.available, slot.reserved) if slot else (0, 0)

    def balances(self, account: Account) -> dict[int, tuple[int, int]]:
        """(available, reserved) by asset, where either is not zero."""
        found = self.accounts.get(account)
        slots = found.slots.items() if found else ()
        return {
            asset: (slot.available, slot.reserved)
            for asset, slot in slots
            if slot.available or slot.reserved
        }

    def open_order(self, trader: Account, nonce: int) -> OrderState | None:
        account = self.accounts.get(trader)
        found = account.orders.get(nonce) if account else None
        return OrderState(found.order, found.remaining, found.reserved) if found else None

    def open_orders(self, account: Account | None = None) -> list[OrderState]:
        """Of one account or all, in the order in which they came to rest."""
        if account is None:
            found = [one for state in self.accounts.values() for one in state.orders.values()]
            found.sort(key=lambda one: one.rank)
        else:
            state = self.accounts.get(account)
            found = list(state.orders.values()) if state else []
        return [OrderState(one.order, one.remaining, one.reserved) for one in found]

    def unsettled_trades(self) -> tuple[SettlementTrade, ...]:
        """Trades that the chain has neither settled nor voided, in their order."""
        return tuple(self.unsettled_queue)

    def unsettled_withdrawals(self) -> tuple[SettlementWithdrawal, ...]:
        """Withdrawals that the chain has neither settled nor voided, in their order."""
        return tuple(
            SettlementWithdrawal(one.number, one.after_trade, one.withdrawal)
            for one in self.leaving
        )

    def unsettled(self) -> tuple[tuple[SettlementTrade, ...], tuple[SettlementWithdrawal, ...]]:
        """Both."""
        return self.unsettled_trades(), self.unsettled_withdrawals()

    def pending_voids(self) -> tuple[TradesVoided, ...]:
        """Voids that the chain has not seen yet, in their order."""
        return tuple(self.void_queue)

    def markets(self) -> list[tuple[int, int]]:
        """(instrument, asset) of every market that ever had an order, ascending."""
        return sorted(self.markets_by_key)

    def depth(self, instrument: int, asset: int, levels: int) -> Depth:
        """The best levels of a market's book."""
        market = self.markets_by_key.get((instrument, asset))
        if market is None:
            return Depth((), ())
        bids, asks = market.sides
        return Depth(depth_of(bids, levels), depth_of(asks, levels))

    def fees_collected(self, asset: int) -> int:
        """Fees of all trades that are not voided, in base units."""
        pool = self.fee_pools.get(asset)
        return pool.amount if pool else 0

    def earmarked(self, instrument: int) -> int:
        """Kilograms ever bought to be retired, voided ones apart."""
        pool = self.earmark_pools.get(instrument)
        return pool.amount if pool else 0

    def digest(self) -> bytes:
        """SHA-256 of the canonical snapshot: equal states, equal digests."""
        return sha256(snapshot.dump(self)).digest()
