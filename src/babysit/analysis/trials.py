"""Ranking of the trials of a search; the single definition of the best trial."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from babysit.records.run import Run
from babysit.records.trial import Trial, TrialState, Value

FINALISTS: Final = "finalists"  # the stage that retrains the best configurations on new seeds
OTHER_SEEDS: Final = " on other seeds"  # suffix of the name of a stage that repeats a trial to measure the noise

# Compared significant digits of a hyperparameter: exp and log of a range cause errors from the fourteenth on.
DIGITS: Final = 12

_Configuration = tuple[tuple[str, Value], ...]


class Ranked(NamedTuple):
    """A ranked configuration: its trial and the metric that ranks it."""

    trial: Trial
    metric: float  # the mean over new seeds for a finalist; else the metric of the trial
    seeds: int  # number of new seeds; 0 if not retrained

    @property
    def stage(self) -> str:
        """Return the stage of the metric."""
        return FINALISTS if self.seeds else self.trial.stage


def best_trial(run: Run) -> Ranked | None:
    """Return the best trial of a run: the first of `ranked`, or None if no trial finished."""
    return best_of(run.trials)


def best_of(trials: Sequence[Trial]) -> Ranked | None:
    """Return the best of these trials: the first of `ranked`, or None if none finished."""
    return next(iter(ranked(trials)), None)


def ranked(trials: Sequence[Trial]) -> list[Ranked]:
    """Return the configurations that were trained to the end, each once, best first.

    Configurations retrained on new seeds come first, by their mean over these seeds (unless one diverged), because the
    best of many trials is partly chance. The others follow by `rank_key`. Trials that were pruned, failed, are running
    or have no finite metric are not ranked.
    """
    repeats = _repeats(trials)
    found: dict[_Configuration, Ranked] = {}
    for trial in sorted(filter(finished, trials), key=rank_key, reverse=True):
        key = configuration(trial.parameters)
        if trial.stage != FINALISTS and not trial.stage.endswith(OTHER_SEEDS) and key not in found:
            again = repeats.get(key, ())
            found[key] = Ranked(trial, statistics.fmean(again or [trial.metric or 0.0]), len(again))
    finalists = [entry for entry in found.values() if entry.seeds]
    finalists.sort(key=lambda entry: (-entry.metric, entry.trial.number))
    return finalists + [entry for entry in found.values() if not entry.seeds]


def rank_key(trial: Trial) -> tuple[float, float, int]:
    """Return the sort key of a trial: metric, then low training loss, then low number.

    With a few hundred validation samples two trials often have the same accuracy; the loss breaks the tie.
    """
    metric = float("-inf") if trial.metric is None else trial.metric
    return metric, -mean_loss(trial), -trial.number


def loss_key(trial: Trial) -> tuple[float, int]:
    """Return the sort key of a trial if metrics are noise: low training loss, then low number."""
    return -mean_loss(trial), -trial.number


def mean_loss(trial: Trial) -> float:
    """Return the mean of the last training losses of a trial; infinity if unknown."""
    return sum(trial.last_costs) / len(trial.last_costs) if trial.last_costs else math.inf


def configuration(parameters: Mapping[str, Value]) -> _Configuration:
    """Return hyperparameters as a hashable key; values that differ by rounding only are equal."""
    return tuple(
        (name, float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value)
        for name, value in sorted(parameters.items())
    )


def finished(trial: Trial) -> bool:
    """Check whether the trial was trained to the end and has a finite metric."""
    return trial.state is TrialState.COMPLETE and trial.metric is not None and math.isfinite(trial.metric)


def _repeats(trials: Sequence[Trial]) -> dict[_Configuration, list[float]]:
    """Return the metrics of the finalists on their new seeds, of those with the most seeds only."""
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
