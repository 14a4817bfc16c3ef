"""F909: the loss swings without getting anywhere."""

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
    """Looks at the last two thirds: no trend, a swing that is a good part of the level, and poor results."""
    level = levels(run)
    steps, values = values_of(run.curves.get(TRAIN_LOSS))
    if level is None or level.broken_at is not None or level.looks < limits["steps"] or not is_underperforming(run):
        return
    # Small batches swing by their nature: the noise of a mean falls with the root of the batch.
    if model_summary_of(run).batch_size < limits["batch"]:
        return
    # A loss against what the network itself computed swings while its target moves; without a target it cannot be told.
    if moving_target(run) or not any(one.target.shape for one in model_summary_of(run).objectives):
        return
    late = values[len(values) // 3 :]
    middle = float(np.median(late))
    tau, chance = trend(late)
    swing = noise_of(late) / max(abs(middle), 1e-12)
    # The mean of n squared errors of a bell curve varies by the root of 2/n: the batch's own share of the swing.
    batch = max(model_summary_of(run).batch_size, 1)
    if swing > max(limits["swing"], limits["of_batch"] * (2 / batch) ** 0.5) and not (tau < 0 and chance < 0.01):
        yield Evidence(
            first_step=int(steps[len(steps) // 3]),
            last_step=level.steps,
            confidence=0.6,
            numbers={"swing": swing, "middle": middle},
            message=f"The loss jumps by {100 * swing:.0f} % of its level from step to step around {middle:.3g}, "
            "without going down.",
        )


RULE = Rule(
    code="F909",
    name="oscillating-loss",
    severity=Severity.WARNING,
    what="The loss swings without progress.",
    why="Steps jump from one side of the valley to the other.",
    recommendation="Divide the learning rate by 3 to 10, or use larger batches.",
    find=find,
    needs=("model_summary", "curves"),
    limits={
        "swing": Limit(0.25, "a quarter of the level from one step to the next"),
        "of_batch": Limit(2.0, "twice what the drawing of the batch alone explains"),
        "batch": Limit(16, "below, the noise of the batch itself is that large"),
        "steps": Limit(50, "shorter runs show no shape"),
    },
    fixes=(
        Fix(action="scale_lr", value=0.3, say="Divide the learning rate by 3."),
        Fix(action="scale_batch_size", value=4.0, say="Use batches four times as large."),
    ),
    false_positives=(
        "Batches of very different kinds.",
        "Losses whose target a network computes (temporal differences) are not judged.",
    ),
    sources=("AutoTrainer (ICSE 2021): oscillating loss.",),
    fires_on=(lambda: example_run(loss=flat(2.3, noise=0.5)),),
    silent_on=(
        healthy,
        lambda: example_run(loss=flat(2.3, noise=0.5), objective=regression(moving_target=True)),
    ),
)
