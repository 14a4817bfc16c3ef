"""F904: a long plateau, then a sudden drop."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from babysit.analysis.learning import is_underperforming
from babysit.analysis.loss_curve import blocks, levels, values_of
from babysit.analysis.model_structure import adversarial
from babysit.records.curves import TRAIN_LOSS
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.run import Run
from babysit.rules.examples import example_run, falling, flat, healthy
from babysit.rules.rule import Limit, Limits, Rule


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Measure how long the loss stayed within a tenth of its total decrease from the start."""
    level = levels(run)
    steps, values = values_of(run.curves.get(TRAIN_LOSS))
    if (
        level is None
        or level.broken_at is not None
        or adversarial(run)
        or level.recorded < limits["steps"]
        or level.end < 0
    ):
        return
    means = blocks(values)
    drop = level.start - level.end
    if drop < limits["drop"] * abs(level.start) or drop < 5 * level.noise:
        return
    left = np.flatnonzero(means < level.start - 0.1 * drop)
    flat_share = float(left[0]) / len(means) if left.size else 1.0
    if limits["flat"] <= flat_share < 1.0:
        at = int(steps[int(flat_share * (len(steps) - 1))])
        yield Evidence(
            first_step=0,
            last_step=at,
            severity=Severity.WARNING if is_underperforming(run) else Severity.INFO,
            confidence=0.6,
            numbers={"flat_share": flat_share, "takeoff_step": at, "start_loss": level.start, "end_loss": level.end},
            message=f"The loss stayed near {level.begun} for {100 * flat_share:.0f} % of the run and decreased "
            f"only after step {at}: the start was a plateau with small gradients.",
        )


RULE = Rule(
    code="F904",
    name="delayed-learning",
    severity=Severity.INFO,
    what="A long plateau at the start, then a sudden drop of the loss.",
    why="Steps are wasted in a region of small gradients, typically after a poor initialization.",
    recommendation="Use an initialization that fits the activation (He, Xavier), scale the inputs, or shorten the "
    "warm-up.",
    find=find,
    needs=("curves",),
    limits={
        "flat": Limit(0.3, "three tenths of the run"),
        "drop": Limit(0.15, "a decrease of 15 % shows that learning began"),
        "steps": Limit(50, "shorter curves have no clear shape"),
    },
    causes=("F903",),
    fixes=(
        Fix(
            action="initialize",
            value="auto",
            say="Initialize each layer for its activation.",
            code="babysit.nn.initialize.initialize_(model)",
        ),
    ),
    false_positives=("Warm-up, and tasks that are learned suddenly: INFO.",),
    sources=("CS231n lecture 6: flat, then a sudden drop: bad initialization a prime suspect.",),
    fires_on=(lambda: example_run(loss=np.r_[flat(2.3, steps=250, noise=0.005), falling(2.2, 0.2, steps=150)]),),
    silent_on=(healthy,),
)
