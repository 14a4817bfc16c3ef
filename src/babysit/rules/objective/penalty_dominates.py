"""O212: weight decay or another penalty outweighs the data loss."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from babysit.analysis.layer_metrics import first, last_window, overall, select
from babysit.analysis.learning import is_underperforming
from babysit.analysis.model_structure import known_settings, model_summary_of, weight_layers
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.model_summary import Term
from babysit.records.run import Run
from babysit.rules.effect_groups import NOT_LEARNING
from babysit.rules.examples import example_run, falling, flat, healthy, optimizer
from babysit.rules.rule import Limit, Limits, Rule

# Optimizers with decoupled weight decay.
DECOUPLED = {"AdamW", "SGDW", "Lion"}


def _terms(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Compare the terms of the loss: penalties with the data loss."""
    terms = [term for term in model_summary_of(run).terms if math.isfinite(term.first) and math.isfinite(term.last)]
    data = sum(abs(term.first) for term in terms if term.kind == "data")
    left = sum(abs(term.last) for term in terms if term.kind == "data")
    others = [term for term in terms if term.kind != "data"]
    penalty = sum(abs(term.first) for term in others)
    if not data or not others or penalty < limits["term"] * data or left < limits["left"] * data:
        return
    word = "on the weights" if all(term.kind == "weights" for term in others) else "on the network's outputs"
    yield Evidence(
        first_step=0,
        numbers={"penalty": penalty, "data_loss": data, "data_loss_at_end": left},
        message=f"The penalty {word} started at {penalty:.3g} and the data loss at {data:.3g}; at the end the data "
        f"loss is still {left:.3g}: the penalty dominates the gradient.",
        recommendation="Scale the penalty down until it starts below the data loss: use the same reduction for "
        "both, or a smaller factor.",
        confidence=0.9,
    )


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Compare weight decay with the gradient; requires that the weights shrank and the training learns poorly."""
    found = list(_terms(run, limits))
    yield from found
    if found:
        return
    optimizers = model_summary_of(run).optimizers
    decay = max(known_settings(optimizers, "weight_decay"), default=0.0)
    layers = weight_layers(run, trainable=True)
    start, end = select(layers, first(run, "weight_rms")), select(layers, last_window(run, "weight_rms"))
    gradient = select(layers, overall(run, "gradient_rms"))
    shared = [name for name in start if name in end and name in gradient and start[name] > 0]
    if not decay or not shared or not is_underperforming(run):
        return
    shrunk = float(np.median([end[name] / start[name] for name in shared]))
    decay_ratios = [decay * start[name] / max(gradient[name], 1e-12) for name in shared]
    decay_ratio = float(np.median(decay_ratios))
    strong = all(one.kind in DECOUPLED for one in optimizers if one.groups) or decay_ratio > limits["pull"]
    if shrunk < limits["shrunk"] and strong:
        yield Evidence(
            layers=tuple(shared),
            numbers={"weight_decay": decay, "weights_left": shrunk, "pull_to_gradient": decay_ratio},
            message=f"With weight decay {decay:g} the weights shrank to {100 * shrunk:.0f} % of their initial "
            "size, and the loss stayed high: the penalty dominates the data loss.",
        )


RULE = Rule(
    code="O212",
    name="penalty-dominates",
    severity=Severity.WARNING,
    what="Weight decay or another penalty outweighs the data loss.",
    why="The weights shrink to zero faster than the data loss can keep them: the prediction becomes constant.",
    recommendation="Lower the weight decay tenfold, or set it to 0 until the network can fit the training data.",
    find=find,
    needs=("model_summary", "curves", "layer_metrics"),
    limits={
        "term": Limit(2.0, "twice the data loss: the penalty dominates the sum"),
        "left": Limit(0.6, "the data loss is still 60 % of its initial value"),
        "shrunk": Limit(0.5, "half of the initial size; normal weight decay shrinks weights far less within one run"),
        "pull": Limit(1.0, "the decay term equals the gradient"),
    },
    causes=(*NOT_LEARNING, "A401", "F908", "G501", "I302", "O207", "O209", "U601"),
    fixes=(
        Fix(action="set_weight_decay", value=0.0, say="Train without weight decay first.", code="weight_decay=0.0"),
    ),
    false_positives=("Intentional pruning by strong decay.",),
    sources=("CS231n lecture 6: with a regularization of 1e3 the loss is dominated by the penalty.",),
    fires_on=(
        lambda: example_run(
            loss=falling(27.0, 2.4),
            facts={
                "terms": (Term(kind="data", first=2.3, last=2.3), Term(kind="weights", first=25.0, last=0.1)),
            },
        ),
        lambda: example_run(
            loss=flat(2.303),
            facts={"optimizers": (optimizer("SGD", lr=0.1, weight_decay=1.0),)},
            layer_metrics={"weight_rms": np.linspace(0.2, 0.001, 39)[:, None]},
        ),
    ),
    silent_on=(
        lambda: example_run(
            facts={"terms": (Term(kind="data", first=2.3, last=0.2), Term(kind="weights", first=25.0, last=20.0))}
        ),
        healthy,
        lambda: example_run(facts={"optimizers": (optimizer(weight_decay=1e-4),)}),
    ),
)
