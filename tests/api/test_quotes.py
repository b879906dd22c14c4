"""Quotes over the API: of the live book, of the class's positions, and by the deployment's data."""

from __future__ import annotations

import asyncio
import html
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from backend.api.app import create_app
from backend.client import AsyncClient, Client
from backend.domain.commands import (
    Command,
    FlagClass,
    Halt,
    ListAsset,
    ListClass,
    PauseVenue,
    PlaceOrder,
    SetFees,
)
from backend.domain.orders import NO_DETAILS, Conditions, Order, Side, TimeInForce
from backend.domain.venue_events import HaltReason, Traded
from backend.errors import NotEnough
from backend.exchange.market_data import show_asset
from backend.exchange.projector import Projector
from backend.matching import dump, load
from backend.store.database import Database
from tests.api.conftest import ALONE, NEW, OLD, asked
from tests.api.history import History, address, make_class
from tests.conftest import DatabaseOpener
from tests.exchange.random_journal import MONEY, SIGNATURE, START_MS, WINDOW, RandomJournal, store

pytestmark = pytest.mark.integration

CLASS = make_class(1)
INSTRUMENT = CLASS.token_id
#: No source says whether credits of its programme may move to another account.
UNSAID = replace(make_class(2), programme="ART")
ASSET = show_asset(MONEY[0])
HOUR = 3_600
VALID = 300
#: (price, tonnes, fee cap): several at one price, one of whose cap the maker's fee passes later.
ASKS = (
    (50_000_333, 2, 100),
    (50_000_111, 1, 100),
    (50_000_111, 3, 9),
    (50_000_111, 2, 100),
    (51_999_999, 4, 100),
)


@dataclass(frozen=True)
class Scene:
    """An instrument with a book and with positions behind it, and clients of two deployments."""

    journal: RandomJournal
    client: httpx.Client
    #: Its registry promises five hours, its operator passes fees on, its quotes hold longer.
    charging: httpx.Client


def build(database: Database, *commands: Command) -> RandomJournal:
    """The chain's part and the venue's, whose journal ends with `commands`."""
    history, journal = History(database), RandomJournal(3)
    holder = address(1)
    history.admit(holder)
    history.mint(CLASS, holder, [history.lot(NEW, 6), history.lot(NEW, 20, gap=5)])
    history.retire(holder, INSTRUMENT, 1_800)
    history.mint(UNSAID, holder, [history.lot(OLD, 3)])
    history.save()
    journal.say(SetFees(0, 0))
    journal.say(ListClass(*journal.place(), INSTRUMENT))
    journal.deposit(journal.traders[0], INSTRUMENT, 10**6)
    for price, tonnes, cap in ASKS:
        terms = {"instrument": INSTRUMENT, "max_fee_bps": cap}
        journal.order(journal.traders[0], Side.SELL, tonnes, price, **terms)
    journal.say(SetFees(10, 20))
    for command in commands:
        journal.say(command)
    with database.begin() as writing:
        store(writing, ALONE.venue, journal.rows)
    Projector(database, ALONE.venue).catch_up()
    return journal


@pytest.fixture(scope="module")
def scene(
    open_database: DatabaseOpener, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    with open_database(pool_size=20) as database:
        journal = build(database)
        custody = tmp_path_factory.mktemp("custody") / "custody.json"
        link = {"programme": "VCS", "channel": "http", "url": "http://127.0.0.1:1"}
        link |= {"service_hours": 5, "fees_passed_on": True}
        custody.write_text(json.dumps({"version": 1, "registries": [link]}))
        other = ALONE.model_copy(update={"custody": custody, "quote_seconds": VALID})
        with (
            asked(create_app(ALONE, database=database)) as client,
            asked(create_app(other, database=database)) as charging,
        ):
            yield Scene(journal, client, charging)


def quote(client: httpx.Client, action: str, **query: Any) -> dict[str, Any]:
    answer = client.get(f"/v1/quotes/{action}", params=query)
    assert answer.status_code == 200, answer.text
    # A quote is of its moment: nothing between here and there may keep it.
    assert answer.headers["cache-control"] == "no-store"
    found: dict[str, Any] = answer.json()
    return found


def purchase(client: httpx.Client, tonnes: int, action: str = "buy") -> dict[str, Any]:
    return quote(client, action, instrument=INSTRUMENT, asset=ASSET, tonnes=tonnes)


@pytest.mark.parametrize("tonnes", [1, 2, 4, 9])
def test_l11_a_purchase_costs_what_the_matcher_charges(scene: Scene, tonnes: int) -> None:
    answer = purchase(scene.client, tonnes)
    assert answer["seq"] == str(len(scene.journal.rows))
    found = answer["data"]["purchase"]
    journal, engine = scene.journal, load(dump(scene.journal.engine))
    buyer, now = journal.traders[1], journal.time_ms // 1_000
    order = Order(
        buyer, engine.account(buyer).base, INSTRUMENT, MONEY[0], int(Side.BUY), tonnes,
        int(found["worst_price"]), int(found["max_fee_bps"]), now, now + 60,
        Conditions(TimeInForce.IOC).pack(), NO_DETAILS, 0,
    )  # fmt: skip
    events = engine.apply(journal.time_ms, PlaceOrder(order, SIGNATURE))
    fills = [one for one in events if isinstance(one, Traded)]
    assert sum(one.quantity for one in fills) == tonnes
    notional, fee = int(found["notional"]), int(found["fee"])
    assert sum(one.quantity * one.price for one in fills) == notional
    assert sum(one.taker_fee for one in fills) == fee
    parts = {one["name"]: one["amount"] for one in answer["data"]["parts"]}
    assert parts == {"credits": str(notional), "exchange-fee": str(fee)}
    total = {"currency": ASSET, "unit": "base-unit", "amount": str(notional + fee)}
    assert answer["data"]["totals"] == [total]
    assert sum(int(one["fills"]) for one in found["levels"]) == len(fills)


def test_more_than_is_on_offer_names_asked_and_available(scene: Scene) -> None:
    query = {"instrument": str(INSTRUMENT), "asset": ASSET, "tonnes": "10"}
    for action in ("buy", "buy-and-retire"):
        answer = scene.client.get(f"/v1/quotes/{action}", params=query)
        assert (answer.status_code, answer.json()["type"]) == (
            422,
            "urn:causeway:problem:not-enough",
        )
        # Three tonnes more stand there and would end unmatched.
        assert answer.json()["values"] == {"asked": "10", "available": "9"}


def test_a_quote_says_until_when_it_holds_by_the_deployments_setting(scene: Scene) -> None:
    for client, seconds in ((scene.client, ALONE.quote_seconds), (scene.charging, VALID)):
        before = int(time.time())
        found = purchase(client, 1)["data"]
        assert before <= int(found["quoted_at"]) <= int(time.time())
        assert int(found["valid_until"]) == int(found["quoted_at"]) + seconds
        assert found["visibility"] is None


def test_bought_and_retired_it_is_at_the_registry_by_a_date_with_its_reckoning(
    scene: Scene,
) -> None:
    for client, source, hours in (
        (scene.client, "task_hours", 72),
        (scene.charging, "service_hours", 5),
    ):
        found = purchase(client, 3, "buy-and-retire")["data"]
        seen = found["visibility"]
        steps = {one["name"]: int(one["seconds"]) for one in seen["steps"]}
        assert steps == {"settlement-window": WINDOW, "at-registry": hours * HOUR}
        assert source in seen["steps"][1]["source"]
        assert int(seen["at_latest"]) == int(found["valid_until"]) + WINDOW + hours * HOUR
        assert (seen["kilograms"], seen["open_kilograms"]) == ("3000", "0")


def test_the_programmes_fee_is_whose_the_custody_file_says_and_never_invented(
    scene: Scene,
) -> None:
    for client, payer, complete in (
        (scene.client, "operator", True),
        (scene.charging, "holder", False),
    ):
        found = quote(client, "retire", class_id=INSTRUMENT, kilograms=1_000)["data"]
        (line,) = found["parts"]
        assert (line["name"], line["payer"], line["amount"]) == ("VCS:retirement", payer, None)
        assert found["is_complete"] is complete


def test_days_and_dates_go_by_the_chain_where_it_is_ahead_of_the_clock(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = int(time.time()) + 11 * 24 * HOUR
    monkeypatch.setattr("tests.api.history.FIRST_TIME", ahead)
    build(database)
    day = datetime.fromtimestamp(ahead, UTC).date()
    for days, status in ((-5, 422), (5, 200)):
        said = {"programme": "ART", "capability": "transfer", "answer": "yes"}
        said |= {"given_by": "ART", "document": "a letter"}
        said |= {"until": (day + timedelta(days=days)).isoformat()}
        custody = tmp_path / "custody.json"
        custody.write_text(json.dumps({"version": 1, "statements": [said]}))
        stated = ALONE.model_copy(update={"custody": custody})
        with asked(create_app(stated, database=database)) as client:
            query = {"class_id": UNSAID.token_id, "tonnes": 1}
            answer = client.get("/v1/quotes/deliver", params=query)
            assert answer.status_code == status, answer.text
            for found in (
                quote(client, "retire", class_id=INSTRUMENT, kilograms=1_000),
                purchase(client, 1, "buy-and-retire"),
            ):
                steps = sum(int(one["seconds"]) for one in found["data"]["visibility"]["steps"])
                began = int(found["data"]["visibility"]["at_latest"]) - steps
                assert began >= ahead + ALONE.quote_seconds
                # Until when the answer holds is the reader's own clock.
                assert int(found["data"]["valid_until"]) < ahead


def test_kilograms_of_a_tonne_that_stays_open_have_no_date(scene: Scene) -> None:
    # 200 kg are left of the open tonne.
    for kilograms, seen, waits in ((2_150, "2000", "150"), (1_200, "1200", "0"), (100, "0", "100")):
        answer = quote(scene.client, "retire", class_id=INSTRUMENT, kilograms=kilograms)
        shown = answer["data"]["visibility"]
        assert (shown["kilograms"], shown["open_kilograms"]) == (seen, waits)
        assert answer["head"]["number"] != "-1"


def test_a_delivery_is_of_one_block_and_without_a_chain_its_fee_is_not_known(scene: Scene) -> None:
    # Four whole tonnes of the first block are left, then other serials follow.
    found = quote(scene.client, "deliver", class_id=INSTRUMENT, tonnes=4)["data"]
    parts = {one["name"]: (one["payer"], one["amount"]) for one in found["parts"]}
    assert parts == {"delivery-fee": ("holder", None), "VCS:transfer": ("operator", None)}
    assert found["is_complete"] is False
    assert found["visibility"]["at_latest"] is None
    # Five lie in two blocks; ninety are more than there are, and one delivery still takes four.
    for tonnes in (5, 90):
        query = {"class_id": str(INSTRUMENT), "tonnes": tonnes}
        problem = scene.client.get("/v1/quotes/deliver", params=query).json()
        assert problem["values"] == {"asked": str(tonnes), "available": "4"}


@pytest.mark.parametrize(
    ("command", "reason", "flags", "words"),
    [
        (Halt(int(HaltReason.OPERATOR), 0), "halted", [], "the venue has stopped"),
        (PauseVenue(10**6, 0, START_MS // 1_000), "paused", [], "the exchange is paused"),
        (FlagClass(10**6, 0, INSTRUMENT, 1), "class_halted", ["hold"], "trading of this class is"),
        (FlagClass(10**6, 0, INSTRUMENT, 2), "class_halted", ["gap"], "trading of this class is"),
        (ListAsset(10**6, 0, MONEY[0], 0), "unknown_asset", [], "is not listed any more"),
    ],
)
def test_where_every_order_would_be_refused_no_purchase_is_quoted(
    database: Database, command: Command, reason: str, flags: list[str], words: str
) -> None:
    build(database, command)
    query = {"instrument": str(INSTRUMENT), "asset": ASSET, "tonnes": "1"}
    with asked(create_app(ALONE, database=database)) as client:
        for action in ("buy", "buy-and-retire"):
            answer = client.get(f"/v1/quotes/{action}", params=query)
            assert (answer.status_code, answer.json()["type"]) == (
                409,
                "urn:causeway:problem:conflict",
            )
            assert answer.json()["values"] == {"reason": reason, "flags": flags}
            assert words in page(client, "/quote/lines", action=action, amount="1")


@pytest.mark.parametrize(
    ("action", "query"),
    [
        ("buy", {"instrument": "7", "asset": ASSET, "tonnes": "1"}),
        ("buy", {"instrument": str(INSTRUMENT), "asset": "0x" + "12" * 20, "tonnes": "1"}),
        ("retire", {"class_id": "7", "kilograms": "1"}),
        ("deliver", {"class_id": "7", "tonnes": "1"}),
    ],
)
def test_what_does_not_exist_has_no_cost(scene: Scene, action: str, query: dict[str, str]) -> None:
    assert scene.client.get(f"/v1/quotes/{action}", params=query).status_code == 404


def page(client: httpx.Client, path: str, language: str = "en", **asked: Any) -> str:
    query = {"class": str(INSTRUMENT), "asset": ASSET, **asked}
    answer = client.get(path, params=query, headers={"Accept-Language": language})
    assert answer.status_code == 200, answer.text
    # An old one that a browser brings back would look as if it held.
    assert answer.headers["cache-control"] == "no-store"
    return html.unescape(answer.text)


def test_the_quote_page_is_whole_without_a_script_and_a_wallet(scene: Scene) -> None:
    shown = page(scene.charging, "/quote", action="buy-and-retire", amount="3")
    found = purchase(scene.charging, 3, "buy-and-retire")["data"]
    # The contract of the money cannot be asked here, so it goes by its address in base units.
    for part in found["parts"][:2]:
        assert f"{int(part['amount']):,} {ASSET[:6]}…{ASSET[-4:]}" in shown
    assert f'data-worst-price="{found["purchase"]["worst_price"]}"' in shown
    assert "0.20 % of each fill, rounded down; fills: 2" in shown
    assert "The programme's fee: retirement" in shown
    assert "In all, as far as it is known" in shown
    assert "settlement 5 min + at the registry 5 h, as the custody file promises" in shown
    assert "borne by the operator" not in shown
    assert "borne by the operator" in page(
        scene.client, "/quote/lines", action="buy-and-retire", amount="3"
    )


def test_a_tonne_that_stays_open_says_so_in_the_readers_language(scene: Scene) -> None:
    asked = {"action": "retire", "amount": "2150", "unit": "kg"}
    for language, words in (
        ("en", "0.150 t of it when the tonne closes"),
        ("zh-HK", "其中 0.150 t 待該噸湊滿後可見"),
        ("zh-CN", "其中 0.150 t 待该吨凑满后可见"),
    ):
        assert words in page(scene.client, "/quote/lines", language, **asked)


def test_the_date_at_the_registry_is_called_an_estimate_in_the_readers_language(
    scene: Scene,
) -> None:
    for language, words in (
        ("en", "an estimate, no guarantee: from the end of the quote"),
        ("zh-HK", "估計，並非保證：由報價到期起計"),
        ("zh-CN", "估计，并非保证：由报价到期起计"),
    ):
        shown = page(scene.client, "/quote/lines", language, action="retire", amount="1")
        assert words in shown


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"action": "buy", "amount": "10"}, "10 t asked, 9 t on offer."),
        ({"action": "deliver", "amount": "5"}, "5 t asked, 4 t can be delivered at once"),
        ({"action": "deliver", "amount": "90"}, "90 t asked, 4 t can be delivered at once"),
        ({"action": "deliver", "amount": "2000000"}, "tonnes: 2000000 is not 1 … 1000000"),
        ({"action": "retire", "amount": "99"}, "99,000 kg asked, 24,200 kg can be retired"),
        ({"action": "buy", "amount": "1.5"}, "is not whole tonnes"),
        ({"action": "buy", "amount": "<b>"}, "is not a number with a unit"),
        ({"action": "buy", "amount": "1", "asset": "money"}, "is not an address of 20 bytes"),
        ({"action": "buy", "amount": "1", "class": "7"}, "no instrument has the id 7"),
        ({"action": "lend", "amount": "1"}, "is not one of buy, retire"),
    ],
)
def test_why_there_is_no_quote_is_said_in_words(
    scene: Scene, asked: dict[str, str], words: str
) -> None:
    for path in ("/quote", "/quote/lines"):
        shown = page(scene.client, path, **asked)
        assert words in shown
        assert "data-valid-until" not in shown


def test_both_clients_of_python_read_the_same_quotes(scene: Scene) -> None:
    url, terms = str(scene.client.base_url), {"class_id": INSTRUMENT, "kilograms": 2_150}
    bought = {"instrument": INSTRUMENT, "asset": MONEY[0], "tonnes": 3}

    async def concurrently() -> list[dict[str, Any]]:
        async with AsyncClient(url) as client:
            return [await client.quote("buy", **bought), await client.quote("retire", **terms)]

    with Client(url) as client:
        found = [client.quote("buy", **bought), client.quote("retire", **terms)]
        with pytest.raises(NotEnough) as raised:
            client.quote("buy", **bought | {"tonnes": 99})
    assert raised.value.values["available"] == "9"
    assert (found[0]["seq"], found[0]["action"]) == (str(len(scene.journal.rows)), "buy")
    assert (found[1]["head"]["chain_id"], found[1]["action"]) == (str(ALONE.chain_id), "retire")
    moments = ("quoted_at", "valid_until", "visibility")
    for one, other in zip(found, asyncio.run(concurrently()), strict=True):
        assert {**one, **dict.fromkeys(moments)} == {**other, **dict.fromkeys(moments)}


def test_the_page_says_which_words_of_a_refusal_are_english(scene: Scene) -> None:
    for path in ("/quote", "/quote/lines"):
        shown = page(scene.client, path, "zh-Hant", action="retire", amount="1", **{"class": "abc"})
        assert '未被接受：<bdi lang="en">' in shown
        assert "is no token id</bdi>" in shown
