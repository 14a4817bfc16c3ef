"""A402: saturated sigmoid or tanh units."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from babysit.analysis.layer_metrics import last_window, onset, select
from babysit.analysis.learning import is_underperforming
from babysit.analysis.model_structure import SQUASHING, hidden_layers
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.run import Run
from babysit.rules.effect_groups import NOT_LEARNING
from babysit.rules.examples import dense_layers, example_run, flat, healthy
from babysit.rules.rule import Limit, Limits, Rule


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Check the fraction of saturated values of hidden sigmoid and tanh layers at the end of the run."""
    # Saturated outputs are confident predictions; only hidden layers are checked.
    layers = [layer for layer in hidden_layers(run) if layer.activation in SQUASHING]
    shares = {
        name: share for name, share in select(layers, last_window(run, "saturated")).items() if share > limits["share"]
    }
    if not shares:
        return
    name, share = max(shares.items(), key=lambda pair: pair[1])
    yield Evidence(
        layers=tuple(shares),
        first_step=onset(run, "saturated", name, limits["share"]),
        last_step=int(run.layer_metrics.steps[-1]),
        severity=Severity.WARNING if is_underperforming(run) else Severity.INFO,
        numbers={"saturated": share, "layers": len(shares)},
        message=f"{100 * share:.0f} % of the values of {name} are saturated: the slope of the activation is below "
        "1 % of its maximum there.",
    )


RULE = Rule(
    code="A402",
    name="saturated-units",
    severity=Severity.WARNING,
    what="Hidden sigmoid or tanh units are saturated.",
    why="Saturated units pass almost no gradient, so the layers before them stop learning.",
    recommendation="Standardize the inputs, lower the learning rate, or use ReLU.",
    find=find,
    needs=("model_summary", "layer_metrics"),
    limits={"share": Limit(0.5, "half of the values; the healthy tanh layers of CS231n have below 5 %")},
    causes=(*NOT_LEARNING, "G501", "G504", "U603"),
    fixes=(
        Fix(action="replace_activation", value="relu", say="Use ReLU in hidden layers.", code="nn.ReLU()"),
        Fix(action="scale_lr", value=0.1, say="Divide the learning rate by 10."),
    ),
    false_positives=("Gates and intentionally binary networks: INFO if the training learns.",),
    sources=("CS231n lecture 6: at x = 10 the sigmoid's gradient is practically 0.",),
    fires_on=(
        lambda: example_run(
            layers=dense_layers((20, 64, 64, 10), activation="sigmoid"),
            loss=flat(2.3),
            layer_metrics={"saturated": np.linspace(0, 1, 39)[:, None]},
        ),
    ),
    silent_on=(
        healthy,
        lambda: example_run(layers=dense_layers((20, 64, 10), activation="tanh"), layer_metrics={"saturated": 0.1}),
    ),
)
