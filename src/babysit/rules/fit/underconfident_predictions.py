"""F907: the accuracy rises while the loss hardly changes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from babysit.analysis.loss_curve import levels, values_of
from babysit.records.curves import TRAIN_ACCURACY, VAL_ACCURACY
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.run import Run
from babysit.rules.examples import example_run, falling, healthy
from babysit.rules.fit.overfitting import last_mean
from babysit.rules.rule import Limit, Limits, Rule


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Compare the gain in accuracy with the decrease of the loss."""
    level = levels(run)
    if level is None or level.broken_at is not None:
        return
    for name in (TRAIN_ACCURACY, VAL_ACCURACY):
        _, values = values_of(run.curves.get(name))
        if len(values) < 3:
            continue
        scale = 100.0 if values.max() > 1.5 else 1.0
        gain = (last_mean(values) - float(values[0])) / scale
        fall = (level.start - level.end) / max(abs(level.start), 1e-12)
        if gain > limits["gain"] and 0 <= fall < limits["fall"]:
            yield Evidence(
                numbers={"accuracy_gain": gain, "start_loss": level.start, "end_loss": level.end},
                message=f"The accuracy rose by {100 * gain:.0f} points while the loss only went from {level.begun} "
                f"to {level.ended}: the predicted probabilities are still nearly uniform, but the correct class "
                "often ranks first.",
            )
            return


RULE = Rule(
    code="F907",
    name="underconfident-predictions",
    severity=Severity.INFO,
    what="The accuracy rises while the loss hardly changes.",
    why="The updates are small, so the predicted probabilities stay nearly uniform.",
    recommendation="Raise the learning rate.",
    find=find,
    needs=("curves",),
    limits={
        "gain": Limit(0.08, "eight points; the example of CS231n lecture 6 gains ten"),
        "fall": Limit(0.05, "the loss of the CS231n example goes from 2.303 to 2.302"),
    },
    fixes=(Fix(action="scale_lr", value=10.0, say="Multiply the learning rate by 10."),),
    false_positives=("Losses with a high lower bound (label smoothing, double softmax).",),
    sources=("CS231n lecture 6: learning rate 1e-6, loss 2.303 -> 2.302, accuracy 20 %.",),
    fires_on=(
        lambda: example_run(
            loss=falling(2.303, 2.29, noise=0.001), curves={"train/accuracy": np.linspace(0.1, 0.25, 20)}
        ),
    ),
    silent_on=(healthy,),
)
