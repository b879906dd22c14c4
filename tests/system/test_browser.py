"""The pages in a real browser, driven as a person would, with a wallet that announces itself.

Needs Chromium (Debian's package); where there is none the tests say so and fail nowhere else.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from backend.chain.keys import KeyStore
from tests.system.conftest import ROOT, Commands
from tests.web.wallet import Wallet

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""
pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(not CHROMIUM, reason="NO BROWSER: install chromium to test the pages"),
]
AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
LANGUAGES = {"en": "en-GB", "zh-Hant": "zh-HK", "zh-Hans": "zh-CN"}
PAGES = (
    "/",
    "/market",
    "/portfolio",
    "/explore",
    "/explore?q=VCS",
    "/retire",
    "/deliver",
    "/proof",
    "/join",
)
#: A page without its chart, as it comes over the wire: scripts, style and words.
MOST_BYTES = 150_000
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def wallet(causeway: Commands, demo: dict[str, Any]) -> Wallet:
    """Wallet 2 of the demo, which has money and credits on both sides."""
    key = KeyStore(causeway.system.home / "keys").get("wallet-2")
    return Wallet(key.private_key, causeway.settings.require_chain_url())


class Visitor:
    """A browser window, and every complaint of its console."""

    def __init__(self, browser: Browser, url: str, wallet: Wallet | None, **options: Any) -> None:
        size = options.pop("size", (1280, 900))
        self.context: BrowserContext = browser.new_context(
            base_url=url, viewport={"width": size[0], "height": size[1]}, **options
        )
        if wallet is not None:
            wallet.announce(self.context)
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text}")


@pytest.fixture
def visit(browser: Browser, causeway: Commands, demo: dict[str, Any]) -> Iterator[Any]:
    opened: list[Visitor] = []

    def visit(wallet: Wallet | None = None, **options: Any) -> Visitor:
        options.setdefault("locale", "en-GB")
        opened.append(Visitor(browser, causeway.settings.api_url, wallet, **options))
        return opened[-1]

    yield visit
    for one in opened:
        one.context.close()


def traded_market(causeway: Commands, page: Page) -> str:
    answer = page.request.get("/v1/markets").json()["data"]
    best = max(answer, key=lambda one: int(one["tonnes"]))
    return f"/market/{best['instrument']}/{best['asset']}"


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("width", [1280, 390])
def test_every_page_in_every_language_without_a_complaint(
    visit: Any, causeway: Commands, language: str, width: int
) -> None:
    scheme = "dark" if width == 390 else "light"
    visitor = visit(locale=LANGUAGES[language], size=(width, 850), color_scheme=scheme)
    page = visitor.page
    for path in (*PAGES, traded_market(causeway, page)):
        answer = page.goto(path)
        assert answer is not None
        assert answer.status == 200, path
        assert page.locator("html").get_attribute("lang") == language
        # Nothing hangs over the edge: a phone scrolls in one direction.
        wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert wide <= 0, (path, wide)
    assert visitor.complaints == []


def test_no_page_has_a_serious_accessibility_violation(visit: Any, causeway: Commands) -> None:
    visitor = visit(bypass_csp=True)
    page = visitor.page
    for path in (*PAGES, traded_market(causeway, page)):
        page.goto(path)
        page.evaluate(AXE.read_text("utf-8"))
        found = page.evaluate("axe.run().then((found) => found.violations)")
        serious = [
            (one["id"], [node["html"] for node in one["nodes"]][:3])
            for one in found
            if one["impact"] in ("serious", "critical")
        ]
        assert serious == [], path


def test_a_page_is_light_and_quick(visit: Any, causeway: Commands) -> None:
    page = visit().page
    market = traded_market(causeway, page)
    for path in (*PAGES, market):
        page.goto(path, wait_until="networkidle")
        entries = page.evaluate(
            "[...performance.getEntriesByType('navigation'),"
            " ...performance.getEntriesByType('resource')].map((e) => [e.name, e.encodedBodySize])"
        )
        bytes_ = sum(size for name, size in entries if "chart" not in name)
        assert 0 < bytes_ < MOST_BYTES, (path, entries)
        paint = page.evaluate("performance.getEntriesByName('first-contentful-paint').length")
        assert paint == 1, path


def test_the_language_is_kept_once_it_was_chosen(visit: Any) -> None:
    page = visit().page
    page.goto("/market")
    page.get_by_role("link", name="繁").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("市場")
    page.goto("/portfolio")
    expect(page.get_by_role("heading", level=1)).to_have_text("持倉")


def test_an_order_is_signed_placed_shown_and_cancelled_by_clicks(
    visit: Any, causeway: Commands, wallet: Wallet
) -> None:
    visitor = visit(wallet)
    page = visitor.page
    page.goto(traded_market(causeway, page))
    expect(page.locator("#connection")).to_have_text("live")
    page.get_by_role("button", name="Connect wallet").click()
    page.get_by_label("Price per tonne").fill("41.5")
    page.get_by_label("Tonnes", exact=True).fill("3")
    expect(page.locator("#preview")).to_contain_text("Buy 3 t at HK$ 41.50 a tonne or less")
    expect(page.locator("#total")).to_have_text("HK$ 124.749")
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


def test_a_refused_signature_a_wrong_chain_and_bad_numbers_are_told_in_words(
    visit: Any, causeway: Commands, wallet: Wallet
) -> None:
    page = visit(wallet).page
    page.goto(traded_market(causeway, page))
    page.get_by_role("button", name="Connect wallet").click()
    page.get_by_label("Price per tonne").fill("41.1234567")
    expect(page.locator("#preview")).to_contain_text("has more than 6 decimals")
    page.get_by_label("Price per tonne").fill("41")
    note = page.locator("#ticket-note")
    wallet.refuses = True
    page.get_by_role("button", name="Sign and place").click()
    expect(note).to_have_text("You refused in the wallet. Nothing was sent.")
    wallet.refuses = False
    wallet.other_chain = 1
    page.get_by_role("button", name="Sign and place").click()
    expect(note).to_contain_text("The wallet is on chain 1; Causeway is on chain 31337.")
    wallet.other_chain = None
    page.get_by_label("Tonnes", exact=True).fill("9000000")
    page.get_by_role("button", name="Sign and place").click()
    expect(note).to_contain_text("The venue refused it")


def test_without_a_wallet_the_page_says_what_is_missing(visit: Any) -> None:
    page = visit().page
    page.goto("/portfolio")
    page.get_by_role("button", name="Connect wallet").click()
    expect(page.locator(".wallet-problem")).to_contain_text("No wallet was found")


def test_the_portfolio_shows_both_sides_and_moves_between_them(
    visit: Any, causeway: Commands, wallet: Wallet
) -> None:
    visitor = visit(wallet)
    page = visitor.page
    page.goto("/portfolio")
    page.get_by_role("button", name="Connect wallet").click()
    expect(page.locator("#admission")).to_have_text("admitted (professional)")
    row = page.locator("#in-wallet").get_by_role("row").filter(has_text="SAMPLE").first
    expect(row).to_be_visible()
    row.get_by_role("button", name="Deposit").click()
    page.get_by_label("Tonnes, up to three decimals").fill("1")
    page.get_by_role("button", name="Go on").click()
    expect(page.locator("#wallet-note")).to_contain_text("1 t deposited", timeout=20_000)
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


def test_a_retirement_shows_its_serials_before_and_its_certificate_after(
    visit: Any, causeway: Commands, wallet: Wallet
) -> None:
    visitor = visit(wallet)
    page = visitor.page
    page.goto("/portfolio")
    page.get_by_role("button", name="Connect wallet").click()
    page.locator("#in-wallet").get_by_role("link", name="Retire").first.click()
    page.get_by_label("Amount").fill("1.234")
    page.get_by_label("On behalf of").fill("Example & Söhne 有限公司")
    page.get_by_label("Purpose").fill("Flights")
    expect(page.locator("#serials")).to_contain_text("whole tonnes")
    expect(page.locator("#preview")).to_contain_text("On behalf of Example & Söhne 有限公司")
    shown = page.locator("#serials .serial").all_inner_texts()
    page.get_by_role("button", name="Sign and retire").click()
    expect(page.locator("#retire-note")).to_have_text("1.234 t retired for ever.", timeout=20_000)
    page.locator("#certificate").click()
    expect(page.get_by_text("Example & Söhne 有限公司")).to_be_visible()
    certificate = page.url.rpartition("/")[2]
    data = page.request.get(f"/v1/certificates/{certificate}").json()["data"]
    taken = [
        f"{run['series']} / {run['first']} – {run['last']}"
        for piece in data["pieces"]
        for run in piece["expected"]
    ]
    assert sorted(taken) == sorted(shown)
    assert visitor.complaints == []


def test_buy_and_retire_is_one_signature(visit: Any, causeway: Commands, wallet: Wallet) -> None:
    # The demo leaves tonnes of class 1 for sale at 52.50 and 53.
    page = visit(wallet).page
    first = page.request.get("/v1/classes?limit=1").json()["data"][0]
    page.goto(f"/retire?class={first['class_id']}")
    page.get_by_role("button", name="Connect wallet").click()
    page.get_by_text("the market, bought now").click()
    page.get_by_label("At most, per tonne").fill("53")
    page.get_by_label("Paid in").select_option(label="HKD")
    page.get_by_text("only whom I show it").click()
    expect(page.locator("#preview")).to_contain_text("What is bought is retired for ever")
    before = sum(method == "eth_signTypedData_v4" for method, _ in wallet.asked)
    page.get_by_role("button", name="Sign and retire").click()
    expect(page.locator("#retire-note")).to_contain_text("1 t bought at HK$ 53.00 or less")
    expect(page.locator("#secret")).to_contain_text("0x")
    after = sum(method == "eth_signTypedData_v4" for method, _ in wallet.asked)
    assert after == before + 1


def test_a_lost_stream_says_so_and_is_right_again(
    visit: Any, causeway: Commands, wallet: Wallet
) -> None:
    page = visit().page
    page.goto(traded_market(causeway, page))
    connection = page.locator("#connection")
    expect(connection).to_have_text("live")
    assert causeway.system.kill("api")
    expect(connection).to_contain_text("connection lost", timeout=15_000)
    expect(connection).to_have_text("live", timeout=30_000)
    causeway.run("order", "buy", "1", "1", "--price", "40.40", "--from", "wallet-2")
    expect(page.locator("#bids")).to_contain_text("HK$ 40.40", timeout=15_000)
    causeway.run("cancel", "--all", "--from", "wallet-2")
    expect(page.locator("#bids")).not_to_contain_text("HK$ 40.40", timeout=15_000)


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
