"""A venue for tests of the rules: named accounts with money and credits, short ways to trade."""

from __future__ import annotations

from typing import Any

from backend.domain.commands import (
    Command,
    CreditDeposit,
    ListAsset,
    ListClass,
    OpenVenue,
    PlaceCancel,
    PlaceOrder,
    PlaceWithdrawal,
    SetFees,
    SetParticipant,
)
from backend.domain.orders import (
    NO_DETAILS,
    Account,
    Cancel,
    Conditions,
    Order,
    Withdrawal,
    exchange_domain,
)
from backend.domain.venue_events import Event, OrderEnded, Refused, Traded
from backend.matching import Engine

NOW_S = 1_800_000_000
WINDOW, SKEW = 300, 30
EXCHANGE = Account(b"\xee" * 20)
DOMAIN = exchange_domain(7, "0x" + EXCHANGE.hex())
CLASS, OTHER_CLASS = (1 << 200) + 1, (1 << 200) + 2
HKD = 0xAAAA
BUYER, SELLER, THIRD = (Account(bytes([n]) * 20) for n in (1, 2, 3))
SIGNATURE = bytes(65)
WEALTH = 10**9


class Venue:
    """An engine whose clock and nonces advance by themselves."""

    def __init__(self, maker_bps: int = 10, taker_bps: int = 20) -> None:
        self.engine = Engine()
        self.now = NOW_S
        self._log_index = 0
        self.do(OpenVenue(7, EXCHANGE, WINDOW, SKEW))
        self.do(SetFees(maker_bps, taker_bps))
        self.fact(ListAsset, HKD, 1)
        for instrument in (CLASS, OTHER_CLASS):
            self.fact(ListClass, instrument)
        for who in (BUYER, SELLER, THIRD):
            self.fact(SetParticipant, who, 1, 2**39, 0)
            for asset in (HKD, CLASS, OTHER_CLASS):
                self.deposit(who, asset, WEALTH)

    def do(self, command: Command) -> list[Event]:
        return self.engine.apply(self.now * 1_000, command)

    def fact(self, kind: Any, *values: Any) -> list[Event]:
        """A fact of the chain at the next place."""
        self._log_index += 1
        return self.do(kind(1, self._log_index, *values))

    def deposit(self, who: Account, asset: int, amount: int) -> list[Event]:
        return self.fact(CreditDeposit, self.engine.last_deposit + 1, who, asset, amount)

    def order(
        self,
        who: Account,
        side: int,
        quantity: int,
        price: int,
        wants: Conditions | None = None,
        /,
        **changes: Any,
    ) -> Order:
        """An order under the trader's next nonce."""
        details = b"d" * 32 if wants and wants.retire_on_fill else NO_DETAILS
        order = Order(
            who, self.engine.account(who).base, CLASS, HKD, side, quantity, price, 50,
            self.now, self.now + 3_600, (wants or Conditions()).pack(), details, 0,
        )  # fmt: skip
        return order._replace(**changes)

    def place(self, *values: Any, **changes: Any) -> list[Event]:
        return self.do(PlaceOrder(self.order(*values, **changes), SIGNATURE))

    def cancel(self, who: Account, nonce: int) -> list[Event]:
        return self.do(PlaceCancel(Cancel(who, nonce), SIGNATURE))

    def withdraw(self, who: Account, asset: int, amount: int) -> list[Event]:
        nonce = self.engine.account(who).base
        return self.do(PlaceWithdrawal(Withdrawal(who, nonce, asset, amount, 0), SIGNATURE))

    def trade(self, quantity: int = 1, price: int = 100_000) -> None:
        """SELLER's resting order filled by BUYER."""
        self.place(SELLER, 1, quantity, price)
        assert trades(self.place(BUYER, 0, quantity, price))


def trades(events: list[Event]) -> list[Traded]:
    return [one for one in events if isinstance(one, Traded)]


def reason_of(events: list[Event]) -> int:
    """The one reason of a refusal."""
    (refused,) = events
    assert isinstance(refused, Refused), refused
    return refused.reason


def ends(events: list[Event]) -> list[tuple[Account, int, int]]:
    """(trader, remaining, reason) of every order that ended."""
    return [(one.trader, one.remaining, one.reason) for one in events if type(one) is OrderEnded]
