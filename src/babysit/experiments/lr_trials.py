"""LR trials: short trainings at several learning rates, each from the same weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Final, Protocol

import numpy as np
from torch import nn

from babysit.data.samples import Samples
from babysit.records.curves import Series
from babysit.records.experiment import ExperimentResult, Outcome

LRS: Final = tuple(10.0**power for power in range(-6, 2))  # the decades of the LR range test
STEPS: Final = 40  # with eight learning rates, about three times the steps of the LR range test
LAST: Final = 5  # losses averaged at the end, to reduce batch noise
DECREASE: Final = 0.98  # of the first loss; the same bound as in the LR range test


class LRTrial(Protocol):
    """Result of training at one learning rate."""

    @property
    def lr(self) -> float:
        """Return the learning rate."""
        ...

    @property
    def costs(self) -> tuple[float, ...]:
        """Return the loss of every batch, before its update."""
        ...

    @property
    def stopped(self) -> str:
        """Return the reason for early termination, or an empty string."""
        ...


TryRates = Callable[[nn.Module, Samples, Sequence[float], int, int], Sequence[LRTrial]]  # …, steps, seed


def lr_trials(model: nn.Module, samples: Samples, *, try_lrs: TryRates, seed: int = 0) -> ExperimentResult:
    """Train a copy for 40 steps at each of eight learning rates on the same batches, and compare the final losses.

    The LR range test continues from the weights of the previous learning rates; here each training starts from the
    model's own weights. `try_lrs` (model, samples, learning rates, steps, seed) trains; the tuning room provides a
    vectorized implementation.
    """
    start = perf_counter()
    trials = try_lrs(model, samples, LRS, STEPS, seed)
    first = float(np.mean([trial.costs[0] for trial in trials if trial.costs]))
    ends = np.array([_end(trial) for trial in trials])
    best = int(np.argmin(ends))
    outcome, message = _evaluate(first, ends, best)
    tries = np.arange(len(LRS), dtype="int64")
    return ExperimentResult(
        name="lr-trials",
        outcome=outcome,
        measured={"first_loss": first, "best": LRS[best], "loss": float(ends[best]), "tried": float(len(LRS))},
        message=message,
        curves={"loss": Series(tries, ends), "lr": Series(tries, np.asarray(LRS))},
        seconds=perf_counter() - start,
    )


def _end(trial: LRTrial) -> float:
    """Return the final loss; infinite if training stopped early."""
    last = float(np.mean(trial.costs[-LAST:])) if trial.costs and not trial.stopped else math.inf
    return last if math.isfinite(last) else math.inf


def _evaluate(first: float, ends: np.ndarray, best: int) -> tuple[Outcome, str]:
    listed = ", ".join(f"{lr:.0e}: {end:.3g}" for lr, end in zip(LRS, ends, strict=True))
    text = f"initial loss {first:.3g}; after {STEPS} steps from the same weights, by learning rate: {listed}"
    if not ends[best] < DECREASE * first:
        return Outcome.FAIL, f"{text}. The loss decreases at no learning rate; first check the experiments above"
    return Outcome.PASS, f"{text}. Lowest at {LRS[best]:.0e}"
