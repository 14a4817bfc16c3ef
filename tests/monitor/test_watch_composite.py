"""Losses of several terms: each known loss is judged by its own value, never by the total."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import babysit
from babysit.monitor.monitor import Monitor
from babysit.records.model_summary import Objective

STEPS = 60
Loss = Callable[[Tensor, Tensor, nn.Parameter], Tensor]


def watched(loss_of: Loss, *, steps: int = STEPS) -> babysit.Run:
    torch.manual_seed(0)
    model, extra = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 3)), nn.Parameter(torch.zeros(()))
    optimizer = torch.optim.Adam([*model.parameters(), extra], lr=0.02)
    x, mix = torch.randn(128, 6), torch.randn(6, 3)
    with Monitor(model, optimizer) as watching:
        for _ in range(steps):
            optimizer.zero_grad()
            loss_of(model(x), x @ mix, extra).backward()
            optimizer.step()
    return watching.run


def objective_of(run: babysit.Run) -> Objective:
    assert run.model_summary is not None
    return run.model_summary.objectives[0]


def entropy_of(out: Tensor) -> Tensor:
    return -(out.softmax(1) * out.log_softmax(1)).sum(1).mean()


BELOW_ZERO: dict[str, Loss] = {
    "entropy bonus": lambda out, y, _: F.cross_entropy(out, y.argmax(1)) - 2 * entropy_of(out),
    "learned variance": lambda out, y, s: torch.exp(-s) * F.mse_loss(out, y) + s - 5,
    "advantage": lambda out, y, _: (F.cross_entropy(out, y.argmax(1), reduction="none") * -y[:, 0].exp()).mean(),
    "policy and value": lambda out, y, _: (out[:, 0] * y[:, 1]).mean() + 0.5 * F.smooth_l1_loss(out[:, 1:], y[:, 1:]),
    "two tasks": lambda out, y, s: (
        torch.exp(-s) * F.mse_loss(out[:, :1], y[:, :1]) + s + F.mse_loss(out[:, 1:], y[:, 1:]) - 9
    ),
}


@pytest.mark.parametrize("name", BELOW_ZERO)
def test_a_total_below_zero_says_nothing_of_a_bounded_term(name: str) -> None:
    run = watched(BELOW_ZERO[name])
    assert objective_of(run).composite
    assert not {"O208", "O213", "O210", "F905", "O204"} & {finding.code for finding in run.findings}


ALONE: dict[str, Loss] = {
    "plain": lambda out, y, _: F.mse_loss(out, y),
    "scaled": lambda out, y, _: 0.1 * F.mse_loss(out, y) / 2,
    "by hand": lambda out, y, _: ((out - y) ** 2).sum(1).mean(),
    "weighted": lambda out, y, _: (F.mse_loss(out, y, reduction="none") * (y > 0)).mean(),
    "accumulated": lambda out, y, _: torch.zeros(()) + F.mse_loss(out, y),
    "two halves": lambda out, y, _: F.mse_loss(out[:, 0], y[:, 0]) + F.mse_loss(out[:, 1], y[:, 1]),
}


@pytest.mark.parametrize("name", ALONE)
def test_a_positive_multiple_of_one_loss_is_no_composite(name: str) -> None:
    assert not objective_of(watched(ALONE[name], steps=5)).composite


def test_the_scale_of_an_error_written_by_hand_is_measured() -> None:
    assert objective_of(watched(ALONE["by hand"], steps=5)).scale == pytest.approx(3.0)


def test_a_bounded_term_below_zero_is_found_inside_a_total_above_zero() -> None:
    run = watched(lambda out, y, s: F.nll_loss(out, y.argmax(1)) + 50 + s**2)
    found = next(finding for finding in run.findings if finding.code == "O208")
    assert found.evidence["lowest_loss"] < 0


def test_the_moments_of_the_target_are_of_all_batches_seen() -> None:
    torch.manual_seed(0)
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    with Monitor(model, optimizer) as watching:
        for step in range(8):
            optimizer.zero_grad()
            F.mse_loss(model(torch.randn(16, 2)), torch.full((16, 1), float(step % 2))).backward()
            optimizer.step()
    batch = watching.run.data.split("batch") if watching.run.data is not None else None
    assert batch is not None
    assert (batch.target_mean, batch.target_variance, batch.target_count) == pytest.approx((0.5, 0.25, 128))
