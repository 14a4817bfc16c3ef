from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from babysit.data.samples import Samples
from babysit.experiments.train_eval_agreement import train_eval_agreement
from babysit.nn.builders import mlp
from babysit.records.experiment import Outcome
from babysit.rules.engine import judge
from babysit.rules.examples import example_run


def normalized(momentum: float | None) -> nn.Module:
    torch.manual_seed(0)
    model = mlp(64, 10, hidden=(128, 64), batch_norm=True, dropout=0.3)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.momentum = momentum
    return model


@pytest.mark.parametrize("momentum", [0.1, None])
def test_usual_batch_norm_agrees_but_for_the_chance_of_batches(digits: Samples, momentum: float | None) -> None:
    result = train_eval_agreement(normalized(momentum), digits)
    assert result.outcome is Outcome.PASS
    assert 0.05 < result.measured["apart"] < 0.5


def test_without_batch_norm_both_modes_are_the_same(digits: Samples) -> None:
    result = train_eval_agreement(mlp(64, 10, dropout=0.5), digits)
    assert result.outcome is Outcome.PASS
    assert result.measured["apart"] == 0.0


def test_running_statistics_that_never_catch_up_fail(digits: Samples) -> None:
    result = train_eval_agreement(normalized(0.001), digits)
    assert result.outcome is Outcome.FAIL
    assert "about 3,000 steps" in result.message
    assert [finding.code for finding in judge(example_run(experiments=(result,)), select=("N804",))] == ["N804"]


def test_many_batches_an_epoch_forgive_a_slow_momentum(digits: Samples) -> None:
    # 3,000 steps are a few epochs of these data when a batch holds two samples.
    result = train_eval_agreement(normalized(0.001), digits, batch_size=2)
    assert result.outcome is not Outcome.FAIL


def test_batches_of_two_are_too_small_for_batch_norm(digits: Samples) -> None:
    result = train_eval_agreement(normalized(0.1), digits, batch_size=2)
    assert result.outcome is Outcome.WARN
    assert "batches of 2 are too small" in result.message


def test_a_forward_that_does_something_else_in_eval_mode_is_a_warning(digits: Samples) -> None:
    class Two(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            answer = super().forward(x)
            return answer if self.training else answer.softmax(dim=1)

    result = train_eval_agreement(Two(64, 10), digits)
    assert result.outcome is Outcome.WARN
    assert "self.training" in result.message
