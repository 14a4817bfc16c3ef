"""One stage of a search: ask for configurations, train them rung by rung, tell what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from babysit.analysis.constant import Constant
from babysit.records.trial import Trial, Value
from babysit.tuning.executors.base import Executor, TrialConfig
from babysit.tuning.halving_schedule import HalvingSchedule, correlations, halving_schedule
from babysit.tuning.range_update import next_range
from babysit.tuning.sampler import LEARNING, ask, carry, grid, holds, learns_from, new_study, tell, turns
from babysit.tuning.settings import SearchSettings, Stage
from babysit.tuning.space import Dimension, Space
from babysit.tuning.successive_halving import run_bracket
from babysit.tuning.trial_log import TrialLog


def run_stage(
    stage: Stage, space: Space, *, executor: Executor, trial_log: TrialLog, settings: SearchSettings, seed: int
) -> None:
    """Trains the stage's trials; each is in the trial log as soon as it has ended.

    The best configuration so far is trained with them: no stage ends worse than it began.

    Args:
        stage: how many trials, and how long.
        space: what to draw from.
        executor: who trains.
        trial_log: keeps what was tried.
        settings: the sampler, and the seed that all trials begin with (common random numbers: trials differ by their
            hyperparameters alone).
        seed: of the sampler; another one for every stage.

    Raises:
        UserError: the first trials cannot be trained at all.
    """
    known = _inside(space, trial_log)
    study = new_study(space, settings.sampler, seed=seed, trials=stage.trials, known=known)
    if settings.sampler in LEARNING:
        carry(study, trial_log.trials, space, level=stage.epochs)
    for rungs in plans(stage, space, settings, width=executor.width, known=known):
        proposed = {trial_log.new_number(): trial for trial in ask(study, space, rungs.members[0])}
        members = [
            TrialConfig(number=number, parameters=trial.params, seed=settings.seed, epochs=stage.epochs)
            for number, trial in proposed.items()
        ]
        for trial in run_bracket(members, rungs, executor=executor, trial_log=trial_log):
            tell(study, proposed[trial.number], trial)
    trial_log.notes += correlations(trial_log.of(stage.name))
    trial_log.end()


def plans(
    stage: Stage, space: Space, settings: SearchSettings, *, width: int, known: Mapping[str, Value] | None = None
) -> list[HalvingSchedule]:
    """The rungs of a stage: one plan for all its trials, or one for each turn of a sampler that learns in between."""
    trials = stage.trials
    if settings.sampler == "grid":
        more = int(known is not None)
        trials = min(trials, len(grid(space, stage.trials - more, known)) + more)
    # The Gaussian process learns from trials that came to their end only.
    factor = 1.0 if settings.sampler == "gp" else settings.halving
    return [halving_schedule(stage, count, factor=factor) for count in turns(settings.sampler, trials, width)]


def plan_in_words(rungs: Sequence[HalvingSchedule], *, sampler: str = "random") -> str:
    """What a stage is going to do, in one sentence."""
    first, *more = rungs
    said = f"{first} (the first of {len(rungs)} turns)" if more else str(first)
    if sampler not in LEARNING:
        return said
    begins = learns_from([rung.members[0] for rung in rungs])
    when = f"from trial {begins} of the stage on" if begins else "for none of them: there are too few trials"
    return f"{said}; {sampler} goes by results {when}"


def next_space(
    space: Space,
    trials: Sequence[Trial],
    *,
    known: Sequence[Trial] = (),
    constant: Constant | None = None,
    only: Sequence[str] | None = None,
) -> tuple[Space, dict[str, str]]:
    """The ranges for the next stage (of `only` these names), and by name why each is what it is."""
    dimensions: dict[str, Dimension] = {}
    why: dict[str, str] = {}
    for name, dimension in space.dimensions.items():
        if only is None or name in only:
            dimensions[name], why[name] = next_range(name, dimension, trials, known, constant=constant)
        else:
            dimensions[name], why[name] = dimension, "kept: its best values do not lie at an end"
    return space.narrowed(dimensions), why


def _inside(space: Space, trial_log: TrialLog) -> dict[str, Value] | None:
    """The best configuration so far, when the space still holds it."""
    best = trial_log.best
    return best.parameters if best is not None and holds(space, best.parameters) else None
