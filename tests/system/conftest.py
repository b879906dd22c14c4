"""One whole system as processes, walked once by the demo, for every test of this package.

`CAUSEWAY_TEST_HOME=DIRECTORY` runs the tests against a system that is up already and has walked
the demo (`causeway up --demo`): seconds instead of minutes while one works on a page.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from backend.chain.keys import KeyStore
from backend.client import Client
from backend.settings import Settings
from scripts.chaos import PATIENCE, System
from scripts.measure_pages import CHROMIUM, FLAGS
from tests.system import visitor
from tests.web.wallet import Wallet

ROOT = Path(__file__).resolve().parents[2]


class Commands:
    """Runs `causeway` against one running system."""

    def __init__(self, system: System) -> None:
        self.system = system

    def run(self, *words: str, expect: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "backend.cli", *words],
            cwd=ROOT,
            env=self.system.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == expect, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def json(self, *words: str, expect: int = 0) -> Any:
        return json.loads(self.run(*words, "--json", expect=expect).stdout)

    @property
    def settings(self) -> Settings:
        return Settings.load(home=self.system.home)

    @property
    def where(self) -> tuple[str, ...]:
        settings = self.settings
        url = settings.require_chain_url()
        return ("--rpc", url, "--deployment", str(settings.deployment_file))


RUNNING = os.environ.get("CAUSEWAY_TEST_HOME", "")


def _running(home: Path) -> System:
    """The system of a home that somebody else started, and will stop."""
    system = System(home, confirmations=0)
    settings = Settings.load(home=home)
    system.environment |= {
        "CAUSEWAY_API_PORT": str(settings.api_port),
        "CAUSEWAY_RPC_PORT": str(settings.rpc_port),
    }
    return system


@contextlib.contextmanager
def running(directory: Path, confirmations: int = 0) -> Iterator[Commands]:
    """A system in a directory of its own, until Ctrl-C."""
    for parent in (directory, directory.parent, directory.parent.parent):
        os.chmod(parent, 0o755)
    system = System(directory / "home", confirmations)
    system.start()
    try:
        system.ready().close()
        found = Commands(system)
        with Client(found.settings.api_url, patience=PATIENCE) as client:
            client.get("/v1/health")
        yield found
    finally:
        status = system.stop()
    assert status == 0


@pytest.fixture(scope="package")
def causeway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    """A system of its own, on free ports; stopped by Ctrl-C at the end, with status 0."""
    if RUNNING:
        yield Commands(_running(Path(RUNNING).absolute()))
        return
    with running(tmp_path_factory.mktemp("system")) as found:
        yield found


@pytest.fixture(scope="package")
def demo(causeway: Commands) -> dict[str, Any]:
    if RUNNING:
        return {"steps": []}
    found: dict[str, Any] = causeway.json("demo")
    return found


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """One browser for all tests of the pages; each test has its own windows."""
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield found
        found.close()


@pytest.fixture
def wallet(causeway: Commands, demo: dict[str, Any]) -> Wallet:
    """Wallet 2 of the demo, which has money and credits on both sides."""
    key = KeyStore(causeway.system.home / "keys").get("wallet-2")
    return Wallet(key.private_key, causeway.settings.require_chain_url())


@pytest.fixture
def visit(browser: Browser, causeway: Commands, demo: dict[str, Any]) -> Iterator[Any]:
    """Opens windows: `visit(wallet, locale=…, size=…)`; they close with the test."""
    opened: list[visitor.Visitor] = []

    def visit(wallet: Wallet | None = None, **options: Any) -> visitor.Visitor:
        options.setdefault("locale", "en-GB")
        url = options.pop("url", causeway.settings.api_url)
        opened.append(visitor.Visitor(browser, url, wallet, **options))
        return opened[-1]

    yield visit
    for one in opened:
        one.context.close()
