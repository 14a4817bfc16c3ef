"""One table of scenarios, and every outlet says the same of each: how it ended, the verdict, what is missing."""

from __future__ import annotations

import html
import json
import re
from typing import NamedTuple

import pytest

from babysit.analysis.extent import steps
from babysit.cli.app import main
from babysit.records.run import Status
from babysit.records.verdict import Missing, Verdict
from babysit.reporting.live import fragments
from babysit.reporting.report import report
from babysit.reporting.verdict import verdict
from babysit.store.store import Store

HEAD = """
import math
import torch
from torch import nn
torch.manual_seed(0)
x = torch.randn(512, 8)
y = (x @ torch.randn(8, 4)).argmax(1)
model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 4))
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
def step(inputs=x, labels=y):
    rows = torch.randint(len(inputs), (64,))
    loss = nn.functional.cross_entropy(model(inputs[rows]), labels[rows])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss
def evaluate(inputs, labels):
    model.eval()
    with torch.no_grad():
        output = model(inputs)
        nn.functional.cross_entropy(output, labels)
        accuracy = (output.argmax(1) == labels).float().mean()
    model.train()
    return accuracy
"""


class Scenario(NamedTuple):
    name: str
    script: str
    verdict: Verdict
    status: Status
    missing: tuple[Missing, ...]
    exit_code: int
    says: str  # part of the sentence, why or next
    options: tuple[str, ...] = ()


HEALTHY, PROBLEMS, INCONCLUSIVE = Verdict.HEALTHY, Verdict.PROBLEMS, Verdict.INCONCLUSIVE

SCENARIOS = (
    Scenario(
        "nothing-trained",
        "print('hello')",
        INCONCLUSIVE,
        Status.FINISHED,
        (Missing.ANYTHING,),
        0,
        "No data",
    ),
    Scenario(
        "import-crash",
        "import a_module_that_is_not_there",
        INCONCLUSIVE,
        Status.CRASHED,
        (Missing.END, Missing.ANYTHING),
        1,
        "before its first optimizer step: ModuleNotFoundError: No module named 'a_module_that_is_not_there' "
        "(import-crash.py:1)",
    ),
    Scenario(
        "crash-at-step-40",
        HEAD + "for _ in range(40):\n    step()\nraise ValueError('the disk is gone')\n",
        INCONCLUSIVE,
        Status.CRASHED,
        (Missing.END,),
        1,
        "crashed after 40 steps: ValueError: the disk is gone (crash-at-step-40.py:26)",
    ),
    Scenario(
        "exit-with-an-error-at-step-40",
        HEAD + "import sys\nfor _ in range(40):\n    step()\nsys.exit('the disk is full')\n",
        INCONCLUSIVE,
        Status.CRASHED,
        (Missing.END,),
        1,
        "exited with an error after 40 steps: the disk is full (exit-with-an-error-at-step-40.py:27)",
    ),
    Scenario(
        "exit-code-3-at-step-40",
        HEAD + "import sys\nfor _ in range(40):\n    step()\nsys.exit(3)\n",
        INCONCLUSIVE,
        Status.CRASHED,
        (Missing.END,),
        3,
        "exited with code 3 after 40 steps",
    ),
    Scenario(
        "interrupted-at-step-40",
        HEAD + "import sys\nfor _ in range(40):\n    step()\nsys.exit(130)\n",
        INCONCLUSIVE,
        Status.INTERRUPTED,
        (Missing.END,),
        130,
        "interrupted after 40 steps",
    ),
    Scenario(
        "exit-with-code-0",
        HEAD + "import sys\nfor _ in range(60):\n    step()\nsys.exit(0)\n",
        HEALTHY,
        Status.FINISHED,
        (),
        0,
        "Learned: ",
    ),
    Scenario(
        "stopped-at-a-loss-that-is-not-finite",
        HEAD
        + "import sys\nfor number in range(60):\n    if number == 40:\n        x.fill_(math.nan)\n"
        + "    loss = nn.functional.cross_entropy(model(x), y)\n"
        + "    if not math.isfinite(loss.item()):\n        sys.exit(1)\n"
        + "    optimizer.zero_grad()\n    loss.backward()\n    optimizer.step()\n",
        PROBLEMS,
        Status.CRASHED,
        (),
        1,
        "The program exited with code 1 after 40 steps (stopped-at-a-loss-that-is-not-finite.py:30). Problem found: ",
    ),
    Scenario(
        "validation-that-could-not-be-read",
        HEAD
        + "for number in range(60):\n    step(x[:384], y[:384])\n    if number % 20 == 19:\n        model.eval()\n"
        + "        with torch.no_grad():\n            (model(x[384:]).argmax(1).numpy() == y[384:].numpy()).mean()\n"
        + "        model.train()\n",
        INCONCLUSIVE,
        Status.FINISHED,
        (Missing.VALIDATION,),
        0,
        "validation was seen 3 times (the first after step 20)",
    ),
    Scenario(
        "three-steps",
        HEAD + "for _ in range(3):\n    step()\n",
        INCONCLUSIVE,
        Status.FINISHED,
        (Missing.STEPS,),
        0,
        "at least 20 steps",
    ),
    Scenario(
        "not-finite-at-step-4",
        HEAD.replace("Adam(model.parameters(), lr=0.01)", "SGD(model.parameters(), lr=1e6)")
        + "for _ in range(100):\n    if not math.isfinite(float(step())):\n        break\n",
        PROBLEMS,
        Status.FINISHED,
        (),
        1,
        "learning rate",
    ),
    *(
        Scenario(
            f"stopped-before-the-first-loss-that-is-not-finite-at-a-rate-of-{lr}",
            HEAD.replace("Adam(model.parameters(), lr=0.01)", f"SGD(model.parameters(), lr={lr})")
            + "for _ in range(100):\n    loss = nn.functional.cross_entropy(model(x), y)\n"
            + "    if not torch.isfinite(loss):\n        break\n"
            + "    optimizer.zero_grad()\n    loss.backward()\n    optimizer.step()\n",
            PROBLEMS,
            Status.FINISHED,
            (),
            1,
            "learning rate",
        )
        for lr in ("1e4", "1e6", "1e9")
    ),
    Scenario(
        "learned-nothing-and-no-rule-fired",
        HEAD + "noise = torch.randint(4, (512,))\nfor _ in range(60):\n    step(labels=noise)\n",
        INCONCLUSIVE,
        Status.FINISHED,
        (Missing.LEARNING,),
        0,
        "hardly learned the training data",
        ("--select", "O201"),
    ),
    Scenario(
        "far-better-on-training-data",
        HEAD
        + "few = torch.randint(4, (64,))\nother = torch.randn(256, 8)\nlabels = torch.randint(4, (256,))\n"
        + "for number in range(600):\n    step(x[:64], few)\n    if number % 50 == 49:\n"
        + "        evaluate(x[:64], few)\n        evaluate(other, labels)\n",
        PROBLEMS,
        Status.FINISHED,
        (),
        1,
        "",
    ),
    Scenario(
        "short-but-fine",
        HEAD + "for _ in range(15):\n    step()\n",
        INCONCLUSIVE,
        Status.FINISHED,
        (Missing.STEPS,),
        0,
        "15 steps observed, too few to judge",
    ),
    Scenario(
        "healthy",
        HEAD
        + "xs, ys, xv, yv = x[:384], y[:384], x[384:], y[384:]\n"
        + "for number in range(300):\n    step(xs, ys)\n    if number % 50 == 49:\n        evaluate(xv, yv)\n",
        HEALTHY,
        Status.FINISHED,
        (),
        0,
        "Learned: ",
    ),
)


@pytest.fixture
def call(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def called(*words):
        with pytest.raises(SystemExit) as caught:
            main([str(word) for word in words])
        out, err = capfd.readouterr()
        return caught.value.code, out, err

    return called


def flat(text):
    """The words of a box or page without frames, tags and line breaks."""
    plain = re.sub(r"<[^>]*>|[│╭╰─╮╯|*`_\\]", " ", text)
    return " ".join(plain.replace("&#39;", "'").split())


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.name)
def test_every_outlet_says_the_same(scenario, call, tmp_path):
    script = tmp_path / f"{scenario.name}.py"
    script.write_text(scenario.script.lstrip("\n"))
    code, _, shown = call("watch", *scenario.options, "--json", "out.json", script.name)
    assert code == scenario.exit_code

    with Store() as store:
        run = store.load("latest")
        (line,) = store.list()
    assert (run.verdict, run.status, run.missing) == (scenario.verdict, scenario.status, scenario.missing)

    said = verdict(run)
    assert scenario.says in f"{said.sentence} {said.why} {said.next}"
    assert (scenario.status is Status.CRASHED) == said.title.startswith("CRASHED")
    assert (said.symbol == "✓") == (scenario.verdict is HEALTHY) == (said.word == "healthy")
    assert line.steps == steps(run)
    headline = flat(said.sentence)
    assert said.title in shown
    assert headline in flat(shown)

    written = json.loads((tmp_path / "out.json").read_text())
    assert (written["verdict"], written["status"]) == (scenario.verdict, scenario.status)
    assert written["missing"] == list(scenario.missing)
    assert written["summary"]["sentence"] == said.sentence
    properties = json.loads(report(run, format="sarif"))["runs"][0]["properties"]
    assert (properties["verdict"], properties["status"]) == (scenario.verdict, scenario.status)
    for format in ("text", "md", "html"):
        whole = report(run, format=format)
        assert headline in flat(html.unescape(whole)), format
        assert said.title.lower() in whole.lower(), format

    page = flat(fragments.of_run(run)["verdict"])
    assert headline in page
    assert str(scenario.verdict).upper() in page
    assert (line.verdict, line.status) == (scenario.verdict, scenario.status)
    row = flat(fragments.of_runs([line], total=1)["rows"])
    assert (line.root_cause or str(scenario.verdict)) in row
    assert str(scenario.status) in row
    for wanted in Verdict:
        _, listed, _ = call("runs", "--json", "--verdict", str(wanted))
        assert [one["id"] for one in json.loads(listed)] == ([run.id] if wanted is scenario.verdict else [])
    _, table, _ = call("runs")
    assert (line.root_cause or str(scenario.verdict)) in table
