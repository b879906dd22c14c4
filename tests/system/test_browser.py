"""The pages in a real browser, driven as a person would, with a wallet that announces itself.

Needs Chromium (Debian's package); where there is none the tests say so and fail nowhere else.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from scripts.measure_pages import BYTES, MOST_BYTES, every_page, kind_of
from tests.system.visitor import (
    AXE,
    IN_BROWSER,
    LANGUAGES,
    PATIENCE_MS,
    connect,
    look,
    look_at_print,
    traded_market,
)
from tests.web.wallet import Wallet

pytestmark = IN_BROWSER
SCHEMES = {"en": "light", "zh-Hant": "dark", "zh-Hans": "light"}


def serious(page: Page) -> list[Any]:
    """What axe-core finds serious, with the elements."""
    found = page.evaluate("axe.run().then((found) => found.violations)")
    return [
        (one["id"], [node["html"] for node in one["nodes"]][:3])
        for one in found
        if one["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_page_speaks_the_language_fits_a_phone_is_light_and_complains_of_nothing(
    visit: Any, language: str
) -> None:
    visitor = visit(locale=LANGUAGES[language], color_scheme=SCHEMES[language])
    page = visitor.page
    for path in every_page(page.request):
        answer = page.goto(path)
        assert answer is not None
        assert answer.status == 200, path
        assert page.locator("html").get_attribute("lang") == language
        assert 0 < page.evaluate(BYTES) < MOST_BYTES, path
        look(page, f"{kind_of(path)}-{language}")
        if kind_of(path) == "certificate":
            look_at_print(page, f"certificate-{language}")
    assert visitor.complaints == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_page_fits_a_phone_when_a_wallet_is_connected(
    visit: Any, wallet: Wallet, language: str
) -> None:
    page = visit(wallet, locale=LANGUAGES[language]).page
    page.goto("/portfolio")
    page.locator("#wallet button").click()
    page.locator("#sign-in").click()
    expect(page.locator("#orders").get_by_role("row").nth(1)).to_be_visible()
    expect(page.locator("#in-wallet").get_by_role("row").nth(1)).to_be_visible()
    look(page, f"portfolio-{language}-connected")
    for path in (traded_market(page), "/deliver", "/retire"):
        page.goto(path)
        expect(page.locator("#wallet button")).to_contain_text("0x")
        # The market's stream, own deliveries, the serials: what the page asks for by itself.
        page.wait_for_load_state("networkidle")
        look(page, f"{kind_of(path)}-{language}-connected")


def test_no_page_has_a_serious_accessibility_violation_light_or_dark(visit: Any) -> None:
    page = visit(bypass_csp=True, color_scheme="light").page
    for path in every_page(page.request):
        page.goto(path)
        page.evaluate(AXE.read_text("utf-8"))
        assert serious(page) == [], path
        page.emulate_media(color_scheme="dark")
        assert serious(page) == [], (path, "dark")
        page.emulate_media(color_scheme="light")


def test_the_language_is_kept_once_it_was_chosen(visit: Any) -> None:
    page = visit().page
    page.goto("/market")
    page.get_by_role("link", name="繁").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("市場")
    page.goto("/portfolio")
    expect(page.get_by_role("heading", level=1)).to_have_text("持倉")


def test_an_order_is_signed_placed_shown_and_cancelled_by_clicks(
    visit: Any, wallet: Wallet
) -> None:
    visitor = visit(wallet)
    page = visitor.page
    connect(page, traded_market(page))
    expect(page.locator("#connection")).to_have_text("live")
    page.get_by_label("Price per tonne").fill("41.5")
    page.get_by_label("Tonnes", exact=True).fill("3")
    expect(page.locator("#preview")).to_contain_text("Buy 3 t at HK$ 41.50 a tonne or less")
    expect(page.locator("#total")).to_have_text("HK$ 124.749")
    expect(page.locator("#quoted")).to_contain_text("The exchange's fee")
    page.get_by_role("button", name="Sign and place").click()
    expect(page.locator("#ticket-note")).to_have_text("Placed: 0 t traded, 3 t in the book.")
    own = page.locator("#own-orders").get_by_role("row").filter(has_text="HK$ 41.50")
    expect(own).to_contain_text("3 / 3 t")
    expect(page.locator("#bids")).to_contain_text("HK$ 41.50")
    # What the wallet was shown is what was placed.
    signed = [params for method, params in wallet.asked if method == "eth_signTypedData_v4"]
    message = json.loads(signed[-1][1])["message"]
    assert (message["quantity"], message["price"], message["side"]) == ("3", "41500000", "0")
    own.get_by_role("button", name="Cancel").click()
    expect(page.locator("#own-note")).to_have_text("Cancelled.")
    expect(page.locator("#bids")).not_to_contain_text("HK$ 41.50")
    assert visitor.complaints == []


def test_the_portfolio_shows_both_sides_and_moves_between_them(visit: Any, wallet: Wallet) -> None:
    visitor = visit(wallet)
    page = visitor.page
    connect(page, "/portfolio")
    expect(page.locator("#admission")).to_have_text("admitted (professional)")
    row = page.locator("#in-wallet").get_by_role("row").filter(has_text="SAMPLE").first
    row.get_by_role("button", name="Deposit").click()
    page.get_by_label("Tonnes, up to three decimals").fill("1")
    page.get_by_role("button", name="Go on").click()
    expect(page.locator("#wallet-note")).to_contain_text("1 t deposited", timeout=PATIENCE_MS)
    expect(page.locator("#sent")).to_contain_text("final", timeout=PATIENCE_MS)
    row.get_by_role("button", name="Deposit").click()
    page.get_by_label("Tonnes, up to three decimals").fill("900000")
    page.get_by_role("button", name="Go on").click()
    expect(page.locator("#wallet-note")).to_contain_text("too little")
    page.locator("#sign-in").click()
    expect(page.locator("#orders")).to_contain_text("filled")
    money = page.locator("#on-exchange").get_by_role("row").filter(has_text="HKD")
    money.get_by_role("button", name="Withdraw").click()
    page.get_by_label("Amount").fill("1.25")
    page.get_by_role("button", name="Go on").click()
    expect(page.locator("#exchange-note")).to_contain_text("HK$ 1.25 will be claimable")
    with page.expect_download() as saved:
        page.get_by_role("button", name="Download the statement").click()
    lines = Path(saved.value.path()).read_text("utf-8").splitlines()
    assert lines[0].startswith("seq,ordinal,time_utc,asset")
    assert any(line.split(",")[-2] == "withdrawal" for line in lines[1:])
    assert visitor.complaints == []


def test_a_retirement_is_checked_by_the_programme_and_bound_to_its_certificate(
    visit: Any, wallet: Wallet
) -> None:
    visitor = visit(wallet)
    page = visitor.page
    connect(page, "/portfolio")
    page.locator("#in-wallet").get_by_role("link", name="Retire").first.click()
    page.get_by_label("Amount").fill("1.234")
    page.get_by_label("On behalf of").fill("Example & Söhne 有限公司")
    # A use that meets an obligation needs its scheme and period, and a country for whom it is.
    page.get_by_text("to meet an obligation").click()
    page.locator("[name=scheme]").select_option("CORSIA")
    signatures = len(wallet.sent)
    page.get_by_role("button", name="Sign and retire").click()
    expect(page.locator("#retire-note")).to_contain_text("see the marked fields (2)")
    expect(page.locator("#error-scheme_period")).to_have_text("The programme asks for this.")
    expect(page.locator("#error-country")).to_be_visible()
    assert len(wallet.sent) == signatures
    page.locator("[name=country]").select_option("HK")
    page.get_by_label("Period of the scheme").fill("2024-2026")
    page.get_by_label("Emissions from").fill("2024-01-01")
    page.locator("[name=claim_end]").fill("2024-12-31")
    expect(page.locator("#error-country")).to_be_hidden()
    expect(page.locator("#preview")).to_contain_text("Purpose on the certificate: CORSIA 2024-2026")
    expect(page.locator("#serials")).to_contain_text("whole tonnes")
    expect(page.locator("#preview")).to_contain_text("On behalf of Example & Söhne 有限公司")
    shown = page.locator("#serials .serial").all_inner_texts()
    page.get_by_role("button", name="Sign and retire").click()
    note = page.locator("#retire-note")
    expect(note).to_have_text("1.234 t retired for ever.", timeout=PATIENCE_MS)
    page.locator("#certificate").click()
    expect(page.get_by_text("Example & Söhne 有限公司")).to_be_visible()
    expect(page.get_by_text("2024-01-01 to 2024-12-31")).to_be_visible()
    certificate = page.url.rpartition("/")[2]
    data = page.request.get(f"/v1/certificates/{certificate}").json()["data"]
    bound = data["retirement"]["texts"]["instruction_hash"]
    expect(page.get_by_text(bound)).to_be_visible()
    assert int(bound, 16)
    taken = [
        f"{run['series']} / {run['first']}"
        + (f" – {run['last']}" if run["last"] != run["first"] else "")
        for piece in data["pieces"]
        for run in piece["expected"]
    ]
    assert sorted(taken) == sorted(shown)
    # The words on chain never change with the reader's language; ours around them do.
    page.get_by_role("link", name="繁").click()
    expect(page.get_by_text("註銷證書")).to_be_visible()
    expect(page.get_by_text("CORSIA 2024-2026")).to_be_visible()
    printed = page.pdf(format="A4", print_background=True)
    assert printed.startswith(b"%PDF")
    assert printed.count(b"/Type /Page\n") <= 3
    # The marked fields were refused by the service, which the console tells as well.
    assert [one for one in visitor.complaints if "422" not in one] == []


def test_buy_and_retire_is_one_signature_and_the_texts_are_kept(visit: Any, wallet: Wallet) -> None:
    # The demo leaves tonnes of class 1 for sale at 52.50 and 53.
    page = visit(wallet).page
    first = page.request.get("/v1/classes?limit=1").json()["data"][0]
    connect(page, f"/retire?class={first['class_id']}")
    page.get_by_text("the market, bought now").click()
    page.get_by_label("At most, per tonne").fill("53")
    page.get_by_label("Paid in").select_option(label="HKD")
    page.get_by_text("only whom I show it").click()
    expect(page.locator("#preview")).to_contain_text("What is bought is retired for ever")
    expect(page.locator("#quoted")).to_contain_text("settlement 10 min + at the registry 1 h")
    before = sum(method == "eth_signTypedData_v4" for method, _ in wallet.asked)
    page.get_by_role("button", name="Sign and retire").click()
    expect(page.locator("#retire-note")).to_contain_text("1 t bought at HK$ 53.00 or less")
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save the texts").click()
    kept = json.loads(Path(saved.value.path()).read_text("utf-8"))
    signed = [params for method, params in wallet.asked if method == "eth_signTypedData_v4"]
    assert len(signed) == before + 1
    assert json.loads(signed[-1][1])["message"]["detailsHash"] == kept["details_hash"]
    assert int(kept["words"]["salt"], 16)


def test_a_quote_needs_no_wallet_and_shows_that_it_has_expired(visit: Any) -> None:
    visitor = visit()
    page = visitor.page
    quoted = page.locator("#quoted")
    page.goto("/quote")
    page.get_by_label("What").select_option("retire")
    page.get_by_role("button", name="Reckon").click()
    expect(quoted).to_contain_text("At the registry, as promised, by")
    expect(quoted).to_contain_text("Holds for")
    page.goto("/retire")
    expect(quoted).to_contain_text("Holds for")
    page.clock.set_fixed_time(datetime.now(UTC) + timedelta(seconds=61))
    expect(quoted).to_contain_text("This quote has expired.")
    expect(page.locator(".quote-lines")).to_have_attribute("data-state", "expired")
    page.get_by_role("button", name="Ask again").click()
    expect(quoted).to_contain_text("Holds for")
    assert visitor.complaints == []


def test_a_delivery_and_a_refund_by_clicks(visit: Any, wallet: Wallet) -> None:
    visitor = visit(wallet)
    page = visitor.page
    connect(page, "/deliver")
    form, own = page.locator("#deliver"), page.locator("#own-deliveries")
    # The wallet has the demo's delivery: the list is there once it is.
    expect(own.locator("li").first).to_be_visible()
    # The demo opened these accounts at the registry: the first accepts, the second refuses.
    for account in ("SAMPLE-9001", "SAMPLE-9002"):
        before = own.locator("li").count()
        form.get_by_label("Whole tonnes").fill("1")
        expect(form).to_contain_text("the custodian begins 192 h + the transfer 336 h")
        form.get_by_label("Your account at the registry").fill(account)
        page.get_by_role("button", name="Sign and send").click()
        expect(page.locator("#deliver-note")).to_contain_text("Requested: 1 t")
        expect(own.locator("li")).to_have_count(before + 1)
        expect(own.locator("li").first).to_contain_text(account)
    # The page follows the custodian's steps by itself.
    refused, accepted = own.locator("li").first, own.locator("li").nth(1)
    expect(accepted).to_contain_text("delivered", timeout=PATIENCE_MS)
    expect(accepted).to_contain_text("registry reference")
    expect(refused).to_contain_text("rejected", timeout=PATIENCE_MS)
    refused.get_by_role("button", name="Take the refund").click()
    expect(page.locator("#own-note")).to_contain_text("1 t are yours again", timeout=PATIENCE_MS)
    expect(refused).to_contain_text("refunded", timeout=PATIENCE_MS)
    assert visitor.complaints == []


def test_the_explorer_leads_from_a_serial_to_its_certificate(visit: Any) -> None:
    page = visit().page
    receipt = page.request.get("/v1/receipts?state=minted&limit=1").json()["data"][0]
    block = page.request.get(f"/v1/receipts/{receipt['receipt_id']}").json()["data"]["serials"][0]
    page.goto("/explore")
    page.get_by_role("searchbox").fill(f"{block['series']}/{block['first']}")
    page.get_by_role("button", name="Find").click()
    stations = page.locator(".path h3")
    expect(stations.first).to_have_text("Row of the registry's export")
    expect(stations.filter(has_text="Custody receipt")).to_have_count(1)
    page.goto("/explore?q=VCS:2/1")
    expect(page.get_by_role("alert")).to_contain_text("no import and no receipt names")
    assert re.search(r"VCS:2/1", page.locator("main").inner_text())
    # Whom a certificate is for and the registry's reference lead to it as well.
    made = page.request.get("/v1/retirements?limit=100").json()["data"]
    one = next(
        found
        for found in made
        if found["references"] and found["texts"] and found["texts"]["beneficiary"]
    )
    for text in (one["references"][0], one["texts"]["beneficiary"][:9].lower()):
        page.goto("/")
        page.get_by_role("searchbox").fill(text)
        page.get_by_role("button", name="Find").click()
        expect(page.get_by_role("link", name=one["certificate_id"])).to_be_visible()
    page.goto("/explore?q=nobody-has-this")
    expect(page.get_by_role("alert")).to_contain_text("Nothing fits")
