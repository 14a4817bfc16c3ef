"""A401: units of the ReLU kind that are zero on all data."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from babysit.analysis.layer_metrics import late, lowest, of, onset
from babysit.analysis.learning import poor
from babysit.analysis.model_structure import hidden_layers
from babysit.records.finding import Evidence, Severity, Treatment
from babysit.records.run import Run
from babysit.rules.examples import example_run, flat, healthy
from babysit.rules.rule import Limit, Limits, Rule
from babysit.rules.symptoms import NOT_LEARNING


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Reads the share of units that were zero on all samples of the last windows, and since when."""
    layers = hidden_layers(run)
    shares = {name: share for name, share in of(layers, late(run, "dead")).items() if share > limits["share"]}
    if not shares:
        return
    name, share = max(shares.items(), key=lambda pair: pair[1])
    born = of(layers, lowest(run, "dead", 10)).get(name, 0.0)
    since = onset(run, "dead", name, limits["share"])
    at_birth = born > limits["share"]
    when = "from the start (first weights or inputs)" if at_birth else f"since step {since} (too large a learning rate)"
    # A layer without a single living unit passes nothing on: no other evidence of harm is needed.
    closed = share > limits["closed"]
    hurt = poor(run)
    severity = Severity.ERROR if closed and hurt else Severity.WARNING if hurt or closed else Severity.INFO
    yield Evidence(
        layers=tuple(shares),
        first_step=since,
        last_step=int(run.vitals.steps[-1]),
        severity=severity,
        confidence=0.9 if hurt else 0.6,
        numbers={"dead": share, "dead_at_start": born, "layers": len(shares)},
        meaning=f"{100 * share:.0f} % of the units of {name} are 0 on all samples {when}; they get no gradient and "
        "never come back.",
        advice="Initialize by He with small positive biases, or centre the inputs."
        if at_birth
        else "Divide the learning rate by 10, or use leaky ReLU.",
    )


RULE = Rule(
    code="A401",
    name="dead-units",
    severity=Severity.WARNING,
    what="ReLU-type units that are zero on all data.",
    why="A unit that is zero on every sample has zero gradient: it is lost for good, and the layer is narrower.",
    advice="Lower the learning rate, initialize by He, or use leaky ReLU.",
    find=find,
    needs=("anatomy", "vitals"),
    limits={
        "share": Limit(0.4, "10 to 20 % is usual and harmless (CS231n lecture 6); twice that narrows the layer"),
        "closed": Limit(0.99, "no unit left alive, up to rounding"),
    },
    leads_to=(*NOT_LEARNING, "G504", "U603", "G501"),
    treatments=(
        Treatment(action="scale_rate", value=0.1, say="Divide the learning rate by 10."),
        Treatment(action="replace_activation", value="leaky_relu", say="Use leaky ReLU.", code="nn.LeakyReLU(0.01)"),
        Treatment(action="initialize", value="he", say="Initialize by He, biases 0.01."),
    ),
    false_positives=(
        "Wide sparse networks work with many silent units: INFO while they learn.",
        "A unit silent on some data only is fine, and is not counted.",
    ),
    sources=("CS231n lecture 6: dead ReLU.", "Lu et al. 2019 (arXiv 1903.06733): dying ReLU."),
    fires_on=(
        lambda: example_run(loss=flat(2.3), vitals={"dead": 0.95}),
        lambda: example_run(loss=flat(2.3), vitals={"dead": np.linspace(0, 1, 39)[:, None]}),
    ),
    silent_on=(healthy, lambda: example_run(loss=flat(2.3), vitals={"dead": 0.15})),
)
