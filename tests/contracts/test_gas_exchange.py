"""Gas of settlement in real transactions, exactly, against the snapshot and DESIGN's targets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import orjson
import pytest

from backend.domain.orders import Order, Side
from tests.contracts.settlement_world import PRICE, SettlementWorld, trader
from tests.contracts.world import TRANSACTION_GAS_LIMIT

pytestmark = pytest.mark.contract

SNAPSHOT = Path(__file__).resolve().parents[1] / "snapshots" / "gas.json"
#: DESIGN.md section 9.
TARGETS = {
    "settle_1_returning": 90_000,
    "settle_100_distinct_returning_per_trade": 48_000,
    "settle_1_maker_100_returning_per_trade": 26_000,
    "settle_10_accounts_100_trades_per_trade": 6_500,
}
#: What does not reach its target, and why.
MISSED = {
    "settle_1_returning": "15,151 above: data, recoveries, storage and event cost 93,000",
}
Match = tuple[Order, Order, int]

#: When this chain begins, and the match time of every batch; orders are signed a minute before it.
#: With keys, addresses and these, the bytes of a batch and of its signatures are always the same.
GENESIS = 1_800_000_000
MATCHED = GENESIS + 600


@pytest.fixture(scope="module")
def world(anvil_factory: Any, compiled: Any) -> SettlementWorld:
    chain = anvil_factory(options=("--timestamp", str(GENESIS)))
    made = SettlementWorld(chain, compiled)
    # Fails when more than these ten minutes have passed.
    made.anvil.rpc("evm_setNextBlockTimestamp", MATCHED)
    made.anvil.rpc("evm_mine")
    return made


@pytest.fixture(scope="module")
def measured(world: SettlementWorld) -> dict[str, int]:
    """Gas of each kind of batch, once all its accounts, balances and fill words are not 0."""
    used: dict[str, int] = {}
    for name, matches in (
        ("settle_1_returning", one_pair(world)),
        ("settle_100_distinct_returning_per_trade", distinct_pairs(world)),
        ("settle_1_maker_100_returning_per_trade", one_maker(world)),
        ("settle_10_accounts_100_trades_per_trade", ten_accounts(world)),
    ):
        settled(world, matches)
        spent = settled(world, matches)
        used[name] = -(-spent // len(matches))
    return used


def settled(world: SettlementWorld, matches: list[Match]) -> int:
    spent = int(world.settle(world.batch(matches, time_s=MATCHED))["gasUsed"])
    assert spent < TRANSACTION_GAS_LIMIT
    return spent


def signed(world: SettlementWorld, account: Any, nonce: int, side: Side, **changes: Any) -> Order:
    return world.order(account, nonce, side, signed_at=MATCHED - 60, **changes)


def funded(world: SettlementWorld, first: int, count: int) -> list[Any]:
    tonnes = 100_000
    return [
        world.fund(trader(number), tonnes * PRICE, tonnes * 10)
        for number in range(first, first + count)
    ]


def one_pair(world: SettlementWorld) -> list[Match]:
    maker, taker = funded(world, 0, 2)
    return [(signed(world, maker, 0, Side.SELL), signed(world, taker, 0, Side.BUY), 7)]


def distinct_pairs(world: SettlementWorld) -> list[Match]:
    accounts = funded(world, 2, 200)
    return [
        (signed(world, maker, 0, Side.SELL), signed(world, taker, 0, Side.BUY), 1 + n)
        for n, (maker, taker) in enumerate(zip(accounts[::2], accounts[1::2], strict=True))
    ]


def one_maker(world: SettlementWorld) -> list[Match]:
    maker, *takers = funded(world, 202, 101)
    sold = signed(world, maker, 0, Side.SELL, quantity=100_000)
    return [(sold, signed(world, taker, 0, Side.BUY), 2) for taker in takers]


def ten_accounts(world: SettlementWorld) -> list[Match]:
    """Every account has a resting order and one that takes, each met by each other."""
    accounts = funded(world, 303, 10)
    sells = [signed(world, one, 0, Side.SELL) for one in accounts]
    buys = [signed(world, one, 1, Side.BUY) for one in accounts]
    return [(sells[n % 10], buys[(n % 10 + 1 + n // 10 % 9) % 10], 1 + n % 5) for n in range(100)]


def test_gas_of_settlement_is_what_the_snapshot_says(measured: dict[str, int]) -> None:
    kept = orjson.loads(SNAPSHOT.read_bytes())
    if os.environ.get("CAUSEWAY_UPDATE_GAS") == "1":
        options = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE
        SNAPSHOT.write_bytes(orjson.dumps(kept | measured, option=options))
        kept |= measured
    assert measured == {name: kept[name] for name in measured}


@pytest.mark.parametrize(
    "operation",
    [
        pytest.param(name, marks=pytest.mark.xfail(strict=True, reason=MISSED[name]))
        if name in MISSED
        else name
        for name in sorted(TARGETS)
    ],
)
def test_gas_meets_its_target(measured: dict[str, int], operation: str) -> None:
    assert measured[operation] <= TARGETS[operation]
