"""Baseline of a search: the metric and loss of a constant prediction, and whether any trial beats it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from babysit.analysis.baseline import entropy
from babysit.analysis.trials import mean_loss
from babysit.records.dataprofile import DataProfile, SplitProfile
from babysit.records.trial import Trial

# 5 % of the way from the constant prediction to a perfect one.
_CLEARLY: Final = 0.05
# At most one search in a hundred exceeds the constant prediction by chance, over all its trials. A network predicts the
# same for similar samples, so the accuracies of untrained networks vary twice as much as the binomial distribution:
# 64 of them on 270 digits had accuracies of 0.01 to 0.24 with a standard deviation of 0.038 instead of 0.018.
_LUCK: Final = 0.01
_SPREAD: Final = 2.0


class Constant(NamedTuple):
    """The best prediction that does not depend on the input."""

    metric: float  # accuracy of the most frequent class, or an r2 of 0; 1 is perfect
    samples: int  # size of the validation set of the metric
    loss: float  # on the training samples: entropy of the class frequencies in nats, or variance of the target


def from_counts(train: Sequence[int], validation: Sequence[int]) -> Constant | None:
    """Return the constant of a classification from its class counts; None for a single class."""
    seen, samples = sum(train), sum(validation)
    if not seen or not samples or max(train) == seen:
        return None
    return Constant(max(validation) / samples, samples, entropy(train))


def from_variance(variance: float, samples: int) -> Constant | None:
    """Return the constant of a regression from the variance of the training targets; None if they are constant."""
    return Constant(0.0, samples, variance) if variance > 0 and math.isfinite(variance) and samples else None


def from_profile(data: DataProfile | None) -> Constant | None:
    """Return the constant of the data of a run; None if its profile does not determine it."""
    train, validation = (data.split("train"), data.split("validation")) if data else (None, None)
    if train is None or validation is None:
        return None
    if train.class_counts or validation.class_counts:
        both = _one_class_each(train) and _one_class_each(validation)
        return from_counts(train.class_counts, validation.class_counts) if both else None
    return from_variance(train.target_variance, validation.samples)


def best_by_chance(constant: Constant, trials: int) -> float:
    """Return the best metric expected by chance of this number of trials that learned nothing."""
    chance = constant.metric
    if not 0 < chance < 1:
        return chance
    deviation = _SPREAD * math.sqrt(chance * (1 - chance) / constant.samples)
    return chance + statistics.NormalDist().inv_cdf(1 - _LUCK / max(1, trials)) * deviation


def none_beat(trials: Iterable[Trial], constant: Constant | None) -> bool:
    """Check whether neither metric nor training loss of any trial is clearly better than a constant prediction.

    False if unknown: without a constant prediction, or without a trial with metric and losses.
    """
    known = measured(trials)
    if constant is None or not known:
        return False
    least = best_by_chance(constant, len(known)) + _CLEARLY * (1 - constant.metric)
    most = (1 - _CLEARLY) * constant.loss
    return not any((trial.metric or 0.0) > least or _surely(trial) < most for trial in known)


def measured(trials: Iterable[Trial]) -> list[Trial]:
    """Return the trials whose metric and last training losses are known and finite."""
    return [
        trial
        for trial in trials
        if trial.metric is not None and math.isfinite(trial.metric) and math.isfinite(mean_loss(trial))
    ]


def _surely(trial: Trial) -> float:
    """Return the mean of the last training losses plus two standard errors."""
    losses = trial.last_costs
    error = statistics.stdev(losses) / math.sqrt(len(losses)) if len(losses) > 1 else 0.0
    return mean_loss(trial) + 2 * error


def _one_class_each(split: SplitProfile) -> bool:
    """Check whether each sample has one class, so that counts are class frequencies."""
    return sum(split.class_counts) == split.samples - split.unlabelled
