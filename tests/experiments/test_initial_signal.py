from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from babysit.data.samples import Samples
from babysit.experiments.initial_signal import initial_signal
from babysit.experiments.layer_trace import LayerTrace
from babysit.nn.builders import mlp
from babysit.nn.initialize import initialize_
from babysit.nn.maxout import maxout_linear
from babysit.records.experiment import Outcome
from babysit.records.model_summary import Task

DEPTH = 10


@pytest.fixture(scope="module")
def noise() -> Samples:
    """Unit noise: what comes in has spread 1, so what each layer passes on can be computed."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(512, 200, generator=generator)
    y = torch.randint(10, (512,), generator=generator)
    return Samples(x=x, y=y, task=Task.CLASSES, kind="table", class_names=tuple("abcdefghij"))


def deep(activation: str, scheme: str) -> nn.Module:
    torch.manual_seed(0)
    return initialize_(mlp(200, 10, hidden=(200,) * DEPTH, activation=activation), scheme)


@pytest.mark.parametrize(("activation", "scheme"), [("tanh", "xavier"), ("relu", "he"), ("relu", "auto")])
def test_the_right_scheme_carries_the_signal_through_ten_layers(noise: Samples, activation: str, scheme: str) -> None:
    result = initial_signal(deep(activation, scheme), noise)
    assert result.outcome is Outcome.PASS
    assert 0.3 < result.measured["spread"] < 3
    assert len(result.curves["std"]) == DEPTH + 1


def test_small_weights_let_signal_and_gradient_vanish(noise: Samples) -> None:
    result = initial_signal(deep("tanh", "small"), noise)
    assert result.outcome is Outcome.FAIL
    assert result.measured["spread"] < 1e-6
    assert result.measured["gradient"] < 1e-5
    assert "He for ReLU" in result.message


def test_large_weights_saturate_tanh(noise: Samples) -> None:
    result = initial_signal(deep("tanh", "large"), noise)
    assert result.outcome in {Outcome.WARN, Outcome.FAIL}
    assert result.measured["saturated"] > 0.7
    assert "saturated range of tanh" in result.message


def test_xavier_halves_the_power_under_relu(noise: Samples) -> None:
    result = initial_signal(deep("relu", "xavier"), noise)
    assert result.outcome is Outcome.WARN
    assert "too small for the activation" in result.message
    stds = result.curves["std"].values[:DEPTH]
    factors = stds[1:] / stds[:-1]
    assert np.all((factors > 0.5) & (factors < 0.9))  # sqrt(1/2) each, give or take


def test_units_that_are_dead_from_the_start_are_counted(noise: Samples) -> None:
    model = deep("relu", "he")
    with torch.no_grad():
        model[2].bias[:150] = -100.0
    result = initial_signal(model, noise)
    assert result.outcome is Outcome.WARN
    assert result.curves["dead"].values[1] >= 0.75
    assert "75% of the units of 2" in result.message


def test_weights_that_are_not_numbers_are_named(noise: Samples) -> None:
    model = deep("relu", "he")
    with torch.no_grad():
        model[4].weight[0, 0] = torch.nan
    result = initial_signal(model, noise)
    assert result.outcome is Outcome.FAIL
    assert result.message.startswith("4 outputs NaN")


def test_a_linear_model_has_no_hidden_layer_to_lose_the_signal_in(noise: Samples) -> None:
    result = initial_signal(nn.Linear(200, 10), noise)
    assert result.outcome is Outcome.PASS
    assert result.measured == {"layers": 0.0}


class Functional(nn.Module):
    """Weights of its own and activations that are no modules."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.randn(200, 50) / 14)
        self.second = nn.Linear(50, 30)
        self.norm = nn.BatchNorm1d(30)
        self.last = nn.utils.parametrizations.weight_norm(nn.Linear(30, 10))

    def forward(self, x: Tensor) -> Tensor:
        hidden = (x @ self.first).clamp(min=0)
        return self.last(torch.tanh(self.norm(self.second(hidden))))


def test_layers_without_modules_and_functional_activations_are_seen(noise: Samples) -> None:
    model = Functional()
    with LayerTrace(model) as trace:
        model(noise.x).sum().backward()
    assert [(one.name, one.activation) for one in trace.passages] == [
        ("first", "relu"),
        ("second", "tanh"),
        ("last", ""),
    ]
    assert trace.passages[1].saturated is not None
    assert all(one.gradient_std is not None for one in trace.passages)


def test_what_is_measured_is_what_the_definitions_say(noise: Samples) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(200, 50), nn.ReLU(inplace=True), nn.Linear(50, 10))
    with LayerTrace(model) as trace:
        model(noise.x).square().mean().backward()
    own = noise.x.double() @ model[0].weight.detach().double().T + model[0].bias.detach().double()
    own.requires_grad_()
    passed = own.relu()
    (passed @ model[2].weight.detach().double().T + model[2].bias.detach().double()).square().mean().backward()
    first = trace.passages[0]
    assert first.output_std == pytest.approx(float(own.detach().std(correction=0)), rel=1e-5)
    assert first.std == pytest.approx(float(passed.detach().std(correction=0)), rel=1e-5)
    assert first.mean == pytest.approx(float(passed.detach().mean()), rel=1e-5)
    assert first.gradient_std == pytest.approx(float(own.grad.std(correction=0)), rel=1e-4)


def test_maxout_is_an_activation_and_no_hook_stays_behind(noise: Samples) -> None:
    model = nn.Sequential(maxout_linear(200, 20), nn.Linear(20, 10))
    with LayerTrace(model) as trace:
        model(noise.x)
    assert trace.passages[0].activation == "maxout"
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
