"""Gradients that are made or used in other ways than `loss.backward()` and `zero_grad()`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap

from babysit.monitor.monitor import Monitor
from babysit.records.run import Run

INPUTS = torch.randn(32, 6, generator=torch.Generator().manual_seed(0))
LABELS = INPUTS[:, :3].argmax(1)
STEPS = 30

Make = Callable[[nn.Module, torch.optim.Optimizer], Tensor]


def train(make_gradients: Make) -> tuple[Run, list[float]]:
    """A watched training whose gradients are made as given, and its losses."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))
    optimizer, losses = torch.optim.SGD(model.parameters(), lr=0.1), []
    with Monitor(model, optimizer) as watching:
        for _ in range(STEPS):
            losses.append(make_gradients(model, optimizer).item())
            optimizer.step()
    return watching.run, losses


def loss_of(model: nn.Module) -> Tensor:
    return F.cross_entropy(model(INPUTS), LABELS)


def by_name(model: nn.Module, _optimizer: torch.optim.Optimizer) -> Tensor:
    loss, weights = loss_of(model), list(model.parameters())
    for weight, gradient in zip(weights, torch.autograd.grad(loss, weights), strict=True):
        weight.grad = gradient
    return loss


def by_name_into_the_same_tensors(model: nn.Module, _optimizer: torch.optim.Optimizer) -> Tensor:
    loss, weights = loss_of(model), list(model.parameters())
    for weight, gradient in zip(weights, torch.autograd.grad(loss, weights), strict=True):
        weight.grad = torch.zeros_like(weight) if weight.grad is None else weight.grad
        weight.grad.copy_(gradient)
    return loss


def of_detached_copies(model: nn.Module, _optimizer: torch.optim.Optimizer) -> Tensor:
    copies = {name: weight.detach().requires_grad_() for name, weight in model.named_parameters()}
    loss = F.cross_entropy(functional_call(model, copies, (INPUTS,)), LABELS)
    loss.backward()
    for name, weight in model.named_parameters():
        weight.grad = copies[name].grad
    return loss


def by_transform(model: nn.Module, _optimizer: torch.optim.Optimizer) -> Tensor:
    weights = {name: weight.detach() for name, weight in model.named_parameters()}
    made, loss = grad_and_value(lambda given: F.cross_entropy(functional_call(model, given, (INPUTS,)), LABELS))(
        weights
    )
    for name, weight in model.named_parameters():
        weight.grad = made[name]
    return loss


def of_each_sample(model: nn.Module, _optimizer: torch.optim.Optimizer) -> Tensor:
    weights = {name: weight.detach() for name, weight in model.named_parameters()}

    def one(given: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(model, given, (x[None],)), y[None])

    made, losses = vmap(grad_and_value(one), in_dims=(None, 0, 0))(weights, INPUTS, LABELS)
    for name, weight in model.named_parameters():
        weight.grad = made[name].mean(0)
    return losses.mean()


def cleared_by_hand(model: nn.Module, _optimizer: torch.optim.Optimizer) -> Tensor:
    for weight in model.parameters():
        weight.grad = None
    loss = loss_of(model)
    loss.backward()
    return loss


def uncleared(model: nn.Module, _optimizer: torch.optim.Optimizer) -> Tensor:
    loss = loss_of(model)
    loss.backward()
    return loss


def codes(run: Run) -> list[str]:
    return [finding.code for finding in run.findings]


@pytest.mark.parametrize(
    "make", [by_name, by_name_into_the_same_tensors, of_detached_copies, by_transform, of_each_sample, cleared_by_hand]
)
def test_gradients_that_take_the_place_of_the_old_ones_are_not_uncleared(make: Make) -> None:
    run, _ = train(make)
    assert "W701" not in codes(run)


def test_gradients_that_are_added_to_the_old_ones_are() -> None:
    run, _ = train(uncleared)
    assert "W701" in codes(run)


@pytest.mark.parametrize("make", [by_transform, of_each_sample])
def test_a_transform_adds_no_parameters_and_what_is_missing_is_told_once(make: Make) -> None:
    run, _ = train(make)
    assert run.model_summary.parameters == 6 * 16 + 16 + 16 * 3 + 3
    told = [event.detail for event in run.events.of("measurement_gap")]
    assert len(told) == 2
    assert "inside a transform" in told[0]
    assert f"No loss was recorded in {STEPS} steps" in told[1]
    assert not {"W703", "W710"} & set(codes(run))


def of_a_vector(model: nn.Module, optimizer: torch.optim.Optimizer) -> Tensor:
    optimizer.zero_grad()
    losses = F.cross_entropy(model(INPUTS), LABELS, reduction="none")
    losses.backward(torch.full_like(losses, 1 / len(losses)))
    return losses.mean()


def of_a_list(model: nn.Module, optimizer: torch.optim.Optimizer) -> Tensor:
    optimizer.zero_grad()
    output = model(INPUTS)
    first, second = F.cross_entropy(output, LABELS), output.square().mean()
    torch.autograd.backward([first, second])
    return first + second


def of_a_weighted_list(model: nn.Module, optimizer: torch.optim.Optimizer) -> Tensor:
    optimizer.zero_grad()
    output = model(INPUTS)
    first, second = F.cross_entropy(output, LABELS), output.square().mean()
    torch.autograd.backward([first, second], [torch.tensor(0.5), None])
    return 0.5 * first + second


def of_a_scaled_scalar(model: nn.Module, optimizer: torch.optim.Optimizer) -> Tensor:
    optimizer.zero_grad()
    loss = loss_of(model)
    loss.backward(gradient=torch.tensor(0.25))
    return 0.25 * loss


@pytest.mark.parametrize("make", [of_a_vector, of_a_list, of_a_weighted_list, of_a_scaled_scalar])
def test_the_loss_is_the_sum_that_backward_computes_the_gradient_of(make: Make) -> None:
    run, losses = train(make)
    curve = run.curves.get("train/loss")
    assert curve.steps.tolist() == list(range(STEPS))
    np.testing.assert_allclose(curve.values, losses, rtol=1e-5)
    assert run.model_summary.objectives[0].loss == "cross_entropy"
    assert not run.events.of("measurement_gap")


def test_a_gradient_from_elsewhere_is_no_loss_and_that_is_told() -> None:
    def from_elsewhere(model: nn.Module, optimizer: torch.optim.Optimizer) -> Tensor:
        optimizer.zero_grad()
        output = model(INPUTS)
        received = output.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(F.cross_entropy(received, LABELS), received)
        output.backward(gradient)
        return output.sum()

    run, _ = train(from_elsewhere)
    assert "train/loss" not in run.curves.series
    assert [event.detail[:20] for event in run.events.of("measurement_gap")] == ["No loss was recorded"]


def test_a_loss_that_is_logged_by_hand_is_a_loss() -> None:
    model = nn.Linear(6, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with Monitor(model, optimizer) as watching:
        for _ in range(12):
            watching.log("train/loss", by_transform(model, optimizer).item())
            optimizer.step()
    assert len(watching.run.curves.get("train/loss")) == 12
    assert not [event for event in watching.run.events.of("measurement_gap") if "No loss" in event.detail]
