from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from babysit.data.samples import Samples
from babysit.experiments.lr_range import lr_range
from babysit.nn.builders import mlp
from babysit.nn.preprocess import Standardize
from babysit.records.experiment import Outcome


def healthy(digits: Samples) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(Standardize.fit(digits.x), mlp(64, 10))


def loss_after(model: nn.Module, samples: Samples, lr: float, steps: int = 60) -> float:
    """Train a fresh copy with Adam at one learning rate."""
    import copy

    twin = copy.deepcopy(model)
    optimizer = torch.optim.Adam(twin.parameters(), lr=lr)
    order = torch.Generator().manual_seed(0)
    for _ in range(steps):
        places = torch.randint(len(samples), (64,), generator=order)
        loss = nn.functional.cross_entropy(twin(samples.x[places]), samples.y[places])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return float(nn.functional.cross_entropy(twin(samples.x), samples.y).detach())


def test_training_at_the_suggested_lr_beats_lrs_far_below_and_above(digits: Samples) -> None:
    model = healthy(digits)
    result = lr_range(model, digits)
    assert result.outcome is Outcome.PASS
    lr = result.measured["suggested"]
    assert result.measured["low"] <= lr <= result.measured["high"]
    found = loss_after(model, digits, lr)
    assert found < 0.5
    assert found < loss_after(model, digits, lr / 100)
    assert found < loss_after(model, digits, lr * 100)


def test_the_curves_tell_each_try_and_its_lr(digits: Samples) -> None:
    result = lr_range(healthy(digits), digits)
    tries = result.measured["tries"]
    for name in ("loss", "smoothed", "lr"):
        assert result.curves[name].steps.tolist() == list(range(int(tries)))
    lrs = result.curves["lr"].values
    assert lrs[0] == pytest.approx(1e-6)
    assert np.allclose(np.diff(np.log10(lrs)), 7 / 99)


def test_the_sweep_stops_at_three_times_the_first_loss(digits: Samples) -> None:
    result = lr_range(healthy(digits), digits)
    losses = result.curves["loss"].values
    assert len(losses) < 100
    assert losses[-1] > 3 * result.measured["initial_loss"]
    assert (losses[:-1] <= 3 * result.measured["initial_loss"]).all()
    assert "diverges at" in result.message


def test_a_model_whose_output_ignores_its_weights_has_no_usable_range(digits: Samples) -> None:
    class Deaf(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(64, 10)

        def forward(self, x: Tensor) -> Tensor:
            return 0 * self.layer(x)

    result = lr_range(Deaf(), digits)
    assert result.outcome is Outcome.FAIL
    assert result.message.startswith("no usable learning rate")
    assert "suggested" not in result.measured


def test_learning_only_the_shares_of_the_classes_is_a_warning(digits: Samples) -> None:
    # Nine of ten samples are of one class and the inputs are noise: the loss falls, and nothing is learned from them.
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(20_000, 64, generator=generator)
    mostly = torch.where(
        torch.rand(20_000, generator=generator) < 0.9, 0, torch.randint(10, (20_000,), generator=generator)
    )
    result = lr_range(nn.Linear(64, 10), replace(digits, x=noise, y=mostly))
    assert result.outcome is Outcome.WARN
    assert "nothing is learned from the inputs" in result.message


def test_the_optimizer_is_of_the_users_kind_and_untouched(digits: Samples) -> None:
    model = healthy(digits)
    adam = lr_range(model, digits).measured["suggested"]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    plain = lr_range(model, digits, optimizer=optimizer).measured["suggested"]
    assert plain > 5 * adam  # gradient descent takes larger learning rates than Adam
    assert optimizer.param_groups[0]["lr"] == 0.05
    assert not optimizer.state


def test_the_same_seed_gives_the_same_sweep_and_leaves_the_model_alone(digits: Samples) -> None:
    model = healthy(digits)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    first = lr_range(model, digits)
    torch.rand(5)
    second = lr_range(model, digits)
    assert first.curves["loss"].values.tobytes() == second.curves["loss"].values.tobytes()
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_a_regression_finds_its_range(line: Samples) -> None:
    torch.manual_seed(0)
    result = lr_range(mlp(5, 1), line)
    assert result.outcome is Outcome.PASS
    assert 1e-4 < result.measured["suggested"] < 1
