"""Loss and accuracy of the best constant prediction, the baseline of a run."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from babysit.analysis.model_structure import BINARY_LOSSES, BOUNDED_LOSSES, CLASS_LOSSES, main_objective
from babysit.records.model_summary import Objective, TargetKind
from babysit.records.run import Run


def entropy(counts: Iterable[float]) -> float:
    """Return the entropy of label counts in nats: the loss of always predicting the class frequencies."""
    table = np.asarray([count for count in counts if count > 0], dtype=np.float64)
    shares = table / table.sum() if table.size else table
    return float(-(shares * np.log(shares)).sum()) if shares.size else 0.0


class Moments(NamedTuple):
    """Mean and variance of a target, and the number of values (0 for the full data set)."""

    mean: float
    variance: float
    values: int = 0


def target_moments(run: Run, objective: Objective) -> Moments:
    """Return the moments of all observed values of the target."""
    for name in ("train", "batch") if run.data is not None and objective is main_objective(run) else ():
        split = run.data.split(name) if run.data is not None else None
        if split is not None and split.target_variance > 0 and not split.class_counts:
            return Moments(split.target_mean, split.target_variance, split.target_count)
    return Moments(objective.target.mean, objective.target.variance, math.prod(objective.target.shape))


def _class_prior(objective: Objective) -> float | None:
    if objective.outputs <= 1:
        return None
    uniform = math.log(objective.outputs)
    # Class weights change the prior, and smoothed labels never reach the entropy of the counts.
    if objective.class_weights or objective.label_smoothing > 0 or sum(objective.class_counts) < 2 * objective.outputs:
        return uniform
    return min(uniform, entropy(objective.class_counts)) or None


def _elementwise_prior(run: Run, objective: Objective) -> float | None:
    mean, variance, _ = target_moments(run, objective)
    if objective.loss in BINARY_LOSSES:
        inside = 0 < mean < 1 and not objective.class_weights
        return entropy((mean, 1 - mean)) if inside else None
    if objective.loss == "mse_loss":
        return variance or None
    if objective.loss == "l1_loss":
        # The median is the best constant; its mean absolute error is 0.8 standard deviations for a normal target, and
        # the frequency of the rarer value for a target of zeros and ones.
        zero_one = objective.target_kind in (TargetKind.ZERO_ONE, TargetKind.ONE_HOT)
        return (min(mean, 1 - mean) if zero_one else 0.8 * math.sqrt(max(variance, 0.0))) or None
    if objective.loss in {"smooth_l1_loss", "huber_loss"}:
        std = math.sqrt(max(variance, 0.0))
        return (0.5 * variance if std < 1 else 0.8 * std - 0.5) or None
    return None


def curve_scale(objective: Objective) -> float:
    """Return the ratio of the curve to the mean loss per item: as measured, or else from the reduction."""
    if objective.scale is not None:
        return objective.scale
    return float(math.prod(objective.target.shape)) if objective.reduction == "sum" else 1.0


def prior_by_item(run: Run) -> float | None:
    """Return the loss of the best constant prediction as a mean per item; None if unknown.

    The constant is the class frequencies for cross-entropy, the mean for squared error. For a target of several columns
    this is an upper bound, since the means of the columns would be slightly better.
    """
    objective = main_objective(run)
    if objective is None or objective.loss not in BOUNDED_LOSSES:
        return None
    # Hand-written cross-entropy over rows that sum to 1 is recorded as binary, although its classes are exclusive.
    by_hand = objective.target_kind is TargetKind.ONE_HOT and any(step.name == "log" for step in objective.output_ops)
    classes = objective.loss in CLASS_LOSSES or by_hand
    return _class_prior(objective) if classes else _elementwise_prior(run, objective)


def prior_loss(run: Run) -> float | None:
    """Return the loss of the best constant prediction in the units of the curve; None if it has other terms."""
    objective, prior = main_objective(run), prior_by_item(run)
    if objective is None or prior is None or objective.composite or objective.reduction not in {"mean", "sum"}:
        return None
    return prior * curve_scale(objective)


def prior_error(run: Run) -> float:
    """Return the standard error of `prior_loss` due to the sample of targets, assumed normal if continuous."""
    objective, prior = main_objective(run), prior_loss(run)
    if objective is None or prior is None:
        return 0.0
    if objective.loss in CLASS_LOSSES | BINARY_LOSSES:
        counts = objective.class_counts or ()
        shares = [count / sum(counts) for count in counts if count]
        variance = sum(share * math.log(share) ** 2 for share in shares) - entropy(counts) ** 2
        return math.sqrt(max(variance, 0.0) / sum(counts)) * curve_scale(objective) if shares else 0.0
    count = target_moments(run, objective).values
    # Squared deviations of a normal variable have a relative variance of 2, absolute deviations about 0.5.
    return prior * math.sqrt((2.0 if objective.loss == "mse_loss" else 0.5) / count) if count else 0.0


def chance_accuracy(run: Run) -> float | None:
    """Return the accuracy of always predicting the most frequent class; None if the task has no classes."""
    objective = main_objective(run)
    counts = objective.class_counts if objective is not None else ()
    train = run.data.split("train") if run.data is not None else None
    if not sum(counts) and train is not None:
        counts = train.class_counts
    if sum(counts):
        return max(counts) / sum(counts)
    return 1 / max(2, objective.outputs) if objective is not None else None
