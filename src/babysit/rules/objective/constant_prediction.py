"""O210: the network predicts only class frequencies, or the mean of the target."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from babysit.analysis.baseline import prior_error, prior_loss
from babysit.analysis.learning import falling, is_underperforming, unfinished
from babysit.analysis.loss_curve import levels, values_of
from babysit.analysis.model_structure import main_objective
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.run import Run, Status
from babysit.rules.examples import classes, example_run, flat, healthy, healthy_regression
from babysit.rules.rule import Limit, Limits, Rule


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Compare the last tenth of the loss with the loss of the best constant prediction."""
    objective, prior, level = main_objective(run), prior_loss(run), levels(run)
    if objective is None or prior is None or level is None or level.broken_at is not None:
        return
    if not is_underperforming(run, below=limits["room"]) or level.recorded < limits["steps"]:
        return
    _, values = values_of(run.curves.get("train/loss"))
    window = values[-max(5, len(values) // 10) :]
    error = math.hypot(float(window.std() / np.sqrt(len(window))), prior_error(run))
    removed = prior - level.end
    # Within the noise, a weak signal may have been learned.
    if removed + 2 * error > limits["room"] * prior or -removed > max(limits["near"] * prior, 2 * error):
        return
    if unfinished(run) or (falling(run) and run.status is Status.RUNNING):
        return
    by_class = objective.outputs > 1 and bool(objective.class_counts)
    word = "entropy of the labels" if by_class else "loss of the best constant prediction"
    learned = "class frequencies" if by_class else "the average target"
    yield Evidence(
        first_step=int(run.curves.get("train/loss").steps[0]),
        numbers={"end_loss": level.end, "prior_loss": prior, "steps": level.steps},
        message=f"After {level.steps} steps the loss is {level.ended}, and the {word} is {prior:.4g}: the network "
        f"predicts {learned} only and ignores the input.",
        confidence=0.8,
    )


RULE = Rule(
    code="O210",
    name="constant-prediction",
    severity=Severity.WARNING,
    what="The loss equals the entropy of the labels or the variance of the target.",
    why="The output ignores the input: only the distribution of the targets was learned.",
    recommendation="Look for dead layers, vanishing gradients, an unsuitable learning rate, or misaligned labels.",
    find=find,
    needs=("model_summary", "curves"),
    limits={
        "near": Limit(0.03, "within 3 % of the best constant prediction, or two standard errors of the last tenth"),
        "room": Limit(0.1, "a tenth of the baseline loss, including two standard errors, may be a weak signal"),
        "steps": Limit(30, "too few steps to conclude"),
    },
    causes=("F902", "F905"),
    fixes=(
        Fix(
            action="overfit_tiny",
            say="Try to overfit 20 samples: if that fails, there is a bug in model, loss or loop.",
        ),
    ),
    false_positives=(
        "Labels that do not depend on the inputs.",
        "Adversarial losses stay at ln 2 and are not checked.",
    ),
    sources=(
        "The best constant prediction has a cross-entropy equal to the entropy of the labels, or a squared "
        "error equal to their variance.",
    ),
    fires_on=(lambda: example_run(loss=flat(2.303)),),
    silent_on=(
        healthy,
        healthy_regression,
        lambda: example_run(loss=np.linspace(2.313, 2.29, 42) + 0.002 * np.cos(np.arange(42))),
        lambda: example_run(objective=classes(loss="custom"), loss=flat(2.303)),
    ),
)
