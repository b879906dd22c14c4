"""Faucets and triggers of the sandbox on a running system: each does what it says, and once."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from backend.client import Client
from backend.errors import Conflict, InvalidValue, NotAuthorised, NotFound
from tests.system.conftest import Commands, running

pytestmark = pytest.mark.system

PATIENCE = 120.0
BOX = "/v1/sandbox"


@pytest.fixture
def client(causeway: Commands) -> Iterator[Client]:
    with Client(causeway.settings.api_url, timeout=90.0) as client:
        yield client


def wallet() -> str:
    return "0x" + secrets.token_hex(20)


def until(so: Callable[[], Any]) -> Any:
    ends = time.monotonic() + PATIENCE
    while not (found := so()):
        assert time.monotonic() < ends, "it did not come so in time"
        time.sleep(0.1)
    return found


def put(client: Client, path: str, **body: Any) -> dict[str, Any]:
    done: dict[str, Any] = client.send("PUT", f"{BOX}/{path}", body)["data"]
    return done


def post(client: Client, path: str, **body: Any) -> dict[str, Any]:
    done: dict[str, Any] = client.send("POST", f"{BOX}/{path}", body)["data"]
    return done


def minted(client: Client, to: str, tonnes: int) -> int:
    """Sample credits for a new wallet; their class."""
    with pytest.raises(NotAuthorised):
        post(client, "credits", request=to, to=to, tonnes=str(tonnes))
    assert put(client, f"admissions/{to}", tier="professional")["changed"]
    assert not put(client, f"admissions/{to}", tier="professional")["changed"]
    asked = {"request": to, "to": to, "tonnes": str(tonnes)}
    done = until(lambda: (d := post(client, "credits", **asked))["state"] == "minted" and d)
    with pytest.raises(Conflict):
        post(client, "credits", **asked | {"tonnes": str(tonnes + 1)})
    holdings = until(lambda: client.get(f"/v1/accounts/{to}/holdings")["data"])
    assert [one["kilograms"] for one in holdings] == [str(tonnes * 1000)]
    assert holdings[0]["credit_class"]["class_id"] == done["values"]["class_id"]
    return int(done["values"]["class_id"])


def test_faucets_give_once_and_a_class_can_be_held_short_and_whole_again(client: Client) -> None:
    to = wallet()
    class_id = minted(client, to, 12)
    money = {"request": to, "to": to, "asset": "HKD", "amount": "5000000"}
    first, second = post(client, "money", **money), post(client, "money", **money)
    assert (first["changed"], second["changed"]) == (True, False)
    assert first["transaction"] == second["transaction"]
    with pytest.raises(Conflict):
        post(client, "money", **money | {"amount": "1"})

    for held in (True, False):
        assert put(client, f"holds/{class_id}", held=held)["changed"]
        until(lambda held=held: put(client, f"holds/{class_id}", held=held)["state"] == "done")
        assert (str(class_id) in client.get(BOX)["data"]["halted_classes"]) == held

    for short in ("3", "0"):
        assert put(client, f"reserve/{class_id}", short_tonnes=short)["changed"]
        assert not put(client, f"reserve/{class_id}", short_tonnes=short)["changed"]
        until(lambda short=short: shortfall(client, class_id) == short)
    with pytest.raises(InvalidValue):
        put(client, f"reserve/{class_id}", short_tonnes="1000")
    with pytest.raises(NotFound):
        put(client, "holds/77", held=True)


def shortfall(client: Client, class_id: int) -> str:
    classes = client.get("/v1/reserve")["data"]["classes"]
    found: str = next(one["shortfall"] for one in classes if one["class_id"] == str(class_id))
    return found


def test_the_registry_is_slow_failing_and_closed_and_normal_again(client: Client) -> None:
    for mode in ("slow", "failing", "maintenance", "normal"):
        assert put(client, "registry", mode=mode)["values"]["mode"] == mode
        assert not put(client, "registry", mode=mode)["changed"]
    put(client, "recipients/SAMPLE-9777", answer="reject")
    with pytest.raises(InvalidValue):
        put(client, "recipients/SAMPLE-9777", answer="perhaps")


def test_a_reorganisation_takes_gas_back_and_time_never_goes_back(
    client: Client, causeway: Commands
) -> None:
    with causeway.system.context() as context:

        def given() -> dict[str, Any]:
            to = wallet()
            sent = put(client, f"gas/{to}", at_least="1000")["transaction"]
            receipt = until(lambda: context.rpc.call("eth_getTransactionReceipt", sent))
            return {"to": to, "hash": receipt["blockHash"]}

        def balance(of: str) -> int:
            return int(context.rpc.call("eth_getBalance", of, "latest"), 16)

        gas = given()
        assert balance(gas["to"]) == 1000
        assert post(client, "reorganisations", from_hash=gas["hash"])["changed"]
        assert not post(client, "reorganisations", from_hash=gas["hash"])["changed"]
        assert balance(gas["to"]) == 0
        assert put(client, f"gas/{gas['to']}", at_least="1000")["changed"]
        until(lambda: balance(gas["to"]) == 1000)
        assert not put(client, f"gas/{gas['to']}", at_least="1")["changed"]
        until(lambda: client.health()["status"] == "ok")

        later = int(client.get(BOX)["data"]["time"]) + 3
        assert put(client, "time", at_least=str(later))["changed"]
        assert not put(client, "time", at_least=str(later - 2))["changed"]
        assert int(client.get(BOX)["data"]["time"]) >= later
        with pytest.raises(InvalidValue):
            put(client, "time", at_least="99999999999")


def test_l3_a_stale_reserve_stops_mints_until_the_registry_is_open_again(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    # A system of its own: after such a jump nothing that is matched can settle any more.
    with (
        running(tmp_path_factory.mktemp("stale")) as own,
        Client(own.settings.api_url, timeout=90.0) as client,
    ):
        to = wallet()
        minted(client, to, 5)
        assert not put(client, "reserve", stale=False)["changed"]
        assert put(client, "reserve", stale=True)["changed"]
        assert not put(client, "reserve", stale=True)["changed"]
        longest = own.settings.reserve_max_age_seconds
        until(lambda: int(client.get("/v1/reserve")["data"]["age"]) > longest)
        until(lambda: breaks(client, "stale-reserve"))
        asked = {"request": f"{to}-2", "to": to, "tonnes": "3"}
        waits = until(lambda: (d := post(client, "credits", **asked))["values"].get("reason") and d)
        assert waits["state"] != "minted"
        assert own.json("sandbox", "fresh")["changed"]
        until(lambda: put(client, "reserve", stale=False)["state"] == "done")
        until(lambda: post(client, "credits", **asked)["state"] == "minted")
        assert put(client, "registry", mode="normal")["values"]["mode"] == "normal"


def breaks(client: Client, kind: str) -> list[Any]:
    found: list[Any] = client.get("/v1/breaks", {"kind": kind})["data"]
    return found


def test_the_command_line_asks_the_same_api(causeway: Commands) -> None:
    done = causeway.json("sandbox", "recipient", "SAMPLE-9777", "reject")
    assert done["values"] == {"account": "SAMPLE-9777", "answer": "reject"}
