"""One stage of a search: ask for configurations, train them rung by rung, tell what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from babysit.analysis.constant import Constant
from babysit.records.trial import Trial, Value
from babysit.tuning.climb import climb
from babysit.tuning.executor import Executor, Member
from babysit.tuning.halving import Plan, correlations, plan
from babysit.tuning.ledger import Ledger
from babysit.tuning.ranges import next_dimension
from babysit.tuning.sampler import LEARNING, ask, carry, grid, holds, learns_from, new_study, tell, turns
from babysit.tuning.settings import SearchSettings, Stage
from babysit.tuning.space import Dimension, Space


def run_stage(
    stage: Stage, space: Space, *, executor: Executor, ledger: Ledger, settings: SearchSettings, seed: int
) -> None:
    """Trains the stage's trials; each is in the ledger as soon as it has ended.

    The best configuration so far is trained with them: no stage ends worse than it began.

    Args:
        stage: how many trials, and how long.
        space: what to draw from.
        executor: who trains.
        ledger: who remembers.
        settings: the sampler, and the seed that all trials begin with (common random numbers: trials differ by their
            hyperparameters alone).
        seed: of the sampler; another one for every stage.

    Raises:
        UserError: the first trials cannot be trained at all.
    """
    known = _inside(space, ledger)
    study = new_study(space, settings.sampler, seed=seed, trials=stage.trials, known=known)
    if settings.sampler in LEARNING:
        carry(study, ledger.trials, space, level=stage.epochs)
    for rungs in plans(stage, space, settings, width=executor.width, known=known):
        proposed = {ledger.new_number(): trial for trial in ask(study, space, rungs.members[0])}
        members = [
            Member(number=number, parameters=trial.params, seed=settings.seed, epochs=stage.epochs)
            for number, trial in proposed.items()
        ]
        for trial in climb(members, rungs, executor=executor, ledger=ledger):
            tell(study, proposed[trial.number], trial)
    ledger.notes += correlations(ledger.of(stage.name))
    ledger.end()


def plans(
    stage: Stage, space: Space, settings: SearchSettings, *, width: int, known: Mapping[str, Value] | None = None
) -> list[Plan]:
    """The rungs of a stage: one plan for all its trials, or one for each turn of a sampler that learns in between."""
    trials = stage.trials
    if settings.sampler == "grid":
        more = int(known is not None)
        trials = min(trials, len(grid(space, stage.trials - more, known)) + more)
    # The Gaussian process learns from trials that came to their end only.
    factor = 1.0 if settings.sampler == "gp" else settings.halving
    return [plan(stage, count, factor=factor) for count in turns(settings.sampler, trials, width)]


def plan_in_words(rungs: Sequence[Plan], *, sampler: str = "random") -> str:
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
            dimensions[name], why[name] = next_dimension(name, dimension, trials, known, constant=constant)
        else:
            dimensions[name], why[name] = dimension, "kept: its best values do not lie at an end"
    return space.narrowed(dimensions), why


def _inside(space: Space, ledger: Ledger) -> dict[str, Value] | None:
    """The best configuration so far, when the space still holds it."""
    best = ledger.best
    return best.parameters if best is not None and holds(space, best.parameters) else None
