from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from babysit.data.samples import Samples
from babysit.experiments.initial_loss import initial_loss, initial_loss_regularized, penalized
from babysit.nn.builders import mlp
from babysit.nn.preprocess import Standardize
from babysit.records.experiment import Outcome
from babysit.records.model_summary import Task


def tiny_weights(inputs: int, hidden: int, outputs: int) -> nn.Module:
    """The lecture's two-layer network: weights of 0.0001 * N(0, 1), biases zero."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=1e-4) if parameter.dim() > 1 else nn.init.zeros_(parameter)
    return model


@pytest.fixture(scope="module")
def lecture_images() -> Samples:
    """Random images of CIFAR-10's shape, centred: the first loss does not depend on what they show."""
    generator = torch.Generator().manual_seed(0)
    x = 60 * torch.randn(256, 3, 32, 32, generator=generator)
    y = torch.randint(10, (256,), generator=generator)
    return Samples(x=x, y=y, task=Task.CLASSES, kind="image", class_names=tuple("0123456789"))


def test_the_lectures_network_gives_the_lectures_numbers(lecture_images: Samples) -> None:
    model = tiny_weights(3072, 50, 10)
    plain = initial_loss(model, lecture_images)
    assert plain.outcome is Outcome.PASS
    assert plain.measured["loss"] == pytest.approx(2.303, abs=0.001)
    regularized = initial_loss_regularized(model, lecture_images, strength=1e3)
    assert regularized.outcome is Outcome.PASS
    assert regularized.measured["loss"] == pytest.approx(3.07, abs=0.01)
    assert regularized.expected["loss"] == pytest.approx(3.07, abs=0.01)


def test_a_healthy_network_passes_on_real_data(digits: Samples) -> None:
    torch.manual_seed(0)
    result = initial_loss(nn.Sequential(Standardize.fit(digits.x), mlp(64, 10)), digits)
    assert result.outcome is Outcome.PASS
    assert result.expected["loss"] == pytest.approx(math.log(10))
    assert "ln 10 = 2.303" in result.message


def test_inputs_that_are_not_scaled_fail(digits: Samples) -> None:
    torch.manual_seed(0)
    raw = replace(digits, x=digits.x * 16)  # 0 to 255
    result = initial_loss(mlp(64, 10), raw)
    assert result.outcome is Outcome.FAIL
    assert "standardize the inputs" in result.message


def test_a_loss_that_does_not_fit_the_output_is_too_good_to_be_true(digits: Samples) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(Standardize.fit(digits.x), mlp(64, 10))
    result = initial_loss(model, digits, loss=nn.functional.nll_loss)  # raw scores instead of log-probabilities
    assert result.outcome is Outcome.FAIL
    assert "does not match" in result.message


def test_a_loss_that_is_no_number_fails(digits: Samples) -> None:
    broken = replace(digits, x=digits.x.clone().fill_(math.nan))
    result = initial_loss(mlp(64, 10), broken)
    assert result.outcome is Outcome.FAIL
    assert "NaN" in result.message


def test_a_regression_expects_the_targets_variance(line: Samples) -> None:
    torch.manual_seed(0)
    result = initial_loss(mlp(5, 1), line)
    assert result.expected["loss"] == pytest.approx(1.0, abs=0.01)
    assert result.outcome is Outcome.PASS


def test_a_target_far_from_zero_is_a_warning_with_its_mean(line: Samples) -> None:
    torch.manual_seed(0)
    result = initial_loss(mlp(5, 1), replace(line, y=line.y + 150))
    assert result.outcome is Outcome.WARN
    assert "150" in result.message


def test_without_a_strength_the_penalty_adds_a_third(digits: Samples) -> None:
    torch.manual_seed(0)
    result = initial_loss_regularized(nn.Sequential(Standardize.fit(digits.x), mlp(64, 10)), digits)
    rise = result.measured["loss"] - result.measured["loss_unregularized"]
    assert rise == pytest.approx(math.log(10) / 3, rel=1e-3)


def test_weights_that_are_all_zero_are_found_by_the_penalty(digits: Samples) -> None:
    model = nn.Linear(64, 10)
    nn.init.zeros_(model.weight)
    result = initial_loss_regularized(model, digits)
    assert result.outcome is Outcome.FAIL
    assert "all weights are zero" in result.message


def test_biases_scales_and_frozen_weights_are_not_penalized() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    model[2].weight.requires_grad_(False)
    assert [id(weight) for weight in penalized(model)] == [id(model[0].weight)]


def test_the_same_seed_gives_the_same_loss_with_dropout(digits: Samples) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(Standardize.fit(digits.x), mlp(64, 10, dropout=0.5))
    first = initial_loss(model, digits).measured["loss"]
    torch.rand(7)
    assert initial_loss(model, digits).measured["loss"] == first
    assert initial_loss(model, digits, seed=1).measured["loss"] != first
