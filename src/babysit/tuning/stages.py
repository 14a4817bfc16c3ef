"""Runs one stage of a search: propose configurations, train them rung by rung, report the results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from babysit.analysis.constant import Constant
from babysit.records.trial import Trial, Value
from babysit.tuning.executors.base import Executor, TrialConfig
from babysit.tuning.halving_schedule import HalvingSchedule, correlations, halving_schedule
from babysit.tuning.range_update import next_range
from babysit.tuning.sampler import (
    LEARNING,
    add_known_trials,
    grid,
    holds,
    learns_from,
    new_study,
    propose,
    report_result,
    turns,
)
from babysit.tuning.settings import SearchSettings, Stage
from babysit.tuning.space import Dimension, Space
from babysit.tuning.successive_halving import run_bracket
from babysit.tuning.trial_log import TrialLog


def run_stage(
    stage: Stage, space: Space, *, executor: Executor, trial_log: TrialLog, settings: SearchSettings, seed: int
) -> None:
    """Train the trials of a stage; each is added to the trial log as soon as it has ended.

    The best configuration so far is trained again with them, so no stage ends worse than it began.

    Args:
        stage: number of trials and epochs.
        space: the search space.
        executor: trains the trials.
        trial_log: receives the finished trials.
        settings: the sampler, and the seed of all trials (common random numbers: trials differ by their
            hyperparameters alone).
        seed: seed of the sampler; different for each stage.

    Raises:
        UserError: none of the first trials can be trained.
    """
    known = _inside(space, trial_log)
    study = new_study(space, settings.sampler, seed=seed, trials=stage.trials, known=known)
    if settings.sampler in LEARNING:
        add_known_trials(study, trial_log.trials, space, level=stage.epochs)
    for rungs in plans(stage, space, settings, width=executor.width, known=known):
        proposed = {trial_log.new_number(): trial for trial in propose(study, space, rungs.members[0])}
        members = [
            TrialConfig(number=number, parameters=trial.params, seed=settings.seed, epochs=stage.epochs)
            for number, trial in proposed.items()
        ]
        for trial in run_bracket(members, rungs, executor=executor, trial_log=trial_log):
            report_result(study, proposed[trial.number], trial)
    trial_log.notes += correlations(trial_log.of(stage.name))
    trial_log.end()


def plans(
    stage: Stage, space: Space, settings: SearchSettings, *, width: int, known: Mapping[str, Value] | None = None
) -> list[HalvingSchedule]:
    """Return the rungs of a stage: one schedule for all its trials, or one for each batch of an adaptive sampler."""
    trials = stage.trials
    if settings.sampler == "grid":
        more = int(known is not None)
        trials = min(trials, len(grid(space, stage.trials - more, known)) + more)
    # The Gaussian process learns from completed trials only.
    factor = 1.0 if settings.sampler == "gp" else settings.halving
    return [halving_schedule(stage, count, factor=factor) for count in turns(settings.sampler, trials, width)]


def plan_in_words(rungs: Sequence[HalvingSchedule], *, sampler: str = "random") -> str:
    """Describe in one sentence what a stage will do."""
    first, *more = rungs
    text = f"{first} (the first of {len(rungs)} batches)" if more else str(first)
    if sampler not in LEARNING:
        return text
    first_adaptive = learns_from([rung.members[0] for rung in rungs])
    when = f"from trial {first_adaptive} of the stage on" if first_adaptive else "for no trial: the stage has too few"
    return f"{text}; {sampler} uses earlier results {when}"


def next_space(
    space: Space,
    trials: Sequence[Trial],
    *,
    known: Sequence[Trial] = (),
    constant: Constant | None = None,
    only: Sequence[str] | None = None,
) -> tuple[Space, dict[str, str]]:
    """Return the ranges for the next stage (of `only` these names), and by name the reason for each."""
    dimensions: dict[str, Dimension] = {}
    why: dict[str, str] = {}
    for name, dimension in space.dimensions.items():
        if only is None or name in only:
            dimensions[name], why[name] = next_range(name, dimension, trials, known, constant=constant)
        else:
            dimensions[name], why[name] = dimension, "unchanged: its best values do not lie at an end"
    return space.narrowed(dimensions), why


def _inside(space: Space, trial_log: TrialLog) -> dict[str, Value] | None:
    """Return the best configuration so far if the space still contains it."""
    best = trial_log.best
    return best.parameters if best is not None and holds(space, best.parameters) else None
