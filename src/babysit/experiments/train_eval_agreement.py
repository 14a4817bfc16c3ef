"""Will the model answer in eval mode as it was trained to?"""

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

# Forward passes for the running statistics to settle: with PyTorch's momentum of 0.1, 0.9^30 = 4 % of where they began
# is left.
BATCHES: Final = 30
COMPARED: Final = 4  # batches, since one differs from the average by chance
# Measured on digits, MLPs of 2 and 6 hidden layers and a cnn with BatchNorm, 3 seeds. Statistics that are plain
# averages leave 0.06 to 0.54 at batch 64 (0.08 a layer), 0.13 to 1.0 at batch 16, 0.4 to 1.5 at batch 2.
MOST_NOISE: Final = 1.2
# The model's own momentum leaves at most 1.1 times that at 0.1, 1.1 to 8 times at 0.03, 2 to 30 times at 0.01.
MOST_LAG: Final = 2.0
USUAL_MOMENTUM: Final = 0.1  # torch.nn.BatchNorm1d
# A momentum m needs about 3 / m steps until 5 % of the beginning are left. Counted in epochs of these data: early
# stopping commonly waits 5 to 10 epochs, so statistics that lag longer decide when training stops.
LONG_EPOCHS, HOPELESS_EPOCHS = 5, 20


@final
class Compared(NamedTuple):
    """How far the two modes are apart, and what decides it."""

    apart: float
    noise: float
    momenta: list[float | None]
    batch_size: int
    samples: int


def train_eval_agreement(
    model: nn.Module, samples: Samples, *, batch_size: int = 64, seed: int = 0
) -> ExperimentResult:
    """Let BatchNorm's running statistics settle for 30 batches without learning, then compare the two modes' answers.

    Dropout is off in both. `apart` is the root mean square difference as a share of the answers' spread over samples,
    `noise` the same with running statistics that are plain averages: what only comes from the size of the batches.
    """
    start = perf_counter()
    feed = _feed(samples, min(batch_size, len(samples)), seed)
    apart, norms = _compared(model, feed, seed=seed, averaged=False)
    noise, _ = _compared(model, feed, seed=seed, averaged=True) if norms else (apart, [])
    outcome, message = _judged(Compared(apart, noise, norms, len(feed[0]), len(samples)))
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
    """How far the two modes are apart, and the momentum of each BatchNorm."""
    answers = []
    with replica(model, seed=seed) as (copy, _), torch.no_grad():
        silence_dropout(copy)
        norms = [module for module in copy.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
        momenta = [norm.momentum for norm in norms if norm.running_mean is not None]
        for norm in norms:
            if averaged:
                norm.momentum = None  # PyTorch's word for a plain average
                norm.reset_running_stats()
        for x in feed[:-COMPARED] if norms else []:
            copy(x.to(device_of(copy)))
        for x in feed[-COMPARED:]:
            copy.train()
            silence_dropout(copy)
            trained = copy(x.to(device_of(copy)))
            copy.eval()
            answers.append((trained, copy(x.to(device_of(copy)))))
    trained, evaluated = (torch.cat(each) for each in zip(*answers, strict=True))
    return _apart(trained, evaluated), momenta


def _feed(samples: Samples, batch_size: int, seed: int) -> list[Tensor]:
    """As many batches as are needed, epoch after epoch."""
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
    spread = float(trained.double().std(dim=0, correction=0).square().mean().sqrt())
    return difference / spread if spread > 0 else math.inf


def _judged(found: Compared) -> tuple[Outcome, str]:
    apart, noise, batch_size = found.apart, found.noise, found.batch_size
    told = f"train and eval mode give answers that are {apart:.2g} of their spread apart (dropout off)"
    if apart == 0:
        return Outcome.PASS, "train and eval mode give the same answers (dropout off)"
    if not found.momenta:
        return Outcome.WARN, f"{told}, though there is no BatchNorm: look at what forward does with self.training"
    slowest = min((momentum for momentum in found.momenta if momentum), default=1.0)
    epochs = 3 / slowest / max(1, found.samples // batch_size)
    # PyTorch's own momentum settles in thirty steps: few data make many epochs of that, and no fault.
    if slowest < USUAL_MOMENTUM and apart > MOST_LAG * noise and epochs > LONG_EPOCHS:
        return (Outcome.FAIL if epochs > HOPELESS_EPOCHS else Outcome.WARN), (
            f"{told}: with a momentum of {slowest:g} BatchNorm's running statistics need about {3 / slowest:,.0f} "
            f"steps, {epochs:,.0f} epochs of these data, to settle; 0.1 needs 30 steps"
        )
    if noise > MOST_NOISE:
        return Outcome.WARN, f"{told}: batches of {batch_size} are too small for BatchNorm's statistics to be right"
    return Outcome.PASS, f"{told}: what batches of {batch_size} leave by chance"
