"""A program that uses the package decides what is printed; the command line shows what the package logs."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from babysit.cli import app

PROGRAM = """
import torch
import torch.nn.functional as F

import babysit
from babysit.data.splits import split
from babysit.experiments.check import CheckSettings
from babysit.training.settings import FitSettings

torch.manual_seed(0)
x = torch.randn(120, 4)
samples = babysit.load_data((x, (x[:, 0] > 0).long()), task="classes")
babysit.check(babysit.mlp(4, 2, hidden=(8,)), samples, settings=CheckSettings())
found = babysit.fit(babysit.mlp(4, 2, hidden=(8,)), split(samples), settings=FitSettings(epochs=1, device="cpu"))
model = babysit.mlp(4, 2, hidden=(8,))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
with babysit.watch(model, optimizer) as w:
    for _ in range(5):
        optimizer.zero_grad()
        F.cross_entropy(model(samples.x), samples.y).backward()
        optimizer.step()
assert babysit.report(w.run, format="text")
assert w.run.curves.get("train/loss") is not None
"""


@pytest.mark.slow
def test_check_and_fit_print_nothing_and_watch_two_lines_at_its_end(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
    verdict, saved = done.stderr.splitlines()
    assert verdict.startswith("babysit: INCONCLUSIVE. 5 steps observed")
    assert saved.startswith("Saved run ")


def test_what_is_logged_is_silent_until_a_program_asks_for_it(capfd: pytest.CaptureFixture[str]) -> None:
    program = "import babysit, logging; logging.getLogger('babysit.training').warning('not asked for')"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
    asked = program.replace("; logging", "; logging.basicConfig(); logging", 1)
    assert capfd.readouterr() == ("", "")
    assert subprocess.run([sys.executable, "-c", asked], check=False).returncode == 0
    assert capfd.readouterr().err == "WARNING:babysit.training:not asked for\n"


@pytest.mark.parametrize(("words", "shown"), [(["rules"], 1), (["watch", "script.py"], 0)])
def test_a_command_shows_what_is_logged_as_one_line_unless_it_watches_a_script(
    words: list[str], shown: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def logs(*_: object, **__: object) -> int:
        logging.getLogger("babysit.training.checkpoint").warning("the checkpoint %s could not be written", "x.pt")
        return 0

    monkeypatch.setattr(app, "app", logs)
    monkeypatch.setattr(app, "prepare_tokens", lambda words: words)
    before = list(logging.getLogger("babysit").handlers)
    with pytest.raises(SystemExit) as end:
        app.main(words)
    assert end.value.code == 0
    assert capsys.readouterr().err.count("babysit: the checkpoint x.pt could not be written\n") == shown
    assert logging.getLogger("babysit").handlers == before
