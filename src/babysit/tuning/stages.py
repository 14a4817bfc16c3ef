"""One stage of a search: ask for configurations, train them, tell what came of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import optuna

from babysit.records.problem import UserError
from babysit.records.trial import Trial, TrialState, Value
from babysit.tuning.abort import KEPT_COSTS
from babysit.tuning.executor import Advance, Executor, Member
from babysit.tuning.ledger import Ledger
from babysit.tuning.ranges import next_dimension
from babysit.tuning.sampler import ask, grid, new_study
from babysit.tuning.settings import SearchSettings, Stage
from babysit.tuning.space import Dimension, Space


def run_stage(
    stage: Stage, space: Space, *, executor: Executor, ledger: Ledger, settings: SearchSettings, seed: int
) -> None:
    """Trains the stage's trials; each is in the ledger as soon as it has ended.

    The best configuration so far is trained first, for as long as the others: no stage ends worse than it began.

    Args:
        stage: how many trials, and how long.
        space: what to draw from.
        executor: who trains.
        ledger: who remembers.
        settings: the sampler, and the seed that all trials begin with (common random numbers: trials differ by their
            hyperparameters alone).
        seed: of the sampler; another one for every stage.

    Raises:
        UserError: the very first trial cannot be trained at all.
    """
    known = _inside(space, ledger)
    study = new_study(space, settings.sampler, seed=seed, trials=stage.trials, known=known)
    left = stage.trials
    if settings.sampler == "grid":
        left = min(left, len(grid(space, stage.trials - (known is not None))) + (known is not None))
    while left > 0:
        proposed = ask(study, space, min(left, executor.width))
        left -= len(proposed)
        asked = {ledger.next_number + place: trial for place, trial in enumerate(proposed)}
        members = [
            Member(number=number, parameters=trial.params, seed=settings.seed) for number, trial in asked.items()
        ]
        for advance in train(members, stage.epochs, executor=executor):
            refuse_if_nothing_works(advance, members[0].parameters, ledger)
            _tell(study, asked[advance.number], advance)
            ledger.metric_name = advance.metric_name or ledger.metric_name
            member = next(member for member in members if member.number == advance.number)
            ledger.add(trial_of(member, stage.name, advance))
    ledger.end()


def train(members: Sequence[Member], epochs: int, *, executor: Executor) -> Iterator[Advance]:
    """Trains members from their beginning to their end and frees them."""
    try:
        yield from executor.advance(members, epochs=epochs)
    finally:
        executor.forget([member.number for member in members])


def trial_of(member: Member, stage: str, advance: Advance) -> Trial:
    """The record of a member that has ended."""
    return Trial(
        number=member.number,
        stage=stage,
        parameters=dict(member.parameters),
        state=TrialState.PRUNED if advance.stopped else TrialState.COMPLETE,
        reason=advance.stopped,
        step=advance.step,
        metric=None if advance.stopped else advance.metric,
        initial_cost=advance.initial_cost,
        last_costs=advance.costs[-KEPT_COSTS:],
        seconds=advance.seconds,
        seed=member.seed,
    )


def next_space(
    space: Space, trials: Sequence[Trial], *, only: Sequence[str] | None = None
) -> tuple[Space, dict[str, str]]:
    """The ranges for the next stage (of `only` these names), and by name why each is what it is."""
    dimensions: dict[str, Dimension] = {}
    why: dict[str, str] = {}
    for name, dimension in space.dimensions.items():
        if only is None or name in only:
            dimensions[name], why[name] = next_dimension(name, dimension, trials)
        else:
            dimensions[name], why[name] = dimension, "kept: its best values do not lie at an end"
    return Space(dimensions), why


def refuse_if_nothing_works(advance: Advance, parameters: Mapping[str, Value], ledger: Ledger) -> None:
    """A model that cannot even be tried once is a mistake to mend, not a hyperparameter to avoid."""
    if not ledger.trials and advance.stopped.startswith("failed: "):
        shown = ", ".join(f"{name}={value}" for name, value in parameters.items())
        raise UserError(
            f"the first trial could not be trained: {advance.stopped.removeprefix('failed: ')}",
            where=shown,
            do="Mend the function that builds the model, or the space",
        )


def _inside(space: Space, ledger: Ledger) -> dict[str, Value] | None:
    """The best configuration so far, when the space still holds it."""
    if ledger.best is None:
        return None
    parameters = ledger.best.parameters
    for name, scale in space.scales.items():
        if not scale.low <= float(parameters[name]) <= scale.high:
            return None
    return parameters


def _tell(study: optuna.Study, trial: optuna.Trial, advance: Advance) -> None:
    if advance.stopped or advance.metric is None:
        # FAIL would hide the trial from TPE, which then proposes the same bad region again; a pruned trial whose last
        # report is NaN counts as the worst.
        trial.report(float("nan"), step=advance.step)
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    else:
        study.tell(trial, advance.metric)
