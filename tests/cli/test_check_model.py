"""`babysit check` of a user's own model: what the experiments say becomes a finding with a code."""

import json
import sys

import pytest

from babysit.cli.app import main

SOURCE = """
from torch import nn

def slow_norm(inputs, outputs):
    norm = nn.BatchNorm1d(16, momentum=0.001)
    return nn.Sequential(nn.Linear(inputs, 16, bias=False), norm, nn.ReLU(), nn.Linear(16, outputs))
"""


@pytest.mark.slow
def test_modes_that_disagree_are_named_n804_and_the_layers_are_known(tmp_path, monkeypatch, capsys):
    (tmp_path / "own_slow_norm.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(SystemExit) as end:
        main(["check", "digits", "--model", "own_slow_norm:slow_norm", "--json"])
    assert end.value.code == 1
    told = json.loads(capsys.readouterr().out)
    assert "N804" in {finding["code"] for finding in told["findings"]}
    outcomes = {experiment["name"]: experiment["outcome"] for experiment in told["run"]["experiments"]}
    assert outcomes["lr-trials"] == "pass"
