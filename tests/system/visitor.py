"""A person at the pages: a window with a test wallet, and every complaint of its console."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from scripts.measure_pages import CHROMIUM, every_page, kind_of
from tests.web.wallet import Wallet

#: Every test of the pages: a system test, and nothing where there is no browser.
IN_BROWSER = [
    pytest.mark.system,
    pytest.mark.skipif(not CHROMIUM, reason="NO BROWSER: install chromium to test the pages"),
]
AXE = Path(__file__).resolve().parents[2] / "node_modules" / "axe-core" / "axe.min.js"
#: What follows from a chain block, a registry or a process that comes back: the machine is busy.
PATIENCE_MS = 90_000
#: What only the browser has to do.
expect.set_options(timeout=30_000)
#: A directory: tests of how pages look leave their screenshots there (docs/pages.md).
SCREENSHOTS = os.environ.get("CAUSEWAY_SCREENSHOTS", "")
#: What pages speak, and the locale of a browser that asks for it.
LANGUAGES = {"en": "en-GB", "zh-Hant": "zh-HK", "zh-Hans": "zh-CN"}
WIDTHS = {"desktop": 1280, "phone": 390}
_TOO_WIDE = "document.documentElement.scrollWidth - window.innerWidth"
#: The width of A4 at 96 dots an inch, less the margins of the style sheet.
_PAPER = 688


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
        self.page.set_default_timeout(PATIENCE_MS)
        self.complaints: list[str] = []
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text}")


def traded_market(page: Page) -> str:
    """Path of the market that traded most."""
    return next(one for one in every_page(page.request) if kind_of(one) == "instrument")


def connect(page: Page, path: str) -> None:
    """Opens a page and connects the wallet, as a person who comes for the first time."""
    page.goto(path)
    page.get_by_role("button", name="Connect wallet").click()
    expect(page.locator("#wallet button")).to_contain_text("0x")


def look(page: Page, name: str) -> None:
    """Nothing hangs over the edge at any width; screenshots where they were asked for."""
    for width, pixels in WIDTHS.items():
        page.set_viewport_size({"width": pixels, "height": 850})
        # A phone scrolls in one direction.
        assert page.evaluate(_TOO_WIDE) <= 0, (name, width)
        for scheme in ("light", "dark") if SCREENSHOTS else ():
            page.emulate_media(color_scheme=scheme)
            _keep(page, f"{name}-{width}-{scheme}")


def look_at_print(page: Page, name: str) -> None:
    """The page as it leaves the printer, where screenshots were asked for."""
    if SCREENSHOTS:
        page.set_viewport_size({"width": _PAPER, "height": 970})
        page.emulate_media(media="print")
        _keep(page, f"{name}-print")
        page.emulate_media(media="screen")


def _keep(page: Page, name: str) -> None:
    page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png", full_page=True)
