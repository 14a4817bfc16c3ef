"""Prints what a report costs: seconds to write it, bytes, and milliseconds until a browser shows it, network off."""

from __future__ import annotations

import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from babysit.records.run import Run
from babysit.reporting.compare import compare
from babysit.reporting.compare_html import compare_html
from babysit.reporting.report import report
from babysit.testing import synthetic_runs

VISITS = 5
DRAWN = "html[data-drawn=yes]"
PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
# Everything drawn: the page marks its root when the last figure stands.
READY = "() => performance.now()"


def compared() -> str:
    return compare_html(compare([synthetic_runs.deep_run(layers=100, steps=10_000), synthetic_runs.healthy_run()]))


def page(run: Callable[[], Run]) -> Callable[[], str]:
    return lambda: report(run())


PAGES: dict[str, Callable[[], str]] = {
    "healthy, every figure": page(synthetic_runs.healthy_run),
    "100 layers, 10,000 steps": page(synthetic_runs.hundred_layers_run),
    "1,000 layers, 10,000 steps": page(lambda: synthetic_runs.deep_run(layers=1000, steps=10_000)),
    "hostile names": page(synthetic_runs.hostile_names_run),
    "comparison of two": compared,
}


def visit(browser: Browser, path: Path) -> tuple[float, float, list[str]]:
    """Milliseconds to the first paint and to the last figure, and what the page complained of."""
    context = browser.new_context(offline=True)
    try:
        tab = context.new_page()
        complaints: list[str] = []
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda problem: complaints.append(str(problem)))
        tab.goto(path.as_uri())
        tab.wait_for_selector(DRAWN, state="attached", timeout=60_000)
        return tab.evaluate(PAINT), tab.evaluate(READY), complaints
    finally:
        context.close()


def main() -> None:
    browser_path = shutil.which("chromium") or shutil.which("google-chrome")
    report(synthetic_runs.dead_relu_run())  # the scripts that draw are made once a process
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        print(f"Chromium {browser.version}, Python {platform.python_version()}, {VISITS} visits each, network off")
        print(f"{'page':28} {'kB':>7} {'write s':>8} {'first paint ms':>22} {'all drawn ms':>22}  complaints")
        for name, make in PAGES.items():
            begin = time.process_time()
            text = make()
            seconds = time.process_time() - begin
            path = Path(folder) / "page.html"
            path.write_text(text, encoding="utf-8")
            paints, ends, complaints = zip(*(visit(browser, path) for _ in range(VISITS)), strict=True)
            size = len(text.encode()) / 1000
            print(
                f"{name:28} {size:7,.0f} {seconds:8.2f} {spread(paints):>22} {spread(ends):>22}"
                f"  {sum(map(len, complaints))}"
            )
        browser.close()


def spread(values: tuple[float, ...]) -> str:
    return f"{statistics.median(values):,.0f} ({min(values):,.0f} to {max(values):,.0f})"


if __name__ == "__main__":
    main()
