"""I302: activations shrink from layer to layer before training."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from babysit.analysis.layer_metrics import first, select
from babysit.analysis.learning import is_underperforming
from babysit.analysis.model_structure import SQUASHING, model_summary_of, weight_layers
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.run import Run
from babysit.rules.effect_groups import NOT_LEARNING
from babysit.rules.examples import dense_layers, example_run, flat, healthy
from babysit.rules.rule import Limit, Limits, Rule


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Compare the standard deviations of the outputs of the first and last weight layer at initialization."""
    layers = weight_layers(run)
    sigmoids = sum(layer.activation == "sigmoid" for layer in layers)
    # Normalization resets the scale; a sigmoid shrinks it with any weights (see sigmoid-in-hidden-layer).
    if (
        len(layers) < limits["depth"]
        or sigmoids > len(layers) / 2
        or any(one.norm for one in model_summary_of(run).layers)
    ):
        return
    stds = select(layers, first(run, "output_std"))
    if len(stds) < limits["depth"]:
        return
    values = np.maximum(np.asarray(list(stds.values())), 1e-30)
    total = float(values[-1] / values[0])
    each = total ** (1 / (len(values) - 1))
    if total >= limits["total"] or each >= limits["each"]:
        return
    hurt = is_underperforming(run)
    scheme = "Xavier" if any(layer.activation in SQUASHING for layer in layers) else "He"
    yield Evidence(
        layers=tuple(stds),
        first_step=int(run.layer_metrics.steps[0]),
        severity=Severity.WARNING if hurt else Severity.INFO,
        numbers={"first_spread": float(values[0]), "last_spread": float(values[-1]), "factor_per_layer": each},
        message=f"Before training, the standard deviation of the activations shrinks from {values[0]:.2g} to "
        f"{values[-1]:.2g} over {len(values)} layers (a factor of {each:.2f} per layer): the output hardly depends "
        "on the input, and gradients shrink as much.",
        recommendation=f"Use {scheme} initialization, or add batch normalization between the layers.",
    )


RULE = Rule(
    code="I302",
    name="shrinking-signal",
    early=True,
    severity=Severity.WARNING,
    what="The scale of activations shrinks with depth at initialization.",
    why="The output hardly depends on the input, and gradients shrink in the backward pass as well.",
    recommendation="Use He initialization for ReLU and Xavier for tanh, or add batch normalization.",
    find=find,
    needs=("model_summary", "layer_metrics"),
    limits={
        "depth": Limit(4, "fewer layers cannot shrink the scale that much"),
        "total": Limit(1e-2, "a factor of 100 from first to last layer"),
        "each": Limit(0.85, "per layer: Xavier with ReLU gives 0.71, the default of torch 0.41, He 1"),
    },
    causes=(*NOT_LEARNING, "A401", "A403", "G501", "I305", "N805", "U602", "U603"),
    fixes=(
        Fix(
            action="initialize",
            value="auto",
            say="Initialize each layer for its activation.",
            code="babysit.nn.initialize.initialize_(model)",
        ),
        Fix(action="insert_batch_norm", say="Normalize between the layers.", code="nn.BatchNorm1d(width)"),
    ),
    false_positives=("Adam and residual connections often train such networks anyway: INFO if the training learns.",),
    sources=("CS231n lecture 6: ten tanh layers with 0.01*randn.", "He et al. 2015 (arXiv 1502.01852)."),
    fires_on=(
        lambda: example_run(
            layers=dense_layers((64,) * 12 + (10,)),
            loss=flat(2.303),
            layer_metrics={"output_std": np.logspace(0, -9, 12)},
        ),
    ),
    silent_on=(
        healthy,
        lambda: example_run(layers=dense_layers((64,) * 12 + (10,)), layer_metrics={"output_std": 1.0}),
    ),
)
