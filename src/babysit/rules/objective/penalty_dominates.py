"""O212: weight decay outweighs the data."""

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

# Their decay does not pass through the gradient.
DECOUPLED = {"AdamW", "SGDW", "Lion"}


def _terms(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Compares the summands of the loss: penalties with what the data say."""
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
        message=f"At first the penalty {word} was {penalty:.3g} and the loss of the data {data:.3g}; at the end the "
        f"data's part is still {left:.3g}: the penalty decides what is learned.",
        recommendation="Scale the penalty down until it starts below the data's part: the same mean or sum for both, "
        "or a "
        "smaller factor.",
        confidence=0.9,
    )


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Compares the pull of weight decay with the gradient, asks that the weights shrank and that training is poor."""
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
    pulls = [decay * start[name] / max(gradient[name], 1e-12) for name in shared]
    pull = float(np.median(pulls))
    strong = all(one.kind in DECOUPLED for one in optimizers if one.groups) or pull > limits["pull"]
    if shrunk < limits["shrunk"] and strong:
        yield Evidence(
            layers=tuple(shared),
            numbers={"weight_decay": decay, "weights_left": shrunk, "pull_to_gradient": pull},
            message=f"With weight decay {decay:g} the weights shrank to {100 * shrunk:.0f} % of where they began, and "
            "the loss stayed high: the penalty decides, not the data.",
        )


RULE = Rule(
    code="O212",
    name="penalty-dominates",
    severity=Severity.WARNING,
    what="Weight decay or another penalty outweighs the data loss.",
    why="Weights are drawn to zero faster than the data can hold them: the network answers a constant.",
    recommendation="Lower the weight decay tenfold, or set it to 0 until the network can fit the training data.",
    find=find,
    needs=("model_summary", "curves", "layer_metrics"),
    limits={
        "term": Limit(2.0, "twice the data's part: the sum follows the penalty"),
        "left": Limit(0.6, "the data's own part kept three fifths of its first value"),
        "shrunk": Limit(0.5, "half of the initial size; healthy decay moves weights by far less within one run"),
        "pull": Limit(1.0, "the decay's pull on a weight equals the gradient's"),
    },
    causes=(*NOT_LEARNING, "A401", "F908", "G501", "I302", "O207", "O209", "U601"),
    fixes=(
        Fix(action="set_weight_decay", value=0.0, say="Train without weight decay first.", code="weight_decay=0.0"),
    ),
    false_positives=("Pruning by strong decay, done on purpose.",),
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
