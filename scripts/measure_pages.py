"""Figures of every page in a real browser: paint, shift, blocked time, bytes over the wire.

    python -m scripts.measure_pages [--url URL] [--runs 3] [--out build/pages]

Opens each page of a system that is up (`make run`) with an empty cache, at desktop and phone width,
and writes `figures.json` and `figures.md`: medians of the runs. Times are of this machine and its
load at that moment: they are read, never asserted. The limit of bytes is a test.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from pathlib import Path
from statistics import median
from typing import Any, Final

from playwright.sync_api import APIRequestContext, Browser, sync_playwright

from backend.settings import Settings

CHROMIUM: Final = shutil.which("chromium") or shutil.which("chromium-browser") or ""
FLAGS: Final = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PAGES: Final = (
    "/",
    "/market",
    "/portfolio",
    "/explore",
    "/explore?q=VCS",
    "/retire",
    "/deliver",
    "/quote",
    "/proof",
    "/join",
    "/operator",
    "/docs",
)
WIDTHS: Final = {"desktop": (1280, 850), "phone": (390, 850)}
#: A page without its chart, as it comes over the wire: scripts, style and words.
MOST_BYTES: Final = 150_000
BYTES: Final = """[
  ...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource'),
].filter((e) => !e.name.includes('chart')).reduce((sum, e) => sum + e.encodedBodySize, 0)"""
#: Watches from the first moment; what a script of a page cannot see afterwards is kept here.
_OBSERVE: Final = """
window.__seen = {lcp: 0, shift: 0, blocked: 0};
const watch = (type, take) => new PerformanceObserver(
  (list) => list.getEntries().forEach(take)).observe({type, buffered: true});
watch('largest-contentful-paint', (e) => { window.__seen.lcp = e.startTime; });
watch('layout-shift', (e) => { if (!e.hadRecentInput) window.__seen.shift += e.value; });
watch('longtask', (e) => { window.__seen.blocked += Math.max(0, e.duration - 50); });
"""
_FIGURES: Final = f"""() => ({{
  first_paint_ms: Math.round(
    performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0),
  largest_paint_ms: Math.round(window.__seen.lcp),
  shift_thousandths: Math.round(window.__seen.shift * 1000),
  blocked_ms: Math.round(window.__seen.blocked),
  bytes: {BYTES},
  requests: performance.getEntriesByType('resource').length + 1,
}})"""
_SETTLE_MS: Final = 1_500


def every_page(request: APIRequestContext) -> tuple[str, ...]:
    """Paths of every kind of page, with the market that traded most and the newest certificate."""
    traded = request.get("/v1/markets").json()["data"]
    best = max(traded, key=lambda one: int(one["tonnes"]))
    newest = request.get("/v1/retirements?limit=1").json()["data"][0]
    market = f"/market/{best['instrument']}/{best['asset']}"
    return (*PAGES, market, f"/certificates/{newest['certificate_id']}")


def kind_of(path: str) -> str:
    """A short name of a page: `market/…` and `certificates/…` for all of their kind."""
    parts = path.strip("/").split("/")
    if len(parts) > 1:
        return "instrument" if parts[0] == "market" else "certificate"
    return parts[0].replace("?q=", "-") or "home"


def measure(browser: Browser, url: str, runs: int) -> list[dict[str, Any]]:
    """Figures of every page and width, each the median of `runs` visits with an empty cache."""
    context = browser.new_context(base_url=url)
    paths = every_page(context.request)
    context.close()
    return [
        {"page": kind_of(path), "width": width, **_median(browser, url, path, size, runs)}
        for path in paths
        for width, size in WIDTHS.items()
    ]


def _median(
    browser: Browser, url: str, path: str, size: tuple[int, int], runs: int
) -> dict[str, int]:
    found = []
    for _ in range(runs):
        context = browser.new_context(
            base_url=url, viewport={"width": size[0], "height": size[1]}, locale="en-GB"
        )
        context.add_init_script(_OBSERVE)
        page = context.new_page()
        page.goto(path, wait_until="load")
        # Layout may still shift, and scripts run, once everything is there.
        page.wait_for_timeout(_SETTLE_MS)
        found.append(page.evaluate(_FIGURES))
        context.close()
    return {name: int(median(one[name] for one in found)) for name in found[0]}


def as_markdown(rows: list[dict[str, Any]], runs: int) -> str:
    """The figures as a table, and under which conditions they were taken."""
    head = [
        f"Medians of {runs} visits with an empty cache from the local server; machine load "
        f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} processors. Bytes are over the wire, "
        "without the chart's library.",
        "",
        "| Page | Width | First paint ms | Largest paint ms | Shift | Blocked ms | kB | Requests |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    lines = [
        f"| {one['page']} | {one['width']} | {one['first_paint_ms']} | {one['largest_paint_ms']} "
        f"| 0.{one['shift_thousandths']:03d} | {one['blocked_ms']} | {one['bytes'] / 1000:.1f} "
        f"| {one['requests']} |"
        for one in rows
    ]
    return "\n".join([*head, *lines, ""])


def main() -> None:
    """Measure a running system and write both files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="default: the system of CAUSEWAY_HOME")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("build/pages"))
    options = parser.parse_args()
    url = options.url or Settings.load().api_url
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        rows = measure(browser, url, options.runs)
        browser.close()
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "figures.json").write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
    table = as_markdown(rows, options.runs)
    (options.out / "figures.md").write_text(table, "utf-8")
    print(table)


if __name__ == "__main__":
    main()
