"""F901: the gap between training and validation grows."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from babysit.analysis.learning import FEW_SAMPLES, learning
from babysit.analysis.loss_curve import Floats, noise_of, values_of
from babysit.analysis.model_structure import adversarial
from babysit.records.curves import TRAIN_ACCURACY, TRAIN_LOSS, VAL_ACCURACY, VAL_LOSS
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.run import Run
from babysit.rules.examples import example_run, falling, healthy
from babysit.rules.rule import Limit, Limits, Rule


def last_mean(values: Floats) -> float:
    """Return the mean over the last tenth, at least one value."""
    return float(values[-max(1, len(values) // 10) :].mean())


def _accuracy_gap(run: Run) -> tuple[float, float] | None:
    """Return (final gap between training and validation, decrease of validation from its best); None if unknown."""
    _, train = values_of(run.curves.get(TRAIN_ACCURACY))
    _, validation = values_of(run.curves.get(VAL_ACCURACY))
    if len(validation) < 3:
        return None
    scale = 100.0 if max(validation.max(), train.max(initial=0.0)) > 1.5 else 1.0
    gap = (last_mean(train) - last_mean(validation)) / scale if len(train) else 0.0
    return gap, float(validation.max() - last_mean(validation)) / scale


def _stopped_in_time(run: Run, at: float, end: float) -> bool:
    """Check whether early stopping restored the best state."""
    kept = run.result.get("best_step")
    return kept is not None and kept <= at + 0.2 * (end - at)


def _little_carries_over(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Look for a validation accuracy that has only a part of the training accuracy above chance."""
    known = learning(run)
    train, validation, chance = known.accuracy, known.validation_accuracy, known.chance
    _, evaluations = values_of(run.curves.get(VAL_ACCURACY))
    if train is None or validation is None or chance is None or len(evaluations) < limits["few_looks"]:
        return
    above = train - chance
    # Two standard errors of a small validation set are credited to the network.
    kept = validation - chance + 2 * math.sqrt(chance * (1 - chance) / FEW_SAMPLES)
    if train - validation < limits["wide_gap"] or above <= 0 or kept >= limits["carries_over"] * above:
        return
    share = max(0.0, validation - chance) / above
    yield Evidence(
        last_step=int(run.curves.get(VAL_ACCURACY).steps[-1]),
        severity=Severity.WARNING,
        numbers={"train_accuracy": train, "validation_accuracy": validation, "chance": chance, "carried_over": share},
        message=f"The final accuracy is {100 * train:.3g} % in training and {100 * validation:.3g} % in validation "
        f"(most frequent class: {100 * chance:.3g} %): {100 * share:.2g} % of the accuracy above chance "
        "generalizes.",
        recommendation="Regularize (weight decay, dropout, augmentation), use a smaller network or more data.",
    )


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Look for a wide accuracy gap, else for a validation loss that rose while the training loss decreased."""
    if adversarial(run):
        return
    wide = list(_little_carries_over(run, limits))
    yield from wide or list(_rising(run, limits))


def _rising(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Compare the last validation losses with the lowest while the training loss decreased."""
    steps, values = values_of(run.curves.get(VAL_LOSS))
    train_steps, train = values_of(run.curves.get(TRAIN_LOSS))
    if len(values) < limits["looks"] or len(train) < 10:
        return
    # Medians of three are robust to a single outlier.
    smooth = np.asarray([np.median(values[max(0, i - 1) : i + 2]) for i in range(len(values))])
    best, lowest, end = int(np.argmin(smooth)), float(smooth.min()), float(smooth[-3:].mean())
    if lowest <= 0:
        return
    rise = end / lowest - 1
    beyond_noise = end - lowest > 3 * noise_of(values)
    at = float(steps[best])
    then = train[(train_steps <= at)][-max(1, len(train) // 10) :]
    still_decreasing = bool(len(then)) and last_mean(train) < float(then.mean())
    if rise < limits["mild"] or not beyond_noise or not still_decreasing:
        return
    accuracy = _accuracy_gap(run)
    worse = accuracy is None or accuracy[1] > limits["accuracy_fall"] or accuracy[0] > limits["accuracy_gap"]
    known = learning(run)
    # Without an accuracy, a loss above that of a constant prediction means that nothing generalizes.
    nothing_left = accuracy is None and known.validation_loss is not None and known.validation_loss < 0
    long_rise = rise >= limits["rise"] and worse
    grave = (long_rise or nothing_left) and not _stopped_in_time(run, at, float(steps[-1]))
    # The message shows values of the curve itself, not of its medians.
    lowest, end = float(values.min()), float(values[-3:].mean())
    best_step = int(steps[int(np.argmin(values))])
    numbers: dict[str, float | int | str | bool] = {
        "best_validation": lowest,
        "end_validation": end,
        "best_step": best_step,
    }
    numbers |= {"end_train": last_mean(train), "rise": rise}
    if accuracy is not None:
        numbers |= {"accuracy_gap": accuracy[0], "accuracy_fall": accuracy[1]}
    yield Evidence(
        first_step=best_step,
        last_step=int(steps[-1]),
        severity=Severity.WARNING if grave else Severity.INFO,
        numbers=numbers,
        message=f"The validation loss was lowest at step {best_step} ({lowest:.4g}) and ended at {end:.4g} (mean "
        f"of the last three), while the training loss decreased to {last_mean(train):.4g} (mean of the last "
        "tenth): since then the network memorizes the training set.",
        recommendation=f"Keep the weights of step {best_step}; then try weight decay, dropout, augmentation or "
        "more data.",
    )


GAP = np.linspace(0.1, 0.31, 12)

RULE = Rule(
    code="F901",
    name="overfitting",
    severity=Severity.WARNING,
    what="The gap between training and validation grows.",
    why="Training beyond the best point memorizes the training set and does not generalize.",
    recommendation="Stop at the lowest validation loss; increase the regularization.",
    find=find,
    needs=("curves",),
    limits={
        "looks": Limit(5, "fewer evaluations show no trend"),
        "mild": Limit(0.1, "10 % above the lowest validation loss: a note"),
        "rise": Limit(0.5, "50 % above the lowest validation loss: a problem"),
        "accuracy_fall": Limit(0.02, "validation accuracy two points below its best"),
        "accuracy_gap": Limit(0.15, "AutoTrainer uses 0.1; 0.15 is clearly visible in a plot"),
        "few_looks": Limit(3, "the first evaluations may be of a barely trained network"),
        "wide_gap": Limit(0.3, "twice the gap that is clearly visible"),
        "carries_over": Limit(0.5, "less than half of the accuracy above chance generalizes"),
    },
    fixes=(
        Fix(
            action="stop_earlier",
            say="Stop when validation has not improved for several evaluations.",
            code="babysit.fit(model, splits)  # stops early and keeps the best state",
        ),
        Fix(
            action="set_weight_decay",
            value=1e-2,
            say="Add weight decay.",
            code="torch.optim.AdamW(model.parameters(), weight_decay=1e-2)",
        ),
        Fix(action="set_dropout", value=0.3, say="Add dropout between the layers.", code="nn.Dropout(0.3)"),
    ),
    false_positives=(
        "A rising loss with steady accuracy is overconfidence, not overfitting: INFO.",
        "Runs that keep their best weights: INFO, unless less than half of the accuracy above chance generalizes.",
    ),
    sources=("CS231n lecture 6: a big gap between training and validation accuracy is overfitting.",),
    fires_on=(
        lambda: example_run(
            loss=falling(2.3, 0.01), curves={"val/loss": np.r_[np.linspace(2.3, 1, 10), np.linspace(1, 2.5, 20)]}
        ),
        lambda: example_run(curves={"train/accuracy": np.linspace(0.1, 0.91, 400), "val/accuracy": GAP}),
        lambda: example_run(curves={"val/loss": np.r_[np.linspace(2.3, 2.1, 10), np.linspace(2.1, 2.6, 20)]}),
    ),
    silent_on=(
        healthy,
        lambda: example_run(curves={"val/loss": falling(2.3, 0.3, steps=30)}),
        lambda: example_run(curves={"train/accuracy": np.linspace(0.1, 1.0, 400), "val/accuracy": 2 * GAP}),
    ),
)
