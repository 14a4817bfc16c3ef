"""What does each learning rate make of the model, when every one begins at the same weights?"""

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

LRS: Final = tuple(10.0**power for power in range(-6, 2))  # the decades of the sweep
STEPS: Final = 40  # with eight learning rates, about three times the cost of the sweep
LAST: Final = 5  # losses that are averaged at the end: single batches differ
FALLS: Final = 0.98  # of the first loss; the sweep calls no less a fall


class LRTrial(Protocol):
    """What one learning rate made of the model."""

    @property
    def lr(self) -> float:
        """The learning rate."""
        ...

    @property
    def costs(self) -> tuple[float, ...]:
        """The loss of every batch, before its update."""
        ...

    @property
    def stopped(self) -> str:
        """Why it ended early, or nothing."""
        ...


TryRates = Callable[[nn.Module, Samples, Sequence[float], int, int], Sequence[LRTrial]]  # …, steps, seed


def lr_trials(model: nn.Module, samples: Samples, *, try_lrs: TryRates, seed: int = 0) -> ExperimentResult:
    """Train a copy for 40 steps at each of eight learning rates, on the same batches, and compare where they end.

    The sweep of `lr_range` tries each learning rate on weights that the learning rates before have moved; here each
    begins where the model is. `try_lrs` (model, samples, learning rates, steps, seed) trains; the search's population
    does it side by side.
    """
    start = perf_counter()
    trials = try_lrs(model, samples, LRS, STEPS, seed)
    first = float(np.mean([trial.costs[0] for trial in trials if trial.costs]))
    ends = np.array([_end(trial) for trial in trials])
    best = int(np.argmin(ends))
    outcome, message = _judged(first, ends, best)
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
    """The loss in the end; infinite when it did not get there."""
    last = float(np.mean(trial.costs[-LAST:])) if trial.costs and not trial.stopped else math.inf
    return last if math.isfinite(last) else math.inf


def _judged(first: float, ends: np.ndarray, best: int) -> tuple[Outcome, str]:
    told = ", ".join(f"{lr:.0e}: {end:.3g}" for lr, end in zip(LRS, ends, strict=True))
    text = f"after {STEPS} steps each from the same weights the loss went from {first:.3g} to ({told})"
    if not ends[best] < FALLS * first:
        return Outcome.FAIL, f"{text}: no learning rate makes it fall. First look at the experiments above"
    return Outcome.PASS, f"{text}: lowest at {LRS[best]:.0e}"
