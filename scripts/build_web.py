"""Bundles the scripts of the pages with esbuild into `backend/web/static/built`.

The set-up runs it whenever a source has changed; `--check` looks at the types too (tsc). Standard
library only: it runs before anything else of the project can.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "backend" / "web" / "source"
BUILT = ROOT / "backend" / "web" / "static" / "built"
#: Scripts that templates name; everything else is a chunk of them.
ENTRIES = (
    "wallet",
    "unread",
    "instrument",
    "portfolio",
    "alerts",
    "retire",
    "deliver",
    "quote",
    "certificate",
    "operator",
)


def sources() -> list[Path]:
    """Every file that the bundles are made of, this one included."""
    return [Path(__file__), *sorted(SOURCE.glob("*.ts"))]


def build(environment: dict[str, str]) -> None:
    """Make the bundles anew; the old ones stay until the new ones are whole."""
    fresh = BUILT.with_name("built.new")
    shutil.rmtree(fresh, ignore_errors=True)
    command = [
        str(ROOT / "node_modules" / ".bin" / "esbuild"),
        *(str(SOURCE / f"{name}.ts") for name in ENTRIES),
        "--bundle",
        "--splitting",
        "--format=esm",
        "--minify",
        "--target=es2022",
        "--legal-comments=none",
        "--entry-names=[name]",
        "--chunk-names=[name]-[hash]",
        "--log-level=warning",
        f"--outdir={fresh}",
    ]
    if subprocess.call(command, cwd=str(ROOT), env=environment) != 0:
        sys.exit("esbuild could not bundle the pages' scripts.")
    shutil.rmtree(BUILT, ignore_errors=True)
    fresh.rename(BUILT)


def check(environment: dict[str, str]) -> None:
    """The types of the sources; exits with tsc's status when they are wrong."""
    tsc = [str(ROOT / "node_modules" / ".bin" / "tsc"), "-p", str(SOURCE / "tsconfig.json")]
    status = subprocess.call(tsc, cwd=str(ROOT), env=environment)
    if status != 0:
        sys.exit(status)


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        check(dict(os.environ))
    build(dict(os.environ))
