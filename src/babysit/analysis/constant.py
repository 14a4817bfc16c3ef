"""What a constant answer reaches on the data of a search, and whether no trial is clearly better than that."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from babysit.analysis.baseline import entropy
from babysit.analysis.trials import mean_cost
from babysit.records.dataprofile import DataProfile, SplitProfile
from babysit.records.trial import Trial

# A twentieth of the way from the constant answer to perfection.
_CLEARLY: Final = 0.05
# At most one search in a hundred exceeds the constant answer by luck, counted over all its trials. A network answers
# alike samples alike, so those that learned nothing differ by twice what the drawing of the samples explains: 64
# untrained ones on 270 digits had accuracies of 0.01 to 0.24, with a deviation of 0.038 where 0.018 would be binomial.
_LUCK: Final = 0.01
_SPREAD: Final = 2.0


class Constant(NamedTuple):
    """The best answer that does not depend on the input."""

    metric: float  # accuracy of the most frequent class, or an r2 of 0; 1 is perfect
    samples: int  # of validation, which the metric is measured on
    loss: float  # on the training samples: entropy of the class frequencies in nats, or variance of the target


def from_counts(train: Sequence[int], validation: Sequence[int]) -> Constant | None:
    """That of a classification, from how often each class occurs; None where there is nothing to tell apart."""
    seen, samples = sum(train), sum(validation)
    if not seen or not samples or max(train) == seen:
        return None
    return Constant(max(validation) / samples, samples, entropy(train))


def from_variance(variance: float, samples: int) -> Constant | None:
    """That of a regression, from the variance of the training targets; None where they do not vary."""
    return Constant(0.0, samples, variance) if variance > 0 and math.isfinite(variance) and samples else None


def from_profile(data: DataProfile | None) -> Constant | None:
    """That of the data of a run, or None when it cannot be told from their profile."""
    train, validation = (data.split("train"), data.split("validation")) if data else (None, None)
    if train is None or validation is None:
        return None
    if train.class_counts or validation.class_counts:
        both = _one_class_each(train) and _one_class_each(validation)
        return from_counts(train.class_counts, validation.class_counts) if both else None
    return from_variance(train.target_variance, validation.samples)


def luck(constant: Constant, trials: int) -> float:
    """How high the best metric of so many trials gets by luck, when none of them learned anything."""
    chance = constant.metric
    if not 0 < chance < 1:
        return chance
    deviation = _SPREAD * math.sqrt(chance * (1 - chance) / constant.samples)
    return chance + statistics.NormalDist().inv_cdf(1 - _LUCK / max(1, trials)) * deviation


def none_beat(trials: Iterable[Trial], constant: Constant | None) -> bool:
    """Whether neither metric nor training loss of any trial is clearly better than those of the constant answer.

    False where that is not known: without the constant answer, or without a trial whose metric and losses are kept.
    """
    known = measured(trials)
    if constant is None or not known:
        return False
    least = luck(constant, len(known)) + _CLEARLY * (1 - constant.metric)
    most = (1 - _CLEARLY) * constant.loss
    return not any((trial.metric or 0.0) > least or _surely(trial) < most for trial in known)


def measured(trials: Iterable[Trial]) -> list[Trial]:
    """The trials whose metric and last training losses are known and finite."""
    return [
        trial
        for trial in trials
        if trial.metric is not None and math.isfinite(trial.metric) and math.isfinite(mean_cost(trial))
    ]


def _surely(trial: Trial) -> float:
    """The training loss that the last batches show with two standard errors to spare."""
    costs = trial.last_costs
    spread = statistics.stdev(costs) / math.sqrt(len(costs)) if len(costs) > 1 else 0.0
    return mean_cost(trial) + 2 * spread


def _one_class_each(split: SplitProfile) -> bool:
    """Whether each sample has one class: counts of several labels a sample are no shares."""
    return sum(split.class_counts) == split.samples - split.unlabelled
