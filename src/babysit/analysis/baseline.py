"""What the best constant prediction reaches: its loss in the units of the curve, and its accuracy."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from babysit.analysis.model_structure import BINARY_LOSSES, BOUNDED_LOSSES, CLASS_LOSSES, main_objective
from babysit.records.model_summary import Objective, TargetKind
from babysit.records.run import Run


def entropy(counts: Iterable[float]) -> float:
    """Entropy in nats of label counts: the loss of always answering the class frequencies."""
    table = np.asarray([count for count in counts if count > 0], dtype=np.float64)
    shares = table / table.sum() if table.size else table
    return float(-(shares * np.log(shares)).sum()) if shares.size else 0.0


class Moments(NamedTuple):
    """Mean and variance of a target, and of how many values; 0 for all there are."""

    mean: float
    variance: float
    values: int = 0


def target_moments(run: Run, objective: Objective) -> Moments:
    """Those of all that was seen of the target."""
    for name in ("train", "batch") if run.data is not None and objective is main_objective(run) else ():
        split = run.data.split(name) if run.data is not None else None
        if split is not None and split.target_variance > 0 and not split.class_counts:
            return Moments(split.target_mean, split.target_variance, split.target_count)
    return Moments(objective.target.mean, objective.target.variance, math.prod(objective.target.shape))


def _class_prior(objective: Objective) -> float | None:
    if objective.outputs <= 1:
        return None
    uniform = math.log(objective.outputs)
    # With class weights the counts no longer weigh the loss, and smoothed labels never reach the counts' entropy.
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
        # The median is the best constant; its mean distance is 0.8 standard deviations for a bell curve, and the
        # smaller share for a target of zeros and ones.
        zero_one = objective.target_kind in (TargetKind.ZERO_ONE, TargetKind.ONE_HOT)
        return (min(mean, 1 - mean) if zero_one else 0.8 * math.sqrt(max(variance, 0.0))) or None
    if objective.loss in {"smooth_l1_loss", "huber_loss"}:
        std = math.sqrt(max(variance, 0.0))
        return (0.5 * variance if std < 1 else 0.8 * std - 0.5) or None
    return None


def curve_scale(objective: Objective) -> float:
    """How many times the loss's mean by item the curve is: as measured, or else as its reduction says."""
    if objective.scale is not None:
        return objective.scale
    return float(math.prod(objective.target.shape)) if objective.reduction == "sum" else 1.0


def prior_by_item(run: Run) -> float | None:
    """The loss of the best constant prediction, as a mean by item; None when it cannot be known.

    Class frequencies for cross-entropy, the mean for squared error. For a target of several columns the columns'
    own means would do a little better, so this is an upper bound there.
    """
    objective = main_objective(run)
    if objective is None or objective.loss not in BOUNDED_LOSSES:
        return None
    # Cross-entropy written by hand over rows that sum to one is told as binary, and yet its classes exclude each other.
    by_hand = objective.target_kind is TargetKind.ONE_HOT and any(step.name == "log" for step in objective.output_ops)
    classes = objective.loss in CLASS_LOSSES or by_hand
    return _class_prior(objective) if classes else _elementwise_prior(run, objective)


def prior_loss(run: Run) -> float | None:
    """The same in the units of the curve; None also where the curve holds other terms."""
    objective, prior = main_objective(run), prior_by_item(run)
    if objective is None or prior is None or objective.composite or objective.reduction not in {"mean", "sum"}:
        return None
    return prior * curve_scale(objective)


def prior_error(run: Run) -> float:
    """The standard error of `prior_loss`, where the targets are a sample; that of a bell curve for real targets."""
    objective, prior = main_objective(run), prior_loss(run)
    if objective is None or prior is None:
        return 0.0
    if objective.loss in CLASS_LOSSES | BINARY_LOSSES:
        counts = objective.class_counts or ()
        shares = [count / sum(counts) for count in counts if count]
        spread = sum(share * math.log(share) ** 2 for share in shares) - entropy(counts) ** 2
        return math.sqrt(max(spread, 0.0) / sum(counts)) * curve_scale(objective) if shares else 0.0
    count = target_moments(run, objective).values
    # A squared deviation of a bell curve has a variance of two squared variances, an absolute one half of that by size.
    return prior * math.sqrt((2.0 if objective.loss == "mse_loss" else 0.5) / count) if count else 0.0


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
