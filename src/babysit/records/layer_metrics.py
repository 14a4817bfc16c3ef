"""Layer x statistic x sampled step, as arrays."""

from __future__ import annotations

import itertools
from typing import Final

import msgspec
import numpy as np

from babysit.records.arrays import Array, empty

# Where the bins of a layer's histogram meet, in standard deviations from its mean; the outer two are open.
BIN_EDGES: Final = tuple(half / 2 for half in range(-5, 6))
BINS: Final = tuple(f"bin_{place:02}" for place in range(len(BIN_EDGES) + 1))


def _bins() -> dict[str, str]:
    what = "share of what the layer passes on that lies"
    spans = [f"from {low:+g} to {high:+g}" for low, high in itertools.pairwise(BIN_EDGES)]
    words = [f"below {BIN_EDGES[0]:+g}", *spans, f"above {BIN_EDGES[-1]:+g}"]
    return {name: f"{what} {span} standard deviations from its mean" for name, span in zip(BINS, words, strict=True)}


# What of a layer is computed in which order within a step; a stage's number is its place here, from 1.
NONFINITE_STAGES: Final = ("weights", "outputs", "gradient", "update")

# One line a statistic: its name is the key in `LayerMetrics.values`, and the sentence is what reports say of it.
METRICS: Final[dict[str, str]] = {
    "activation_mean": "mean of what the layer passes on (after its activation)",
    "activation_std": "standard deviation of what the layer passes on (after its activation)",
    "output_std": "standard deviation of the layer's own output (before the activation)",
    "sample_std": "how much the layer's outputs differ from sample to sample (0: the same answer for every input)",
    "zeros": "share of zeros among what the layer passes on",
    "dead": "share of units that were zero on the last 256 samples seen, of at least three steps (ReLU family)",
    "saturated": "share of values in the flat part of a sigmoid or tanh (slope below 1 % of the steepest)",
    "one_sided": "share of units whose values all had one sign",
    "input_one_sided": "share of the layer's inputs that all had one sign",
    "input_variation": "how much the layer's input differs from sample to sample, relative to its size (0: all alike)",
    "gradient_rms": "root mean square of the weight gradient, as the optimizer saw it",
    "gradient_zeros": "share of zeros in the weight gradient",
    "one_signed": "share of units whose weight gradients all have one sign",
    "weight_rms": "root mean square of the weights",
    "bias_rms": "root mean square of the bias",
    "update_rms": "root mean square of what the optimizer's step changed",
    "update_ratio": "norm of the update over norm of the weights; about 1e-3 is usual",
    "nonfinite": "number of NaN or infinite values in output, gradient and weights",
    "nonfinite_stage": "the first of the step not to be finite: 0 nothing, 1 weights, 2 outputs, 3 gradient, 4 update",
    "unit_similarity": "share of units whose incoming weights and bias equal another unit's",
    "gamma_mean": "mean of a normalization layer's scale",
    "beta_mean": "mean of a normalization layer's shift",
    "slope": "mean learned slope of a PReLU",
    **_bins(),
}


class LayerMetrics(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Layer metrics: `values[statistic]` is float32 of shape (sampled steps, layers), NaN where not measured."""

    layers: tuple[str, ...] = ()
    steps: Array = msgspec.field(default_factory=lambda: empty("int64"))  # optimizer steps, from 0, rising
    values: dict[str, Array] = {}

    def series(self, metric: str, layer: str) -> Array:
        """The values of one statistic of one layer over the sampled steps; NaN when never measured."""
        table = self.values.get(metric)
        if table is None or layer not in self.layers:
            return np.full(len(self.steps), np.nan, dtype="float32")
        column: Array = table[:, self.layers.index(layer)]
        return column
