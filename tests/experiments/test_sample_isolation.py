from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from babysit.data.samples import Samples
from babysit.experiments.sample_isolation import sample_isolation
from babysit.nn.builders import mlp
from babysit.records.experiment import Outcome
from babysit.records.run import Run
from babysit.rules.engine import judge


class Wrong(nn.Module):
    """A network with a mistake of the given kind before its last layer."""

    def __init__(self, mistake: Any) -> None:
        super().__init__()
        self.first, self.last, self.mistake = nn.Linear(64, 32), nn.Linear(32, 10), mistake

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.mistake(self, torch.tanh(self.first(x))))


MISTAKES = {
    "view": lambda model, x: x.T.reshape(x.shape),
    "softmax over the batch": lambda model, x: x.softmax(dim=0),
    "batch mean": lambda model, x: x - x.mean(dim=0),
    "only in train mode": lambda model, x: x - x.mean(dim=0) if model.training else x,
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_samples_that_leak_into_each_other_fail(digits: Samples, mistake: str) -> None:
    result = sample_isolation(Wrong(MISTAKES[mistake]), digits)
    assert result.outcome is Outcome.FAIL
    assert result.measured["leak"] > 1e-3
    assert [finding.code for finding in judge(Run(id="x", experiments=(result,)))] == ["W707"]


@pytest.mark.parametrize("batch_norm", [False, True])
def test_dropout_and_batch_norm_are_not_blamed(digits: Samples, batch_norm: bool) -> None:
    result = sample_isolation(mlp(64, 10, dropout=0.5, batch_norm=batch_norm), digits)
    assert result.outcome is Outcome.PASS
    assert result.measured["leak"] == 0.0


def test_batch_norm_without_running_statistics_is_a_warning(digits: Samples) -> None:
    model = nn.Sequential(nn.Linear(64, 32), nn.BatchNorm1d(32, track_running_stats=False), nn.Linear(32, 10))
    result = sample_isolation(model, digits)
    assert result.outcome is Outcome.WARN
    assert "without running statistics" in result.message


def test_three_samples_are_too_few_to_exchange_some(digits: Samples) -> None:
    assert sample_isolation(mlp(64, 10), digits.take([0, 1, 2])).outcome is Outcome.SKIPPED
