"""A plain training loop under watch, as a reader would write it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
import torch.nn.functional as F
from pictures import Pictures
from torch import Tensor, nn

import babysit
from babysit.records.run import Run

LEARNED = "accuracy/learned"  # on a fixed part of what is trained on


@final
@dataclass(frozen=True, kw_only=True)
class Plan:
    """How to train."""

    rate: float
    steps: int
    batch: int = 64
    momentum: float = 0.0
    penalty: float = 0.0  # strength of an L2 penalty that is part of the loss, as in the lecture
    looks: int = 10  # how often validation is looked at
    seed: int = 0


def train(
    model: nn.Module, data: Pictures, plan: Plan, *, name: str = "", at_look: Callable[[int], None] | None = None
) -> Run:
    """Stochastic gradient descent under watch; the judged run. `at_look` is called with the step before each look.

    A loss that is not finite ends it 20 steps later: nothing more can happen.
    """
    optimizer = torch.optim.SGD(model.parameters(), lr=plan.rate, momentum=plan.momentum)
    generator = torch.Generator().manual_seed(plan.seed)
    every = max(1, plan.steps // plan.looks)
    lost = 0
    model.train()
    with babysit.watch(model, optimizer, name=name) as w:
        for step, chosen in enumerate(_batches(len(data.x), plan.batch, plan.steps, generator)):
            if step % every == 0 and at_look is not None:
                at_look(step)
            loss = F.cross_entropy(model(data.x[chosen]), data.y[chosen])
            if plan.penalty:
                loss = loss + penalty(model, plan.penalty)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            lost += not math.isfinite(loss.item())
            if lost > 20:
                break
            if (step + 1) % every == 0:
                _look(model, data, w)
        if at_look is not None:
            at_look(plan.steps)
    return w.run


def penalty(model: nn.Module, strength: float) -> Tensor:
    """The lecture's regularization: half of the strength times the sum of all squared weights, biases left out."""
    return 0.5 * strength * torch.stack([w.square().sum() for w in model.parameters() if w.dim() > 1]).sum()


def _batches(samples: int, size: int, steps: int, generator: torch.Generator) -> Iterator[Tensor]:
    done = 0
    while done < steps:
        for chosen in torch.randperm(samples, generator=generator).split(size):
            yield chosen
            done += 1
            if done == steps:
                return


def _look(model: nn.Module, data: Pictures, w: babysit.watcher.watch.Watch) -> None:
    model.eval()
    with torch.no_grad():
        output = model(data.x_validation)
        known = model(data.x[: len(data.x_validation)])
    w.log("loss/validation", F.cross_entropy(output, data.y_validation).item())
    w.log("accuracy/validation", _right(output, data.y_validation))
    # "accuracy/train" is what watching itself sees of the batches.
    w.log(LEARNED, _right(known, data.y[: len(known)]))
    model.train()


def _right(output: Tensor, y: Tensor) -> float:
    return (output.argmax(1) == y).float().mean().item()


def last(run: Run, curve: str) -> float:
    """The last value of a curve; NaN when it has none."""
    values = run.curves.get(curve).values
    return float(values[-1]) if len(values) else math.nan


def binned(run: Run, curve: str, *, points: int = 60) -> list[tuple[float, float]]:
    """A curve as at most so many (step, value) pairs, each the mean of its stretch; ends where NaN begins."""
    series = run.curves.get(curve)
    values = np.asarray(series.values, dtype=float)
    end = int(np.argmin(np.isfinite(values))) if not np.isfinite(values).all() else len(values)
    groups = np.array_split(np.arange(end), min(points, end)) if end else []
    return [(float(np.mean(series.steps[group])), float(values[group].mean())) for group in groups]
