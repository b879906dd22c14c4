"""Alerts on what a wallet holds: new on the page and in every header until somebody read them."""

from __future__ import annotations

import time
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.system.visitor import IN_BROWSER, PATIENCE_MS, connect
from tests.web.wallet import Wallet

pytestmark = IN_BROWSER


def published(page: Page, wallet: Wallet) -> list[dict[str, Any]]:
    """Alerts of the wallet's classes, the newest first."""
    found: list[dict[str, Any]] = page.request.get(f"/v1/accounts/{wallet.address}/alerts").json()[
        "data"
    ]
    return found


def hold(page: Page, wallet: Wallet, class_id: str, held: bool) -> None:
    """The programme holds the class or lifts it; returns once the alert is published."""
    before = len(published(page, wallet))
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while True:
        answer = page.request.put(f"/v1/sandbox/holds/{class_id}", data={"held": held})
        if answer.json()["data"]["state"] == "done" and len(published(page, wallet)) > before:
            return
        assert time.monotonic() < deadline, answer.text()
        time.sleep(0.2)


@pytest.fixture
def class_id(visit: Any, wallet: Wallet) -> Any:
    """A class in the wallet, not the one that the other tests trade; released at the end."""
    page = visit().page
    holdings = page.request.get(f"/v1/accounts/{wallet.address}/holdings").json()["data"]
    ids = {one["credit_class"]["class_id"] for one in holdings}
    first = page.request.get("/v1/classes?limit=1").json()["data"][0]["class_id"]
    found = min(ids - {first})
    yield found
    if found in page.request.get("/v1/sandbox").json()["data"]["halted_classes"]:
        hold(page, wallet, found, held=False)


def test_a_hold_is_new_on_the_page_and_in_every_header_until_it_is_read_in_one_tab(
    visit: Any, wallet: Wallet, class_id: str
) -> None:
    visitor = visit(wallet)
    page: Page = visitor.page
    connect(page, "/portfolio")
    listed, count = page.locator("#alerts li"), page.locator(".bar nav .count")
    read = page.get_by_role("button", name="Mark as read")
    expect(page.locator("#alerts [role=status]")).to_be_attached()
    if read.count():
        read.click()
    expect(count).to_have_count(0)

    hold(page, wallet, class_id, held=True)
    page.reload()
    expect(count).to_have_text("1")
    expect(count).to_have_accessible_name("1 new")
    newest = listed.first
    expect(newest.locator(".badge")).to_have_text("new")
    expect(newest).to_contain_text("Put on hold")
    expect(newest).to_contain_text("Sandbox: a developer asked for it")
    # A page that lists no alerts says it too, and an open one hears that they were read elsewhere.
    other = visitor.context.new_page()
    other.goto("/market")
    expect(other.locator(".bar nav .count")).to_have_text("1")
    page.reload()
    expect(count).to_have_text("1")
    read.click()
    expect(listed.locator(".badge")).to_have_count(0)
    expect(count).to_have_count(0)
    expect(other.locator(".bar nav .count")).to_have_count(0)
    page.reload()
    expect(newest).to_contain_text("Put on hold")
    expect(listed.locator(".badge")).to_have_count(0)

    # The next one is new, what was read stays read; another browser has read nothing yet.
    hold(page, wallet, class_id, held=False)
    page.reload()
    expect(count).to_have_text("1")
    expect(newest).to_contain_text("Hold lifted")
    expect(listed.locator(".badge")).to_have_count(1)
    elsewhere = visit(wallet).page
    connect(elsewhere, "/portfolio")
    unread = min(len(published(page, wallet)), 20)
    expect(elsewhere.locator("#alerts li .badge")).to_have_count(unread)
    assert visitor.complaints == []


def test_another_account_of_the_wallet_has_its_own_alerts(visit: Any, wallet: Wallet) -> None:
    page = visit(wallet).page
    connect(page, "/portfolio")
    expect(page.locator("#alerts [role=status]")).to_be_attached()
    # An address that holds nothing: the marker of the account before it is gone at once.
    page.evaluate(
        "(account) => window.__causewayTestWalletEmit('accountsChanged', [account])",
        "0x" + "11" * 20,
    )
    expect(page.locator("#alerts")).to_have_text(
        "Nothing has been published about the classes you hold."
    )
    expect(page.locator(".bar nav .count")).to_have_count(0)
