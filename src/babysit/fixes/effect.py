"""The gain of a fix over the seeds: its interval, its chance, and how many seeds would tell."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

from scipy.stats import t as student_t

_MOST_SEEDS: Final = 100  # more than anybody trains; no number is promised beyond


@final
@dataclass(frozen=True)
class Effect:
    """Paired differences (with the fix minus without it, seed by seed) in numbers."""

    mean: float
    spread: float  # standard deviation of a difference
    low: float
    high: float
    chance: float  # one-sided


def paired_effect(before: Sequence[float], after: Sequence[float], *, tail: float, resolution: float = 0.0) -> Effect:
    """The mean difference with its interval by the t distribution; the seeds are common, so differences are paired.

    Args:
        before: finite scores without the fix.
        after: those of the same seeds with it.
        tail: probability that is left out at each end of the interval.
        resolution: the smallest step of a score. Equal differences of rounded scores are no proof that there is no
            spread: it is taken to be at least one step, unless nothing changed at all.
    """
    differences = [late - early for early, late in zip(before, after, strict=True)]
    mean, spread = statistics.fmean(differences), statistics.stdev(differences)
    if any(differences):
        spread = max(spread, resolution)
    half = _half_width(spread, len(differences), tail)
    return Effect(mean, spread, mean - half, mean + half, _chance(mean, spread, len(differences)))


def seeds_needed(gain: Effect, *, seeds: int, tail: float, margin: float) -> int | None:
    """How many seeds leave the interval above zero or below the margin, should mean and spread stay as they are."""
    for number in range(seeds + 1, _MOST_SEEDS + 1):
        half = _half_width(gain.spread, number, tail)
        if gain.mean - half > 0 or gain.mean + half < margin:
            return number
    return None


def _half_width(spread: float, seeds: int, tail: float) -> float:
    return float(student_t.isf(tail, seeds - 1)) * spread / math.sqrt(seeds)


def _chance(mean: float, spread: float, seeds: int) -> float:
    """One-sided paired t-test; without any spread the sign decides."""
    if spread == 0:
        return 0.0 if mean > 0 else 1.0
    return float(student_t.sf(mean / spread * math.sqrt(seeds), seeds - 1))
