"""Statistics of a fix's gain over seeds: confidence interval, p-value and required number of seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

from scipy.stats import t as student_t

_MOST_SEEDS: Final = 100  # beyond this number no estimate is given


@final
@dataclass(frozen=True)
class Effect:
    """Statistics of the paired differences (with the fix minus without it, per seed)."""

    mean: float
    spread: float  # standard deviation of a difference
    low: float
    high: float
    chance: float  # one-sided


def paired_effect(before: Sequence[float], after: Sequence[float], *, tail: float, resolution: float = 0.0) -> Effect:
    """Compute the mean paired difference with its t confidence interval; both sides use the same seeds.

    Args:
        before: finite scores without the fix.
        after: scores of the same seeds with it.
        tail: probability outside each end of the interval.
        resolution: the smallest step of a score. Rounding can make all differences equal, so the standard deviation
            is at least one step, unless nothing changed.
    """
    differences = [late - early for early, late in zip(before, after, strict=True)]
    mean, spread = statistics.fmean(differences), statistics.stdev(differences)
    if any(differences):
        spread = max(spread, resolution)
    half = _half_width(spread, len(differences), tail)
    return Effect(mean, spread, mean - half, mean + half, _chance(mean, spread, len(differences)))


def seeds_needed(gain: Effect, *, seeds: int, tail: float, margin: float) -> int | None:
    """Estimate the number of seeds for an interval above zero or below the margin, at equal mean and deviation."""
    for number in range(seeds + 1, _MOST_SEEDS + 1):
        half = _half_width(gain.spread, number, tail)
        if gain.mean - half > 0 or gain.mean + half < margin:
            return number
    return None


def _half_width(spread: float, seeds: int, tail: float) -> float:
    return float(student_t.isf(tail, seeds - 1)) * spread / math.sqrt(seeds)


def _chance(mean: float, spread: float, seeds: int) -> float:
    """Return the p-value of a one-sided paired t-test; with zero deviation the sign decides."""
    if spread == 0:
        return 0.0 if mean > 0 else 1.0
    return float(student_t.sf(mean / spread * math.sqrt(seeds), seeds - 1))
