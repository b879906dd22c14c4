"""The main job by clicks in every language: an order, a deposit, a retirement, the certificate."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.system.conftest import ROOT
from tests.system.visitor import IN_BROWSER, LANGUAGES, PATIENCE_MS, traded_market
from tests.web.wallet import Wallet

pytestmark = IN_BROWSER


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_whole_job_goes_by_clicks(visit: Any, wallet: Wallet, language: str) -> None:
    texts = json.loads((ROOT / "backend/web/texts" / f"{language}.json").read_text("utf-8"))
    visitor = visit(wallet, locale=LANGUAGES[language])
    page = visitor.page
    page.goto(traded_market(page))
    page.locator("#wallet button").click()
    expect(page.locator("#wallet button")).to_contain_text("0x")
    # An order, placed and cancelled.
    page.locator("#ticket [name=price]").fill("41.25")
    page.locator("#ticket [name=quantity]").fill("2")
    page.locator("#place").click()
    own = page.locator("#own-orders").get_by_role("row").filter(has_text="41.25")
    expect(own).to_contain_text("2 / 2", timeout=PATIENCE_MS)
    own.get_by_role("button", name=texts["script.cancel"]).click()
    expect(page.locator("#own-note")).to_have_text(texts["script.cancelled"])
    # Half a tonne to the exchange.
    page.goto("/portfolio")
    row = page.locator("#in-wallet").get_by_role("row").filter(has_text="SAMPLE").first
    row.get_by_role("button", name=texts["script.deposit"]).click()
    page.get_by_label(texts["script.amount_tonnes"]).fill("0.5")
    page.get_by_role("button", name=texts["script.go_on"]).click()
    expect(page.locator("#wallet-note")).to_contain_text("0.5", timeout=PATIENCE_MS)
    # Three kilograms retired, and the certificate in the same language.
    first = page.request.get("/v1/classes?limit=1").json()["data"][0]
    page.goto(f"/retire?class={first['class_id']}")
    page.locator("[name=unit]").select_option("kg")
    page.locator("[name=amount]").fill("3")
    page.locator("#sign").click()
    expect(page.locator("#retire-note")).to_contain_text("0.003", timeout=PATIENCE_MS)
    page.locator("#certificate").click()
    expect(page.locator("html")).to_have_attribute("lang", language)
    expect(page.locator("h1")).to_contain_text(texts["cert.for_ever"])
    assert visitor.complaints == []
