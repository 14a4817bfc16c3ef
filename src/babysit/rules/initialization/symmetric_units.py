"""I301: the units of a layer are identical."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from babysit.analysis.layer_metrics import first, last_window, select
from babysit.analysis.model_structure import hidden_layers, model_summary_of
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.run import Run
from babysit.rules.effect_groups import LOST_UNITS, NOT_LEARNING
from babysit.rules.examples import example_run, flat, healthy
from babysit.rules.rule import Limit, Limits, Rule


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Look for hidden layers whose units are identical at the first and at the last sampled step."""
    unused = set(model_summary_of(run).unreached) | set(model_summary_of(run).unoptimized)
    layers = [
        layer
        for layer in hidden_layers(run)
        if layer.trainable and layer.weight_shape[0] > 1 and not unused & set(layer.parameter_names)
    ]
    start, end = select(layers, first(run, "unit_similarity")), select(layers, last_window(run, "unit_similarity"))
    steps = np.asarray(run.layer_metrics.steps)
    # Units that only start equal (low-rank adapters, zero-initialized last layers) differ after one step.
    if len(steps) < 2 or steps[-1] - steps[0] < limits["steps"]:
        return
    same = [name for name in start if start[name] >= limits["share"] and end.get(name, 0.0) >= limits["share"]]
    if same:
        share = min(end[name] for name in same)
        yield Evidence(
            layers=tuple(same),
            first_step=int(steps[0]),
            last_step=int(steps[-1]),
            numbers={"layers": len(same), "equal_share": share, "steps": int(steps[-1])},
            message=f"In {len(same)} of {len(layers)} hidden layers at least {100 * share:.0f} % of the units are "
            f"identical to another after {int(steps[-1])} steps: identical units compute the same function.",
        )


RULE = Rule(
    code="I301",
    name="symmetric-units",
    early=True,
    severity=Severity.ERROR,
    what="Zero or constant initialization: the units of a layer are identical and stay so.",
    why="Identical units get identical gradients, so they stay identical and the width of the layer is wasted.",
    recommendation="Initialize weights at random (He for ReLU, Xavier for tanh); zeros only for biases.",
    find=find,
    needs=("model_summary", "layer_metrics"),
    limits={
        "share": Limit(0.5, "half of the units; random weights never coincide, but a few pruned units may"),
        "steps": Limit(5, "units that only start equal differ after one or two steps"),
    },
    causes=(*NOT_LEARNING, *LOST_UNITS, "A403", "G501", "I302", "I305", "U601", "U602"),
    fixes=(
        Fix(
            action="initialize",
            value="auto",
            say="Initialize each layer for its activation.",
            code="babysit.nn.initialize.initialize_(model)",
        ),
    ),
    false_positives=("Low-rank adapters and zero-initialized last layers differ after one step and are not reported.",),
    sources=("CS231n lecture 6: zero initialization, 'all neurons compute the same'.",),
    fires_on=(lambda: example_run(loss=flat(2.303), layer_metrics={"unit_similarity": 1.0}),),
    silent_on=(healthy, lambda: example_run(layer_metrics={"unit_similarity": np.r_[1.0, np.zeros(38)][:, None]})),
)
