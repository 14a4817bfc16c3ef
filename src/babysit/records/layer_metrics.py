"""Layer metrics: statistics per layer and sampled step, as arrays."""

from __future__ import annotations

import itertools
from typing import Final

import msgspec
import numpy as np

from babysit.records.arrays import Array, empty

# Edges of a layer's histogram bins in standard deviations from its mean; the outer two bins are open.
BIN_EDGES: Final = tuple(half / 2 for half in range(-5, 6))
BINS: Final = tuple(f"bin_{place:02}" for place in range(len(BIN_EDGES) + 1))


def _bins() -> dict[str, str]:
    text = "fraction of the activations"
    spans = [f"from {low:+g} to {high:+g}" for low, high in itertools.pairwise(BIN_EDGES)]
    words = [f"below {BIN_EDGES[0]:+g}", *spans, f"above {BIN_EDGES[-1]:+g}"]
    return {name: f"{text} {span} standard deviations from their mean" for name, span in zip(BINS, words, strict=True)}


# Values of a layer in the order in which a step computes them; a stage's number is its position here, from 1.
NONFINITE_STAGES: Final = ("weights", "outputs", "gradient", "update")

# Descriptions of the statistics, as shown in reports; the names are the keys of `LayerMetrics.values`.
METRICS: Final[dict[str, str]] = {
    "activation_mean": "mean of the activations (the layer's output after its activation function)",
    "activation_std": "standard deviation of the activations (the layer's output after its activation function)",
    "output_std": "standard deviation of the layer's output (before the activation function)",
    "sample_std": "standard deviation of the layer's outputs across samples (0: the same output for every input)",
    "zeros": "fraction of zeros among the activations",
    "dead": "fraction of units that were zero on the last 256 samples, of at least three steps (ReLU family)",
    "saturated": "fraction of values in the flat part of a sigmoid or tanh (slope below 1 % of the maximum)",
    "one_sided": "fraction of units whose values all had one sign",
    "input_one_sided": "fraction of the layer's inputs that all had one sign",
    "input_variation": "variation of the layer's input across samples, relative to its size (0: identical inputs)",
    "gradient_rms": "root mean square of the weight gradient that the optimizer received",
    "gradient_zeros": "fraction of zeros in the weight gradient",
    "one_signed": "fraction of units whose weight gradients all have one sign",
    "weight_rms": "root mean square of the weights",
    "bias_rms": "root mean square of the bias",
    "update_rms": "root mean square of the weight update",
    "update_ratio": "norm of the update over norm of the weights; typically about 1e-3",
    "nonfinite": "number of NaN or infinite values in output, gradient and weights",
    "nonfinite_stage": "first value of the step that is not finite: 0 none, 1 weights, 2 outputs, 3 gradient, 4 update",
    "unit_similarity": "fraction of units whose incoming weights and bias equal another unit's",
    "gamma_mean": "mean of a normalization layer's scale",
    "beta_mean": "mean of a normalization layer's shift",
    "slope": "mean learned slope of a PReLU",
    **_bins(),
}


class LayerMetrics(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Layer metrics: `values[statistic]` is float32 of shape (sampled steps, layers), NaN where not measured."""

    layers: tuple[str, ...] = ()
    steps: Array = msgspec.field(default_factory=lambda: empty("int64"))  # optimizer steps from 0, increasing
    values: dict[str, Array] = {}

    def series(self, metric: str, layer: str) -> Array:
        """Return one statistic of one layer over the sampled steps; NaN if never measured."""
        table = self.values.get(metric)
        if table is None or layer not in self.layers:
            return np.full(len(self.steps), np.nan, dtype="float32")
        column: Array = table[:, self.layers.index(layer)]
        return column
