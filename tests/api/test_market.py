"""What the API says of the market equals the engine; an account's own is shown to it alone."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from eth_utils.address import to_checksum_address

from backend.api.app import create_app
from backend.domain.commands import FlagClass
from backend.domain.orders import Account, Side
from backend.exchange.market_data import show_asset
from backend.exchange.projector import Projector
from backend.store import sessions
from backend.store.database import Database
from tests.api.conftest import ALONE, asked
from tests.conftest import DatabaseOpener
from tests.exchange.random_journal import CLASSES, EXCHANGE, MONEY, RandomJournal, store

pytestmark = pytest.mark.integration

VENUE = ALONE.venue


@dataclass(frozen=True)
class Scene:
    """A projected journal, the API over it, and a token of each trader."""

    database: Database
    journal: RandomJournal
    client: httpx.Client
    tokens: dict[Account, str]

    def get(self, path: str, trader: Account | None = None, **query: Any) -> httpx.Response:
        headers = {} if trader is None else {"Authorization": f"Bearer {self.tokens[trader]}"}
        return self.client.get(path, params=query, headers=headers)

    def every(self, path: str, trader: Account | None = None, **query: Any) -> list[dict[str, Any]]:
        """All pages, seven items each."""
        found: list[dict[str, Any]] = []
        cursor: dict[str, str] = {}
        while True:
            answer = self.get(path, trader, limit=37, **query, **cursor)
            assert answer.status_code == 200, answer.text
            found += answer.json()["data"]
            if answer.json()["next_cursor"] is None:
                return found
            cursor = {"cursor": answer.json()["next_cursor"]}


def address(account: bytes) -> str:
    return to_checksum_address("0x" + account.hex())


def own(account: bytes, rest: str = "") -> str:
    return f"/v1/venue/accounts/{address(account)}{rest}"


@pytest.fixture(scope="module")
def scene(open_database: DatabaseOpener) -> Iterator[Scene]:
    with open_database(pool_size=20) as database:
        journal = RandomJournal(42)
        journal.grow(1_200)
        journal.say(FlagClass(*journal.place(), CLASSES[1], 0))
        journal.say(FlagClass(*journal.place(), CLASSES[2], 3))
        journal.take(100, {"_random_order": 1})
        now, tokens = int(time.time()), {}
        with database.begin() as writing:
            store(writing, VENUE, journal.rows)
            for trader in journal.traders:
                tokens[trader] = f"token of {trader.hex()}"
                hashed = hashlib.sha256(tokens[trader].encode()).digest()
                nonce = trader.hex()
                sessions.open_session(writing, hashed, nonce, address(trader), now, now + 3_600)
        Projector(database, VENUE).catch_up()
        with asked(create_app(ALONE, database=database)) as client:
            yield Scene(database, journal, client, tokens)


def test_the_venue_says_what_to_sign_and_what_it_costs(scene: Scene) -> None:
    answer = scene.get("/v1/venue").json()
    assert answer["seq"] == str(len(scene.journal.rows))
    venue = answer["data"]
    assert venue["signing_domain"] == {
        "name": "Causeway Exchange",
        "version": "1",
        "chain_id": "31337",
        "verifying_contract": address(EXCHANGE),
    }
    assert [field["name"] for field in venue["signing_types"]["CancelAll"]] == [
        "trader",
        "nonce",
        "instrument",
    ]
    maker, taker = scene.journal.engine.fees
    assert (venue["maker_fee_bps"], venue["taker_fee_bps"]) == (str(maker), str(taker))
    assert venue["status"] == "trading"
    assert venue["limits"]["nonce_window"] == "1024"
    assert {one["asset"] for one in venue["assets"]} == {show_asset(asset) for asset in MONEY}
    engine = scene.journal.engine
    assert venue["last_trade"] == str(engine.next_trade - 1)
    assert venue["settled_trade"] == str(engine.settled_trade)
    assert venue["last_deposit"] == str(engine.last_deposit)


def test_l8_a_market_says_why_its_class_is_halted(scene: Scene) -> None:
    halted = scene.journal.engine.class_flags
    names = {0: [], 1: ["hold"], 2: ["gap"], 3: ["hold", "gap"]}
    shown = {one["instrument"]: one["halted_for"] for one in scene.every("/v1/markets")}
    assert len(shown) > 1
    assert shown == {key: names[halted.get(int(key), 0)] for key in shown}
    assert [] in shown.values()
    assert any(shown.values())
    for instrument in CLASSES:
        one = scene.get(f"/v1/markets/{instrument}/{show_asset(MONEY[0])}").json()["data"]
        assert one["halted_for"] == names[halted.get(instrument, 0)]


def test_books_and_best_prices_are_the_engines(scene: Scene) -> None:
    markets = {(one["instrument"], one["asset"]): one for one in scene.every("/v1/markets")}
    levels = 0
    for instrument in CLASSES:
        for asset in MONEY:
            want = scene.journal.engine.depth(instrument, asset, 1_000)
            path = f"/v1/markets/{instrument}/{show_asset(asset)}"
            book = scene.get(f"{path}/book", levels=500).json()["data"]
            for side, expected in (("bids", want.bids), ("asks", want.asks)):
                got = [(int(one["price"]), int(one["tonnes"])) for one in book[side]]
                assert got == [tuple(level[:2]) for level in expected]
                levels += len(got)
            first = scene.get(f"{path}/book", levels=1).json()["data"]
            assert (first["bids"], first["asks"]) == (book["bids"][:1], book["asks"][:1])
            listed = markets[str(instrument), show_asset(asset)]
            assert listed == scene.get(path).json()["data"]
            assert listed["best_bid"] == (str(want.bids[0][0]) if want.bids else None)
            assert listed["best_ask"] == (str(want.asks[0][0]) if want.asks else None)
    assert levels > 20


def test_the_tape_and_its_sums_are_the_trades_that_stand(scene: Scene) -> None:
    instrument, asset = CLASSES[0], MONEY[0]
    path = f"/v1/markets/{instrument}/{show_asset(asset)}"
    tape = scene.every(f"{path}/trades")
    numbers = [int(one["number"]) for one in tape]
    assert numbers == sorted(numbers, reverse=True)
    standing = [one for one in tape if one["state"] != "voided"]
    assert len(standing) < len(tape), "the journal voids some"
    market = scene.get(path).json()["data"]
    assert market["trades"] == str(len(standing))
    assert market["tonnes"] == str(sum(int(one["quantity"]) for one in standing))
    assert market["last_price"] == standing[0]["price"]
    assert market["last_trade"] == standing[0]["number"]
    newest = int(scene.get("/v1/venue").json()["time_ms"])
    day = [one for one in standing if int(one["time_ms"]) > newest - 86_400_000]
    assert market["day_tonnes"] == str(sum(int(one["quantity"]) for one in day))
    unsettled = {one.number for one in scene.journal.engine.unsettled_trades()}
    matched = {int(one["number"]) for one in tape if one["state"] == "matched"}
    assert matched == unsettled & set(numbers)


def test_candles_of_every_length_hold_the_same_trades(scene: Scene) -> None:
    path = f"/v1/markets/{CLASSES[0]}/{show_asset(MONEY[0])}"
    market = scene.get(path).json()["data"]
    for interval, seconds in (("1m", 60), ("1h", 3_600), ("1d", 86_400)):
        candles = scene.every(f"{path}/candles", interval=interval)
        starts = [int(one["start"]) for one in candles]
        assert starts == sorted(starts, reverse=True)
        assert all(start % seconds == 0 for start in starts)
        assert str(sum(int(one["tonnes"]) for one in candles)) == market["tonnes"]
        assert candles[0]["close"] == market["last_price"]
    assert scene.get(f"{path}/candles", interval="2m").status_code == 422


def test_a_trade_names_both_parties(scene: Scene) -> None:
    number = scene.journal.engine.settled_trade or 1
    trade = scene.get(f"/v1/trades/{number}").json()["data"]
    made = next(
        event
        for _, events in scene.journal.answers
        for event in events
        if type(event).__name__ == "Traded" and event.number == number  # type: ignore[union-attr]
    )
    assert trade["maker"] == address(made.maker)  # type: ignore[union-attr]
    assert trade["taker_fee"] == str(made.taker_fee)  # type: ignore[union-attr]
    assert trade["state"] in ("settled", "voided")
    assert scene.get("/v1/trades/999999").status_code == 404


def test_an_account_sees_its_balances_and_the_next_nonce(scene: Scene) -> None:
    engine = scene.journal.engine
    for trader in scene.journal.traders:
        answer = scene.get(own(trader), trader)
        assert answer.headers["cache-control"] == "no-store"
        data = answer.json()["data"]
        got = {
            one["asset"]: (int(one["available"]), int(one["reserved"])) for one in data["balances"]
        }
        assert got == {
            show_asset(asset): balance for asset, balance in engine.balances(trader).items()
        }
        assert data["next_nonce"] == str(engine.account(trader).base)
        assert data["open_orders"] == str(len(engine.open_orders(trader)))


def test_an_account_sees_its_orders_in_every_state(scene: Scene) -> None:
    trader = scene.journal.traders[0]
    orders = scene.every(own(trader, "/orders"), trader)
    placed = [
        entry.command.order
        for entry, _ in scene.journal.answers
        if type(entry.command).__name__ == "PlaceOrder" and entry.command[0].trader == trader
    ]
    assert [int(one["nonce"]) for one in orders] == [one.nonce for one in reversed(placed)]
    assert {one["state"] for one in orders} >= {"filled", "cancelled", "refused"}
    for one in orders:
        done = int(one["filled"]) + int(one["voided"]) + int(one["remaining"])
        assert done == int(one["quantity"])
        assert (one["reason"] is None) == (one["state"] == "open")
    some = scene.every(own(trader, "/orders"), trader, state="cancelled")
    assert some == [one for one in orders if one["state"] == "cancelled"]
    open_now = scene.every(own(trader, "/orders"), trader, state="open")
    assert {int(one["nonce"]) for one in open_now} == {
        one.order.nonce for one in scene.journal.engine.open_orders(trader)
    }


def test_the_statement_adds_up_to_the_balances(scene: Scene) -> None:
    trader = scene.journal.traders[1]
    lines = scene.every(own(trader, "/statement"), trader)
    sums: dict[str, int] = {}
    for line in reversed(lines):
        sums[line["asset"]] = sums.get(line["asset"], 0) + int(line["change"])
        assert sums[line["asset"]] == int(line["balance"])
    held = scene.get(own(trader), trader).json()["data"]["balances"]
    assert {one["asset"]: int(one["total"]) for one in held} == {
        asset: total for asset, total in sums.items() if total
    }
    money = scene.every(own(trader, "/statement"), trader, asset=show_asset(MONEY[0]))
    assert money == [line for line in lines if line["asset"] == show_asset(MONEY[0])]
    credits = scene.every(own(trader, "/statement"), trader, class_id=hex(CLASSES[0]))
    assert credits == [line for line in lines if line["asset"] == str(CLASSES[0])]
    both = scene.get(own(trader, "/statement"), trader, class_id="7", asset=show_asset(MONEY[0]))
    assert both.status_code == 422


def test_trades_withdrawals_exits_and_deposits_are_complete(scene: Scene) -> None:
    counts = dict.fromkeys(("trades", "withdrawals", "exits", "deposits"), 0)
    for trader in scene.journal.traders:
        for kind in counts:
            counts[kind] += len(scene.every(own(trader, f"/{kind}"), trader))
    events = [type(event).__name__ for _, found in scene.journal.answers for event in found]
    refused = sum(
        type(entry.command).__name__ == "PlaceWithdrawal" and type(found[-1]).__name__ == "Refused"
        for entry, found in scene.journal.answers
    )
    assert counts == {
        "trades": 2 * events.count("Traded"),
        "withdrawals": events.count("WithdrawalAccepted") + refused,
        "exits": events.count("ExitStarted"),
        "deposits": events.count("DepositCredited"),
    }


@pytest.mark.parametrize(
    "rest", ["", "/orders", "/trades", "/statement", "/withdrawals", "/exits", "/deposits"]
)
def test_nobody_else_sees_an_account(scene: Scene, rest: str) -> None:
    victim, other = scene.journal.traders[:2]
    assert scene.get(own(victim, rest)).status_code == 401
    answer = scene.get(own(victim, rest), other)
    assert answer.status_code in (401, 403)
    assert answer.json()["type"] == "urn:causeway:problem:not-signed-in"
    assert "balances" not in answer.text


def test_an_order_is_its_traders_until_it_trades(scene: Scene) -> None:
    trader, other = scene.journal.traders[:2]
    orders = scene.every(own(trader, "/orders"), trader)
    quiet = next(one for one in orders if one["filled"] == one["voided"] == "0")
    traded = next(one for one in orders if one["filled"] != "0")
    path = f"/v1/orders/{address(trader)}/"
    assert scene.get(path + quiet["nonce"]).status_code == 401
    assert scene.get(path + quiet["nonce"], other).status_code == 401
    assert scene.get(path + quiet["nonce"], trader).json()["data"] == quiet
    assert scene.get(path + traded["nonce"]).json()["data"] == traded
    # Nobody learns by asking whether there is an order.
    assert scene.get(path + "99999").json()["type"].endswith("not-signed-in")
    assert scene.get(path + "99999", trader).status_code == 404


def test_a_read_waits_for_the_entry_it_asks_for(scene: Scene) -> None:
    seq = len(scene.journal.rows)
    behind = scene.get("/v1/markets", min_seq=seq + 7)
    assert behind.status_code == 409
    assert behind.json()["type"] == "urn:causeway:problem:market-behind"
    assert behind.json()["values"] == {
        "asked": str(seq + 7),
        "projected": str(seq),
        "behind": "7",
    }
    assert behind.headers["retry-after"] == "1"

    def grow() -> None:
        time.sleep(0.2)
        scene.journal.deposit(scene.journal.traders[0], MONEY[0], 5)
        with scene.database.begin() as connection:
            store(connection, VENUE, scene.journal.rows[seq:])
        Projector(scene.database, VENUE).catch_up()

    thread = threading.Thread(target=grow)
    thread.start()
    answer = scene.get("/v1/markets", min_seq=seq + 1)
    thread.join()
    assert answer.status_code == 200
    assert int(answer.json()["seq"]) == seq + 1


def test_a_market_that_cannot_be_is_not_found(scene: Scene) -> None:
    known, unknown = show_asset(MONEY[0]), address(bytes([9]) * 20)
    assert scene.get(f"/v1/markets/{CLASSES[0]}/{unknown}/book").status_code == 404
    assert scene.get(f"/v1/markets/12345/{known}/trades").status_code == 404
    assert scene.get(f"/v1/markets/12345/{known}").status_code == 404


def test_a_side_of_an_own_trade_is_the_accounts(scene: Scene) -> None:
    trader = scene.journal.traders[2]
    for trade in scene.every(own(trader, "/trades"), trader):
        order = scene.get(f"/v1/orders/{address(trader)}/{trade['nonce']}", trader).json()["data"]
        assert trade["side"] == order["side"] == Side[trade["side"].upper()].name.lower()
        assert trade["counterparty"] != address(trader)
        break
    else:
        pytest.fail("the trader never traded")


def test_what_is_on_chain_is_anybodys_and_as_of_the_chain(scene: Scene) -> None:
    answer = scene.get("/v1/settlements").json()
    assert (answer["data"], answer["head"]["number"]) == ([], "-1")
    account = address(scene.journal.traders[0])
    assert scene.get(f"/v1/accounts/{account}/exchange").json()["data"] == []
