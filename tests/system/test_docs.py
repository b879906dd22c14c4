"""The examples of the documentation, run as they stand against a running system."""

from __future__ import annotations

import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.system.conftest import ROOT, Commands

pytestmark = pytest.mark.system

_BLOCK = re.compile(r"(<!-- not run: [^>]+-->\n)?^```(sh|python)\n(.*?)^```$", re.M | re.S)
PAGES = ("developers.md", "sandbox.md")


def blocks(page: str) -> list[tuple[str, str]]:
    """(language, text) of each block that is to be run."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return [(found[2], found[3]) for found in _BLOCK.finditer(text) if not found[1]]


@pytest.mark.parametrize("page", PAGES)
def test_every_example_of_a_page_runs(
    page: str, causeway: Commands, demo: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    settings = causeway.settings

    def here(text: str) -> str:
        """The example at this system's address and with its keys."""
        text = text.replace("http://127.0.0.1:8600", settings.api_url)
        return text.replace(".causeway/keys", str(settings.home / "keys"))

    found = blocks(page)
    shell = "\n".join(text for language, text in found if language == "sh")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", here(shell)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"detail":"A service' not in done.stdout
    for number, (language, text) in enumerate(found):
        if language == "python":
            code = compile(here(text), f"{page}, block {number + 1}", "exec", dont_inherit=True)
            before = capsys.readouterr().out
            # In a thread of its own: a browser of other tests keeps an event loop in this one.
            with ThreadPoolExecutor(1) as pool:
                pool.submit(exec, code, {"__name__": "__main__"}).result()
            assert before or capsys.readouterr().out, f"{page}, block {number + 1} says nothing"
