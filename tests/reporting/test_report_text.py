"""The text report against gold files, and with hostile names."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from rich.console import Console

from babysit.records.run import Run
from babysit.reporting.report import report
from babysit.reporting.text import renderable, text
from babysit.testing import synthetic_runs

GOLD = Path(__file__).parent / "gold"
RUNS = {
    "healthy": synthetic_runs.healthy_run,
    "diverging": synthetic_runs.diverging_run,
    "dead_relu": synthetic_runs.dead_relu_run,
    "overfit": synthetic_runs.overfit_run,
    "search": synthetic_runs.search_run,
    "empty": lambda: Run(id="20260301-000000-blank-page"),
}


def scrubbed(written):
    return re.sub(r"\d{4}-\d\d-\d\d [\d:]+ UTC", "DATE", written)


@pytest.mark.parametrize("name", RUNS)
def test_the_text_report_is_the_gold_file(name):
    written = scrubbed(report(RUNS[name](), format="text"))
    gold = GOLD / f"{name}.txt"
    if os.environ.get("BABYSIT_WRITE_GOLD"):  # look at the difference before committing it
        gold.write_text(written)
    assert written == gold.read_text()


@pytest.mark.parametrize("width", [40, 80, 200])
def test_no_line_is_wider_than_asked_for(width):
    for made in RUNS.values():
        assert max(map(len, text(made(), width=width).splitlines())) <= width


def test_hostile_names_cannot_reach_the_terminal_or_flood_it():
    written = text(synthetic_runs.hostile_names_run())
    assert not set(written) & {"\x1b", "\x07", "\x00", "\u202e"}
    assert "[bold red]x[/bold red]" in written  # markup is shown, not obeyed
    assert len(written) < 12_000
    written.encode()


def test_on_a_console_with_colours_the_verdict_is_coloured():
    console = Console(force_terminal=True, color_system="standard", width=100, legacy_windows=False)
    with console.capture() as capture:
        console.print(renderable(synthetic_runs.diverging_run()))
    assert "\x1b[31m" in capture.get()
