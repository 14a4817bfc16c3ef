"""What the best constant prediction reaches: its loss in the units of the curve, and its accuracy."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from babysit.analysis.loss_curve import values_of
from babysit.analysis.model_structure import BINARY_LOSSES, BOUNDED_LOSSES, CLASS_LOSSES, main_objective
from babysit.records.curves import TRAIN_LOSS
from babysit.records.model_summary import Objective, TargetKind
from babysit.records.run import Run


def entropy(counts: Iterable[float]) -> float:
    """Entropy in nats of label counts: the loss of always answering the class frequencies."""
    table = np.asarray([count for count in counts if count > 0], dtype=np.float64)
    shares = table / table.sum() if table.size else table
    return float(-(shares * np.log(shares)).sum()) if shares.size else 0.0


def target_variance(run: Run, objective: Objective) -> float:
    """Variance of the target over all that was seen of it."""
    if run.data is not None:
        for name in ("train", "batch"):
            split = run.data.split(name)
            if split is not None and split.target_variance > 0 and not split.class_counts:
                return split.target_variance
    return objective.target.variance


def _class_prior(objective: Objective) -> float | None:
    if objective.outputs <= 1:
        return None
    uniform = math.log(objective.outputs)
    # With class weights the counts no longer weigh the loss, and smoothed labels never reach the counts' entropy.
    if objective.class_weights or objective.label_smoothing > 0 or sum(objective.class_counts) < 2 * objective.outputs:
        return uniform
    return min(uniform, entropy(objective.class_counts)) or None


def _elementwise_prior(run: Run, objective: Objective) -> float | None:
    variance, mean = target_variance(run, objective), objective.target.mean
    if objective.loss in BINARY_LOSSES:
        inside = 0 < mean < 1 and not objective.class_weights
        return entropy((mean, 1 - mean)) if inside else None
    if objective.loss == "mse_loss":
        return variance or None
    if objective.loss == "l1_loss":
        # The median is the best constant; its mean distance is 0.8 standard deviations for a bell curve, and the
        # smaller share for a target of zeros and ones.
        zero_one = objective.target_kind in (TargetKind.ZERO_ONE, TargetKind.ONE_HOT)
        return (min(mean, 1 - mean) if zero_one else 0.8 * math.sqrt(max(variance, 0.0))) or None
    if objective.loss in {"smooth_l1_loss", "huber_loss"}:
        std = math.sqrt(max(variance, 0.0))
        return (0.5 * variance if std < 1 else 0.8 * std - 0.5) or None
    return None


def first_value(run: Run, objective: Objective) -> float:
    """What one value of an elementwise loss should be at first, from what prediction and target looked like then."""
    prediction, target = objective.prediction, objective.target
    if objective.loss == "mse_loss":
        return prediction.variance + target.variance + (prediction.mean - target.mean) ** 2
    if objective.loss in CLASS_LOSSES and objective.outputs > 1:
        return math.log(objective.outputs)
    return math.log(2) if objective.loss in BINARY_LOSSES else 0.0


def summed_terms(run: Run, objective: Objective) -> float | None:
    """How many values the curve adds up: 1 for a mean, the row or the whole batch for sums; None when none of them fit.

    The first value of the curve tells, since a sum may be divided afterwards and other terms may be added. A network
    that begins trained starts lower, which counts as a mean.
    """
    shape, (_, values) = objective.target.shape, values_of(run.curves.get(TRAIN_LOSS))
    whole, row = float(math.prod(shape)), float(math.prod(shape[1:]))
    said = whole if objective.reduction == "sum" and shape else 1.0
    one = first_value(run, objective)
    # A cross-entropy has no upper bound: a large first value of a mean is a bad start, and no sum.
    mean_of_classes = objective.loss in CLASS_LOSSES and said == 1.0
    if not len(values) or one <= 0 or not shape or mean_of_classes:
        return said
    seen = float(values[0]) / one
    nearest = min((1.0, row, whole), key=lambda terms: abs(math.log(max(seen, 1e-12) / terms)))
    # Three is well above what one batch differs from another, and below most row lengths.
    return None if objective.loss == "mse_loss" and seen > 3 * nearest else nearest


def prior_loss(run: Run) -> float | None:
    """The loss of the best constant answer, in the units of the curve; None when it cannot be known.

    Class frequencies for cross-entropy, the mean for squared error. For a target of several columns the columns'
    own means would do a little better, so this is an upper bound there.
    """
    objective = main_objective(run)
    if objective is None or objective.loss not in BOUNDED_LOSSES or objective.reduction not in {"mean", "sum"}:
        return None
    # Cross-entropy written by hand over rows that sum to one is told as binary, and yet its classes exclude each other.
    by_hand = objective.target_kind is TargetKind.ONE_HOT and any(step.name == "log" for step in objective.output_ops)
    classes = objective.loss in CLASS_LOSSES or by_hand
    prior = _class_prior(objective) if classes else _elementwise_prior(run, objective)
    terms = summed_terms(run, objective)
    return None if prior is None or terms is None else prior * terms


def chance_accuracy(run: Run) -> float | None:
    """The accuracy of always answering the most frequent class; None when the task has no classes."""
    objective = main_objective(run)
    counts = objective.class_counts if objective is not None else ()
    train = run.data.split("train") if run.data is not None else None
    if not sum(counts) and train is not None:
        counts = train.class_counts
    if sum(counts):
        return max(counts) / sum(counts)
    return 1 / max(2, objective.outputs) if objective is not None else None
