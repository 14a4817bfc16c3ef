"""F901: the gap between training and validation widens."""

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
    """The mean over the last tenth, at least one value."""
    return float(values[-max(1, len(values) // 10) :].mean())


def _accuracy_gap(run: Run) -> tuple[float, float] | None:
    """(gap between training and validation at the end, fall of validation from its best); None when unknown."""
    _, train = values_of(run.curves.get(TRAIN_ACCURACY))
    _, validation = values_of(run.curves.get(VAL_ACCURACY))
    if len(validation) < 3:
        return None
    scale = 100.0 if max(validation.max(), train.max(initial=0.0)) > 1.5 else 1.0
    gap = (last_mean(train) - last_mean(validation)) / scale if len(train) else 0.0
    return gap, float(validation.max() - last_mean(validation)) / scale


def _stopped_in_time(run: Run, at: float, end: float) -> bool:
    """Whether the state of the best step was kept, by early stopping."""
    kept = run.result.get("best_step")
    return kept is not None and kept <= at + 0.2 * (end - at)


def _little_carries_over(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Of the accuracy above chance that training shows, validation keeps only a part."""
    known = learning(run)
    train, validation, chance = known.accuracy, known.validation_accuracy, known.chance
    _, looks = values_of(run.curves.get(VAL_ACCURACY))
    if train is None or validation is None or chance is None or len(looks) < limits["few_looks"]:
        return
    above = train - chance
    # As many samples as a small validation set has: what luck could hide is given to the network.
    kept = validation - chance + 2 * math.sqrt(chance * (1 - chance) / FEW_SAMPLES)
    if train - validation < limits["wide_gap"] or above <= 0 or kept >= limits["carries_over"] * above:
        return
    share = max(0.0, validation - chance) / above
    yield Evidence(
        last_step=int(run.curves.get(VAL_ACCURACY).steps[-1]),
        severity=Severity.WARNING,
        numbers={"train_accuracy": train, "validation_accuracy": validation, "chance": chance, "carried_over": share},
        message=f"Training accuracy ended at {100 * train:.3g} % and validation accuracy at {100 * validation:.3g} % "
        f"(most frequent class: {100 * chance:.3g} %): {100 * share:.2g} % of what was learned above that holds on "
        "validation data.",
        recommendation="Regularize (weight decay, dropout, augmentation), use a smaller network or more data.",
    )


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Looks for a wide gap of accuracies, else for a validation loss that rose while the training loss fell on."""
    if adversarial(run):
        return
    wide = list(_little_carries_over(run, limits))
    yield from wide or list(_rising(run, limits))


def _rising(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Compares the last validation losses with the lowest, beyond their noise, while the training loss fell on."""
    steps, values = values_of(run.curves.get(VAL_LOSS))
    train_steps, train = values_of(run.curves.get(TRAIN_LOSS))
    if len(values) < limits["looks"] or len(train) < 10:
        return
    # Medians of three steady a single lucky or unlucky look.
    smooth = np.asarray([np.median(values[max(0, i - 1) : i + 2]) for i in range(len(values))])
    best, lowest, end = int(np.argmin(smooth)), float(smooth.min()), float(smooth[-3:].mean())
    if lowest <= 0:
        return
    rise = end / lowest - 1
    beyond_noise = end - lowest > 3 * noise_of(values)
    at = float(steps[best])
    then = train[(train_steps <= at)][-max(1, len(train) // 10) :]
    fell_on = bool(len(then)) and last_mean(train) < float(then.mean())
    if rise < limits["mild"] or not beyond_noise or not fell_on:
        return
    accuracy = _accuracy_gap(run)
    worse = accuracy is None or accuracy[1] > limits["accuracy_fall"] or accuracy[0] > limits["accuracy_gap"]
    known = learning(run)
    # Without an accuracy, a loss above that of a constant prediction says that nothing of what was learned holds.
    nothing_left = accuracy is None and known.validation_loss is not None and known.validation_loss < 0
    long_rise = rise >= limits["rise"] and worse
    grave = (long_rise or nothing_left) and not _stopped_in_time(run, at, float(steps[-1]))
    # What is said is of the curve itself, not of its medians.
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
        message=f"The validation loss was lowest at step {best_step} ({lowest:.4g}) and is {end:.4g} at the end "
        f"(mean of the last three), while the training loss fell to {last_mean(train):.4g} (mean of the last tenth): "
        "what was learned since then holds for the training set only.",
        recommendation=f"Keep the state of step {best_step}; then try weight decay, dropout, augmentation or more "
        "data.",
    )


GAP = np.linspace(0.1, 0.31, 12)

RULE = Rule(
    code="F901",
    name="overfitting",
    severity=Severity.WARNING,
    what="The gap between training and validation grows.",
    why="What is learned after the best point helps on the training set only.",
    recommendation="Stop at the lowest validation loss; regularize more.",
    find=find,
    needs=("curves",),
    limits={
        "looks": Limit(5, "fewer looks at validation show no trend"),
        "mild": Limit(0.1, "a tenth above its lowest is worth a remark"),
        "rise": Limit(0.5, "half above its lowest is an alarm"),
        "accuracy_fall": Limit(0.02, "two points of validation accuracy lost since the best"),
        "accuracy_gap": Limit(0.15, "AutoTrainer takes 0.1; a gap of 0.15 is seen by every reader"),
        "few_looks": Limit(3, "one or two evaluations may be of a network that had just begun"),
        "wide_gap": Limit(0.3, "twice the gap that is seen by every reader"),
        "carries_over": Limit(0.5, "less than half of the accuracy above chance holds on other data"),
    },
    fixes=(
        Fix(
            action="stop_earlier",
            say="Stop when validation has not improved for several looks.",
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
        "Runs that keep their best state: INFO, unless less than half of what was learned holds on validation data.",
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
