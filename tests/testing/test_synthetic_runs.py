"""The made-up runs are the same every time, survive being kept, and need no torch."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from babysit.records.run import Run
from babysit.records.serialization import from_bytes, to_bytes
from babysit.testing import synthetic_runs

RUNS = {
    "healthy_run": ("healthy", None),
    "diverging_run": ("problems", "U601"),
    "dead_relu_run": ("problems", "A401"),
    "overfit_run": ("problems", "F901"),
    "search_run": ("problems", "S001"),
    "hundred_layers_run": ("problems", "G501"),
    "hostile_names_run": ("problems", "A401"),
}


@pytest.mark.parametrize("name", RUNS)
def test_each_run_has_its_verdict_and_diagnosis(name):
    run = getattr(synthetic_runs, name)()
    assert (run.verdict, run.root_cause.code if run.root_cause else None) == RUNS[name]
    for finding in run.findings:
        assert finding.explained_by is None or finding.explained_by in {other.code for other in run.findings}


@pytest.mark.parametrize("name", [name for name in RUNS if name != "hostile_names_run"])
def test_each_run_is_the_same_every_time_and_comes_back_from_bytes(name):
    written = to_bytes(getattr(synthetic_runs, name)())
    assert written == to_bytes(getattr(synthetic_runs, name)())
    assert to_bytes(from_bytes(written, Run)) == written


@pytest.mark.parametrize("name", RUNS)
def test_layer_metrics_fit_their_steps_and_layers(name):
    layer_metrics = getattr(synthetic_runs, name)().layer_metrics
    assert (np.diff(layer_metrics.steps) > 0).all()
    assert {np.shape(table) for table in layer_metrics.values.values()} <= {
        (len(layer_metrics.steps), len(layer_metrics.layers))
    }


def test_a_hundred_layers_over_ten_thousand_steps():
    run = synthetic_runs.hundred_layers_run()
    assert len(run.layer_metrics.layers) == 100
    assert len(run.curves.get("train/loss")) == 10_000


def test_making_runs_does_not_load_torch():
    program = "import sys, babysit.testing.synthetic_runs as s; s.healthy_run(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
