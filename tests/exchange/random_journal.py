"""Journals of random commands through the real engine: what tests of the read side read.

Deposits, orders of every kind, cancels, withdrawals, exits, pauses, freezes, invalidations,
settlements and voids, in any order that the engine takes.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from sqlalchemy import Connection

from backend.domain import commands
from backend.domain.commands import Command, encode_command
from backend.domain.journal import GENESIS_HASH, Entry, encode_entry, hash_entry
from backend.domain.orders import (
    KILOGRAMS_PER_TONNE,
    NO_DETAILS,
    Account,
    Cancel,
    CancelAll,
    Conditions,
    Order,
    SelfTrade,
    Side,
    TimeInForce,
    Withdrawal,
    fee_of,
)
from backend.domain.venue_events import Event, HaltReason, VoidReason, encode_events
from backend.errors import InvalidValue
from backend.matching.engine import Engine
from backend.store.database import raw
from backend.store.journal import JournalRow, encode_copy

START_MS = 1_800_000_000_000
CHAIN_ID, EXCHANGE = 31_337, Account(bytes([0xEE]) * 20)
WINDOW, SKEW = 300, 30
MONEY = (0xA11CE << 100, 0xB0B << 90)
CLASSES = tuple((7 << 200) + number for number in range(3))
SIGNATURE = bytes(65)


class RandomJournal:
    """Grows a journal command by command; `engine` is what the read models must equal."""

    def __init__(self, seed: int, traders: int = 8) -> None:
        self.chance = random.Random(seed)
        self.engine = Engine()
        self.time_ms = START_MS
        self.block = 0
        self.hash = GENESIS_HASH
        self.rows: list[JournalRow] = []
        self.answers: list[tuple[Entry, list[Event]]] = []
        self.traders = [Account(bytes([0x10 + number]) * 20) for number in range(traders)]
        self.nonces = dict.fromkeys(self.traders, 0)
        self._open()

    def _open(self) -> None:
        self.say(commands.OpenVenue(CHAIN_ID, EXCHANGE, WINDOW, SKEW))
        self.say(commands.StartEpoch(bytes(16)))
        self.say(commands.SetFees(10, 20))
        for asset in MONEY:
            self.say(commands.ListAsset(*self.place(), asset, 1))
        for instrument in CLASSES:
            self.say(commands.ListClass(*self.place(), instrument))
        for trader in self.traders:
            self.admit(trader)
            for asset in MONEY:
                self.deposit(trader, asset, 10**12)
            for instrument in CLASSES:
                self.deposit(trader, instrument, 10**7)

    def say(self, command: Command) -> list[Event]:
        """Journal a command; raises InvalidValue when the engine does not take it."""
        events = self.engine.apply(self.time_ms, command)
        entry = Entry(len(self.rows) + 1, 1, 1, self.time_ms, self.hash, command)
        encoded = encode_entry(entry)
        self.hash = hash_entry(encoded)
        trader = nonce = None
        if isinstance(
            command,
            commands.PlaceOrder
            | commands.PlaceWithdrawal
            | commands.PlaceCancel
            | commands.PlaceCancelAll,
        ):
            trader, nonce = command[0].trader, command[0].nonce
        kind = encode_command(command)[0]
        self.rows.append(
            JournalRow(entry.seq, 1, encoded, self.hash, trader, nonce, kind, encode_events(events))
        )
        self.answers.append((entry, events))
        return events

    def place(self) -> tuple[int, int]:
        self.block += 1
        return self.block, 0

    def nonce(self, trader: Account) -> int:
        self.nonces[trader] += 1
        return self.nonces[trader] - 1

    def admit(self, trader: Account, frozen: int = 0) -> None:
        self.say(commands.SetParticipant(*self.place(), trader, 2, 2**40 - 1, frozen))

    def deposit(self, trader: Account, asset: int, amount: int) -> None:
        number = self.engine.last_deposit + 1
        self.say(commands.CreditDeposit(*self.place(), number, trader, asset, amount))

    def order(
        self,
        trader: Account,
        side: Side,
        quantity: int,
        price: int,
        *,
        instrument: int = CLASSES[0],
        asset: int = MONEY[0],
        conditions: Conditions | None = None,
        lifetime: int = 86_400,
        max_fee_bps: int = 100,
    ) -> int:
        """Place an order; returns its nonce."""
        wants = conditions or Conditions()
        nonce = self.nonce(trader)
        now = self.time_ms // 1_000
        details = bytes([5]) * 32 if wants.retire_on_fill else NO_DETAILS
        order = Order(
            trader,
            nonce,
            instrument,
            asset,
            int(side),
            quantity,
            price,
            max_fee_bps,
            now,
            now + lifetime,
            wants.pack(),
            details,
            0,
        )
        self.say(commands.PlaceOrder(order, SIGNATURE))
        return nonce

    def settle(self, trade: int, withdrawal: int) -> None:
        self.say(commands.NoteSettlement(*self.place(), trade, withdrawal))

    # ── random steps ─────────────────────────────────────────────────────────────────────────

    def grow(self, steps: int, quiet: int = 150) -> None:
        """So many random steps; what the engine refuses to journal is no entry.

        The last `quiet` ones only place and cancel, so that the books are full at the end.
        """
        self.take(steps - min(quiet, steps), _STEPS)
        self.take(min(quiet, steps), {"_random_order": 9, "_random_cancel": 1})

    def take(self, steps: int, kinds_of_steps: dict[str, int]) -> None:
        """So many steps of these kinds, by weight."""
        kinds = [getattr(self, name) for name in kinds_of_steps]
        weights = list(kinds_of_steps.values())
        for step in self.chance.choices(kinds, weights, k=steps):
            self.time_ms += self.chance.choice((0, 1, 50, 900, 20_000))
            try:
                step()
            except InvalidValue:
                continue

    def _someone(self) -> Account:
        return self.chance.choice(self.traders)

    def _random_order(self) -> None:
        chance = self.chance
        side = chance.choice((Side.BUY, Side.SELL))
        force = chance.choices(list(TimeInForce), (8, 2, 1))[0]
        resting = force is TimeInForce.GTC
        wants = Conditions(
            force,
            resting and chance.random() < 0.1,
            chance.choice(list(SelfTrade)),
            not resting and side is Side.BUY and chance.random() < 0.5,
        )
        self.order(
            self._someone(),
            side,
            chance.randint(1, 40),
            chance.randint(*((95, 103) if side is Side.BUY else (98, 106))) * 1_001,
            instrument=chance.choices(CLASSES, (6, 2, 1))[0],
            asset=chance.choices(MONEY, (4, 1))[0],
            conditions=wants,
            lifetime=chance.choice((5, 6_000, 86_400)),
            max_fee_bps=chance.choices((100, 20, 5), (8, 4, 1))[0],
        )

    def _random_deposit(self) -> None:
        asset = self.chance.choice((*MONEY, *CLASSES))
        self.deposit(self._someone(), asset, self.chance.randint(1, 10**6))

    def _random_withdrawal(self) -> None:
        trader, asset = self._someone(), self.chance.choice((*MONEY, *CLASSES))
        available = self.engine.balance(trader, asset)[0]
        amount = self.chance.randint(1, max(available, 1) * 6 // 5 + 1)
        asked = Withdrawal(trader, self.nonce(trader), asset, amount, 0)
        self.say(commands.PlaceWithdrawal(asked, SIGNATURE))

    def _random_cancel(self) -> None:
        resting = self.engine.open_orders()
        if resting and self.chance.random() < 0.7:
            order = self.chance.choice(resting).order
            cancel = Cancel(order.trader, order.nonce)
        else:
            trader = self._someone()
            cancel = Cancel(trader, max(0, self.nonces[trader] + self.chance.randint(-3, 5)))
        self.say(commands.PlaceCancel(cancel, SIGNATURE))

    def _random_cancel_all(self) -> None:
        trader, instrument = self._someone(), self.chance.choice((0, *CLASSES))
        asked = CancelAll(trader, self.nonce(trader), instrument)
        self.say(commands.PlaceCancelAll(asked, SIGNATURE))

    def _random_exit(self) -> None:
        trader, asset = self._someone(), self.chance.choice((*MONEY, *CLASSES))
        state = self.engine.account(trader)
        if asset not in state.exits:
            asked_at = self.time_ms // 1_000 - self.chance.choice((0, WINDOW, 2 * WINDOW))
            self.say(commands.StartExit(*self.place(), trader, asset, asked_at))
        self.time_ms += 1_000
        most = self.on_chain(trader, asset)
        amount = self.chance.choice((0, most, most // 2))
        self.say(commands.EndExit(*self.place(), trader, asset, amount))

    def on_chain(self, trader: Account, asset: int) -> int:
        """What the Exchange holds for an account: the engine's, without what is not settled."""
        engine = self.engine
        found = sum(engine.balance(trader, asset))
        for pending in engine.leaving:
            if (pending.withdrawal.trader, pending.withdrawal.asset) == (trader, asset):
                found += pending.held
        for trade in engine.unsettled_trades():
            for order, bps in (
                (trade.maker, trade.maker_fee_bps),
                (trade.taker, trade.taker_fee_bps),
            ):
                if order.trader != trader:
                    continue
                sign = 1 if order.side == Side.BUY else -1
                notional = trade.quantity * trade.price
                if order.asset == asset:
                    found += sign * notional + fee_of(notional, bps)
                retired = Conditions.unpack(order.conditions).retire_on_fill
                if order.instrument == asset and not retired:
                    found -= sign * trade.quantity * KILOGRAMS_PER_TONNE
        return found

    def _random_hold(self) -> None:
        instrument, flags = self.chance.choice(CLASSES[1:]), self.chance.choice((0, 0, 1, 2, 3))
        self.say(commands.FlagClass(*self.place(), instrument, flags))

    def _random_freeze(self) -> None:
        trader = self._someone()
        self.admit(trader, frozen=1)
        self.time_ms += 500
        self.admit(trader)

    def _random_invalidation(self) -> None:
        trader = self._someone()
        nonce = self.chance.randint(0, self.nonces[trader] + 3)
        at = self.time_ms // 1_000 - WINDOW
        self.say(commands.InvalidateNonce(*self.place(), trader, nonce, at))

    def _random_pause(self) -> None:
        at = self.time_ms // 1_000 - self.chance.choice((0, 0, 1, 60))
        self.say(commands.PauseVenue(*self.place(), at))
        self.time_ms += 1_000
        self.say(commands.UnpauseVenue(*self.place(), self.time_ms // 1_000))

    def _random_void(self) -> None:
        unsettled = self.engine.unsettled_trades()
        if unsettled:
            first = self.chance.choice(unsettled[-8:])
            reason = int(VoidReason.OLDER_THAN_WINDOW)
            late = first.time_s + WINDOW + 1
            self.say(commands.VoidTrades(first.number, reason, self.block, late))

    def _random_settlement(self) -> None:
        engine = self.engine
        if engine.pending_voids():
            void = engine.pending_voids()[0]
            self.settle(void.last, max(void.last_withdrawal, engine.settled_withdrawal))
            return
        trade = self.chance.randint(engine.settled_trade, engine.next_trade - 1)
        done = [one.number for one in engine.unsettled_withdrawals() if one.after_trade <= trade]
        self.settle(trade, max(done, default=engine.settled_withdrawal))

    def _random_halt(self) -> None:
        self.say(commands.Halt(int(HaltReason.OPERATOR), 0))
        self._random_cancel_all()
        self.say(commands.Resume())

    def _random_fees(self) -> None:
        """Higher ones for a moment: resting orders with a lower cap end when they are met."""
        self.say(commands.SetFees(30, 40))
        for _ in range(3):
            self._random_order()
        self.say(commands.SetFees(10, 20))

    def _tick(self) -> None:
        self.say(commands.Tick())


_STEPS = {
    "_random_order": 100,
    "_random_deposit": 8,
    "_random_withdrawal": 8,
    "_random_cancel": 20,
    "_random_cancel_all": 2,
    "_random_exit": 2,
    "_random_hold": 1,
    "_random_freeze": 1,
    "_random_invalidation": 2,
    "_random_pause": 1,
    "_random_void": 1,
    "_random_settlement": 6,
    "_random_halt": 1,
    "_random_fees": 1,
    "_tick": 3,
}


def store(connection: Connection, venue: int, rows: Sequence[JournalRow]) -> None:
    """Put entries into the journal's table as a leader's commit does."""
    with (
        raw(connection).cursor() as cursor,
        cursor.copy(
            "COPY journal (venue, seq, epoch, entry, hash, trader, nonce, kind, events)"
            " FROM STDIN (FORMAT BINARY)"
        ) as copy,
    ):
        copy.write(encode_copy(venue, rows))
