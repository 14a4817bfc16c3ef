"""G505: gradient noise dominates."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from babysit.analysis.learning import is_underperforming
from babysit.analysis.loss_curve import levels, noise_of, trend, values_of
from babysit.analysis.model_structure import adversarial, model_summary_of
from babysit.records.curves import TRAIN_LOSS
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.run import Run
from babysit.rules.examples import example_run, flat, healthy
from babysit.rules.rule import Limit, Limits, Rule
from babysit.rules.updates.lr_too_high import ratios


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Look for small batches with a noisy loss, no trend in the second half, and large updates."""
    level, batch = levels(run), model_summary_of(run).batch_size
    steps, values = values_of(run.curves.get(TRAIN_LOSS))
    small = 0 < batch <= limits["batch"]
    if (
        level is None
        or level.broken_at is not None
        or not small
        or adversarial(run)
        or level.recorded < limits["steps"]
    ):
        return
    late = values[len(values) // 2 :]
    swing = noise_of(late) / max(abs(float(late.mean())), 1e-12)
    tau, chance = trend(late)
    sizes = ratios(run)
    typical_ratio = float(np.nanmedian(sizes)) if np.isfinite(sizes).any() else 0.0
    if (
        swing > limits["swing"]
        and (tau >= 0 or chance > 0.05)
        and typical_ratio > limits["ratio"]
        and is_underperforming(run, below=limits["skill"])
    ):
        yield Evidence(
            first_step=int(steps[len(steps) // 2]),
            last_step=level.steps,
            confidence=0.5,
            numbers={"batch_size": batch, "swing": swing, "update_ratio": typical_ratio},
            message=f"With batches of {batch} the loss changes by {100 * swing:.0f} % of its level from step to "
            "step and no longer decreases: the updates follow the noise of the batch.",
        )


RULE = Rule(
    code="G505",
    name="noisy-gradient",
    severity=Severity.WARNING,
    what="Gradient noise dominates the signal.",
    why="The gradient of a few samples is mostly noise; large updates along it follow a random walk.",
    recommendation="Use larger batches, accumulate gradients, or divide the learning rate by 10.",
    find=find,
    needs=("model_summary", "curves", "layer_metrics"),
    limits={
        "batch": Limit(4, "the noise of larger batches is at most half of that of one sample"),
        "swing": Limit(0.3, "a third of the level from step to step"),
        "ratio": Limit(2e-3, "twice the typical update ratio"),
        "skill": Limit(0.3, "less than 30 % of the baseline loss removed: more is slow learning, not noise"),
        "steps": Limit(100, "shorter curves show no trend"),
    },
    causes=("F909", "F902", "F905", "O210"),
    fixes=(
        Fix(action="scale_batch_size", value=8.0, say="Use batches eight times as large."),
        Fix(action="scale_lr", value=0.1, say="Divide the learning rate by 10."),
    ),
    false_positives=("Batches of one sample with a small learning rate: not reported if the training learns.",),
    sources=("McCandlish et al. 2018 (arXiv 1812.06162): gradient noise scale.",),
    fires_on=(
        lambda: example_run(loss=flat(2.3, noise=0.6), facts={"batch_size": 2}, layer_metrics={"update_ratio": 0.01}),
    ),
    silent_on=(healthy, lambda: example_run(facts={"batch_size": 1}, layer_metrics={"update_ratio": 0.01})),
)
