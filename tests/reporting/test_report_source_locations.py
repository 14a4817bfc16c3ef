"""The lines of a program that a finding is about."""

from __future__ import annotations

import os
import textwrap

import msgspec
import pytest

from babysit.records.finding import Finding, Severity
from babysit.records.model_summary import Layer, ModelSummary, Objective, Op, OptimizerInfo
from babysit.records.run import Run
from babysit.reporting.source_locations import script_of, source_locations
from babysit.testing import synthetic_runs

SCRIPT = """\
    import torch
    from torch import nn
    import torch.nn.functional as F
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(20, 64)
            self.second = nn.Linear(64, 64)
            self.head = nn.Linear(64, 4)
        def forward(self, x):
            return F.softmax(self.head(self.second(self.first(x))), dim=1)
    net = Net()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    criterion = nn.CrossEntropyLoss()
    loss = criterion(net(x), y)
    loss.backward()
"""


def layers(*names):
    return tuple(Layer(name=name, kind="Linear", order=order) for order, name in enumerate(names))


ANATOMY = ModelSummary(
    layers=layers("first", "second", "head"),
    objectives=(Objective(loss="cross_entropy", output_ops=(Op(name="softmax"),)),),
    optimizers=(OptimizerInfo(kind="SGD"),),
)


def finding(code, *of_layers):
    return Finding(code=code, name="x", severity=Severity.ERROR, layers=of_layers)


@pytest.fixture
def run(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(textwrap.dedent(SCRIPT))
    return Run(id="x", command=f"python {script} --lr 0.1", model_summary=ANATOMY)


@pytest.mark.parametrize(
    ("code", "of_layers", "lines"),
    [
        ("U601", (), [13]),
        ("O209", (), [14]),
        ("O201", (), [11]),  # what should not be there comes before the loss itself
        ("A401", ("second",), [8]),
        ("I301", ("first", "head"), [7, 9]),
        ("W701", (), [16]),
        ("U603", ("second",), [13]),
        ("T001", (), [16]),
    ],
)
def test_each_finding_points_at_what_it_is_about(run, code, of_layers, lines):
    found = source_locations(run, finding(code, *of_layers))
    assert [place.line for place in found] == lines
    assert not any(place.recorded for place in found)


def test_layers_without_a_name_in_the_script_are_told_by_their_order(run, tmp_path):
    (tmp_path / "train.py").write_text("net = Sequential(\n  Linear(1, 2),\n  ReLU(),\n  Linear(2, 3),\n)\n")
    two = msgspec.structs.replace(run, model_summary=ModelSummary(layers=layers("0", "2")))
    assert [place.line for place in source_locations(two, finding("A401", "2"))] == [4]


def test_a_layer_made_in_a_loop_is_named_by_its_one_line_and_among_several_none_is_guessed(run, tmp_path):
    script = tmp_path / "train.py"
    many = msgspec.structs.replace(run, model_summary=ModelSummary(layers=layers("0", "1", "2")))
    script.write_text("net = Sequential(*[\n  Linear(4, 4) for _ in range(3)\n])\n")
    assert [place.line for place in source_locations(many, finding("A401", "1"))] == [2]
    script.write_text("a = Linear(4, 4)\nnet = Sequential(*[\n  Linear(4, 4) for _ in range(2)\n])\n")
    assert source_locations(many, finding("A401", "1")) == ()


def test_a_script_that_is_gone_or_no_python_names_no_line(run, tmp_path):
    (tmp_path / "train.py").write_text("def broken(:\n")
    assert source_locations(run, finding("U601")) == ()
    (tmp_path / "train.py").unlink()
    assert source_locations(run, finding("U601")) == ()


def test_only_commands_that_ran_a_script_have_one():
    assert script_of(Run(id="x", command="python train.py --lr 1")) == "train.py"
    assert script_of(Run(id="x", command="babysit watch --json out.json train.py")) == "train.py"
    assert script_of(Run(id="x", command="babysit fit digits --model mine.py")) == ""
    assert script_of(Run(id="x", command="python it's here.py")) == "here.py"
    assert script_of(Run(id="x")) == ""


def test_a_record_that_names_a_pipe_as_its_script_does_not_hang_a_report(tmp_path):
    pipe = tmp_path / "train.py"
    os.mkfifo(pipe)
    run = msgspec.structs.replace(synthetic_runs.dead_relu_run(), kind="watch", command=f"python {pipe}")
    assert source_locations(run, run.findings[0]) == ()
