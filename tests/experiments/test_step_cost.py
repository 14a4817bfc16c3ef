from __future__ import annotations

import pytest
import torch
from torch import nn

from babysit.data.samples import Samples
from babysit.experiments.step_cost import step_cost
from babysit.records.experiment import Outcome


def test_memory_is_what_the_tensors_of_a_step_take(digits: Samples) -> None:
    model = nn.Sequential(nn.Linear(64, 100), nn.ReLU(), nn.Linear(100, 10))
    measured = step_cost(model, digits, batch_size=32).measured
    parameters = 64 * 100 + 100 + 100 * 10 + 10
    assert measured["parameters"] == parameters
    assert measured["parameters_megabytes"] == pytest.approx(4e-6 * parameters)
    assert measured["gradients_megabytes"] == pytest.approx(4e-6 * parameters)
    # Adam keeps two moments of each parameter, and a step number for each of the four tensors.
    assert measured["state_megabytes"] == pytest.approx(4e-6 * (2 * parameters + 4))
    # Kept for backward: the ReLU's output, the log-probabilities (32 x 10), and a few scalars; not the inputs.
    assert 4e-6 * 32 * 110 <= measured["activations_megabytes"] < 4e-6 * 32 * 125


def test_times_are_those_of_the_whole_step(digits: Samples) -> None:
    result = step_cost(nn.Linear(64, 10), digits)
    parts = sum(result.measured[f"{name}_milliseconds"] for name in ("forward", "backward", "optimizer"))
    assert result.outcome is Outcome.PASS
    assert result.measured["step_milliseconds"] == pytest.approx(parts)
    assert result.measured["epoch_seconds"] == pytest.approx(parts / 1e3 * len(digits) / 64)
    assert parts > 0


@pytest.mark.parametrize("kind", ["sgd", "lbfgs"])
def test_the_optimizer_is_of_the_users_kind(digits: Samples, kind: str) -> None:
    model = nn.Linear(64, 10)
    makers = {"sgd": torch.optim.SGD, "lbfgs": torch.optim.LBFGS}
    optimizer = makers[kind](model.parameters(), lr=0.1)
    before = model.weight.detach().clone()
    measured = step_cost(model, digits, optimizer=optimizer).measured
    assert (measured["state_megabytes"] == 0) == (kind == "sgd")
    assert torch.equal(model.weight, before)
    assert not optimizer.state
