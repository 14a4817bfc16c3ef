"""The page in a real browser: every figure is drawn, from a file, with the content policy in force."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from babysit.reporting.report import write_report
from babysit.testing import sick

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [pytest.mark.slow, pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")]


@pytest.mark.parametrize("name", ["healthy_run", "hostile_names_run"])
def test_every_figure_is_drawn_without_the_network(name, tmp_path):
    path = write_report(getattr(sick, name)(), tmp_path / "report.html")
    command = [
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
        f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=20000", "--dump-dom", path.as_uri(),
    ]  # fmt: skip
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    page = re.sub(r"<script.*?</script>", "", shown, flags=re.S)
    drawings = len(re.findall('class="drawing', page))
    assert "could not be drawn" not in page
    assert len(re.findall('data-drawn="yes"', page)) == drawings + 1
    assert len(re.findall("<svg", page)) == drawings >= 4
    assert "<select" in page
