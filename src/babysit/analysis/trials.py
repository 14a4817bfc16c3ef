"""Which trial of a search is the best, and the order of the others: the one definition of it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from babysit.records.run import Run
from babysit.records.trial import Trial, TrialState, Value

FINALISTS: Final = "finalists"  # the stage of the best, trained again on new seeds
OTHER_SEEDS: Final = " on other seeds"  # how the name of a stage ends that repeats a trial to measure the noise

# Significant digits of a hyperparameter that count: exp and log of a range leave errors in the fourteenth or later.
DIGITS: Final = 12

_Configuration = tuple[tuple[str, Value], ...]


class Ranked(NamedTuple):
    """A configuration as it is ranked: the trial that brought it, and the metric that counts."""

    trial: Trial
    metric: float  # the mean over the new seeds of a finalist; else what the trial reached
    seeds: int  # over how many new seeds; 0 for one that was not trained again

    @property
    def stage(self) -> str:
        """Where the metric comes from."""
        return FINALISTS if self.seeds else self.trial.stage


def best_trial(run: Run) -> Ranked | None:
    """The best trial of a run: the first of `ranked`, or None when no trial finished."""
    return best_of(run.trials)


def best_of(trials: Sequence[Trial]) -> Ranked | None:
    """The best of these trials: the first of `ranked`, or None when none finished."""
    return next(iter(ranked(trials)), None)


def ranked(trials: Sequence[Trial]) -> list[Ranked]:
    """The configurations that were trained to the end, the best first, each once.

    Those that were trained again on new seeds come first, by their mean over these seeds (one that diverged on a seed
    does not count as trained again), because the best of many is partly luck. Then come the others by `rank_key`. A
    trial that was pruned, failed, is under way or has no finite metric is in no place.
    """
    repeats = _repeats(trials)
    found: dict[_Configuration, Ranked] = {}
    for trial in sorted(filter(finished, trials), key=rank_key, reverse=True):
        key = configuration(trial.parameters)
        if trial.stage != FINALISTS and not trial.stage.endswith(OTHER_SEEDS) and key not in found:
            again = repeats.get(key, ())
            found[key] = Ranked(trial, statistics.fmean(again or [trial.metric or 0.0]), len(again))
    finalists = [place for place in found.values() if place.seeds]
    finalists.sort(key=lambda place: (-place.metric, place.trial.number))
    return finalists + [place for place in found.values() if not place.seeds]


def rank_key(trial: Trial) -> tuple[float, float, int]:
    """What trials are ranked by: metric, then low cost, then the earlier number.

    A few hundred validation samples often give two trials the same accuracy; the cost tells them apart.
    """
    metric = float("-inf") if trial.metric is None else trial.metric
    return metric, -mean_cost(trial), -trial.number


def loss_key(trial: Trial) -> tuple[float, int]:
    """What trials are ranked by while their metrics are noise: low cost, then the earlier number."""
    return -mean_cost(trial), -trial.number


def mean_cost(trial: Trial) -> float:
    """The mean of its last costs; infinite when none is known."""
    return sum(trial.last_costs) / len(trial.last_costs) if trial.last_costs else math.inf


def configuration(parameters: Mapping[str, Value]) -> _Configuration:
    """Hyperparameters in a form that tells configurations apart; values that differ by rounding alone are one."""
    return tuple(
        (name, float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value)
        for name, value in sorted(parameters.items())
    )


def finished(trial: Trial) -> bool:
    """Whether it was trained to the end and has a finite metric."""
    return trial.state is TrialState.COMPLETE and trial.metric is not None and math.isfinite(trial.metric)


def _repeats(trials: Sequence[Trial]) -> dict[_Configuration, list[float]]:
    """The metrics of each finalist on its new seeds; while some have fewer than others, of those with the most."""
    tried: dict[_Configuration, list[Trial]] = {}
    for trial in trials:
        if trial.stage == FINALISTS:
            tried.setdefault(configuration(trial.parameters), []).append(trial)
    most = max(map(len, tried.values()), default=0)
    return {
        key: [trial.metric or 0.0 for trial in again]
        for key, again in tried.items()
        if len(again) == most and all(map(finished, again))
    }
