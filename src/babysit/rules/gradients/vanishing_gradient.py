"""G501: early layers have far smaller gradients than late ones."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from babysit.analysis.layer_metrics import first_window, overall, select
from babysit.analysis.learning import is_underperforming
from babysit.analysis.loss_curve import is_improving, levels, values_of
from babysit.analysis.model_structure import adversarial, weight_layers
from babysit.records.curves import TRAIN_LOSS
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.run import Run
from babysit.rules.effect_groups import NOT_LEARNING
from babysit.rules.examples import dense_layers, example_run, flat, healthy
from babysit.rules.rule import Limit, Limits, Rule


def _fades(gradients: np.ndarray, faint: float) -> bool:
    """Check whether all early layers have small gradients: one alone has another cause, such as uniform attention."""
    early_layers = gradients[: max(1, len(gradients) // 3)]
    return bool(early_layers.max() < faint * gradients[-1])


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Compare the gradient of the first weight layer with that of the last, at the start and over the run."""
    layers = weight_layers(run, trainable=True)
    begin, middle = select(layers, first_window(run, "gradient_rms")), select(layers, overall(run, "gradient_rms"))
    # Exactly zero has other causes: dead, detached or unused layers.
    values = np.asarray([value for name, value in begin.items() if value > 0 and middle.get(name, 0.0) > 0])
    names = [name for name, value in begin.items() if value > 0 and middle.get(name, 0.0) > 0]
    if len(names) < limits["depth"] or adversarial(run) or not is_underperforming(run):
        return
    ratio_early = float(values[0] / values[-1])
    ratio_total = middle[names[0]] / middle[names[-1]]
    if max(ratio_early, ratio_total) > limits["ratio"] or not _fades(values, limits["ratio"] ** 0.5):
        return
    level, (_, losses) = levels(run), values_of(run.curves.get(TRAIN_LOSS))
    if level is None or level.steps < limits["steps"] or is_improving(losses, limits["chance"]):
        return
    each = ratio_early ** (1 / (len(names) - 1))
    faint = tuple(name for name in names if middle[name] < limits["ratio"] ** 0.5 * middle[names[-1]])
    yield Evidence(
        layers=faint,
        first_step=int(run.layer_metrics.steps[0]),
        last_step=int(run.layer_metrics.steps[-1]),
        numbers={"first_to_last": ratio_early, "whole_run": float(ratio_total), "factor_per_layer": each},
        message=f"The gradient of {names[0]} is {ratio_early:.1e} times that of {names[-1]} (a factor of "
        f"{each:.2f} per layer): the early layers hardly learn.",
    )


RULE = Rule(
    code="G501",
    name="vanishing-gradient",
    severity=Severity.WARNING,
    what="Early layers have gradients orders of magnitude smaller than late ones.",
    why="Layers with a vanishing gradient keep their random weights, and later layers depend on their output.",
    recommendation="Use ReLU with He initialization, add batch normalization or skip connections, or fewer layers.",
    find=find,
    needs=("model_summary", "curves", "layer_metrics"),
    limits={
        "ratio": Limit(1e-3, "AutoTrainer (ICSE 2021) uses 1e-3 between first and last layer"),
        "chance": Limit(0.01, "Mann-Kendall: a decreasing loss shows that the gradient suffices"),
        "steps": Limit(50, "at the start attention is uniform and its queries and keys have small gradients"),
        "depth": Limit(3, "fewer layers cannot attenuate the gradient that much"),
    },
    causes=(*NOT_LEARNING, "N805", "U602", "U603"),
    fixes=(
        Fix(action="replace_activation", value="relu", say="Use ReLU in hidden layers.", code="nn.ReLU()"),
        Fix(action="insert_batch_norm", say="Normalize before the activations.", code="nn.BatchNorm1d(width)"),
        Fix(action="initialize", value="auto", say="Initialize each layer for its activation."),
    ),
    false_positives=(
        "Adam scales each layer separately, so small gradients may suffice: not reported if the training learns.",
    ),
    sources=("AutoTrainer, ICSE 2021.", "Glorot & Bengio 2010."),
    fires_on=(
        lambda: example_run(
            layers=dense_layers((20, *(32,) * 8, 10), activation="sigmoid"),
            loss=flat(2.3),
            layer_metrics={"gradient_rms": np.logspace(-8, -1, 9)},
        ),
    ),
    silent_on=(healthy, lambda: example_run(layers=dense_layers((20, *(32,) * 8, 10)), loss=flat(2.3))),
)
