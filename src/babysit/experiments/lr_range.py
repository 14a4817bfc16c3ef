"""LR range test: the learning rates at which the loss decreases."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from time import perf_counter
from typing import NamedTuple, final

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from babysit.data.batches import batches
from babysit.data.samples import Samples
from babysit.experiments.lr_choice import LRChoice, Values, choose_lr, smooth
from babysit.experiments.optimizers import make_optimizer
from babysit.experiments.replica import device_of, replica
from babysit.experiments.sampling import sample_subset
from babysit.nn.losses import expected_initial_loss, loss_for
from babysit.records.curves import Series
from babysit.records.experiment import ExperimentResult, Outcome
from babysit.records.model_summary import Task

Loss = Callable[[Tensor, Tensor], Tensor]

LOWEST, HIGHEST, TRIES = 1e-6, 10.0, 100  # fastai's sweep (1e-7 to 10 in 100), from the lecture's lower end
TOO_HIGH = 3.0  # the lecture stops at a loss above three times the initial one
EVALUATION_SAMPLES = 256  # samples on which the loss is evaluated: always the same, so the curve has no batch noise
LOW_CONFIDENCE = 0.3  # suggestions more than two decades apart, seen in 1 of 20 sweeps


@final
class Sweep(NamedTuple):
    """Losses after one step at each learning rate, up to the end or to divergence."""

    lrs: Values
    losses: Values
    initial: float


def lr_range(
    model: nn.Module,
    samples: Samples,
    *,
    optimizer: Optimizer | None = None,
    loss: Loss | None = None,
    batch_size: int = 64,
    seed: int = 0,
) -> ExperimentResult:
    """Train a copy for one step at each of 100 learning rates from 1e-6 to 10 and find where the loss decreases.

    Uses the type of the given optimizer with its groups in proportion (default: Adam). Stops at NaN or three times the
    initial loss. The loss is evaluated on 256 fixed samples after each step; slopes are per decade.
    """
    start = perf_counter()
    measure = loss or loss_for(samples.task)
    sweep = _sweep(model, samples, optimizer=optimizer, loss=measure, batch_size=batch_size, seed=seed)
    choice = choose_lr(sweep.lrs, sweep.losses, initial=sweep.initial)
    # The constant-prediction baseline of a custom loss is not known.
    constant = math.inf if loss is not None else _constant_loss(samples)
    outcome, message = _evaluate(sweep, choice, constant)
    return ExperimentResult(
        name="lr-range",
        outcome=outcome,
        measured={
            "initial_loss": sweep.initial,
            "tries": len(sweep.lrs),
            **({} if choice is None else choice._asdict()),
        },
        message=message,
        curves=_curves(sweep),
        seconds=perf_counter() - start,
    )


def _sweep(
    model: nn.Module, samples: Samples, *, optimizer: Optimizer | None, loss: Loss, batch_size: int, seed: int
) -> Sweep:
    lrs = np.logspace(math.log10(LOWEST), math.log10(HIGHEST), TRIES)
    losses: list[float] = []
    with replica(model, optimizer, seed=seed) as (copy, twin):
        device = device_of(copy)
        stepper = twin or make_optimizer("adam", copy, lr=LOWEST)
        largest = max(float(group["lr"]) for group in stepper.param_groups) or 1.0
        shares = [float(group["lr"]) / largest for group in stepper.param_groups]
        fixed = sample_subset(samples, count=EVALUATION_SAMPLES, seed=seed)
        fixed_x, fixed_y = fixed.x.to(device), fixed.y.to(device)
        initial = _value(copy, fixed_x, fixed_y, loss)
        for lr, (x, y) in zip(lrs, _endless(samples, batch_size, seed), strict=False):
            for group, share in zip(stepper.param_groups, shares, strict=True):
                group["lr"] = lr * share
            _step(stepper, partial(_loss, copy, x.to(device), y.to(device), loss))
            losses.append(_value(copy, fixed_x, fixed_y, loss))
            if not math.isfinite(losses[-1]) or losses[-1] > TOO_HIGH * initial:
                break
    return Sweep(lrs[: len(losses)], np.asarray(losses), initial)


def _loss(model: nn.Module, x: Tensor, y: Tensor, loss: Loss) -> Tensor:
    return loss(model(x), y)


def _step(optimizer: Optimizer, compute_loss: Callable[[], Tensor]) -> None:
    def closure() -> float:  # LBFGS evaluates the loss several times
        optimizer.zero_grad()
        value = compute_loss()
        torch.autograd.backward(value)
        return float(value.detach())

    optimizer.step(closure)


def _endless(samples: Samples, batch_size: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    for epoch in range(TRIES):
        yield from batches(samples, size=min(batch_size, len(samples)), seed=seed, epoch=epoch)


def _value(model: nn.Module, x: Tensor, y: Tensor, loss: Loss) -> float:
    with torch.no_grad():
        return float(_loss(model, x, y, loss))


def _curves(sweep: Sweep) -> dict[str, Series]:
    tries = np.arange(len(sweep.lrs), dtype="int64")
    return {
        "loss": Series(tries, sweep.losses),
        "smoothed": Series(tries, smooth(sweep.losses, cap=TOO_HIGH * sweep.initial)),
        "lr": Series(tries, sweep.lrs),
    }


def _constant_loss(samples: Samples) -> float:
    """Return the loss of the best constant prediction: for classes, the entropy of their shares."""
    if samples.task is Task.CLASSES:
        shares = torch.bincount(samples.y).double() / len(samples)
        return float(torch.special.entr(shares).sum())
    return expected_initial_loss(samples.task, samples.y)


def _evaluate(sweep: Sweep, choice: LRChoice | None, constant: float) -> tuple[Outcome, str]:
    last = f"{sweep.lrs[-1]:.1e}"
    end = f"diverges at {last}" if len(sweep.lrs) < TRIES else f"does not diverge up to {last}"
    if choice is None:
        return Outcome.FAIL, (
            f"no usable learning rate: at none does the loss decrease from {sweep.initial:.3g} beyond its noise "
            f"(it {end}). "
            "First check the experiments above, the labels, and the scale of the inputs"
        )
    text = (
        f"suggested LR {choice.suggested:.1e}: the loss decreases between {choice.low:.1e} and {choice.high:.1e}, and "
        f"{end} "
        f"(steepest {choice.steepest:.1e}, halfway {choice.halfway:.1e}, valley {choice.valley:.1e}, "
        f"minimum/10 {choice.tenth:.1e})"
    )
    lowest = float(np.nanmin(sweep.losses))
    if lowest > 0.98 * constant:  # the same 2 % as for any decrease
        return Outcome.WARN, (
            f"{text}. But the lowest loss is {lowest:.3g}, and a constant prediction has {constant:.3g}: "
            "nothing is learned from the inputs yet"
        )
    if choice.confidence < LOW_CONFIDENCE:
        return Outcome.WARN, f"{text}. The suggestions disagree: search the whole range"
    return Outcome.PASS, text
