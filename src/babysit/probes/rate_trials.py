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
from babysit.records.probe import Outcome, ProbeResult

RATES: Final = tuple(10.0**power for power in range(-6, 2))  # the decades of the sweep
STEPS: Final = 40  # with eight rates, about three times the cost of the sweep
LAST: Final = 5  # losses that are averaged at the end: single batches differ
FALLS: Final = 0.98  # of the first loss; the sweep calls no less a fall


class RateTrial(Protocol):
    """What one rate made of the model."""

    @property
    def rate(self) -> float:
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


TryRates = Callable[[nn.Module, Samples, Sequence[float], int, int], Sequence[RateTrial]]  # …, steps, seed


def rate_trials(model: nn.Module, samples: Samples, *, try_rates: TryRates, seed: int = 0) -> ProbeResult:
    """Train a copy for 40 steps at each of eight rates, on the same batches, and compare where they end.

    The sweep of `rate_range` tries each rate on weights that the rates before have moved; here each begins where the
    model is. `try_rates` (model, samples, rates, steps, seed) trains; the search's population does it side by side.
    """
    start = perf_counter()
    trials = try_rates(model, samples, RATES, STEPS, seed)
    first = float(np.mean([trial.costs[0] for trial in trials if trial.costs]))
    ends = np.array([_end(trial) for trial in trials])
    best = int(np.argmin(ends))
    outcome, message = _judged(first, ends, best)
    tries = np.arange(len(RATES), dtype="int64")
    return ProbeResult(
        name="rate-trials",
        outcome=outcome,
        measured={"first_loss": first, "best": RATES[best], "loss": float(ends[best]), "tried": float(len(RATES))},
        message=message,
        curves={"loss": Series(tries, ends), "rate": Series(tries, np.asarray(RATES))},
        seconds=perf_counter() - start,
    )


def _end(trial: RateTrial) -> float:
    """The loss in the end; infinite when it did not get there."""
    last = float(np.mean(trial.costs[-LAST:])) if trial.costs and not trial.stopped else math.inf
    return last if math.isfinite(last) else math.inf


def _judged(first: float, ends: np.ndarray, best: int) -> tuple[Outcome, str]:
    told = ", ".join(f"{rate:.0e}: {end:.3g}" for rate, end in zip(RATES, ends, strict=True))
    text = f"after {STEPS} steps each from the same weights the loss went from {first:.3g} to ({told})"
    if not ends[best] < FALLS * first:
        return Outcome.FAIL, f"{text}: no rate makes it fall. First look at the experiments above"
    return Outcome.PASS, f"{text}: lowest at {RATES[best]:.0e}"
