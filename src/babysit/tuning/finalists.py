"""Retrains the best configurations on new seeds, because the best of many is partly luck."""

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

# A gain above two standard deviations over seeds is unlikely to be luck (95 % of a normal distribution lie within
# them).
_MIN_STDS: Final = 2.0
_NOISE_SEEDS: Final = 2  # in addition to the seed that all trials share


@final
@dataclass(frozen=True, kw_only=True)
class Finalist:
    """A configuration and its metrics on seeds that had no part in choosing it."""

    trial: Trial  # the trial it was selected by
    metrics: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Return the mean over the new seeds."""
        return statistics.fmean(self.metrics)

    @property
    def std(self) -> float | None:
        """Return the standard deviation over the new seeds; None for a single one."""
        return statistics.stdev(self.metrics) if len(self.metrics) > 1 else None


def run_finalists(
    epochs: int, *, executor: Executor, trial_log: TrialLog, settings: SearchSettings
) -> tuple[Finalist, ...]:
    """Train each finalist on each new seed; the best mean comes first, those that diverged are dropped."""
    chosen = best_configurations(trial_log.trials, settings.finalists)
    seeds = [settings.seed + 1 + offset for offset in range(settings.finalist_seeds)]
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
    """Explain that a stage improved by no more than the variation over seeds; return "" if it improved by more.

    The best configuration before was trained again in this stage, for as long as its other trials; the standard
    deviation is that of the stage's best on other seeds.
    """
    trials = trial_log.of(stage.name)
    found = best_of(trials)
    if before is None or found is None:
        return ""
    best = found.trial
    again = [trial for trial in trials if trial.parameters == before.parameters and trial.state is TrialState.COMPLETE]
    gain = (best.metric or 0.0) - ((again[0] if again else before).metric or 0.0)
    seeds = [settings.seed + 1 + offset for offset in range(_NOISE_SEEDS)]
    repeated = Stage(f"{stage.name}{OTHER_SEEDS}", len(seeds), stage.epochs)
    results = _on_seeds([best], seeds, repeated, executor=executor, trial_log=trial_log)[0]
    metrics = [trial.metric for trial in (best, *results) if trial.metric is not None]
    if len(metrics) < 2:
        return ""
    std = statistics.stdev(metrics)
    if gain > _MIN_STDS * std:
        return ""
    return (
        f"the {stage.name} stage improved on the best before by {gain:+.3f}, which is within the variation over seeds "
        f"(standard deviation {std:.3f} over {len(metrics)} seeds): no further stages are run"
    )


def note_on(finalists: Sequence[Finalist]) -> str:
    """Describe in one sentence what the new seeds say about the choice; "" if they say nothing."""
    if len(finalists) < 2:
        return ""
    first, second = finalists[:2]
    std = max(first.std or 0.0, second.std or 0.0)
    if first.mean - second.mean <= std:
        return (
            f"the best two configurations differ by no more than one standard deviation over seeds "
            f"({first.mean:.3f} and "
            f"{second.mean:.3f}, ±{std:.3f}): {in_words(second.trial)} is as good a choice"
        )
    return ""


def best_configurations(trials: Sequence[Trial], count: int) -> list[Trial]:
    """Return the best finished trials, each configuration once."""
    return [entry.trial for entry in ranked(trials)[:count]]


def _on_seeds(
    chosen: Sequence[Trial], seeds: Sequence[int], stage: Stage, *, executor: Executor, trial_log: TrialLog
) -> list[list[Trial]]:
    """Train each configuration on each seed, all together; return one list of results for each configuration."""
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
