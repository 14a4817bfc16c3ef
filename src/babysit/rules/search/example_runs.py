"""Small synthetic searches for the examples of these rules."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from babysit.records.run import Run, Status
from babysit.records.trial import StageRange, Trial, TrialState

Score = Callable[[Mapping[str, float]], float | None]
Ends = tuple[float, float]


def searched(
    score: Score, ranges: Mapping[str, Ends], *, trials: int = 24, log: bool = True, finalists: Sequence[Trial] = ()
) -> Run:
    """Build a stage of evenly spaced trials; `score` gives the metric of a configuration, None if it diverges."""
    generator = np.random.default_rng(0)
    places = {name: generator.permutation((np.arange(trials) + 0.5) / trials) for name in ranges}
    built = []
    for number in range(trials):
        parameters = {name: _value(ends, float(places[name][number]), log=log) for name, ends in ranges.items()}
        built.append(trial_of(number, parameters, score(parameters)))
    return Run(
        id="example",
        kind="search",
        status=Status.FINISHED,
        trials=(*built, *finalists),
        ranges=tuple(
            StageRange(stage="coarse", parameter=name, low=low, high=high, log=log)
            for name, (low, high) in ranges.items()
        ),
    )


def trial_of(number: int, parameters: Mapping[str, float], metric: float | None, *, stage: str = "coarse") -> Trial:
    """Build a finished trial, or a diverged one if the metric is None."""
    return Trial(
        number=number,
        stage=stage,
        parameters=dict(parameters),
        state=TrialState.PRUNED if metric is None else TrialState.COMPLETE,
        reason="loss is NaN" if metric is None else "",
        metric=metric,
    )


def peak(name: str, best: float, *, width: float = 1.0) -> Score:
    """Return a score with its maximum at this value, quadratic in log10."""
    return lambda parameters: 0.95 - 0.1 * (math.log10(parameters[name] / best) / width) ** 2


def lr_and_decay(parameters: Mapping[str, float]) -> float:
    """Return a score to which both contribute, with its maximum well inside the ranges of `sound`."""
    lr, decay = math.log10(parameters["lr"] / 3e-3), math.log10(parameters["weight_decay"] / 1e-4)
    return 0.95 - 0.1 * lr**2 - 0.02 * decay**2


def sound() -> Run:
    """Build a search without problems."""
    return searched(lr_and_decay, {"lr": (1e-4, 1e-1), "weight_decay": (1e-6, 1e-2)})


def _value(ends: Ends, place: float, *, log: bool) -> float:
    low, high = ends
    return float(low * (high / low) ** place) if log else low + place * (high - low)
