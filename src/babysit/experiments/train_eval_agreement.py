"""Train/eval discrepancy: difference between the predictions in train and eval mode."""

from __future__ import annotations

import math
from collections.abc import Sequence
from time import perf_counter
from typing import Final, NamedTuple, final

import torch
from torch import Tensor, nn

from babysit.data.batches import batches
from babysit.data.samples import Samples
from babysit.experiments.replica import device_of, replica, silence_dropout
from babysit.records.experiment import ExperimentResult, Outcome

# Forward passes until the running statistics converge: with PyTorch's momentum of 0.1, 0.9^30 = 4 % of the initial
# value is left.
BATCHES: Final = 30
COMPARED: Final = 4  # batches, to average over chance differences
# Measured on digits, MLPs of 2 and 6 hidden layers and a CNN with BatchNorm, 3 seeds. Cumulative averages as statistics
# leave 0.06 to 0.54 at batch size 64 (0.08 per layer), 0.13 to 1.0 at 16, 0.4 to 1.5 at 2.
MAX_NOISE: Final = 1.2
# The model's own momentum leaves at most 1.1 times that at 0.1, 1.1 to 8 times at 0.03, 2 to 30 times at 0.01.
MAX_LAG: Final = 2.0
USUAL_MOMENTUM: Final = 0.1  # torch.nn.BatchNorm1d
# A momentum m needs about 3 / m steps until 5 % of the initial value is left. Counted in epochs of these data: early
# stopping commonly waits 5 to 10 epochs, so statistics that lag longer decide when training stops.
WARN_EPOCHS, FAIL_EPOCHS = 5, 20


@final
class Compared(NamedTuple):
    """Train/eval discrepancy and the quantities that explain it."""

    apart: float
    noise: float
    momenta: list[float | None]
    batch_size: int
    samples: int


def train_eval_agreement(
    model: nn.Module, samples: Samples, *, batch_size: int = 64, seed: int = 0
) -> ExperimentResult:
    """Update BatchNorm's running statistics for 30 batches without training, then compare both modes.

    Dropout is off in both. `apart` is the root mean square difference relative to the std of the predictions over
    samples, `noise` the same with cumulative averages as running statistics: the part due to the batch size.
    """
    start = perf_counter()
    feed = _feed(samples, min(batch_size, len(samples)), seed)
    apart, norms = _compared(model, feed, seed=seed, averaged=False)
    noise, _ = _compared(model, feed, seed=seed, averaged=True) if norms else (apart, [])
    outcome, message = _evaluate(Compared(apart, noise, norms, len(feed[0]), len(samples)))
    return ExperimentResult(
        name="train-eval-agreement",
        outcome=outcome,
        measured={
            "apart": apart,
            "noise": noise,
            "norms": float(len(norms)),
            "batch_size": float(len(feed[0])),
        },
        expected={"apart": noise if norms else 0.0},
        message=message,
        seconds=perf_counter() - start,
    )


def _compared(
    model: nn.Module, feed: Sequence[Tensor], *, seed: int, averaged: bool
) -> tuple[float, list[float | None]]:
    """Return the discrepancy of the two modes, and the momentum of each BatchNorm."""
    outputs = []
    with replica(model, seed=seed) as (copy, _), torch.no_grad():
        silence_dropout(copy)
        norms = [module for module in copy.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
        momenta = [norm.momentum for norm in norms if norm.running_mean is not None]
        for norm in norms:
            if averaged:
                norm.momentum = None  # PyTorch's setting for a cumulative average
                norm.reset_running_stats()
        for x in feed[:-COMPARED] if norms else []:
            copy(x.to(device_of(copy)))
        for x in feed[-COMPARED:]:
            copy.train()
            silence_dropout(copy)
            trained = copy(x.to(device_of(copy)))
            copy.eval()
            outputs.append((trained, copy(x.to(device_of(copy)))))
    trained, evaluated = (torch.cat(each) for each in zip(*outputs, strict=True))
    return _apart(trained, evaluated), momenta


def _feed(samples: Samples, batch_size: int, seed: int) -> list[Tensor]:
    """Return the first batches, over as many epochs as needed."""
    feed: list[Tensor] = []
    for epoch in range(BATCHES + COMPARED):
        feed += [x for x, _ in batches(samples, size=batch_size, seed=seed, epoch=epoch)]
        if len(feed) >= BATCHES + COMPARED:
            break
    return feed[: BATCHES + COMPARED]


def _apart(trained: Tensor, evaluated: Tensor) -> float:
    difference = float((trained - evaluated).double().square().mean().sqrt())
    if difference == 0:
        return 0.0
    std = float(trained.double().std(dim=0, correction=0).square().mean().sqrt())
    return difference / std if std > 0 else math.inf


def _evaluate(found: Compared) -> tuple[Outcome, str]:
    apart, noise, batch_size = found.apart, found.noise, found.batch_size
    text = f"train/eval discrepancy {apart:.2g} σ (std of the predictions; dropout off)"
    if apart == 0:
        return Outcome.PASS, "no train/eval discrepancy (dropout off)"
    if not found.momenta:
        return Outcome.WARN, f"{text}, although there is no BatchNorm: check how forward uses self.training"
    slowest = min((momentum for momentum in found.momenta if momentum), default=1.0)
    epochs = 3 / slowest / max(1, found.samples // batch_size)
    # PyTorch's default momentum converges in thirty steps: on few data that is many epochs, and no fault.
    if slowest < USUAL_MOMENTUM and apart > MAX_LAG * noise and epochs > WARN_EPOCHS:
        return (Outcome.FAIL if epochs > FAIL_EPOCHS else Outcome.WARN), (
            f"{text}: with a momentum of {slowest:g}, BatchNorm's running statistics need about {3 / slowest:,.0f} "
            f"steps, {epochs:,.0f} epochs of these data, to converge; 0.1 needs 30 steps"
        )
    if noise > MAX_NOISE:
        return Outcome.WARN, f"{text}: batches of {batch_size} are too small for accurate BatchNorm statistics"
    return Outcome.PASS, f"{text}: within the noise expected of batches of {batch_size}"
