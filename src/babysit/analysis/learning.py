"""Learning results of a run relative to the best constant prediction (the baseline)."""

from __future__ import annotations

import math

import numpy as np

from babysit.analysis.baseline import chance_accuracy, prior_by_item, prior_loss
from babysit.analysis.extent import steps
from babysit.analysis.loss_curve import levels, trend, values_of
from babysit.analysis.model_structure import (
    adversarial,
    feeds_ids,
    main_objective,
    moving_target,
    only_data_term,
)
from babysit.analysis.trials import best_trial
from babysit.records.curves import TRAIN_ACCURACY, TRAIN_LOSS, VAL_ACCURACY, VAL_LOSS, curve_name
from babysit.records.run import Run, Status
from babysit.records.verdict import Learning

# A run that removed less of the baseline loss underperforms (R squared for squared error, McFadden's for
# cross-entropy). Half is far below healthy published runs and above what a broken output or loss permits.
POOR_SKILL = 0.5
# More outputs than this over ids are the symbols of a text: more than digits, fewer than letters.
MANY_SYMBOLS = 20
# Assumed size of a validation set of unknown size.
FEW_SAMPLES = 500
# Fewer steps are no evidence that a run does not learn.
FEWEST_STEPS = 10
# In a running training, poor results are no evidence before this number of steps.
FEWEST_LIVE_STEPS = 500


def _final_accuracy(run: Run, name: str) -> float | None:
    """Return the mean over the last tenth of an accuracy curve, as a fraction; None if it is empty."""
    _, values = values_of(run.curves.get(name))
    if not len(values):
        return None
    # Accuracies are fractions or percentages.
    return float(values[-max(1, len(values) // 10) :].mean()) / (100 if values.max() > 1.5 else 1)


def _above_chance(accuracy: float | None, chance: float | None, samples: float) -> float | None:
    """Return the accuracy above chance as a fraction of the possible range, minus two standard errors."""
    if accuracy is None or chance is None or chance >= 1:
        return None
    error = math.sqrt(chance * (1 - chance) / samples)
    return (accuracy - 2 * error - chance) / (1 - chance)


def _accuracy_skill(run: Run, name: str) -> float | None:
    objective = main_objective(run)
    _, values = values_of(run.curves.get(name))
    if objective is None:
        return None
    # Training accuracies are of single batches; the sample size of a validation accuracy is unknown.
    evaluations = max(1, len(values) // 10)
    samples = evaluations * max(objective.target.shape[:1] or (1,)) if name == TRAIN_ACCURACY else FEW_SAMPLES
    return _above_chance(_final_accuracy(run, name), chance_accuracy(run), samples)


def explained_loss_share(run: Run) -> float | None:
    """Return the fraction of the baseline loss that training removed: 1 is perfect, 0 no better than a constant."""
    prior, level, objective = prior_loss(run), levels(run), main_objective(run)
    # The best constant prediction of a target that a network computes changes with it.
    if objective is None or level is None or adversarial(run) or moving_target(run):
        return None
    if objective.composite:  # use the term itself, if it is the only data term
        own, prior = objective.last_value, prior_by_item(run)
        if own is None or prior is None or not only_data_term(run):
            return None
        return -math.inf if level.broken_at is not None else 1 - own / prior
    if prior is None:
        return None
    if level.broken_at is not None:
        return -math.inf
    # A negative value of a non-negative loss is meaningless.
    return None if level.end < -1e-6 * prior else 1 - level.end / prior


def explained_val_loss_share(run: Run) -> float | None:
    """Return the fraction of the baseline loss removed on validation, by the mean of the last tenth."""
    prior, (_, values) = prior_loss(run), values_of(run.curves.get(VAL_LOSS))
    if prior is None or not len(values) or adversarial(run) or moving_target(run):
        return None
    end = float(values[-max(1, len(values) // 10) :].mean())
    return None if end < -1e-6 * prior else 1 - end / prior


def explained_share(run: Run) -> float | None:
    """Return the best of the learned fractions by loss and accuracies; None if all are unknown."""
    return _best(explained_loss_share(run), _accuracy_skill(run, TRAIN_ACCURACY), _accuracy_skill(run, VAL_ACCURACY))


def _best(*shares: float | None) -> float | None:
    known = [one for one in shares if one is not None]
    return max(known) if known else None


def _result(run: Run, metric: str, *splits: str) -> float | None:
    """Return a result of the finished run on the first of these splits that has one."""
    found = (run.result.get(curve_name(split, metric)) for split in splits)
    return next((value for value in found if value is not None and math.isfinite(value)), None)


def learning(run: Run) -> Learning:
    """Return the results of the run relative to the best constant prediction."""
    chance, best = chance_accuracy(run), best_trial(run)
    trial = best.metric if best is not None else None
    loss, validation_loss = explained_loss_share(run), explained_val_loss_share(run)
    kept = _result(run, "accuracy", "train")  # of the restored best weights; the curve ends with the last ones
    accuracy = _final_accuracy(run, TRAIN_ACCURACY) if kept is None else kept
    validation_accuracy = _final_accuracy(run, VAL_ACCURACY)
    reached = _result(run, "accuracy", "test", "validation")  # the most independent data first
    if reached is None and not run.curves.series and chance is not None:
        reached = trial  # a search only: the metric of its best trial
    if reached is not None:
        validation_accuracy = reached
    score = _result(run, "r2", "test", "validation")
    if score is None and not run.curves.series and _regression(run):
        score = trial
    return Learning(
        loss=loss,
        validation_loss=validation_loss,
        accuracy=accuracy,
        validation_accuracy=validation_accuracy,
        score=score,
        chance=chance if accuracy is not None or validation_accuracy is not None else None,
        steps=steps(run),
        # An earlier accuracy does not compensate for a loss that ended as NaN.
        train=loss if loss == -math.inf else _best(loss, _accuracy_skill(run, TRAIN_ACCURACY)),
        validation=_best(validation_loss, _above_chance(validation_accuracy, chance, FEW_SAMPLES), score),
    )


def _regression(run: Run) -> bool:
    train = run.data.split("train") if run.data is not None else None
    return train is not None and not train.class_counts and train.target_variance > 0


def broken(run: Run) -> bool:
    """Check whether the loss ended as NaN or infinity."""
    level = levels(run)
    return level is not None and level.broken_at is not None


def achievable_share(run: Run) -> float:
    """Return the achievable part of the usual learned fraction: 0.5 for predicting the next of many symbols, else 1.

    The entropy of text is a large part of the loss of a constant prediction: good character models remove about half of
    it, word models less (Shannon 1951).
    """
    objective = main_objective(run)
    text = objective is not None and objective.outputs > MANY_SYMBOLS and feeds_ids(run)
    return 0.5 if text else 1.0


def is_underperforming(run: Run, *, below: float = POOR_SKILL) -> bool:
    """Check whether training learned poorly: the harm that most rules require for a problem.

    True for a non-finite final loss, a learned fraction under `below`, or (if unknown) a loss that does not decrease.
    False if unknown: adversarial training, too few steps.
    """
    level = levels(run)
    if level is None:
        known = explained_share(run)
        return known is not None and known < below and run.status is not Status.RUNNING
    if level.broken_at is not None:
        return True
    too_few = level.recorded < (FEWEST_LIVE_STEPS if run.status is Status.RUNNING else FEWEST_STEPS)
    if adversarial(run) or too_few:
        return False
    known = explained_share(run)
    if known is not None:
        return known < below * achievable_share(run)
    # A loss of unknown kind that becomes negative has no known lower bound, so its level is no evidence.
    return level.best >= 0 and not moving_target(run) and not falling(run)


# For a straight line, the decrease from the second to the last third equals that from the first to the second.
STILL_FALLING = 0.5


def unfinished(run: Run) -> bool:
    """Check whether the training loss was still decreasing, beyond its noise, when the run ended."""
    _, values = values_of(run.curves.get(TRAIN_LOSS))
    if not falling(run):
        return False
    early, middle, late = (float(part.mean()) for part in np.array_split(values, 3))
    return middle - late > STILL_FALLING * max(early - middle, 0.0)


def falling(run: Run) -> bool:
    """Check whether the training loss decreased beyond its noise."""
    level = levels(run)
    if level is None or level.broken_at is not None:
        return False
    _, values = values_of(run.curves.get(TRAIN_LOSS))
    tau, chance = trend(values)
    # 0.01: the usual strict significance level of a single test.
    return tau < 0 and chance < 0.01 and level.end < level.start
