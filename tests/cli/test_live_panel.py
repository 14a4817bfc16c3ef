"""The live panel: what it says, that the terminal is given back, and that it changes nothing."""

import fcntl
import io
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time

import numpy as np
import pytest
from rich.cells import cell_len

from babysit.cli import live_panel
from babysit.cli.live_panel import Panel, Screen, unavailable_reason
from babysit.cli.panel_state import PanelState, lines, panel_height, sparkline
from babysit.records.curves import LEARNING_RATE, TRAIN_LOSS, VAL_ACCURACY, Curves, Series
from babysit.records.finding import Finding, Severity
from babysit.records.layer_metrics import LayerMetrics
from babysit.records.run import Overhead

pyte = pytest.importorskip("pyte")

ANSI = re.compile(r"\x1b\[[0-9;]*m")
FINDINGS = tuple(
    Finding(code=code, name=name, severity=Severity.ERROR, message=message)
    for code, name, message in [
        ("U601", "lr-too-high", "Each step changes the weights by 41 %."),
        ("O201", "double-softmax", "The loss gets softmax."),
        ("A401", "dead-units", "Dead."),
    ]
)
TRAINING = """
import hashlib, os, sys, time, torch
from torch import nn
torch.manual_seed(0)
x = torch.randn(64, 8)
y = x[:, :3].argmax(1)
model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
begun = time.monotonic()
for step in range(300):
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(x), y).backward()
    optimizer.step()
    if step % 10 == 0:
        print("line", step, flush=True)
        sys.stderr.write(f"\\rbar {step}")
        sys.stderr.flush()
    time.sleep(0.01)
os.system("echo from a child")
weights = b"".join(p.detach().numpy().tobytes() for p in model.parameters())
print("\\nweights", hashlib.sha256(weights).hexdigest(), float(torch.rand(1)))
if "fail" in sys.argv:
    raise RuntimeError("broken on purpose")
"""


def seen(**parts):
    found = PanelState("train", time.monotonic() - 75)
    steps = np.arange(400)
    series = {
        TRAIN_LOSS: Series(steps, 2.0 * np.exp(-steps / 100)),
        VAL_ACCURACY: Series(np.array([399]), np.array([0.94])),
        LEARNING_RATE: Series(steps[:1], np.array([1e-3])),
    }
    table = {"update_ratio": [[1e-3, 2e-3]], "gradient_rms": [[1e-4, 1e-2]], "dead": [[np.nan, 0.25]]}
    layer_metrics = {name: np.array(rows, dtype="float32") for name, rows in table.items()}
    found.update(
        Curves(series=series), LayerMetrics(layers=("a", "b"), steps=np.array([399]), values=layer_metrics), parts
    )
    return found


def plainly(drawn):
    return [ANSI.sub("", line) for line in drawn]


def test_the_panel_tells_loss_vital_signs_findings_and_cost():
    drawn = plainly(lines(seen(findings=FINDINGS, overhead=Overhead(share=0.008, steps=400)), 100, 24))
    assert len(drawn) == panel_height(100, 24)
    assert {cell_len(line) for line in drawn} == {100}
    text = "\n".join(drawn)
    for words in (
        "babysit "
        "train", "loss █", "step 400", "time 1:15", "accuracy 94 %", "learning rate 0.001", "0.0015 of the weights",
        "1e-4 to 0.01", "dead up to 25 %", "✗ U601 learning rate too high", "✗ O201 double softmax, and 1 more",
        "monitoring overhead 0.80 % of the step time (budget 1 %)",
    ):  # fmt: skip
        assert words in text, words


def test_nothing_is_called_healthy_before_it_was_judged():
    assert "not judged yet" in "\n".join(lines(seen(), 100, 24))
    assert "no problems found so far" in "\n".join(lines(seen(findings=()), 100, 24))
    assert "waiting for the first step" in "\n".join(lines(PanelState("train", 0.0), 100, 24))


@pytest.mark.parametrize(("columns", "rows"), [(30, 12), (44, 13), (80, 24), (250, 60)])
@pytest.mark.parametrize("plain", [False, True])
def test_the_panel_fits_into_every_terminal(columns, rows, plain):
    drawn = plainly(lines(seen(findings=FINDINGS), columns, rows, plain=plain))
    assert len(drawn) == panel_height(columns, rows) <= rows // 2
    assert {cell_len(line) for line in drawn} == {columns}
    assert not plain or all(line.isascii() for line in drawn)


def test_there_is_no_panel_where_it_would_take_the_screen():
    assert panel_height(29, 50) == panel_height(100, 11) == 0


def test_hostile_names_move_no_cursor():
    evil = "\x1b[2J\x1b]0;owned\x07\u202e" + "x" * 10_000 + "\n\r"
    finding = Finding(code=evil, name=evil, severity=Severity.ERROR, message=evil)
    found = seen(findings=(finding,))
    found.name = evil
    drawn = plainly(lines(found, 80, 24))
    assert len(drawn) == 7
    assert not any(mark in line for line in drawn for mark in ("\x1b", "\x07", "\u202e", "\r"))
    assert {cell_len(line) for line in drawn} == {80}


def test_colours_are_left_out_where_nobody_wants_them(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]", "".join(lines(seen(findings=FINDINGS), 80, 24)))


def test_a_sparkline_shows_fall_flat_and_what_is_no_number():
    assert sparkline([3, 2, 1], 3) == "█▅▁"
    assert sparkline([1.0, 1.0], 10) == "▁▁"
    assert sparkline([1.0, float("nan"), 0.0, float("inf")], 4) == "█!▁!"
    assert sparkline([float("nan")], 4) == "!"
    assert sparkline([], 4) == ""
    assert len(sparkline(list(range(1000)), 40)) == 40


def test_what_is_seen_takes_bounded_memory():
    found = PanelState("train", 0.0)
    for start in range(0, 100_000, 1000):
        steps = np.arange(start, start + 1000)
        found.update(Curves(series={TRAIN_LOSS: Series(steps, steps.astype(float))}), None, {})
    assert found.steps == 100_000
    assert len(found.losses) < 512
    assert found.losses == sorted(found.losses)


@pytest.mark.parametrize(
    ("environment", "terminal", "words"),
    [
        ({"TERM": "xterm"}, False, "not a terminal"),
        ({"TERM": "dumb"}, True, "cannot move its cursor"),
        ({}, True, "cannot move its cursor"),
        ({"TERM": "xterm"}, True, ""),
    ],
)
def test_it_is_said_why_there_is_no_panel(monkeypatch, environment, terminal, words):
    stream = io.StringIO()
    stream.isatty = lambda: terminal
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(live_panel, "_size", lambda: (80, 24))
    said = unavailable_reason(environment)
    assert words in said
    assert bool(said) == bool(words)


def test_the_screen_is_given_back_as_it_was():
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 10, 40, 0, 0))
    screen = pyte.Screen(40, 10)
    stream = pyte.ByteStream(screen)

    def shown():
        while select.select([master], [], [], 0.1)[0]:
            stream.feed(os.read(master, 65536))
        return [line.rstrip() for line in screen.display]

    os.write(slave, b"".join(b"before %d\n" % place for place in range(9)))
    foot = Screen(slave)
    foot.show(["PANEL 1", "PANEL 2"], 40, 10)
    os.write(slave, b"".join(b"after %d\n" % place for place in range(20)))
    now = shown()
    assert now[-2:] == ["PANEL 1", "PANEL 2"]
    assert now[:7] == [f"after {place}" for place in range(13, 20)]
    foot.show(["PANEL 3", "PANEL 4"], 40, 10)
    assert shown()[-2:] == ["PANEL 3", "PANEL 4"]
    foot.leave()
    os.write(slave, b"end\n")
    now = shown()
    assert now[:8] == [*(f"after {place}" for place in range(13, 20)), "end"]
    assert not any("PANEL" in line for line in now)
    os.write(slave, b"\n" * 20 + b"whole")
    assert shown()[9] == "whole"


def test_records_pass_through_whatever_the_terminal_does(monkeypatch):
    kept = []

    class Kept:
        def append(self, **rows):
            kept.append(rows)

        def update(self, **parts):
            kept.append(parts)

    reading, writing = os.pipe()
    os.close(reading)  # a terminal that went away
    stream = io.StringIO()
    stream.fileno = lambda: writing
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(live_panel, "_size", lambda: (80, 24))
    panel = Panel(Kept(), name="train", overhead=0.01)
    panel.start()
    curves = Curves()
    panel.append(curves=curves)
    panel.update(findings=())
    panel.close()
    os.close(writing)
    assert kept == [{"curves": curves, "layer_metrics": None}, {"findings": ()}]


@pytest.mark.parametrize(
    ("asked", "output_is_terminal", "environment", "drawn"),
    [
        (True, True, {}, True),
        (True, False, {"CI": "true"}, True),
        (None, False, {}, True),
        (None, False, {"CI": "true"}, False),
        (None, True, {}, False),
        (False, False, {}, False),
    ],
)
def test_it_draws_when_asked_or_when_the_output_goes_elsewhere(
    monkeypatch, asked, output_is_terminal, environment, drawn
):
    monkeypatch.setattr(live_panel, "unavailable_reason", lambda environment: "")
    monkeypatch.setattr(live_panel.Panel, "start", lambda panel: None)
    monkeypatch.setattr(live_panel.Panel, "close", lambda panel: None)
    for name, is_terminal in (("stdout", output_is_terminal), ("stderr", True)):
        stream = io.StringIO()
        stream.isatty = lambda is_terminal=is_terminal: is_terminal
        stream.fileno = lambda: 2
        monkeypatch.setattr(sys, name, stream)
    monkeypatch.delenv("CI", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    writer = object()
    with live_panel.panel(writer, requested=asked, name="train", overhead=0.01) as sink:
        assert (sink is not writer) == drawn


def test_who_asks_for_a_panel_that_cannot_be_is_told_why(monkeypatch, capsys):
    writer = object()
    with live_panel.panel(writer, requested=True, name="train", overhead=0.01) as sink:
        assert sink is writer
    assert capsys.readouterr().err == "babysit: no live panel: standard error is not a terminal\n"


def in_terminal(folder, *words, output=None, **environment):
    """Runs babysit in a terminal of 24 rows; gives exit code, every screen, and the last one."""
    script = folder / "train.py"
    script.write_text(TRAINING)
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    screen = pyte.Screen(100, 24)
    stream = pyte.ByteStream(screen)
    variables = {**os.environ, "TERM": "xterm-256color", "OMP_NUM_THREADS": "1", **environment}
    for name in ("CI", "COLUMNS", "NO_COLOR"):
        if name not in environment:
            variables.pop(name, None)
    command = [sys.executable, "-m", "babysit", *words]
    process = subprocess.Popen(
        command, cwd=folder, env=variables, stdin=slave, stdout=output or slave, stderr=slave, start_new_session=True
    )
    os.close(slave)
    moments = []
    while True:
        try:
            read = os.read(master, 65536)
        except OSError:
            break
        stream.feed(read)
        moments.append("\n".join(screen.display))
    return process.wait(180), moments, moments[-1]


def weights(text):
    return re.search(r"weights (\w+ [\d.]+)", re.sub(r"\s*\n\s*", " ", text))[1]


@pytest.mark.slow
def test_a_panel_stands_under_the_output_changes_no_bit_and_swallows_no_line(tmp_path):
    plain = subprocess.run(
        [sys.executable, "-c", TRAINING],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ).stdout
    code, moments, last = in_terminal(tmp_path, "watch", "--live", "--exit-zero", "--store", "runs", "train.py")
    assert code == 0
    with_panel = [moment for moment in moments if "babysit train" in moment]
    assert any("step" in moment and "line" in moment for moment in with_panel)
    assert any("no problems found so far" in moment for moment in with_panel)
    for step in range(0, 300, 10):
        assert any(f"line {step} " in moment for moment in moments), step
    assert any("from a child" in moment for moment in moments)
    assert "babysit train" not in last
    assert "Verdict" in last
    shown = next(moment for moment in moments if re.search(r"weights \w{64} [\d.]+", moment))
    assert weights(shown) == weights(plain)


@pytest.mark.slow
def test_it_shows_itself_when_the_output_goes_elsewhere_and_the_output_is_untouched(tmp_path):
    with (tmp_path / "log").open("w") as log:
        code, moments, last = in_terminal(tmp_path, "watch", "--store", "runs", "train.py", "fail", output=log)
    assert code == 1
    assert any("babysit train" in moment for moment in moments)
    assert "broken on purpose" in "\n".join(moments[-3:])
    assert "babysit train" not in last
    text = (tmp_path / "log").read_text()
    assert text.startswith("line 0\nline 10\n")
    assert "\x1b" not in text
