"""Optimizers whose parameter groups are unlike those of torch: what is no number is not known, and nothing fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from babysit.monitor.monitor import Monitor
from babysit.monitor.optimizers import group_of, number
from babysit.records.run import Run

INPUTS = torch.randn(32, 6, generator=torch.Generator().manual_seed(0))
LABELS = INPUTS[:, :3].argmax(1)


class Plain(torch.optim.Optimizer):
    """Descends with a pace of its own; its groups hold what they were given."""

    def __init__(self, parameters: Any, pace: float = 0.1, **settings: Any) -> None:
        super().__init__(parameters, {"pace": pace, **settings})

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> None:
        for group in self.param_groups:
            for weight in group["params"]:
                weight.add_(weight.grad, alpha=-group["pace"])


MADE: dict[str, Callable[[list[nn.Parameter]], torch.optim.Optimizer]] = {
    "Adafactor, whose epsilon is a pair": lambda weights: torch.optim.Adafactor(weights, lr=0.01),
    "no learning rate": Plain,
    "a learning rate that is None": lambda weights: Plain(weights, lr=None, eps=(1e-30, 1e-3)),
    "a learning rate that is a function": lambda weights: Plain(weights, lr=lambda step: 0.1 / (1 + step)),
    "a learning rate that is a word": lambda weights: Plain(
        weights, lr="auto", weight_decay="none", momentum=(0.9, 0.95)
    ),
    "betas that are a function": lambda weights: Plain(weights, lr=0.1, betas=max, maximize="no"),
    "betas of which one is missing": lambda weights: Plain(weights, lr=0.1, betas=(None, 0.999)),
    "a learning rate for each parameter": lambda weights: Plain(weights, lr=torch.full((3,), 0.1)),
    "a tensor": lambda weights: torch.optim.AdamW(weights, lr=torch.tensor(0.01)),
    "a number of numpy": lambda weights: Plain(weights, lr=np.float32(0.1), eps=np.array([1e-8, 1e-3])),
    "a complex learning rate": lambda weights: Plain(weights, lr=torch.tensor(1j), eps=10**400),
}


def train(make: Callable[[list[nn.Parameter]], torch.optim.Optimizer], *, watched: bool) -> tuple[list[Tensor], Run]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    optimizer = make(list(model.parameters()))
    watching = Monitor(model, optimizer)
    if watched:
        watching.start()
    for _ in range(24):
        optimizer.zero_grad()
        F.cross_entropy(model(INPUTS), LABELS).backward()
        optimizer.step()
    return [weight.detach().clone() for weight in model.parameters()], watching.close()


@pytest.mark.parametrize("name", MADE)
def test_groups_of_any_kind_are_read_and_the_training_is_as_unwatched(name: str) -> None:
    plain, _ = train(MADE[name], watched=False)
    weights, run = train(MADE[name], watched=True)
    assert all(torch.equal(one, other) for one, other in zip(plain, weights, strict=True))
    assert run.model_summary.optimizers[0].groups[0].tensors == 4
    assert "W702" not in [finding.code for finding in run.findings]
    assert not run.events.of("measurement_gap")


def test_what_is_no_number_is_not_known_and_never_zero() -> None:
    odd = group_of({"params": [], "lr": None, "eps": (1e-30, 1e-3), "momentum": "auto", "weight_decay": max})
    assert (odd.lr, odd.epsilon, odd.momentum, odd.weight_decay) == (None, None, None, None)
    bare = group_of({"params": []})
    assert (bare.lr, bare.epsilon, bare.momentum, bare.weight_decay, bare.betas) == (None, 0.0, 0.0, 0.0, ())
    assert number(torch.tensor([0.5])) == number(np.float64(0.5)) == 0.5
    assert number(torch.empty(1, device="meta")) is None


def test_a_lr_of_zero_is_still_found() -> None:
    _, run = train(lambda weights: torch.optim.SGD(weights, lr=0.0), watched=True)
    assert "W702" in [finding.code for finding in run.findings]
