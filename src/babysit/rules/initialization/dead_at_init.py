"""I305: most ReLU units are inactive before training."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from babysit.analysis.layer_metrics import first_known, select
from babysit.analysis.learning import is_underperforming
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.run import Run
from babysit.rules.activations.dead_units import judged
from babysit.rules.effect_groups import LOST_UNITS, NOT_LEARNING
from babysit.rules.examples import example_run, flat, healthy
from babysit.rules.rule import Limit, Limits, Rule


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Check the fraction of units that were zero on every sample when it was first measured."""
    layers = [layer for layer in judged(run) if not layer.norm]
    shares = {
        name: share for name, share in select(layers, first_known(run, "dead")).items() if share > limits["share"]
    }
    if shares:
        name, share = max(shares.items(), key=lambda pair: pair[1])
        yield Evidence(
            layers=tuple(shares),
            first_step=int(run.layer_metrics.steps[0]),
            severity=Severity.WARNING if is_underperforming(run) else Severity.INFO,
            numbers={"dead": share, "layers": len(shares)},
            message=f"From the first step on, {100 * share:.0f} % of the units of {name} were 0 on every sample: "
            "the cause is the initial weights, biases or inputs, not the learning rate.",
        )


RULE = Rule(
    code="I305",
    name="dead-at-init",
    severity=Severity.WARNING,
    what="Most ReLU units are inactive on all data before training.",
    why="A unit that is zero on all samples has no gradient and never changes.",
    recommendation="Use He initialization with zero (or slightly positive, 0.01) biases, and center the inputs.",
    find=find,
    needs=("model_summary", "layer_metrics"),
    limits={
        "share": Limit(
            0.6, "10 to 20 % is typical and harmless (CS231n lecture 6); this is more than half of the width"
        )
    },
    causes=(*NOT_LEARNING, *LOST_UNITS, "G501", "U602"),
    fixes=(
        Fix(action="initialize", value="he", say="Use He initialization, biases 0.01."),
        Fix(action="replace_activation", value="leaky_relu", say="Use leaky ReLU.", code="nn.LeakyReLU(0.01)"),
    ),
    false_positives=("Sparse networks by design: INFO if the training learns.",),
    sources=("CS231n lecture 6: dead ReLU from bad initialization.",),
    fires_on=(lambda: example_run(loss=flat(2.3), layer_metrics={"dead": 0.9}),),
    silent_on=(healthy, lambda: example_run(loss=flat(2.3), layer_metrics={"dead": np.linspace(0, 0.9, 39)[:, None]})),
)
