"""Who proposes the next configurations: Optuna's samplers behind ask and tell, one study a stage, in memory."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import optuna

from babysit.records.problem import UserError
from babysit.records.trial import Value
from babysit.tuning.space import Choice, Dimension, Scale, Space

# Random first: when few hyperparameters matter it beats a grid, and it needs no results to go on (CS231n lecture 6).
SAMPLERS: Final = ("random", "grid", "qmc", "tpe")


def new_study(
    space: Space, sampler: str = "random", *, seed: int, trials: int, known: Mapping[str, Value] | None = None
) -> optuna.Study:
    """A study to maximize, which proposes at most `trials` configurations when its sampler is a grid.

    It is kept in memory: with SQLite, asking for and telling of a trial takes longer than training a small model.

    Args:
        space: what to draw from.
        sampler: random, grid, qmc or tpe.
        seed: the same seed proposes the same configurations.
        trials: how many will be asked for.
        known: a configuration to propose first.

    Raises:
        UserError: there is no such sampler.
    """
    if sampler not in SAMPLERS:
        raise UserError(f"there is no sampler {sampler!r}", do=f"Use one of {', '.join(SAMPLERS)}")
    with quiet():
        study = optuna.create_study(sampler=_sampler(sampler, seed), direction="maximize")
        if known is not None:
            study.enqueue_trial(dict(known))
        if sampler == "grid":
            # Optuna's own GridSampler ends by stopping study.optimize(), which is an error for ask and tell.
            for point in grid(space, trials - len(study.trials)):
                study.enqueue_trial(point)
    return study


def ask(study: optuna.Study, space: Space, count: int) -> list[optuna.Trial]:
    """The next configurations."""
    with quiet():
        return [study.ask(distributions(space)) for _ in range(count)]


def distributions(space: Space) -> dict[str, optuna.distributions.BaseDistribution]:
    """The space in Optuna's words."""
    return {name: _distribution(dimension) for name, dimension in space.dimensions.items()}


def grid(space: Space, trials: int) -> list[dict[str, Value]]:
    """The points of the finest even grid with at most this many points, ends included; a lone point lies mid-range."""
    counts = {
        name: len(dimension.values) if isinstance(dimension, Choice) else 1
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
    points = [dict(zip(space.dimensions, point, strict=True)) for point in itertools.product(*axes)]
    return points[: max(trials, 0)]


def _product(counts: Mapping[str, int]) -> int:
    product = 1
    for count in counts.values():
        product *= count
    return product


def _points(dimension: Dimension, count: int) -> list[Value]:
    if isinstance(dimension, Choice):
        return list(dimension.values)
    if count == 1:
        return [dimension.value(0.5)]
    # Rounding must not push the last point past the end of the range.
    return [min(max(dimension.value(i / (count - 1)), dimension.low), dimension.high) for i in range(count)]


def _sampler(name: str, seed: int) -> optuna.samplers.BaseSampler:
    match name:
        case "qmc":
            return optuna.samplers.QMCSampler(scramble=True, seed=seed)
        case "tpe":
            return optuna.samplers.TPESampler(seed=seed)
        case _:
            return optuna.samplers.RandomSampler(seed=seed)


def _distribution(dimension: Dimension) -> optuna.distributions.BaseDistribution:
    if isinstance(dimension, Scale):
        return optuna.distributions.FloatDistribution(dimension.low, dimension.high, log=not dimension.linear)
    return optuna.distributions.CategoricalDistribution(dimension.values)


@contextmanager
def quiet() -> Iterator[None]:
    """Optuna announces each study and warns of names that it may change; neither is news to the user."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)
