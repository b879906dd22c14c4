"""The market's part of the demo: deposits, orders, settlement, a withdrawal, buy-and-retire."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from backend.client import Client, Placed, Trader
from backend.commands.context import Context
from backend.commands.funds import (
    Holding,
    account_of,
    do_claim,
    do_deposit,
    do_issue,
    holding,
    settlement_asset,
    trader,
    wait_claimable,
)
from backend.commands.market import describe
from backend.domain.money import parse_money
from backend.domain.retirements import RetirementDetails
from backend.domain.units import KILOGRAMS_PER_TONNE
from backend.errors import ServiceError

#: Adds a step to the demo's account of itself: title, facts.
Tell = Callable[[str, list[str]], None]

DEPOSIT_TONNES = 40
MONEY = "5000"
PATIENCE_SECONDS = 60.0
#: (wallet, side, tonnes, price per tonne): wallet-1 sells, the others buy.
ORDERS = (
    ("wallet-1", "sell", 20, "52.50"),
    ("wallet-1", "sell", 10, "53.00"),
    ("wallet-2", "buy", 12, "52.80"),
    ("wallet-3", "buy", 5, "51.90"),
)
RETIRED_TONNES = 4


class MarketWalk:
    """One run of the market's part, with class `class_id` against test HKD."""

    def __init__(self, context: Context, run_id: str, class_id: int, tell: Tell) -> None:
        self.context = context
        self.id = run_id
        self.credits = holding(context, hex(class_id))
        self.money = settlement_asset(context, "HKD")
        self.tell = tell
        #: Newest journal entry this run knows of: what is read must not be older.
        self.seq = 0

    def run(self) -> None:
        """Every step in order; each waits until what it did can be seen."""
        self.deposit()
        self.trade()
        self.retire()
        self.settle()
        self.withdraw()

    def trader(self, wallet: str) -> Trader:
        return trader(self.context, wallet)

    def deposit(self) -> None:
        """Prefund: credits by the seller, test money by the buyers."""
        facts = []
        for wallet, held, amount in (
            ("wallet-1", self.credits, DEPOSIT_TONNES * KILOGRAMS_PER_TONNE),
            ("wallet-2", self.money, self.base_units(MONEY)),
            ("wallet-3", self.money, self.base_units(MONEY)),
        ):
            key = self.context.key(wallet)
            before = self.available(wallet, held)
            if held is self.money:
                request = f"demo:{self.id}:issue:{wallet}"
                do_issue(self.context, held, amount, key.address, request)
            sent = do_deposit(self.context, held, amount, key, f"demo:{self.id}:deposit:{wallet}")
            self.wait(partial(self.has_more, wallet, held, before))
            facts.append(f"{held.show(amount)} by {wallet}, {sent.transaction}")
        self.tell("Wallets deposited at the exchange", facts)

    def trade(self) -> None:
        """Signed orders in; each answer is signed by the sequencer."""
        facts = []
        for wallet, side, tonnes, price in ORDERS:
            answer = self.place(wallet, side, tonnes, price)
            facts.append(f"{wallet} {side} {tonnes} t at {price}: {describe(answer, self.money)}")
        self.tell(f"Orders for {self.credits.name} against HKD, matched off chain", facts)

    def retire(self) -> None:
        """Buy and retire in one order: what is bought never reaches a balance."""
        details = RetirementDetails("Sample Airline Ltd", "Flights of 2025", "2025")
        answer = self.place(
            "wallet-3",
            "buy",
            RETIRED_TONNES,
            "53.00",
            time_in_force="ioc",
            retire_on_fill=True,
            details_hash=details.hash,
        )
        self.tell("Bought to retire: wallet-3", [describe(answer, self.money)])

    def settle(self) -> None:
        """Wait until the chain has every trade, and the retirement its certificate."""
        number = self.last_trade()
        self.wait(lambda: self.settled_trade() >= number)
        anchored = self.context.contracts.read("Exchange", "anchored")
        held = self.context.contracts.read("Exchange", "solvency", self.money.asset)
        facts = [
            f"trades up to {number} settled, signed by sequencer and watcher",
            f"journal anchored at entry {anchored['seq']}, {anchored['head']}",
            f"solvency of HKD: holds {self.money.show(held['held'])}, "
            f"owes {self.money.show(held['owed'])}",
        ]
        self.tell("Trades settled on chain in batches", facts)

    def withdraw(self) -> None:
        """The seller takes the proceeds out."""
        key = self.context.key("wallet-1")
        amount = self.base_units("500")
        before = account_of(self.context, key.address, self.money)[1]
        answer = self.trader("wallet-1").withdraw(self.money.asset, amount)
        wait_claimable(self.context, key.address, self.money, before)
        sent = do_claim(self.context, self.money, key.address, f"demo:{self.id}:claim")
        facts = [describe(answer, self.money), f"claimed in {sent.transaction}"]
        self.tell(f"{self.money.show(amount)} withdrawn by wallet-1", facts)

    # ── helpers ──────────────────────────────────────────────────────────────────────────────

    def base_units(self, text: str) -> int:
        return parse_money(text, self.money.decimals)

    def place(self, wallet: str, side: str, tonnes: int, price: str, **conditions: Any) -> Placed:
        instrument, asset = self.credits.asset, self.money.asset
        limit = self.base_units(price)
        placed = self.trader(wallet).place(side, instrument, asset, tonnes, limit, **conditions)
        self.seq = max(self.seq, placed.seq)
        return placed

    def available(self, wallet: str, held: Holding) -> int:
        """What the wallet can trade of an asset, as the venue's account says."""
        for row in self.trader(wallet).account()["balances"]:
            if int(row["asset"], 0) == held.asset:
                return int(row["total"])
        return 0

    def has_more(self, wallet: str, held: Holding, than: int) -> bool:
        return self.available(wallet, held) > than

    def last_trade(self) -> int:
        """Number of the venue's newest trade."""
        with Client(self.context.settings.api_url) as client:
            return int(client.get("/v1/venue", {"min_seq": self.seq})["data"]["last_trade"])

    def settled_trade(self) -> int:
        settled: int = self.context.contracts.read("Exchange", "settled")["trade"]
        return settled

    @staticmethod
    def wait(reached: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not reached():
            if time.monotonic() > deadline:
                raise ServiceError(f"the exchange took longer than {PATIENCE_SECONDS:.0f} s")
            time.sleep(0.2)
