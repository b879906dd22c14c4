"""One whole system as processes, walked once by the demo, for every test of this package."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backend.settings import Settings
from scripts.chaos import System

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


@pytest.fixture(scope="package")
def causeway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    """A system of its own, on free ports; stopped by Ctrl-C at the end, with status 0."""
    directory = tmp_path_factory.mktemp("system")
    for parent in (directory, directory.parent, directory.parent.parent):
        os.chmod(parent, 0o755)
    system = System(directory / "home", confirmations=0)
    system.start()
    try:
        system.ready().close()
        yield Commands(system)
    finally:
        status = system.stop()
    assert status == 0


@pytest.fixture(scope="package")
def demo(causeway: Commands) -> dict[str, Any]:
    found: dict[str, Any] = causeway.json("demo")
    return found
