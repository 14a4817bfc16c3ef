"""Trains the best configurations again on new seeds, because the best of many is partly luck."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

from babysit.analysis.trials import FINALISTS, OTHER_SEEDS, best_of, ranked
from babysit.records.trial import Trial, TrialState
from babysit.tuning.executors.base import Executor, TrialConfig
from babysit.tuning.halving_schedule import HalvingSchedule
from babysit.tuning.settings import SearchSettings, Stage
from babysit.tuning.successive_halving import run_bracket
from babysit.tuning.trial_log import TrialLog, in_words

# A gain above two standard deviations of the seeds is hardly luck (95 % of a normal distribution lie within them).
_SPREADS: Final = 2.0
_NOISE_SEEDS: Final = 2  # new ones, beside the one that all trials begin with


@final
@dataclass(frozen=True, kw_only=True)
class Finalist:
    """A configuration and what it reached on seeds that had no part in choosing it."""

    trial: Trial  # the one that brought it here
    metrics: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean over the new seeds."""
        return statistics.fmean(self.metrics)

    @property
    def spread(self) -> float | None:
        """The standard deviation over the new seeds; None for a single one."""
        return statistics.stdev(self.metrics) if len(self.metrics) > 1 else None


def run_finalists(
    epochs: int, *, executor: Executor, trial_log: TrialLog, settings: SearchSettings
) -> tuple[Finalist, ...]:
    """Trains each finalist on each new seed; the best mean comes first, those that diverge are left out."""
    chosen = best_configurations(trial_log.trials, settings.finalists)
    seeds = [settings.seed + 1 + place for place in range(settings.finalist_seeds)]
    if not chosen or not seeds:
        return ()
    ended = _on_seeds(
        chosen, seeds, Stage(FINALISTS, len(chosen) * len(seeds), epochs), executor=executor, trial_log=trial_log
    )
    finalists = [
        Finalist(trial=trial, metrics=tuple(result.metric or 0.0 for result in results))
        for trial, results in zip(chosen, ended, strict=True)
        if all(result.state == TrialState.COMPLETE for result in results)
    ]
    return tuple(sorted(finalists, key=lambda finalist: (-finalist.mean, finalist.trial.number)))


def brought_nothing(
    stage: Stage, before: Trial | None, *, executor: Executor, trial_log: TrialLog, settings: SearchSettings
) -> str:
    """Says so when the best of a stage is better than the best before it by no more than seeds differ; else "".

    The best before was trained again in this stage, for as long as its other trials; the spread is that of the stage's
    best on other seeds.
    """
    trials = trial_log.of(stage.name)
    found = best_of(trials)
    if before is None or found is None:
        return ""
    best = found.trial
    again = [trial for trial in trials if trial.parameters == before.parameters and trial.state is TrialState.COMPLETE]
    gain = (best.metric or 0.0) - ((again[0] if again else before).metric or 0.0)
    seeds = [settings.seed + 1 + place for place in range(_NOISE_SEEDS)]
    repeated = Stage(f"{stage.name}{OTHER_SEEDS}", len(seeds), stage.epochs)
    results = _on_seeds([best], seeds, repeated, executor=executor, trial_log=trial_log)[0]
    metrics = [trial.metric for trial in (best, *results) if trial.metric is not None]
    if len(metrics) < 2:
        return ""
    spread = statistics.stdev(metrics)
    if gain > _SPREADS * spread:
        return ""
    return (
        f"the {stage.name} stage brought {gain:+.3f} over the best before it, which is no more than the seeds differ "
        f"(standard deviation {spread:.3f} over {len(metrics)} seeds): the search ends here"
    )


def note_on(finalists: Sequence[Finalist]) -> str:
    """What the new seeds say about the choice, in one sentence; "" when there is nothing to say."""
    if len(finalists) < 2:
        return ""
    first, second = finalists[:2]
    spread = max(first.spread or 0.0, second.spread or 0.0)
    if first.mean - second.mean <= spread:
        return (
            f"the best two configurations are equal within the spread of seeds ({first.mean:.3f} and "
            f"{second.mean:.3f}, ±{spread:.3f}): {in_words(second.trial)} would do as well"
        )
    return ""


def best_configurations(trials: Sequence[Trial], count: int) -> list[Trial]:
    """The best finished trials, each configuration once."""
    return [place.trial for place in ranked(trials)[:count]]


def _on_seeds(
    chosen: Sequence[Trial], seeds: Sequence[int], stage: Stage, *, executor: Executor, trial_log: TrialLog
) -> list[list[Trial]]:
    """Trains each configuration on each seed, all side by side; the results of each configuration in a list."""
    members = [
        TrialConfig(number=trial_log.new_number(), parameters=trial.parameters, seed=seed, epochs=stage.epochs)
        for trial in chosen
        for seed in seeds
    ]
    trial_log.begin(stage)
    ended = run_bracket(
        members, HalvingSchedule(stage.name, (stage.epochs,), (len(members),)), executor=executor, trial_log=trial_log
    )
    trial_log.end()
    return [ended[start : start + len(seeds)] for start in range(0, len(ended), len(seeds))]
