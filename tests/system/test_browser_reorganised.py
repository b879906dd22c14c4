"""What the portfolio shows when the chain takes back a transfer and a deposit, and gives them back.

It has a system of its own: with no confirmations the venue takes every chain block for final at
once, and would halt for ever when one that holds a deposit is replaced.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from backend.chain.abi import encode_call
from backend.chain.manifest import Deployment
from backend.settings import Settings
from scripts.chaos import CONFIRMATIONS
from tests.system.conftest import running
from tests.system.visitor import IN_BROWSER, PATIENCE_MS, Visitor, connect
from tests.web.wallet import Wallet

pytestmark = IN_BROWSER


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running(tmp_path_factory.mktemp("reorganised"), CONFIRMATIONS) as found:
        yield found.settings


def until(so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while not so():
        assert time.monotonic() < deadline, "it did not come so in time"
        time.sleep(0.2)


@pytest.fixture
def holder(settings: Settings) -> Wallet:
    """An admitted wallet with five tonnes, minted and final."""
    wallet = Wallet(os.urandom(32), settings.require_chain_url())
    admit(settings, wallet)
    asked = {"request": wallet.address, "to": wallet.address, "tonnes": "5"}

    def minted() -> bool:
        answer = httpx.post(f"{settings.api_url}/v1/sandbox/credits", json=asked, timeout=90)
        mine(wallet, CONFIRMATIONS)
        return bool(answer.json()["data"]["state"] == "minted")

    until(minted)
    mine(wallet, CONFIRMATIONS)
    return wallet


def admit(settings: Settings, wallet: Wallet) -> None:
    for act in ("gas", "admissions"):
        path = f"{settings.api_url}/v1/sandbox/{act}/{wallet.address}"
        httpx.put(path, json={}, timeout=90).raise_for_status()


def mine(wallet: Wallet, blocks: int) -> None:
    for _ in range(blocks):
        wallet.rpc("evm_mine")


def test_a_transfer_and_a_deposit_are_taken_back_and_come_again(
    settings: Settings, holder: Wallet, browser: Browser
) -> None:
    friend = Wallet(os.urandom(32), settings.require_chain_url())
    admit(settings, friend)
    until(lambda: _state(settings, friend) == "admitted")
    visitor = Visitor(browser, settings.api_url, holder, locale="en-GB")
    try:
        _walk(settings, holder, friend, visitor)
        assert visitor.complaints == []
    finally:
        visitor.context.close()


def _state(settings: Settings, wallet: Wallet) -> str:
    found = httpx.get(f"{settings.api_url}/v1/accounts/{wallet.address}", timeout=90).json()
    return str(found["data"]["state"])


def _holds(page: Page, wallet: Wallet, kilograms: int) -> bool:
    found = page.request.get(f"/v1/accounts/{wallet.address}/holdings").json()["data"]
    return sum(int(one["kilograms"]) for one in found) == kilograms


def _walk(settings: Settings, holder: Wallet, friend: Wallet, visitor: Visitor) -> None:
    page = visitor.page
    connect(page, "/portfolio")
    in_wallet, on_exchange = page.locator("#in-wallet"), page.locator("#on-exchange")
    expect(in_wallet).to_contain_text("5 t")
    expect(on_exchange).to_have_text("Nothing on the exchange.")
    # The wallet's own software sends two tonnes to somebody else; then the page deposits one.
    [held] = page.request.get(f"/v1/accounts/{holder.address}/holdings").json()["data"]
    deployed = Deployment.from_json(json.loads(settings.deployment_file.read_bytes()))
    credits = deployed["CarbonCredits"]
    words = [holder.address, friend.address, int(held["credit_class"]["class_id"]), 2000, b""]
    data = encode_call("CarbonCredits", "safeTransferFrom", words)
    transfer = holder.send({"to": credits, "data": "0x" + data.hex()})
    until(lambda: _holds(page, holder, 3000))
    page.reload()
    expect(in_wallet).to_contain_text("3 t")
    in_wallet.get_by_role("button", name="Deposit").click()
    page.get_by_label("Tonnes, up to three decimals").fill("1")
    page.get_by_role("button", name="Go on").click()
    expect(page.locator("#wallet-note")).to_contain_text(
        "1 t deposited; it can be traded once the chain block is final.", timeout=PATIENCE_MS
    )
    sent = page.locator("#sent li")
    expect(sent).to_contain_text("not final yet")
    expect(in_wallet).to_contain_text("2 t")
    expect(on_exchange.get_by_role("row").nth(1)).to_contain_text("1 t")

    # The chain replaces every block from the transfer's on by empty ones.
    block = int(holder.rpc("eth_getTransactionByHash", transfer)["blockNumber"], 16)
    depth = int(holder.rpc("eth_blockNumber"), 16) - block + 1
    assert depth < CONFIRMATIONS
    holder.rpc("anvil_reorg", depth, [])
    expect(sent).to_contain_text("taken back", timeout=PATIENCE_MS)
    expect(sent).to_contain_text("what it moved is where it was")
    expect(in_wallet).to_contain_text("5 t", timeout=PATIENCE_MS)
    expect(on_exchange).to_have_text("Nothing on the exchange.", timeout=PATIENCE_MS)
    # "1 t deposited" is not so any more.
    expect(page.locator("#wallet-note")).to_contain_text("The chain reorganised")
    assert _holds(page, friend, 0)

    # Both come again, in other chain blocks, and stay.
    holder.rpc("evm_mine")
    for raw in holder.sent[-2:]:
        holder.rpc("eth_sendRawTransaction", raw)
    expect(sent).to_contain_text("not final yet", timeout=PATIENCE_MS)
    expect(in_wallet).to_contain_text("2 t", timeout=PATIENCE_MS)
    expect(on_exchange.get_by_role("row").nth(1)).to_contain_text("1 t", timeout=PATIENCE_MS)
    expect(page.locator("#wallet-note")).to_have_text("")
    mine(holder, CONFIRMATIONS)
    expect(sent.locator(".badge")).to_have_text("final", timeout=PATIENCE_MS)
    until(lambda: _holds(page, friend, 2000))
