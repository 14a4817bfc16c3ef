"""A401: ReLU units that are zero on all data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from babysit.analysis.layer_metrics import first_known, last_known, last_window, onset, select
from babysit.analysis.learning import is_underperforming
from babysit.analysis.model_structure import hidden_layers
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.model_summary import Layer
from babysit.records.run import Run
from babysit.rules.effect_groups import NOT_LEARNING
from babysit.rules.examples import example_run, flat, healthy
from babysit.rules.rule import Limit, Limits, Rule

# An input that varies between samples by less than 0.001 of its size is constant up to rounding; inputs that
# distinguish samples vary by 0.1 and more.
SAME_INPUT: Final = 1e-3


def judged(run: Run) -> list[Layer]:
    """Return the hidden layers whose input varies between samples.

    Behind a constant input every unit is always active or always inactive; the cause lies in an earlier layer.
    """
    differs = last_window(run, "input_variation")
    return [layer for layer in hidden_layers(run) if differs.get(layer.name, 1.0) > SAME_INPUT]


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Check the fraction of units that were zero on all recent samples, and since when."""
    layers = judged(run)
    shares = {name: share for name, share in select(layers, last_known(run, "dead")).items() if share > limits["share"]}
    if not shares:
        return
    name, share = max(shares.items(), key=lambda pair: pair[1])
    initial = select(layers, first_known(run, "dead")).get(name, 0.0)
    at_start = initial > limits["share"]
    since = int(run.layer_metrics.steps[0]) if at_start else onset(run, "dead", name, limits["share"])
    when = (
        "from the first step (caused by initialization or inputs)"
        if at_start
        else f"since step {since} (typical after too large an update)"
    )
    # A layer without an active unit outputs a constant: no other evidence of harm is needed.
    closed = share > limits["closed"]
    hurt = is_underperforming(run)
    severity = Severity.ERROR if closed and hurt else Severity.WARNING if hurt or closed else Severity.INFO
    yield Evidence(
        layers=tuple(shares),
        first_step=since,
        last_step=int(run.layer_metrics.steps[-1]),
        severity=severity,
        confidence=0.9 if hurt else 0.6,
        numbers={"dead": share, "dead_at_start": initial, "layers": len(shares)},
        message=f"{100 * share:.0f} % of the units of {name} were 0 on all recent samples, {when}: their gradient "
        "is 0, so they cannot recover.",
        recommendation="Use He initialization with small positive biases, or center the inputs."
        if at_start
        else "Divide the learning rate by 10, or use leaky ReLU.",
    )


RULE = Rule(
    code="A401",
    name="dead-units",
    severity=Severity.WARNING,
    what="ReLU-type units that are zero on all data.",
    why="A unit that is zero on every sample has zero gradient and cannot recover, so the layer is effectively "
    "narrower.",
    recommendation="Lower the learning rate, use He initialization, or use leaky ReLU.",
    find=find,
    needs=("model_summary", "layer_metrics"),
    limits={
        "share": Limit(0.4, "10 to 20 % is typical and harmless (CS231n lecture 6); this is twice that"),
        "closed": Limit(0.99, "no active unit, up to rounding"),
    },
    causes=(*NOT_LEARNING, "G504", "U603", "G501"),
    fixes=(
        Fix(action="scale_lr", value=0.1, say="Divide the learning rate by 10."),
        Fix(action="replace_activation", value="leaky_relu", say="Use leaky ReLU.", code="nn.LeakyReLU(0.01)"),
        Fix(action="initialize", value="he", say="Use He initialization with biases of 0.01."),
    ),
    false_positives=(
        "Wide sparse networks train well with many inactive units: INFO if the training learns.",
        "Units that are inactive on some samples only are not counted.",
        "Layers whose input is constant over samples are not checked.",
    ),
    sources=("CS231n lecture 6: dead ReLU.", "Lu et al. 2019 (arXiv 1903.06733): dying ReLU."),
    fires_on=(
        lambda: example_run(loss=flat(2.3), layer_metrics={"dead": 0.95}),
        lambda: example_run(loss=flat(2.3), layer_metrics={"dead": np.linspace(0, 1, 39)[:, None]}),
    ),
    silent_on=(
        healthy,
        lambda: example_run(loss=flat(2.3), layer_metrics={"dead": 0.15}),
        lambda: example_run(loss=flat(2.3), layer_metrics={"dead": 0.56, "input_variation": 1e-8}),
    ),
)
