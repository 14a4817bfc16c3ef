"""Proposes configurations: Optuna's samplers behind ask-and-tell, one in-memory study per stage."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import optuna

from babysit.analysis.trials import configuration
from babysit.records.errors import UserError
from babysit.records.trial import Trial, TrialState, Value
from babysit.tuning.space import Categorical, Dimension, Range, Space

# Random is the default: when few hyperparameters matter it beats a grid, and it needs no earlier results (CS231n
# lecture 6).
SAMPLERS: Final = ("random", "grid", "qmc", "tpe", "gp")

LEARNING: Final = ("tpe", "gp")
# Adaptive samplers propose the trials of a stage in up to this many batches, each of at least `_LEAST_TURN` trials, so
# that later batches use earlier results. Where trials are trained together a batch may fill the machine, but takes at
# most half of the trials, so that there is always a later one.
_TURNS: Final = 4
_LEAST_TURN: Final = 4
# Startup trials drawn at random: Optuna's default of ten, and at most half of the trials.
_RANDOM_FIRST: Final = 10
# Proposing 64 trials took the Gaussian process 8.3 s and TPE 0.08 s: it pays only where a trial takes long.
_GP_MOST: Final = 64


def new_study(
    space: Space, sampler: str = "random", *, seed: int, trials: int, known: Mapping[str, Value] | None = None
) -> optuna.Study:
    """Create a study to maximize, which proposes at most `trials` configurations if its sampler is a grid.

    It is kept in memory: with SQLite, ask-and-tell takes longer than training a small model.

    Args:
        space: the search space.
        sampler: random, grid, qmc, tpe or gp.
        seed: the same seed proposes the same configurations.
        trials: number of trials that will be proposed.
        known: a configuration to propose first.

    Raises:
        UserError: the sampler does not exist or is too slow for the number of trials.
    """
    if sampler not in SAMPLERS:
        raise UserError(f"there is no sampler {sampler!r}", do=f"Use one of {', '.join(SAMPLERS)}")
    if sampler == "gp" and trials > _GP_MOST:
        raise UserError(
            f"the Gaussian process is too slow for {trials} trials",
            do=f"Use at most {_GP_MOST} trials, or use the sampler tpe",
        )
    with quiet():
        study = optuna.create_study(sampler=_sampler(sampler, seed, random_first(trials)), direction="maximize")
        if known is not None:
            study.enqueue_trial(dict(known))
        if sampler == "grid":
            # Optuna's GridSampler finishes by calling study.stop(), which is an error with ask-and-tell.
            for point in grid(space, trials - len(study.trials), known):
                study.enqueue_trial(point)
    return study


def turns(sampler: str, trials: int, width: int) -> list[int]:
    """Split the trials into batches proposed at a time; one batch for samplers that are not adaptive."""
    if sampler not in LEARNING:
        return [trials]
    side_by_side = min(width, math.ceil(trials / 2)) if sampler == "tpe" else 1
    each = max(_LEAST_TURN, math.ceil(trials / _TURNS), side_by_side)
    return [min(each, trials - begun) for begun in range(0, trials, each)]


def random_first(trials: int) -> int:
    """Return how many of a stage's trials an adaptive sampler draws at random first."""
    return min(_RANDOM_FIRST, math.ceil(trials / 2))


def learns_from(turns: Sequence[int]) -> int | None:
    """Return the first trial of a stage, from 1, that is proposed from earlier results; None if there is none."""
    begun = itertools.accumulate(turns[:-1])
    return next((seen + 1 for seen in begun if seen >= random_first(sum(turns))), None)


def propose(study: optuna.Study, space: Space, count: int) -> list[optuna.Trial]:
    """Propose the next configurations, without hyperparameters whose condition does not hold."""
    trials = []
    with quiet():
        for _ in range(count):
            # With the full space given, samplers see all of it; conditions can only be resolved one by one.
            trial = study.ask({} if space.when else distributions(space))
            for name in space.ordered if space.when else ():
                if space.active(name, trial.params):
                    _suggest(trial, name, space.dimensions[name])
            trials.append(trial)
    return trials


def report_result(study: optuna.Study, proposed: optuna.Trial, ended: Trial) -> None:
    """Report the result of a trial to the study.

    FAIL would hide a diverged trial from TPE, which would then propose the same bad region again; a pruned trial whose
    last report is NaN counts as the worst. A trial that was not promoted is ranked by its last rung, then by its
    metric.
    """
    with quiet():
        for rung in ended.rungs:
            proposed.report(math.nan if rung.metric is None else rung.metric, step=rung.epochs)
        if ended.state is TrialState.COMPLETE and ended.metric is not None:
            study.tell(proposed, ended.metric)
        else:
            study.tell(proposed, state=optuna.trial.TrialState.PRUNED)


def add_known_trials(study: optuna.Study, trials: Sequence[Trial], space: Space, *, level: int) -> None:
    """Add trials of earlier stages to a new study: those inside its ranges that were trained as long.

    Of shorter trials only those that diverged are added, which longer training does not change; metrics after fewer
    epochs would make all known trials look bad.
    """
    with quiet():
        for trial in trials:
            inside = trial.metric is None or (trial.level == level and trial.state is TrialState.COMPLETE)
            if inside and trial.reason[:6] != "failed" and holds(space, trial.parameters):
                study.add_trial(frozen(trial, space))


def frozen(trial: Trial, space: Space) -> optuna.trial.FrozenTrial:
    """Convert an ended trial to Optuna's FrozenTrial."""
    complete = trial.state is TrialState.COMPLETE and trial.metric is not None
    attributes: dict[str, Any] = {"number": trial.number, "seed": trial.seed, "reason": trial.reason}
    if not complete:
        attributes["last_costs"] = [repr(cost) for cost in trial.last_costs]
    known = distributions(space)
    return optuna.trial.create_trial(
        state=optuna.trial.TrialState.COMPLETE if complete else optuna.trial.TrialState.PRUNED,
        value=trial.metric if complete else None,
        params={name: trial.parameters[name] for name in known if name in trial.parameters},
        distributions={name: known[name] for name in known if name in trial.parameters},
        intermediate_values={rung.epochs: math.nan if rung.metric is None else rung.metric for rung in trial.rungs},
        user_attrs=attributes,
    )


def holds(space: Space, parameters: Mapping[str, Value]) -> bool:
    """Check whether a configuration lies in the space."""
    wanted = {name for name in space.dimensions if space.active(name, parameters)}
    return wanted == set(parameters) and all(
        _holds(space.dimensions[name], value) for name, value in parameters.items()
    )


def distributions(space: Space) -> dict[str, optuna.distributions.BaseDistribution]:
    """Convert the space to Optuna's distributions."""
    return {name: _distribution(dimension) for name, dimension in space.dimensions.items()}


def grid(space: Space, trials: int, known: Mapping[str, Value] | None = None) -> list[dict[str, Value]]:
    """Return the finest even grid with at most this many points, ends included; a single point lies mid-range.

    The known configuration is left out, since it is trained in any case.
    """
    counts = {
        name: len(dimension.values) if isinstance(dimension, Categorical) else 1
        for name, dimension in space.dimensions.items()
    }
    scales = list(space.scales)
    while scales:
        name = min(scales, key=lambda scale: counts[scale])
        finer = counts | {name: counts[name] + 1}
        if _product(finer) > trials:
            break
        counts = finer
    axes = [_points(dimension, counts[name]) for name, dimension in space.dimensions.items()]
    every = [dict(zip(space.dimensions, point, strict=True)) for point in itertools.product(*axes)]
    points: list[dict[str, Value]] = []
    for point in every:
        existing = _existing(point, space)
        if existing not in points:
            points.append(existing)
    points = points[: max(trials, 0)]
    return points if known is None else [one for one in points if configuration(one) != configuration(known)]


def _existing(point: Mapping[str, Value], space: Space) -> dict[str, Value]:
    """Return the point without the hyperparameters that do not exist there."""
    existing_values: dict[str, Value] = {}
    for name in space.ordered:
        if space.active(name, existing_values):
            existing_values[name] = point[name]
    return existing_values


def _product(counts: Mapping[str, int]) -> int:
    product = 1
    for count in counts.values():
        product *= count
    return product


def _points(dimension: Dimension, count: int) -> list[Value]:
    if isinstance(dimension, Categorical):
        return list(dimension.values)
    if count == 1:
        return [dimension.value(0.5)]
    # Rounding must not push the last point past the end of the range.
    return [min(max(dimension.value(i / (count - 1)), dimension.low), dimension.high) for i in range(count)]


def _sampler(name: str, seed: int, random_first: int) -> optuna.samplers.BaseSampler:
    match name:
        case "qmc":
            return optuna.samplers.QMCSampler(scramble=True, seed=seed)
        case "tpe":
            # group=True models conditional hyperparameters together.
            return optuna.samplers.TPESampler(
                seed=seed, n_startup_trials=random_first, multivariate=True, group=True, constant_liar=True
            )
        case "gp":
            return optuna.samplers.GPSampler(seed=seed, n_startup_trials=random_first)
        case _:
            return optuna.samplers.RandomSampler(seed=seed)


def _distribution(dimension: Dimension) -> optuna.distributions.BaseDistribution:
    if isinstance(dimension, Range):
        return optuna.distributions.FloatDistribution(dimension.low, dimension.high, log=not dimension.linear)
    return optuna.distributions.CategoricalDistribution(dimension.values)


def _suggest(trial: optuna.Trial, name: str, dimension: Dimension) -> None:
    if isinstance(dimension, Range):
        trial.suggest_float(name, dimension.low, dimension.high, log=not dimension.linear)
    else:
        trial.suggest_categorical(name, dimension.values)


def _holds(dimension: Dimension, value: Value) -> bool:
    if isinstance(dimension, Categorical):
        return value in dimension.values
    return dimension.low <= float(value) <= dimension.high


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Optuna's messages about new studies and its experimental warnings."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)
