"""Journal entries to rows of the market's read models: what each event changes, without SQL.

A `MarketProjection` covers a run of entries of one venue. It is given what stood before of the
orders, balances, trades and traders that the run touches (`Touched` says which) and holds what
stands after. It follows the engine's events and checks nothing of the rules but that no total and
no reservation falls below zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from backend.domain import commands as said
from backend.domain import venue_events as happened
from backend.domain.journal import Entry
from backend.domain.orders import KILOGRAMS_PER_TONNE, Side
from backend.domain.venue_events import Event, Reason
from backend.errors import JournalInconsistent
from backend.store.market_rows import (
    CANDLES,
    Candle,
    MarketRow,
    Movement,
    OrderRow,
    TradeRow,
    TraderRow,
    VenueState,
    WithdrawalRow,
)

OrderKey = tuple[bytes, int]
BalanceKey = tuple[bytes, int]
CandleKey = tuple[int, int, int, int]
Answered = tuple[Entry, Sequence[Event]]

_STATE_OF = {
    Reason.FILLED: "filled",
    Reason.EXPIRED: "expired",
}


@dataclass(slots=True)
class Touched:
    """What a run of entries needs to know of the state before it."""

    orders: set[OrderKey] = field(default_factory=set)
    balances: set[BalanceKey] = field(default_factory=set)
    traders: set[bytes] = field(default_factory=set)
    #: Inclusive ranges of the numbers that are voided.
    trades: list[tuple[int, int]] = field(default_factory=list)
    #: Whether withdrawals that are not settled may change.
    withdrawals: bool = False

    def add_trade(self, trade: happened.Traded) -> None:
        """Both orders of a trade and the four balances that it moves."""
        self.orders.add((trade.maker, trade.maker_nonce))
        self.orders.add((trade.taker, trade.taker_nonce))
        for account in (trade.maker, trade.taker):
            self.balances.add((account, trade.instrument))
            self.balances.add((account, trade.asset))


def touched(run: Iterable[Answered]) -> Touched:
    """What to load before a run is projected; trades it voids may add more."""
    need = Touched()
    for entry, events in run:
        if isinstance(entry.command, _FROM_TRADERS):
            need.traders.add(entry.command[0].trader)
        for event in events:
            kind = type(event)
            if isinstance(event, happened.Traded):
                need.add_trade(event)
            elif isinstance(event, happened.OrderEnded | happened.OrderRested):
                need.orders.add((event.trader, event.nonce))
                need.balances.add((event.trader, event.instrument))
                need.balances.add((event.trader, event.asset))
            elif kind in _MOVING:
                need.balances.add((event.account, event.asset))  # type: ignore[union-attr]
                need.withdrawals |= kind is not happened.WithdrawalAccepted
            elif isinstance(event, happened.TradesVoided):
                need.trades.append((event.first, event.last))
                need.withdrawals = True
    return need


_FROM_TRADERS = (said.PlaceOrder, said.PlaceWithdrawal, said.PlaceCancel, said.PlaceCancelAll)
_MOVING = frozenset({happened.DepositCredited, happened.WithdrawalAccepted, happened.ExitEnded})


@dataclass(slots=True)
class MarketProjection:
    """What stood before, changed entry by entry into what stands after."""

    state: VenueState
    orders: dict[OrderKey, OrderRow] = field(default_factory=dict)
    #: (total, reserved) by account and asset.
    balances: dict[BalanceKey, list[int]] = field(default_factory=dict)
    traders: dict[bytes, TraderRow] = field(default_factory=dict)
    trades: dict[int, TradeRow] = field(default_factory=dict)
    withdrawals: dict[int, WithdrawalRow] = field(default_factory=dict)
    refused_withdrawals: list[WithdrawalRow] = field(default_factory=list)
    movements: list[Movement] = field(default_factory=list)
    deposits: list[tuple[happened.DepositCredited, int]] = field(default_factory=list)
    exits_started: list[tuple[happened.ExitStarted, int]] = field(default_factory=list)
    exits_ended: list[tuple[happened.ExitEnded, int]] = field(default_factory=list)
    markets: dict[tuple[int, int], MarketRow] = field(default_factory=dict)
    #: By (instrument, asset, seconds, start); and those whose trades were undone.
    candles: dict[CandleKey, Candle] = field(default_factory=dict)
    candles_undone: set[CandleKey] = field(default_factory=set)
    assets: dict[int, tuple[bool, int]] = field(default_factory=dict)
    instruments: dict[int, int] = field(default_factory=dict)
    class_flags: dict[int, int] = field(default_factory=dict)
    _waiting: dict[BalanceKey, list[WithdrawalRow]] = field(default_factory=dict)
    _entry: Entry | None = None
    _ordinal: int = 0

    def apply(self, run: Iterable[Answered]) -> None:
        """Project every entry; raises JournalInconsistent where one cannot follow from the rest."""
        handlers = _ON_EVENT
        for entry, events in run:
            state = self.state
            if entry.seq != state.seq + 1:
                raise self._broken(entry, f"came after {state.seq}")
            state.seq, state.epoch, state.time_ms = entry.seq, entry.epoch, entry.time_ms
            state.rules = entry.rules
            self._entry, self._ordinal = entry, 0
            self._follow_command(entry)
            for event in events:
                handler = handlers.get(type(event))
                if handler is not None:
                    handler(self, entry, event)

    def _follow_command(self, entry: Entry) -> None:
        command = entry.command
        if isinstance(command, _FROM_TRADERS):
            message = command[0]
            self._trader(message.trader).use(message.nonce)
            if isinstance(command, said.PlaceOrder):
                order = command.order
                self.orders[order.trader, order.nonce] = OrderRow(
                    order,
                    entry.seq,
                    entry.time_ms,
                    "open",
                    order.quantity,
                    last_seq=entry.seq,
                    new=True,
                )
            return
        on_command = _ON_COMMAND.get(type(command))
        if on_command is not None:
            on_command(self, entry, command)

    # ── helpers of the handlers ──────────────────────────────────────────────────────────────

    def move(
        self,
        account: bytes,
        asset: int,
        change: int,
        kind: str,
        reference: int | None,
    ) -> None:
        """Change a total and write the line of the statement."""
        if not change:
            return
        entry = self._entry
        assert entry is not None
        balance = self._balance(account, asset)
        balance[0] += change
        if balance[0] < 0:
            raise self._broken(entry, f"leaves {account.hex()} {balance[0]} of {asset}")
        self.movements.append(
            Movement(
                account,
                entry.seq,
                self._ordinal,
                entry.time_ms,
                asset,
                change,
                balance[0],
                kind,
                reference,
            )
        )
        self._ordinal += 1

    def take(self, account: bytes, asset: int, most: int, kind: str) -> int:
        """Take at most so much from a total; how much it was."""
        taken = min(most, self._balance(account, asset)[0])
        self.move(account, asset, -taken, kind, None)
        return taken

    def wait(self, row: WithdrawalRow) -> None:
        """Add a withdrawal that is not settled; they come in the order of their numbers."""
        assert row.number is not None
        self.withdrawals[row.number] = row
        self._waiting.setdefault((row.account, row.asset), []).append(row)

    def pending(self, account: bytes, asset: int) -> list[WithdrawalRow]:
        """An account's withdrawals that are neither settled nor voided, in their order."""
        settled = self.state.settled_withdrawal
        return [
            row
            for row in self._waiting.get((account, asset), ())
            if row.voided_seq is None and (row.number or 0) > settled
        ]

    def hold(self, row: OrderRow, sign: int) -> None:
        """Reserve (1) or release (−1) what a resting order holds."""
        asset, amount = row.reserved()
        balance = self._balance(row.order.trader, asset)
        balance[1] += sign * amount
        if balance[1] < 0:
            assert self._entry is not None
            raise self._broken(self._entry, f"releases more of {asset} than was reserved")

    def order(self, entry: Entry, trader: bytes, nonce: int) -> OrderRow:
        row = self.orders.get((trader, nonce))
        if row is None:
            raise self._broken(
                entry, f"speaks of order {trader.hex()}/{nonce}, which nobody placed"
            )
        row.last_seq = entry.seq
        return row

    def market(self, instrument: int, asset: int) -> MarketRow:
        row = self.markets.get((instrument, asset))
        if row is None:
            row = self.markets[instrument, asset] = MarketRow()
        return row

    def _balance(self, account: bytes, asset: int) -> list[int]:
        key = (account, asset)
        balance = self.balances.get(key)
        if balance is None:
            balance = self.balances[key] = [0, 0]
        return balance

    def _trader(self, account: bytes) -> TraderRow:
        row = self.traders.get(account)
        if row is None:
            row = self.traders[account] = TraderRow()
        return row

    @staticmethod
    def _broken(entry: Entry, problem: str) -> JournalInconsistent:
        return JournalInconsistent(
            f"journal entry {entry.seq} ({type(entry.command).__name__}) {problem}",
            seq=entry.seq,
        )


# ── one function per event ───────────────────────────────────────────────────────────────────


def _accepted(to: MarketProjection, entry: Entry, event: happened.OrderAccepted) -> None:
    order = to.order(entry, event.trader, event.nonce).order
    to.market(order.instrument, order.asset)


def _rested(to: MarketProjection, entry: Entry, event: happened.OrderRested) -> None:
    row = to.order(entry, event.trader, event.nonce)
    row.remaining = event.remaining
    to.hold(row, 1)


def _traded(to: MarketProjection, entry: Entry, event: happened.Traded) -> None:
    maker = to.order(entry, event.maker, event.maker_nonce)
    taker = to.order(entry, event.taker, event.taker_nonce)
    to.hold(maker, -1)
    for row in (maker, taker):
        row.remaining -= event.quantity
        row.filled += event.quantity
        if not row.remaining:
            row.state, row.reason = "filled", Reason.FILLED
    to.hold(maker, 1)
    _exchange(to, event)
    to.trades[event.number] = TradeRow(event, entry.seq, entry.time_ms, new=True)
    to.state.last_trade = event.number
    market = to.market(event.instrument, event.asset)
    market.trades += 1
    market.tonnes += event.quantity
    market.turnover += event.quantity * event.price
    market.last_trade, market.last_price = event.number, event.price
    market.last_time_ms = entry.time_ms
    for key in candles_of(event, entry.time_ms):
        candle = to.candles.get(key)
        if candle is None:
            candle = to.candles[key] = Candle(event.price, event.price, event.price, event.price)
        candle.add(event.price, event.quantity)


def candles_of(trade: happened.Traded, time_ms: int) -> list[CandleKey]:
    """The candles that a trade is in."""
    now = time_ms // 1_000
    return [(trade.instrument, trade.asset, seconds, now - now % seconds) for seconds in CANDLES]


def _exchange(to: MarketProjection, event: happened.Traded) -> None:
    """The six lines of two statements that a trade makes."""
    notional, kilograms = event.quantity * event.price, event.quantity * KILOGRAMS_PER_TONNE
    buyer, seller, buyer_fee, seller_fee = _parties(event)
    number = event.number
    to.move(seller, event.instrument, -kilograms, "trade", number)
    to.move(seller, event.asset, notional, "trade", number)
    to.move(seller, event.asset, -seller_fee, "fee", number)
    to.move(buyer, event.asset, -notional, "trade", number)
    to.move(buyer, event.asset, -buyer_fee, "fee", number)
    to.move(buyer, event.instrument, kilograms, "trade", number)
    if event.retired:
        to.move(buyer, event.instrument, -kilograms, "retirement", number)


def _parties(event: happened.Traded) -> tuple[bytes, bytes, int, int]:
    """(buyer, seller, buyer's fee, seller's fee)."""
    if event.taker_side == Side.BUY:
        return event.taker, event.maker, event.taker_fee, event.maker_fee
    return event.maker, event.taker, event.maker_fee, event.taker_fee


def _ended(to: MarketProjection, entry: Entry, event: happened.OrderEnded) -> None:
    row = to.order(entry, event.trader, event.nonce)
    if event.resting:
        to.hold(row, -1)
    row.remaining = event.remaining
    row.state = _STATE_OF.get(Reason(event.reason), "cancelled")
    row.reason = event.reason


def _refused(to: MarketProjection, entry: Entry, event: happened.Refused) -> None:
    command = entry.command
    if isinstance(command, said.PlaceOrder):
        row = to.order(entry, event.trader, event.nonce)
        row.state, row.reason = "refused", event.reason
    elif isinstance(command, said.PlaceWithdrawal):
        asked = command.withdrawal
        refused = WithdrawalRow(
            asked.trader, asked.nonce, asked.asset, asked.amount, 0, entry.seq, entry.time_ms
        )
        refused.reason, refused.new = event.reason, True
        to.refused_withdrawals.append(refused)


def _deposit(to: MarketProjection, entry: Entry, event: happened.DepositCredited) -> None:
    amount = event.amount
    for pending in to.pending(event.account, event.asset):
        filled = min(amount, pending.amount - pending.held)
        pending.held += filled
        amount -= filled
    to.move(event.account, event.asset, amount, "deposit", event.deposit_id)
    to.deposits.append((event, entry.seq))
    to.state.last_deposit = event.deposit_id


def _withdrawal(to: MarketProjection, entry: Entry, event: happened.WithdrawalAccepted) -> None:
    to.move(event.account, event.asset, -event.amount, "withdrawal", event.number)
    made = WithdrawalRow(
        event.account,
        event.nonce,
        event.asset,
        event.amount,
        event.amount,
        entry.seq,
        entry.time_ms,
        event.number,
        event.after_trade,
        new=True,
    )
    to.wait(made)
    to.state.last_withdrawal = event.number


def _voided(to: MarketProjection, entry: Entry, event: happened.TradesVoided) -> None:
    """Withdrawals come back first, they were newer; then the trades, newest first.

    The range may hold numbers that an earlier void has undone: they stay as they are.
    """
    for number in range(event.last_withdrawal, event.first_withdrawal - 1, -1):
        withdrawal = to.withdrawals.get(number)
        if withdrawal is not None and withdrawal.voided_seq is None:
            withdrawal.voided_seq, withdrawal.void_reason = entry.seq, event.reason
            to.move(withdrawal.account, withdrawal.asset, withdrawal.held, "void", number)
            withdrawal.held = 0
    for number in range(event.last, event.first - 1, -1):
        trade = to.trades.get(number)
        if trade is not None and trade.voided_seq is None:
            _undo(to, entry, trade, event.reason)


def _undo(to: MarketProjection, entry: Entry, undone: TradeRow, reason: int) -> None:
    undone.voided_seq, undone.void_reason = entry.seq, reason
    trade = undone.trade
    notional = trade.quantity * trade.price
    kilograms = trade.quantity * KILOGRAMS_PER_TONNE
    buyer, seller, buyer_fee, seller_fee = _parties(trade)
    # What comes in before what goes out: a total never falls below zero in between.
    to.move(buyer, trade.asset, notional + buyer_fee, "void", trade.number)
    to.move(seller, trade.instrument, kilograms, "void", trade.number)
    if not trade.retired:
        to.move(buyer, trade.instrument, -kilograms, "void", trade.number)
    to.move(seller, trade.asset, seller_fee - notional, "void", trade.number)
    for trader, nonce in ((trade.maker, trade.maker_nonce), (trade.taker, trade.taker_nonce)):
        row = to.order(entry, trader, nonce)
        row.filled -= trade.quantity
        row.voided += trade.quantity
        if row.state == "filled":
            row.state, row.reason = "cancelled", Reason.VOIDED
    market = to.market(trade.instrument, trade.asset)
    market.trades -= 1
    market.tonnes -= trade.quantity
    market.turnover -= notional
    market.undone = True
    to.candles_undone.update(candles_of(trade, undone.time_ms))


def _exit_started(to: MarketProjection, entry: Entry, event: happened.ExitStarted) -> None:
    to.exits_started.append((event, entry.seq))


def _exit_ended(to: MarketProjection, entry: Entry, event: happened.ExitEnded) -> None:
    missing = event.amount - to.take(event.account, event.asset, event.amount, "exit")
    # The exit came before withdrawals were settled: settling them will move less.
    for pending in to.pending(event.account, event.asset):
        short = min(missing, pending.held)
        pending.held -= short
        missing -= short
    to.exits_ended.append((event, entry.seq))


def _settled(to: MarketProjection, entry: Entry, event: happened.TradesSettled) -> None:
    to.state.settled_trade = event.last_trade
    to.state.settled_withdrawal = event.last_withdrawal


def _halted(to: MarketProjection, entry: Entry, event: happened.VenueHalted) -> None:
    to.state.halt_reason, to.state.halt_detail = event.reason, event.detail


def _resumed(to: MarketProjection, entry: Entry, event: happened.VenueResumed) -> None:
    to.state.halt_reason = to.state.halt_detail = None


_ON_EVENT: dict[type[Any], Any] = {
    happened.OrderAccepted: _accepted,
    happened.OrderRested: _rested,
    happened.Traded: _traded,
    happened.OrderEnded: _ended,
    happened.Refused: _refused,
    happened.DepositCredited: _deposit,
    happened.WithdrawalAccepted: _withdrawal,
    happened.TradesVoided: _voided,
    happened.ExitStarted: _exit_started,
    happened.ExitEnded: _exit_ended,
    happened.TradesSettled: _settled,
    happened.VenueHalted: _halted,
    happened.VenueResumed: _resumed,
}


# ── one function per command that says more than its events ──────────────────────────────────


def _open_venue(to: MarketProjection, entry: Entry, command: said.OpenVenue) -> None:
    state = to.state
    state.chain_id, state.exchange = command.chain_id, command.exchange
    state.window_seconds, state.skew_seconds = command.window_seconds, command.skew_seconds


def _set_fees(to: MarketProjection, entry: Entry, command: said.SetFees) -> None:
    to.state.maker_fee_bps, to.state.taker_fee_bps = command.maker_bps, command.taker_bps


def _pause(to: MarketProjection, entry: Entry, command: said.PauseVenue) -> None:
    to.state.paused_at = command.at


def _unpause(to: MarketProjection, entry: Entry, command: said.UnpauseVenue) -> None:
    to.state.paused_at = None


def _list_asset(to: MarketProjection, entry: Entry, command: said.ListAsset) -> None:
    to.assets[command.asset] = (bool(command.listed), entry.seq)


def _list_class(to: MarketProjection, entry: Entry, command: said.ListClass) -> None:
    to.instruments.setdefault(command.instrument, entry.seq)


def _flag_class(to: MarketProjection, entry: Entry, command: said.FlagClass) -> None:
    to.class_flags[command.instrument] = command.flags


_ON_COMMAND: dict[type[Any], Any] = {
    said.OpenVenue: _open_venue,
    said.SetFees: _set_fees,
    said.PauseVenue: _pause,
    said.UnpauseVenue: _unpause,
    said.ListAsset: _list_asset,
    said.ListClass: _list_class,
    said.FlagClass: _flag_class,
}
