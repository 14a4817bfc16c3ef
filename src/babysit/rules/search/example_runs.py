"""Small made-up searches for the examples of these rules."""

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
    """A stage of trials spread evenly over the ranges; `score` gives the metric of a configuration, None for NaN."""
    generator = np.random.default_rng(0)
    places = {name: generator.permutation((np.arange(trials) + 0.5) / trials) for name in ranges}
    made = []
    for number in range(trials):
        parameters = {name: _value(ends, float(places[name][number]), log=log) for name, ends in ranges.items()}
        made.append(trial_of(number, parameters, score(parameters)))
    return Run(
        id="example",
        kind="search",
        status=Status.FINISHED,
        trials=(*made, *finalists),
        ranges=tuple(
            StageRange(stage="coarse", parameter=name, low=low, high=high, log=log)
            for name, (low, high) in ranges.items()
        ),
    )


def trial_of(number: int, parameters: Mapping[str, float], metric: float | None, *, stage: str = "coarse") -> Trial:
    """A finished trial, or one whose cost exploded."""
    return Trial(
        number=number,
        stage=stage,
        parameters=dict(parameters),
        state=TrialState.PRUNED if metric is None else TrialState.COMPLETE,
        reason="loss is NaN" if metric is None else "",
        metric=metric,
    )


def peak(name: str, best: float, *, width: float = 1.0) -> Score:
    """A metric that is highest at this value and falls by factors of ten to both sides."""
    return lambda parameters: 0.95 - 0.1 * (math.log10(parameters[name] / best) / width) ** 2


def lr_and_decay(parameters: Mapping[str, float]) -> float:
    """Both matter, and the best of both lies well inside the ranges of `sound`."""
    lr, decay = math.log10(parameters["lr"] / 3e-3), math.log10(parameters["weight_decay"] / 1e-4)
    return 0.95 - 0.1 * lr**2 - 0.02 * decay**2


def sound() -> Run:
    """A search with nothing wrong."""
    return searched(lr_and_decay, {"lr": (1e-4, 1e-1), "weight_decay": (1e-6, 1e-2)})


def _value(ends: Ends, place: float, *, log: bool) -> float:
    low, high = ends
    return float(low * (high / low) ** place) if log else low + place * (high - low)
