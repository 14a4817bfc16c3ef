"""F909: the loss oscillates without progress."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from babysit.analysis.learning import is_underperforming
from babysit.analysis.loss_curve import levels, noise_of, trend, values_of
from babysit.analysis.model_structure import model_summary_of, moving_target
from babysit.records.curves import TRAIN_LOSS
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.run import Run
from babysit.rules.examples import example_run, flat, healthy, regression
from babysit.rules.rule import Limit, Limits, Rule


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Check the last two thirds of the loss: large fluctuations, no trend, and poor results."""
    level = levels(run)
    steps, values = values_of(run.curves.get(TRAIN_LOSS))
    if level is None or level.broken_at is not None or level.recorded < limits["steps"] or not is_underperforming(run):
        return
    # Small batches are noisy: the noise of a mean decreases with the square root of the batch size.
    if model_summary_of(run).batch_size < limits["batch"]:
        return
    # A loss against a target that a network computes fluctuates with it; without an observed target this is unknown.
    if moving_target(run) or not any(one.target.shape for one in model_summary_of(run).objectives):
        return
    late = values[len(values) // 3 :]
    middle = float(np.median(late))
    tau, chance = trend(late)
    swing = noise_of(late) / max(abs(middle), 1e-12)
    # The relative standard deviation of the mean of n squared normal errors is the square root of 2/n.
    batch = max(model_summary_of(run).batch_size, 1)
    if swing > max(limits["swing"], limits["of_batch"] * (2 / batch) ** 0.5) and not (tau < 0 and chance < 0.01):
        yield Evidence(
            first_step=int(steps[len(steps) // 3]),
            last_step=level.steps,
            confidence=0.6,
            numbers={"swing": swing, "middle": middle},
            message=f"The loss changes by {100 * swing:.0f} % of its level from step to step (median {middle:.3g}) "
            "and does not decrease.",
        )


RULE = Rule(
    code="F909",
    name="oscillating-loss",
    severity=Severity.WARNING,
    what="The loss oscillates without progress.",
    why="The updates overshoot the minimum, from one side to the other.",
    recommendation="Divide the learning rate by 3 to 10, or use larger batches.",
    find=find,
    needs=("model_summary", "curves"),
    limits={
        "swing": Limit(0.25, "a quarter of the level from one step to the next"),
        "of_batch": Limit(2.0, "twice the noise expected from the batch size alone"),
        "batch": Limit(16, "smaller batches are as noisy without any problem"),
        "steps": Limit(50, "shorter curves have no clear shape"),
    },
    fixes=(
        Fix(action="scale_lr", value=0.3, say="Divide the learning rate by 3."),
        Fix(action="scale_batch_size", value=4.0, say="Use batches four times as large."),
    ),
    false_positives=(
        "Batches from very different distributions.",
        "Losses whose target a network computes (temporal differences) are not checked.",
    ),
    sources=("AutoTrainer (ICSE 2021): oscillating loss.",),
    fires_on=(lambda: example_run(loss=flat(2.3, noise=0.5)),),
    silent_on=(
        healthy,
        lambda: example_run(loss=flat(2.3, noise=0.5), objective=regression(moving_target=True)),
    ),
)
