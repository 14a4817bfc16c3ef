"""I302: the signal decays from layer to layer before training."""

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
    """Compares the spread before the activation at the first and the last weight layer of the untrained network."""
    layers = weight_layers(run)
    sigmoids = sum(layer.activation == "sigmoid" for layer in layers)
    # Normalization resets the scale; a sigmoid shrinks it whatever the weights are (sigmoid-in-hidden-layer tells
    # that).
    if (
        len(layers) < limits["depth"]
        or sigmoids > len(layers) / 2
        or any(one.norm for one in model_summary_of(run).layers)
    ):
        return
    spread = select(layers, first(run, "output_std"))
    if len(spread) < limits["depth"]:
        return
    values = np.maximum(np.asarray(list(spread.values())), 1e-30)
    total = float(values[-1] / values[0])
    each = total ** (1 / (len(values) - 1))
    if total >= limits["total"] or each >= limits["each"]:
        return
    hurt = is_underperforming(run)
    scheme = "Xavier" if any(layer.activation in SQUASHING for layer in layers) else "He"
    yield Evidence(
        layers=tuple(spread),
        first_step=int(run.layer_metrics.steps[0]),
        severity=Severity.WARNING if hurt else Severity.INFO,
        numbers={"first_spread": float(values[0]), "last_spread": float(values[-1]), "factor_per_layer": each},
        message=f"Before training, the spread of the signal falls from {values[0]:.2g} to {values[-1]:.2g} over "
        f"{len(values)} layers (x{each:.2f} a layer): little of the input arrives, and as little gradient comes back.",
        recommendation=f"Use {scheme} initialization, or add batch normalization between the layers.",
    )


RULE = Rule(
    code="I302",
    name="shrinking-signal",
    early=True,
    severity=Severity.WARNING,
    what="The scale of activations decays with depth at initialization.",
    why="What reaches the end no longer depends on the input, and gradients shrink on the way back as well.",
    recommendation="Use He initialization for ReLU and Xavier for tanh, or add batch normalization.",
    find=find,
    needs=("model_summary", "layer_metrics"),
    limits={
        "depth": Limit(4, "fewer layers cannot decay far"),
        "total": Limit(1e-2, "a hundredfold decay from first to last layer"),
        "each": Limit(0.85, "per layer: Xavier under ReLU gives 0.71, torch's default 0.41, He 1"),
    },
    causes=(*NOT_LEARNING, "A401", "A403", "G501", "I305", "N805", "U602", "U603"),
    fixes=(
        Fix(
            action="initialize",
            value="auto",
            say="Initialize each layer for the activation that follows.",
            code="babysit.nn.initialize.initialize_(model)",
        ),
        Fix(action="insert_batch_norm", say="Normalize between the layers.", code="nn.BatchNorm1d(width)"),
    ),
    false_positives=("Adam and residual paths often train such networks all the same: INFO while they learn.",),
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
