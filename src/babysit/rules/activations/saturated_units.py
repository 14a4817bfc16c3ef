"""A402: sigmoid or tanh units in the flat part."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from babysit.analysis.layer_metrics import late, of, onset
from babysit.analysis.learning import poor
from babysit.analysis.model_structure import SQUASHING, hidden_layers
from babysit.records.finding import Evidence, Severity, Treatment
from babysit.records.run import Run
from babysit.rules.examples import dense_layers, example_run, flat, healthy
from babysit.rules.rule import Limit, Limits, Rule
from babysit.rules.symptoms import NOT_LEARNING


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Reads the share of flat values of hidden sigmoid and tanh layers at the end."""
    # Saturated outputs are confident answers; only hidden layers are judged.
    layers = [layer for layer in hidden_layers(run) if layer.activation in SQUASHING]
    shares = {name: share for name, share in of(layers, late(run, "saturated")).items() if share > limits["share"]}
    if not shares:
        return
    name, share = max(shares.items(), key=lambda pair: pair[1])
    yield Evidence(
        layers=tuple(shares),
        first_step=onset(run, "saturated", name, limits["share"]),
        last_step=int(run.vitals.steps[-1]),
        severity=Severity.WARNING if poor(run) else Severity.INFO,
        numbers={"saturated": share, "layers": len(shares)},
        meaning=f"{100 * share:.0f} % of the values of {name} lie in the flat part of its activation, where less than "
        "1 % of the gradient passes.",
    )


RULE = Rule(
    code="A402",
    name="saturated-units",
    severity=Severity.WARNING,
    what="Hidden sigmoid or tanh units sit in the flat part of the curve.",
    why="Where the curve is flat no gradient passes, so the layers before it stop learning.",
    advice="Standardize the inputs, lower the learning rate, or use ReLU.",
    find=find,
    needs=("anatomy", "vitals"),
    limits={"share": Limit(0.5, "half of the values; CS231n's healthy tanh layers show below 5 %")},
    leads_to=(*NOT_LEARNING, "G501", "G504", "U603"),
    treatments=(
        Treatment(action="replace_activation", value="relu", say="Use ReLU in hidden layers.", code="nn.ReLU()"),
        Treatment(action="scale_rate", value=0.1, say="Divide the learning rate by 10."),
    ),
    false_positives=("Gates and networks meant to be binary: INFO while they learn.",),
    sources=("CS231n lecture 6: at x = 10 the sigmoid's gradient is practically 0.",),
    fires_on=(
        lambda: example_run(
            layers=dense_layers((20, 64, 64, 10), activation="sigmoid"),
            loss=flat(2.3),
            vitals={"saturated": np.linspace(0, 1, 39)[:, None]},
        ),
    ),
    silent_on=(
        healthy,
        lambda: example_run(layers=dense_layers((20, 64, 10), activation="tanh"), vitals={"saturated": 0.1}),
    ),
)
