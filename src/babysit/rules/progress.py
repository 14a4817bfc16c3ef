"""How well the run learned, measured against what the best constant answer would reach."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from babysit.records.anatomy import Objective, TargetKind
from babysit.records.curves import ACCURACY_TRAIN, ACCURACY_VALIDATION
from babysit.records.run import Run, Status
from babysit.rules.loss_curve import levels, trend, values_of
from babysit.rules.structure import BINARY_LOSSES, BOUNDED_LOSSES, CLASS_LOSSES, adversarial, main_objective

# Below this share of removed loss (an R squared for squared error, McFadden's for cross-entropy) a run is called poor.
# Half is far below what published healthy runs reach and above what a broken output or loss lets through.
POOR_SKILL = 0.5
# Judging "it did not learn" needs some steps; fewer say only that nobody waited.
FEWEST_STEPS = 10
# While a run goes on, poor results are no evidence before this many steps.
FEWEST_LIVE_STEPS = 500


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


def summed_terms(run: Run, objective: Objective) -> int:
    """How many values a summed loss adds up; 1 for a mean, also when the sum was divided afterwards."""
    if objective.reduction != "sum" or not objective.target.shape:
        return 1
    terms = math.prod(objective.target.shape)
    level, target = levels(run), objective.target
    if objective.loss != "mse_loss" or level is None:
        return terms
    # A fresh network answers near 0, so its squared error is the mean square of the target; halfway between (in
    # orders of magnitude) that and the sum decides which of the two the curve shows.
    return terms if level.start > (target.variance + target.mean**2) * math.sqrt(terms) else 1


def prior_loss(run: Run) -> float | None:
    """The loss of the best constant answer, in the units of the curve; None when it cannot be known.

    Class frequencies for cross-entropy, the mean for squared error. For a target of several columns the columns'
    own means would do a little better, so this is an upper bound there.
    """
    objective = main_objective(run)
    if objective is None or objective.loss not in BOUNDED_LOSSES or objective.reduction not in {"mean", "sum"}:
        return None
    # Cross-entropy written by hand over rows that sum to one is told as binary, and yet its classes exclude each other.
    by_hand = objective.target_kind is TargetKind.ONE_HOT and any(step.name == "log" for step in objective.chain)
    classes = objective.loss in CLASS_LOSSES or by_hand
    prior = _class_prior(objective) if classes else _elementwise_prior(run, objective)
    return None if prior is None else prior * summed_terms(run, objective)


def _accuracy_skill(run: Run, name: str) -> float | None:
    _, values = values_of(run.curves.get(name))
    objective = main_objective(run)
    if not len(values) or objective is None:
        return None
    counts = objective.class_counts
    chance = max(counts) / sum(counts) if sum(counts) else 1 / max(2, objective.outputs)
    if chance >= 1:
        return None
    # Accuracies come as shares or as per cent.
    last = float(values[-max(1, len(values) // 10) :].mean())
    return ((last / 100 if values.max() > 1.5 else last) - chance) / (1 - chance)


def loss_skill(run: Run) -> float | None:
    """Share of the best constant's loss that training removed: 1 is perfect, 0 is no better than a constant."""
    prior, level = prior_loss(run), levels(run)
    if prior is None or level is None or adversarial(run):
        return None
    if level.broken_at is not None:
        return -math.inf
    # A negative value of a loss that cannot be negative measures nothing.
    return None if level.end < -1e-6 * prior else 1 - level.end / prior


def skill(run: Run) -> float | None:
    """The best skill that loss and accuracies show; None when nothing was seen of it."""
    seen = [loss_skill(run), _accuracy_skill(run, ACCURACY_TRAIN), _accuracy_skill(run, ACCURACY_VALIDATION)]
    known = [one for one in seen if one is not None]
    return max(known) if known else None


def broken(run: Run) -> bool:
    """Whether the loss ended as NaN or infinity."""
    level = levels(run)
    return level is not None and level.broken_at is not None


def poor(run: Run, *, below: float = POOR_SKILL) -> bool:
    """Whether training did not get where it could: the harm that most alarms ask for.

    True for a loss that ended broken, a skill under `below`, or (skill unknown) a loss that shows no fall at all.
    False when it cannot be told: adversarial training, too few steps, a run still young.
    """
    level = levels(run)
    if level is None:
        known = skill(run)
        return known is not None and known < below and run.status is not Status.RUNNING
    if level.broken_at is not None:
        return True
    too_few = level.looks < (FEWEST_LIVE_STEPS if run.status is Status.RUNNING else FEWEST_STEPS)
    if adversarial(run) or too_few:
        return False
    known = skill(run)
    return known < below if known is not None else not falling(run)


def falling(run: Run) -> bool:
    """Whether the training loss went down beyond its noise."""
    level = levels(run)
    if level is None or level.broken_at is not None:
        return False
    _, values = values_of(run.curves.get("loss/train"))
    tau, chance = trend(values)
    # One in a hundred: the customary strict level for a single test.
    return tau < 0 and chance < 0.01 and level.end < level.start
