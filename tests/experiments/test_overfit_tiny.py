from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from babysit.data.samples import Samples
from babysit.experiments.overfit_tiny import overfit_tiny, tiny_subset
from babysit.nn.builders import cnn, mlp
from babysit.nn.preprocess import Standardize
from babysit.records.experiment import Outcome


def scaled(digits: Samples, model: nn.Module) -> nn.Module:
    return nn.Sequential(Standardize.fit(digits.x), model)


def test_a_healthy_network_learns_twenty_samples_by_heart(digits: Samples) -> None:
    torch.manual_seed(0)
    result = overfit_tiny(scaled(digits, mlp(64, 10)), digits)
    assert result.outcome is Outcome.PASS
    assert result.measured["samples"] == 20
    assert result.measured["accuracy"] == 1.0
    assert result.measured["loss"] <= 0.01 * result.measured["initial_loss"]
    losses = result.curves["loss"].values
    assert len(losses) == result.measured["steps"] + 1
    assert losses[-1] == result.measured["loss"]


def test_convolutions_batch_norm_and_dropout_can_too(digits: Samples) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        Standardize.fit(digits.x), nn.Unflatten(1, (1, 8, 8)), cnn((1, 8, 8), 10, batch_norm=True, dropout=0.5)
    )
    result = overfit_tiny(model, digits)
    assert result.outcome is Outcome.PASS
    assert "dropout off" in result.message


def test_a_regression_reaches_a_share_of_the_variance(line: Samples) -> None:
    torch.manual_seed(0)
    result = overfit_tiny(mlp(5, 1), line)
    assert result.outcome is Outcome.PASS
    tiny = tiny_subset(line, count=20, seed=0)
    assert result.measured["loss"] <= 0.05 * float(tiny.y.var())
    assert result.measured["r2"] > 0.94


def test_softmax_before_the_loss_fails_and_is_named(digits: Samples) -> None:
    torch.manual_seed(0)
    result = overfit_tiny(scaled(digits, nn.Sequential(mlp(64, 10), nn.Softmax(dim=1))), digits, steps=100)
    assert result.outcome is Outcome.FAIL
    assert result.measured["share"] > 0.5
    assert "without softmax" in result.message


def test_a_network_without_gradients_fails_and_says_so(digits: Samples) -> None:
    class Cut(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(64, 10)
            self.unused = nn.Parameter(torch.zeros(10))

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x).detach() + 0 * self.unused

    result = overfit_tiny(Cut(), digits, steps=20)
    assert result.outcome is Outcome.FAIL
    assert "No gradient reaches" in result.message


def test_equal_inputs_with_different_labels_are_counted(digits: Samples) -> None:
    same = replace(digits, x=digits.x[:1].expand(len(digits), -1).clone())
    result = overfit_tiny(mlp(64, 10), same, steps=20)
    assert result.outcome is Outcome.FAIL
    assert "20 of them share their input" in result.message


def test_a_loss_without_a_floor_is_not_taken_for_success(digits: Samples) -> None:
    torch.manual_seed(0)
    model = scaled(digits, mlp(64, 10))
    result = overfit_tiny(model, digits, loss=lambda output, y: 1 + nn.functional.nll_loss(output, y), steps=50)
    assert result.measured["initial_loss"] > 0
    assert result.outcome is Outcome.FAIL
    assert "negative and unbounded" in result.message


def test_inputs_with_nan_are_named_before_anything_else(digits: Samples) -> None:
    broken = digits.x.clone()
    broken[:, 3] = math.nan
    result = overfit_tiny(mlp(64, 10), replace(digits, x=broken), steps=20)
    assert result.outcome is Outcome.FAIL
    assert "inputs hold NaN" in result.message


def test_classes_take_turns_in_the_tiny_subset(digits: Samples) -> None:
    tiny = tiny_subset(digits, count=20, seed=0)
    assert torch.bincount(tiny.y, minlength=10).tolist() == [2] * 10
    assert torch.equal(tiny.x, tiny_subset(digits, count=20, seed=0).x)
    assert not torch.equal(tiny.x, tiny_subset(digits, count=20, seed=1).x)


def test_fewer_than_twenty_samples_are_all_used(digits: Samples) -> None:
    assert len(tiny_subset(digits.take(range(7)), count=20, seed=0)) == 7


def test_a_loss_that_may_be_below_zero_is_a_warning_when_all_are_right(digits: Samples) -> None:
    torch.manual_seed(0)
    model = scaled(digits, mlp(64, 10))
    result = overfit_tiny(model, digits, loss=lambda output, y: nn.functional.cross_entropy(output, y) - 0.5, steps=100)
    assert result.outcome is Outcome.WARN
    assert "only without a lower bound" in result.message


def test_dropout_that_would_prevent_it_is_off_meanwhile_and_on_again_after(digits: Samples) -> None:
    torch.manual_seed(0)
    model = scaled(digits, mlp(64, 10, dropout=0.9))
    assert overfit_tiny(model, digits).outcome is Outcome.PASS
    assert all(module.training for module in model.modules())


@pytest.mark.parametrize("build", [lambda: mlp(64, 10, dropout=0.5), lambda: mlp(64, 10, batch_norm=True)])
def test_the_model_is_as_it_was(digits: Samples, build: object) -> None:
    model = build()  # type: ignore[operator]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    overfit_tiny(model, digits, steps=10)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
