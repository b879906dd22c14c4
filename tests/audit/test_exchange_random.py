"""Random days at a venue: whatever traders do, the audit finds nothing and the recount agrees."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from backend.domain.orders import Conditions, SelfTrade, Side, TimeInForce
from tests.audit.journal_maker import Trader
from tests.audit.market import PRICE, Market
from tests.audit.test_exchange import recount

pytestmark = pytest.mark.integration

COMMANDS = 400
#: One in so many commands settles everything that is unsettled.
SETTLES = 25


def conditions(chance: random.Random) -> Conditions:
    force = chance.choice(list(TimeInForce))
    post_only = force is TimeInForce.GTC and chance.random() < 0.2
    return Conditions(force, post_only, chance.choice(list(SelfTrade)))


def place(market: Market, chance: random.Random, trader: Trader) -> None:
    side = chance.choice(list(Side))
    retires = side is Side.BUY and chance.random() < 0.1
    wanted = Conditions(TimeInForce.IOC, retire_on_fill=True) if retires else conditions(chance)
    price = PRICE + chance.randrange(-20, 20)
    details = bytes([chance.randrange(1, 255)]) * 32 if retires else bytes(32)
    market.place(
        trader, side, chance.randrange(1, 4), price, conditions=wanted, details_hash=details,
        max_fee_bps=chance.choice((20, 25, 100)),
    )  # fmt: skip


def act(market: Market, chance: random.Random) -> None:
    """One thing that some trader does."""
    trader = chance.choice(market.traders)
    kind = chance.random()
    if kind < 0.75:
        place(market, chance, trader)
    elif kind < 0.88:
        market.maker.cancel(trader, chance.randrange(trader.next_nonce + 3))
    elif kind < 0.95:
        asset = chance.choice(market.market)
        market.maker.withdraw(trader, asset, chance.randrange(1, 10**4))
    elif kind < 0.98:
        market.by(trader, "Exchange", "invalidate", [chance.randrange(trader.next_nonce + 5)])
        market.sync()
    elif kind < 0.985:
        market.fund(trader, money=10**9)
        market.sync()
    else:
        leave(market, chance, trader)


def settle(market: Market) -> None:
    if any(market.maker.engine.unsettled()):
        market.settle()


def leave(market: Market, chance: random.Random, trader: Trader) -> None:
    """A forced exit of one asset: cancelled, executed, or too old trades voided in between."""
    asset = chance.choice(market.market)
    settle(market)
    market.by(trader, "Exchange", "requestExit", [asset])
    market.sync()
    for one in market.traders[:4]:
        place(market, chance, one)
    if chance.random() < 0.3:
        market.by(trader, "Exchange", "cancelExit", [asset])
        market.sync()
        return
    if chance.random() < 0.5:
        settle(market)
    market.pass_time(2 * market.window + 1)
    market.sync()
    if market.maker.engine.unsettled()[0]:
        market.void_overdue()
    market.send(market.sender, "Exchange", "executeExit", trader.address, [asset])
    market.sync()


@pytest.mark.parametrize("seed", [1, 2])
def test_random_days_hold_in_every_law(market: Market, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    market.fund(market.traders[4])
    market.by(market.traders[3], "Exchange", "cancelExit", [market.money])
    market.sync()
    for _ in range(COMMANDS):
        act(market, chance)
        if chance.randrange(SETTLES) == 0:
            settle(market)
    report = market.audit(journal=market.journal(tmp_path / "journal"))
    assert {
        name: law.reason for name, law in report.laws.items() if str(law.status) != "holds"
    } == {}
    figures = report.laws["L9"].figures
    assert figures["trades_compared"] > 20
    assert figures["entries"] > COMMANDS
    code, counted = recount(market)
    assert (code, counted["differences"]) == (0, [])
    assert counted["trades"] == str(figures["trades_compared"])
