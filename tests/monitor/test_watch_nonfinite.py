"""NaN and infinity: what was the first to be lost within a step is what is named."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import babysit
from babysit.monitor.monitor import Monitor
from babysit.records.finding import Finding

Loss = Callable[[Tensor, Tensor, int], Tensor]


def plain(output: Tensor, labels: Tensor, _step: int) -> Tensor:
    return F.cross_entropy(output.float(), labels)


def watched(
    loss: Loss = plain,
    *,
    feed: Callable[[Tensor, int], Tensor] = lambda x, _step: x,
    optimizer: Callable[[list[nn.Parameter]], torch.optim.Optimizer] = lambda held: torch.optim.SGD(held, lr=0.05),
    half: bool = False,
    steps: int = 40,
) -> babysit.Run:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
    model = model.half() if half else model
    stepping = optimizer(list(model.parameters()))
    with Monitor(model, stepping) as watching:
        for step in range(steps):
            x, labels = torch.randn(32, 8), torch.randint(0, 3, (32,))
            value = loss(model(feed(x.half() if half else x, step)), labels, step)
            stepping.zero_grad()
            value.backward()
            stepping.step()
    return watching.run


def found(run: babysit.Run, code: str) -> Finding | None:
    return next((one for one in run.findings if one.code == code), None)


@pytest.mark.parametrize("at", [0, 7, 30])
def test_a_loss_that_has_no_logarithm_is_named_and_not_the_gradient(at: int) -> None:
    run = watched(lambda out, y, step: plain(out, y, step) if step < at else F.nll_loss(torch.log(out), y))
    seen = found(run, "G503")
    assert seen is not None
    assert (seen.evidence["first"], seen.first_step) == ("loss", at)
    assert found(run, "G502") is None
    assert (found(run, "F906") or seen).first_step == at


def test_a_gradient_that_is_not_finite_beside_a_finite_loss_is_named() -> None:
    run = watched(lambda out, y, step: plain(out, y, step) + (0.0 if step < 7 else (out * 0).sum().sqrt()))
    seen = found(run, "G503")
    assert seen is not None
    assert (seen.evidence["first"], seen.first_step) == ("gradient", 7)
    assert all("nan" not in one.message.lower().replace("nan or", "") for one in run.findings)


def test_an_output_that_is_not_finite_is_named() -> None:
    run = watched(feed=lambda x, step: x * torch.nan if step == 7 else x)
    seen = found(run, "G503")
    assert seen is not None
    assert (seen.evidence["first"], seen.first_step) == ("outputs", 7)
    assert seen.layers[0] == "0"


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop])
def test_an_epsilon_that_is_zero_in_half_precision_is_named_and_no_gradient(kind: type) -> None:
    run = watched(optimizer=lambda held: kind(held, lr=1e-3), half=True)
    assert run.root_cause is not None
    assert run.root_cause.code == "U606"
    assert "float16" in run.root_cause.message
    assert found(run, "G503") is None


def test_half_precision_with_an_epsilon_that_counts_is_not_blamed() -> None:
    run = watched(optimizer=lambda held: torch.optim.Adam(held, lr=1e-3, eps=1e-4), half=True)
    assert found(run, "U606") is None
    assert found(run, "G503") is None


def test_a_step_that_breaks_the_weights_is_the_lr_and_no_gradient() -> None:
    run = watched(optimizer=lambda held: torch.optim.SGD(held, lr=1e38))
    assert run.root_cause is not None
    assert run.root_cause.code == "U601"
    assert run.root_cause.first_step == 0
    assert found(run, "G503") is None


def test_weights_lost_between_two_samples_are_said_to_be_lost_and_since_when_they_were_whole() -> None:
    run = watched(lambda out, y, step: plain(out, y, step) + (0.0 if step != 33 else (out * 0).sum().sqrt()))
    seen = found(run, "G503")
    assert seen is not None
    if 33 not in run.layer_metrics.steps:
        assert seen.evidence["first"] == "weights"
        assert "all values were finite at sampled step" in seen.message
