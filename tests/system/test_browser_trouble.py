"""What the pages say when something breaks: wallet, session, stream, processes, the chain."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import delete

from backend.store.database import Database
from backend.store.tables import api_sessions
from scripts.chaos import free_port
from tests.system.conftest import ROOT, Commands
from tests.system.visitor import IN_BROWSER, PATIENCE_MS, connect, traded_market
from tests.web.wallet import Wallet

pytestmark = IN_BROWSER
CONFIRMATIONS = 6


def test_a_wallet_on_another_chain_is_offered_the_switch(visit: Any, wallet: Wallet) -> None:
    page = visit(wallet, locale="zh-HK").page
    wallet.other_chain, wallet.knows_chain = 1, False
    page.goto("/portfolio")
    page.get_by_role("button", name="連接錢包").click()
    banner = page.locator("#chain-note")
    expect(banner).to_contain_text("您的錢包在鏈 1；Causeway 在鏈 31337")
    wallet.refuses = True
    banner.get_by_role("button", name="切換").click()
    expect(banner).to_contain_text("您已在錢包中拒絕")
    wallet.refuses = False
    # The wallet does not know the chain (4902): it is added, with where it is reached.
    banner.get_by_role("button", name="切換").click()
    expect(banner).to_be_hidden()
    assert "wallet_addEthereumChain" in [method for method, _ in wallet.asked]


def test_without_a_wallet_the_page_says_what_is_missing(visit: Any) -> None:
    page = visit().page
    page.goto("/portfolio")
    page.get_by_role("button", name="Connect wallet").click()
    expect(page.locator(".wallet-problem")).to_contain_text("No wallet was found")


def test_a_refused_signature_a_wrong_chain_bad_numbers_and_too_little_are_told_in_words(
    visit: Any, wallet: Wallet
) -> None:
    page = visit(wallet).page
    connect(page, traded_market(page))
    page.get_by_label("Price per tonne").fill("41.1234567")
    expect(page.locator("#preview")).to_contain_text("has more than 6 decimals")
    page.get_by_label("Price per tonne").fill("41")
    note = page.locator("#ticket-note")
    place = page.get_by_role("button", name="Sign and place")
    wallet.refuses = True
    place.click()
    expect(note).to_have_text("You refused in the wallet. Nothing was sent.")
    wallet.other_chain = 1
    place.click()
    expect(note).to_contain_text("You refused in the wallet")
    wallet.refuses, wallet.other_chain = False, None
    place.click()
    expect(note).to_contain_text("Placed")
    wallet.refuses, wallet.other_chain = True, 1
    place.click()
    expect(note).to_contain_text("The wallet is on chain 1; Causeway is on chain 31337.")
    wallet.refuses, wallet.other_chain = False, None
    page.get_by_label("Tonnes", exact=True).fill("9000000")
    place.click()
    expect(note).to_contain_text("your account at the exchange has too little for it")
    page.get_by_role("button", name="Cancel").first.click()
    expect(page.locator("#own-note")).to_have_text("Cancelled.")


def test_a_session_that_has_ended_says_so_and_is_opened_again_only_by_the_person(
    visit: Any, causeway: Commands, wallet: Wallet
) -> None:
    page = visit(wallet).page
    connect(page, "/portfolio")
    page.locator("#sign-in").click()
    expect(page.locator("#when-signed-in")).to_be_visible()
    database = Database(causeway.settings.require_database_url())
    with database.begin() as connection:
        connection.execute(delete(api_sessions))
    database.close()
    asked = len([1 for method, _ in wallet.asked if method == "personal_sign"])
    page.reload()
    expect(page.locator("#sign-in-box")).to_contain_text("Your session has ended. Sign in again.")
    expect(page.locator("#when-signed-in")).to_be_hidden()
    assert len([1 for method, _ in wallet.asked if method == "personal_sign"]) == asked
    page.locator("#sign-in").click()
    expect(page.locator("#orders")).to_contain_text("filled")


def _levels(page: Page, side: str) -> list[str]:
    return [
        re.sub(r"\s+", " ", text).strip()
        for text in page.locator(f"#{side} tr").all_inner_texts()
        if text.strip() != "no orders"
    ]


def _expected(page: Page, path: str, side: str) -> list[str]:
    found = page.request.get(f"/v1/markets{path.removeprefix('/market')}/book").json()["data"]
    lines = [
        f"HK$ {int(one['price']) // 10**6}.{int(one['price']) % 10**6 // 10**4:02d} "
        f"{int(one['tonnes']):,} t"
        for one in found[side]
    ]
    return lines[::-1] if side == "asks" else lines


def test_a_book_is_whole_again_after_the_api_and_the_sequencer_were_killed(
    visit: Any, causeway: Commands, wallet: Wallet
) -> None:
    watcher, trader = visit().page, visit(wallet).page
    path = traded_market(watcher)
    watcher.goto(path)
    connection = watcher.locator("#connection")
    expect(connection).to_have_text("live")
    connect(trader, path)
    trader.get_by_label("Tonnes", exact=True).fill("1")
    place, note = (
        trader.get_by_role("button", name="Sign and place"),
        trader.locator("#ticket-note"),
    )

    def order(price: str) -> None:
        """Placed as a person would: tried again while the venue says that it is away."""
        trader.get_by_label("Price per tonne").fill(price)
        for _ in range(60):
            place.click()
            told = re.compile("Placed|does not answer|No answer in time|try again")
            expect(note).to_have_text(told, timeout=PATIENCE_MS)
            if "Placed" in note.inner_text():
                return
            time.sleep(0.5)
        raise AssertionError(note.inner_text())

    order("40.30")
    expect(watcher.locator("#bids")).to_contain_text("HK$ 40.30")
    assert causeway.system.kill("api")
    expect(connection).to_contain_text("connection lost", timeout=PATIENCE_MS)
    expect(watcher.locator("#desk")).to_have_attribute("data-state", "lost")
    assert causeway.system.kill("sequencer")
    order("40.40")
    expect(connection).to_have_text("live", timeout=PATIENCE_MS)
    expect(watcher.locator("#bids")).to_contain_text("HK$ 40.40", timeout=PATIENCE_MS)
    # Nothing is missing and nothing counts twice: the page holds what the service says.
    for side in ("bids", "asks"):
        assert _levels(watcher, side) == _expected(watcher, path, side)
    tape = watcher.request.get(f"/v1/markets{path.removeprefix('/market')}/trades").json()["data"]
    shown = watcher.locator("#tape tr").evaluate_all("(rows) => rows.map((row) => row.id)")
    assert [f"trade-{one['number']}" for one in tape][: len(shown)] == shown
    own = trader.locator("#own-orders").get_by_role("button", name="Cancel")
    while left := own.count():
        own.first.click()
        expect(own).to_have_count(left - 1, timeout=PATIENCE_MS)
    expect(watcher.locator("#bids")).not_to_contain_text("HK$ 40.4", timeout=PATIENCE_MS)


@pytest.fixture
def careful(causeway: Commands) -> Iterator[str]:
    """A second API of the same system for which a chain block is final six blocks later."""
    port = free_port()
    environment = causeway.system.environment | {
        "CAUSEWAY_API_PORT": str(port),
        "CAUSEWAY_CONFIRMATIONS": str(CONFIRMATIONS),
        "CAUSEWAY_SIGN_IN_DOMAINS": f"127.0.0.1:{port}",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "backend.cli", "api"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + PATIENCE_MS / 1000
    try:
        while True:
            try:
                httpx.get(f"{url}/v1/health", trust_env=False)
                break
            except httpx.HTTPError:
                assert process.poll() is None, os.fspath(causeway.system.log)
                assert time.monotonic() < deadline
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def test_a_reorganisation_that_takes_back_a_retirement_is_told_and_so_is_its_return(
    visit: Any, careful: str, wallet: Wallet
) -> None:
    visitor = visit(wallet, url=careful)
    page = visitor.page
    connect(page, "/retire")
    page.locator("[name=unit]").select_option("kg")
    page.get_by_label("Amount").fill("7")
    page.get_by_role("button", name="Sign and retire").click()
    note = page.locator("#retire-note")
    expect(note).to_have_text("0.007 t retired for ever.", timeout=PATIENCE_MS)
    sent = page.locator("#sent li").first
    expect(sent).to_contain_text("not final yet")
    path = page.locator("#certificate").get_attribute("href") or ""
    certificate = visitor.context.new_page()
    certificate.goto(path)
    expect(certificate.locator("#what-happened")).to_contain_text("Not final yet")
    # The chain replaces every block from the retirement's on by empty ones.
    receipt = wallet.rpc("eth_getTransactionByHash", sent.locator("code").get_attribute("title"))
    depth = int(wallet.rpc("eth_blockNumber"), 16) - int(receipt["blockNumber"], 16) + 1
    wallet.rpc("anvil_reorg", depth, [])
    happened = certificate.locator("#what-happened")
    expect(happened).to_contain_text("Taken back", timeout=PATIENCE_MS)
    expect(sent).to_contain_text("taken back", timeout=PATIENCE_MS)
    gone = visitor.context.new_page()
    answer = gone.goto(path)
    assert answer is not None
    assert answer.status == 404
    expect(gone.locator("main")).to_contain_text("a reorganisation of the chain took it back")
    # The wallet's transaction comes again: the same retirement, in another chain block.
    wallet.rpc("evm_mine")
    wallet.rpc("eth_sendRawTransaction", wallet.sent[-1])
    expect(happened).to_contain_text("now stands in chain block", timeout=PATIENCE_MS)
    expect(sent).to_contain_text("not final yet", timeout=PATIENCE_MS)
    for _ in range(CONFIRMATIONS):
        wallet.rpc("evm_mine")
    expect(happened).to_contain_text("Final since chain block", timeout=PATIENCE_MS)
    expect(sent).to_contain_text("In chain block", timeout=PATIENCE_MS)
    expect(certificate.locator("#provisional")).to_be_hidden()
