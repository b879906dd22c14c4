"""What the engine knows of one account: balances, nonces, admission, exits, its open orders."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from backend.domain.orders import MAX_NONCE, NONCE_WINDOW, Account, Withdrawal
from backend.domain.venue_events import Reason
from backend.errors import InvalidValue

if TYPE_CHECKING:
    from backend.matching.book import OpenOrder


class NonceState(IntEnum):
    """Whether a trader's nonce can still be used."""

    UNUSED = 0
    USED = 1
    #: More than NONCE_WINDOW above the lowest unused one.
    TOO_FAR = 2
    #: More than NONCE_WINDOW below the lowest unused one: long used.
    TOO_OLD = 3


class Slot:
    """An account's balance of one asset: money in base units, classes in kilograms."""

    __slots__ = ("available", "reserved")

    def __init__(self, available: int = 0, reserved: int = 0) -> None:
        self.available = available
        self.reserved = reserved


class AccountState:
    """One account. Nonces below `base` are used; bit i of `bits` says that base + i is."""

    __slots__ = (
        "address",
        "base",
        "bits",
        "blocked",
        "exits",
        "expiry",
        "frozen",
        "invalidated",
        "open_until",
        "orders",
        "pre_signed",
        "short",
        "slots",
        "tier",
    )

    def __init__(self, address: Account) -> None:
        self.address = address
        self.base = 0
        self.bits = 0
        self.tier = 0
        #: Admitted up to and including this second.
        self.expiry = 0
        self.frozen = 0
        #: Running forced exits: asset → when requested.
        self.exits: dict[int, int] = {}
        #: Withdrawals that an executed exit has taken money from, until they settle.
        self.short: set[int] = set()
        #: Nonces killed on chain before an order used them.
        self.invalidated: set[int] = set()
        self.pre_signed: set[bytes] = set()
        #: Resting orders by nonce, oldest first.
        self.orders: dict[int, OpenOrder] = {}
        self.slots: dict[int, Slot] = {}
        #: The Reason why it may not trade whatever the time, 0 when it may: see `recompute`.
        self.blocked: int = Reason.NOT_ADMITTED
        #: The last second in which it may trade, -1 when blocked.
        self.open_until = -1

    def recompute(self) -> None:
        """Derive `blocked` and `open_until` after a change of admission, freeze or exits."""
        if self.frozen:
            self.blocked = Reason.FROZEN
        elif self.tier == 0:
            self.blocked = Reason.NOT_ADMITTED
        elif self.exits or self.short:
            self.blocked = Reason.EXITING
        else:
            self.blocked = 0
        self.open_until = -1 if self.blocked else self.expiry

    def slot(self, asset: int) -> Slot:
        """The balance of the asset; made at first use."""
        found = self.slots.get(asset)
        if found is None:
            found = self.slots[asset] = Slot()
        return found

    def nonce_state(self, nonce: int) -> NonceState:
        offset = nonce - self.base
        if offset < 0:
            return NonceState.TOO_OLD if -offset > NONCE_WINDOW else NonceState.USED
        if offset > NONCE_WINDOW:
            return NonceState.TOO_FAR
        return NonceState.USED if self.bits >> offset & 1 else NonceState.UNUSED

    def require_unused(self, nonce: int) -> None:
        """Raises InvalidValue for a nonce that no journalled command can have."""
        state = self.nonce_state(nonce)
        if state is not NonceState.UNUSED or not 0 <= nonce <= MAX_NONCE:
            raise InvalidValue("nonce", nonce, f"of {self.address.hex()} is {state.name}")

    def use(self, nonce: int) -> None:
        """Use up an unused nonce; raises InvalidValue for any other."""
        self.require_unused(nonce)
        bits = self.bits | 1 << (nonce - self.base)
        if bits & 1:
            passed = (~bits & (bits + 1)).bit_length() - 1
            self.base += passed
            bits >>= passed
        self.bits = bits


class PendingWithdrawal:
    """A withdrawal that is not settled; `held` of its amount is still set aside for it."""

    __slots__ = ("after_trade", "held", "number", "withdrawal")

    def __init__(self, number: int, after_trade: int, withdrawal: Withdrawal, held: int) -> None:
        self.number = number
        self.after_trade = after_trade
        self.withdrawal = withdrawal
        self.held = held
