"""Replays what the Exchange published: accounts, fees, earmarks, fills, exits, keys and anchors."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from backend.audit.report import Findings
from backend.domain.events import ChainEvent
from backend.domain.orders import (
    KILOGRAMS_PER_TONNE,
    MAX_BALANCE,
    Account,
    Order,
    Withdrawal,
    account_of,
)

EXCHANGE: Final = "Exchange"
Holding = tuple[Account, int]


@dataclass(slots=True)
class Slot:
    """What one account has of one asset."""

    balance: int = 0
    claimable: int = 0
    exit_requested_at: int = 0
    touched: ChainEvent | None = None


@dataclass(slots=True)
class Books:
    """The Exchange as its events alone tell it; what contradicts itself is a break."""

    findings: Findings
    slots: defaultdict[Holding, Slot] = field(default_factory=lambda: defaultdict(Slot))
    #: Fees of settled trades that nobody has collected, by settlement asset.
    operator_fees: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))
    developer_fees: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))
    #: Kilograms bought to be retired and not yet retired, by the order's digest.
    earmarks: defaultdict[bytes, int] = field(default_factory=lambda: defaultdict(int))
    earmarked_of: dict[bytes, Order] = field(default_factory=dict)
    deposited: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))
    paid_out: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))
    retired: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))
    assets: dict[int, ChainEvent] = field(default_factory=dict)
    deposits: int = 0
    exits: dict[Holding, ChainEvent] = field(default_factory=dict)
    exits_done: int = 0
    exits_lapsed: int = 0
    #: Operator, developer, the developer's share in basis points.
    payees: tuple[str, str, int] | None = None

    def broken(self, law: str, what: str, event: ChainEvent, **amounts: int | str) -> None:
        self.findings.broken(law, what, event, (), **amounts)

    def slot(self, account: Account, asset: int, event: ChainEvent) -> Slot:
        """The slot, marked as touched by this event."""
        found = self.slots[account, asset]
        found.touched = event
        self.assets.setdefault(asset, event)
        return found

    def totals(self) -> dict[int, int]:
        """Everything the Exchange owes by asset: accounts, fees, earmarks."""
        found: defaultdict[int, int] = defaultdict(int)
        for (_, asset), slot in self.slots.items():
            found[asset] += slot.balance + slot.claimable
        for fees in (self.operator_fees, self.developer_fees):
            for asset, amount in fees.items():
                found[asset] += amount
        for digest, kilograms in self.earmarks.items():
            found[self.earmarked_of[digest].instrument] += kilograms
        return found

    def flow(self, asset: int) -> int:
        """What came in less what went out: must be the total, or a movement made something."""
        return self.deposited[asset] - self.paid_out[asset] - self.retired[asset]

    # --------------------------------------------------------------- movements

    def move(self, event: ChainEvent, account: Account, asset: int, amount: int) -> None:
        """Change a balance; the caller judges what is left once everything has moved."""
        self.slot(account, asset, event).balance += amount

    def deposit(self, event: ChainEvent) -> None:
        args = event.args
        self.deposits += 1
        if args["depositId"] != self.deposits:
            self.broken(
                "L10", f"deposit {args['depositId']} follows deposit {self.deposits - 1}: ids "
                "count from 1 without gaps", event, deposit=args["depositId"],
            )  # fmt: skip
            self.deposits = args["depositId"]
        if args["amount"] <= 0:
            self.broken("L11", f"deposit {args['depositId']} is of nothing", event)
        self.move(event, account_of(args["account"]), args["asset"], args["amount"])
        self.deposited[args["asset"]] += args["amount"]

    def trade(
        self, event: ChainEvent, sides: tuple[Order, Order], quantity: int, notional: int,
        fees: tuple[int, int], digest: bytes | None,
    ) -> None:  # fmt: skip
        """Move one trade's carbon and money between buyer and seller; `fees` in that order,
        `digest` of an order that buys to retire."""
        buy, sell = sides
        kilograms = quantity * KILOGRAMS_PER_TONNE
        if digest is not None:
            self.earmarks[digest] += kilograms
            self.earmarked_of[digest] = buy
            self.assets.setdefault(buy.instrument, event)
        else:
            self.move(event, buy.trader, buy.instrument, kilograms)
        self.move(event, sell.trader, sell.instrument, -kilograms)
        self.move(event, buy.trader, buy.asset, -notional - fees[0])
        self.move(event, sell.trader, sell.asset, notional - fees[1])

    def add_fees(self, asset: int, amount: int, share_of: Callable[[int, int], int]) -> None:
        """Fees of one batch in one asset: the developer's share is rounded down."""
        developer = share_of(amount, self.payees[2] if self.payees else 0)
        self.operator_fees[asset] += amount - developer
        self.developer_fees[asset] += developer

    def withdraw(self, event: ChainEvent, withdrawal: Withdrawal) -> int:
        """Move what is there of a withdrawal to claimable; how much."""
        slot = self.slot(withdrawal.trader, withdrawal.asset, event)
        moved = min(withdrawal.amount, max(slot.balance, 0))
        slot.balance -= moved
        slot.claimable += moved
        return moved

    def check_slots(self, event: ChainEvent, touched: set[Holding], what: str) -> None:
        """No account is left with less than nothing, or with more than a slot can hold."""
        for account, asset in sorted(touched):
            slot = self.slots[account, asset]
            if not 0 <= slot.balance <= MAX_BALANCE or not 0 <= slot.claimable <= MAX_BALANCE:
                self.broken(
                    "L11", f"{what} leaves 0x{account.hex()} with {slot.balance} and "
                    f"{slot.claimable} claimable of asset {asset}", event,
                    balance=slot.balance, claimable=slot.claimable,
                )  # fmt: skip

    # ----------------------------------------------------------- claims, exits

    def claim(self, event: ChainEvent) -> None:
        args = event.args
        slot = self.slot(account_of(args["account"]), args["asset"], event)
        if args["amount"] != slot.claimable:
            self.broken(
                "L7", f"a claim of {args['account']} paid {args['amount']} of asset "
                f"{args['asset']}, claimable were {slot.claimable}", event,
                paid=args["amount"], claimable=slot.claimable,
            )  # fmt: skip
        slot.claimable -= args["amount"]
        self.paid_out[args["asset"]] += args["amount"]

    def request_exit(self, event: ChainEvent) -> None:
        args = event.args
        key = (account_of(args["account"]), args["asset"])
        self.slot(*key, event).exit_requested_at = args["requestedAt"]
        self.exits_lapsed += key in self.exits
        self.exits[key] = event

    def cancel_exit(self, event: ChainEvent) -> None:
        args = event.args
        key = (account_of(args["account"]), args["asset"])
        if self.exits.pop(key, None) is None:
            self.broken("L8", f"an exit of {args['account']} was cancelled that never began", event)
        self.slot(*key, event).exit_requested_at = 0
        self.exits_done += 1

    def execute_exit(self, event: ChainEvent, time: int, window: int) -> None:
        args = event.args
        key = (account_of(args["account"]), args["asset"])
        slot = self.slot(*key, event)
        begun = self.exits.pop(key, None)
        what = f"the exit of {args['account']} from asset {args['asset']}"
        if begun is None:
            self.broken("L8", f"{what} was executed and never requested", event)
        elif not 2 * window < time - slot.exit_requested_at <= 3 * window:
            self.broken(
                "L8", f"{what} was executed {time - slot.exit_requested_at} s after its request, "
                f"not between {2 * window} and {3 * window}", event,
            )  # fmt: skip
        if args["amount"] != slot.balance:
            self.broken(
                "L8", f"{what} took {args['amount']}, its balance was {slot.balance}", event,
                taken=args["amount"], balance=slot.balance,
            )  # fmt: skip
        slot.balance -= args["amount"]
        slot.claimable += args["amount"]
        slot.exit_requested_at = 0
        self.exits_done += 1

    # -------------------------------------------------------- retirement, fees

    def retire(self, event: ChainEvent) -> None:
        """RetirementCompleted: exactly what was earmarked for the order, at most."""
        args = event.args
        digest = bytes.fromhex(args["orderDigest"].removeprefix("0x"))
        held, order = self.earmarks.get(digest, 0), self.earmarked_of.get(digest)
        if order is None or args["kilograms"] > held:
            self.broken(
                "L6", f"{args['kilograms']} kg were retired for order 0x{digest.hex()}, for which "
                f"{held} kg were earmarked", event, kilograms=args["kilograms"], earmarked=held,
            )  # fmt: skip
            return
        said = (account_of(args["trader"]), args["instrument"])
        if said != (order.trader, order.instrument):
            self.broken("L6", f"what was bought by 0x{order.trader.hex()} to be retired was "
                        f"retired for {args['trader']}", event)  # fmt: skip
        self.earmarks[digest] -= args["kilograms"]
        self.retired[args["instrument"]] += args["kilograms"]

    def collect_fees(self, event: ChainEvent) -> None:
        """FeesCollected: everything that an asset's trades paid, to the payees of now."""
        asset = event.args["asset"]
        collected = (event.args["operatorAmount"], event.args["developerAmount"])
        held = (self.operator_fees[asset], self.developer_fees[asset])
        if collected != held:
            self.broken(
                "L11", f"fees of asset {asset} were collected as {collected[0]} for the operator "
                f"and {collected[1]} for the developer; the trades left {held[0]} and {held[1]}",
                event, operator=collected[0], developer=collected[1],
            )  # fmt: skip
        self.operator_fees[asset] -= collected[0]
        self.developer_fees[asset] -= collected[1]
        if self.payees is None:
            self.broken("L11", "fees were collected before there were payees", event)
            return
        for payee, amount in zip(self.payees, collected, strict=False):
            if amount:
                self.slot(account_of(str(payee)), asset, event).claimable += amount


@dataclass(slots=True)
class Pauses:
    """When matching was paused: [from, until), until None while it is."""

    intervals: list[tuple[int, int | None]] = field(default_factory=list)

    def pause(self, at: int) -> None:
        self.intervals.append((at, None))

    def unpause(self, at: int) -> None:
        if self.intervals and self.intervals[-1][1] is None:
            self.intervals[-1] = (self.intervals[-1][0], at)

    def covers(self, time: int) -> bool:
        return any(
            begun <= time and (ended is None or time < ended) for begun, ended in self.intervals
        )

    @property
    def since(self) -> int:
        """Since when it is paused now; 0 when it is not."""
        return self.intervals[-1][0] if self.intervals and self.intervals[-1][1] is None else 0
