"""A person at the pages: a window with a test wallet, and every complaint of its console."""

from __future__ import annotations

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
