"""I303: activations grow from layer to layer before training."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from babysit.analysis.layer_metrics import first, select
from babysit.analysis.learning import is_underperforming
from babysit.analysis.loss_curve import levels
from babysit.analysis.model_structure import model_summary_of, weight_layers
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.run import Run
from babysit.rules.effect_groups import BLOWING_UP, LOST_UNITS, NOT_LEARNING
from babysit.rules.examples import example_run, falling, healthy
from babysit.rules.objective.unexpected_initial_loss import expected_first_loss
from babysit.rules.rule import Limit, Limits, Rule


def _harm(run: Run, above: float) -> bool:
    level, expected = levels(run), expected_first_loss(run)
    too_high = level is not None and expected is not None and level.start > above * expected
    return is_underperforming(run) or too_high


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Check the product of the gains of the layers: weight rms times the square root of the fan-in."""
    layers = weight_layers(run)
    weights = select(layers, first(run, "weight_rms"))
    if not weights or any(one.norm for one in model_summary_of(run).layers):
        return
    gains = {layer.name: weights[layer.name] * layer.fan_in**0.5 for layer in layers if layer.name in weights}
    # A ReLU halves the mean square of its input.
    passed = [
        gains[layer.name] * (0.71 if layer.activation == "relu" else 1.0) for layer in layers if layer.name in gains
    ]
    total = float(np.prod(passed))
    large = [name for name, gain in gains.items() if gain > limits["gain"]]
    if total < limits["total"] or not large:
        return
    largest = max(large, key=lambda name: gains[name])
    std = select(layers, first(run, "output_std"))
    ends = [std[layer.name] for layer in (layers[0], layers[-1]) if layer.name in std]
    measured = (
        f"; the standard deviation of the outputs was {ends[0]:.3g} in the first layer and {ends[1]:.3g} in the last"
        if len(ends) == 2 and len(layers) > 1
        else ""
    )
    yield Evidence(
        layers=tuple(large),
        first_step=int(run.layer_metrics.steps[0]),
        severity=Severity.WARNING if _harm(run, limits["first_loss"]) else Severity.INFO,
        numbers={"product_of_gains": total, "largest_gain": gains[largest], "layers": len(large)},
        message=f"The initial weights of {len(large)} of {len(layers)} layers scale their input by more than "
        f"{limits['gain']:g}, those of {largest} by {gains[largest]:.3g} (typical: 1 to 1.4){measured}.",
    )


RULE = Rule(
    code="I303",
    name="growing-signal",
    early=True,
    severity=Severity.WARNING,
    what="The scale of activations grows with depth at initialization.",
    why="The outputs start huge: the initial loss is far too high, sigmoid and tanh units saturate, and gradients "
    "explode.",
    recommendation="Scale random weights by the fan-in: randn * sqrt(2 / fan_in) for ReLU, sqrt(1 / fan_in) for tanh.",
    find=find,
    needs=("model_summary", "layer_metrics"),
    limits={
        "gain": Limit(3.0, "He gives 1.41, Xavier 1, the default of torch 0.58; an unscaled randn over 100 inputs 10"),
        "total": Limit(10.0, "outputs ten times the inputs"),
        "first_loss": Limit(3.0, "an initial loss three times that of uniform predictions shows the harm"),
    },
    causes=(*NOT_LEARNING, *BLOWING_UP, *LOST_UNITS, "I304", "O207", "U602"),
    fixes=(
        Fix(
            action="initialize",
            value="auto",
            say="Initialize each layer for its activation.",
            code="babysit.nn.initialize.initialize_(model)",
        ),
    ),
    false_positives=("Pretrained weights: INFO if the training learns.",),
    sources=("CS231n lecture 6: weights of 1.0*randn saturate every tanh.", "Glorot & Bengio 2010."),
    fires_on=(lambda: example_run(loss=falling(80.0, 3.0), layer_metrics={"weight_rms": 1.0}),),
    silent_on=(healthy,),
)
