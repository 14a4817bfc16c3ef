"""Activation statistics as scalars that stay on the device.

Every function returns 0-dim tensors (float32) and never synchronizes; `finish` converts the numbers, once they are on
the host, to the statistics of records/layer_metrics.py. Whole samples are sliced, never strided: a strided subset
aliases with the layout of images and would copy.
"""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor

from babysit.records.layer_metrics import BIN_EDGES

# Sigmoid's slope is s(1-s), tanh's is 1-t^2: below 1 % of their maximum a unit hardly learns.
SIGMOID_FLAT: Final = 0.4975  # |s - 0.5| beyond it: s(1-s) < 0.0025
TANH_FLAT: Final = 0.99499  # |t| beyond it: 1 - t^2 < 0.01

# A mean or standard deviation of 8,192 values is accurate to about 1 %; reading four times as many took a third of the
# time of a sampled step on one core (784-256-256-10, batch 128).
VALUES_PER_LAYER: Final = 8_192
LEAST_SAMPLES: Final = 2
# A share of 2,048 values is accurate to about 1 %, finer than a histogram is drawn; four times as many take three times
# as long (60 us per layer instead of 20).
VALUES_PER_HISTOGRAM: Final = 2_048

_BIN_WIDTH: Final = BIN_EDGES[1] - BIN_EDGES[0]

RECTIFIERS: Final = frozenset({"relu", "relu6", "threshold"})
SATURATING: Final = frozenset({"sigmoid", "tanh", "hardtanh", "hardsigmoid", "softsign"})


def sample(values: Tensor) -> Tensor:
    """Return the first whole samples of a batch, up to the required number; shares memory with `values`."""
    values = values.detach()
    if values.dim() == 0 or values.numel() <= VALUES_PER_LAYER:
        return values
    per_sample = max(1, values.numel() // values.shape[0])
    return values[: max(LEAST_SAMPLES, VALUES_PER_LAYER // per_sample)]


def unit_axis(values: Tensor, *, convolutional: bool) -> int:
    """Return the axis of the units: channels for a convolution's output, the last axis otherwise."""
    return 1 if convolutional and values.dim() > 2 else values.dim() - 1


def moments(values: Tensor) -> dict[str, Tensor]:
    """Compute sum, Euclidean norm and count of non-zeros of a sample."""
    flat = values.float()
    return {
        "sum": flat.sum(),
        "norm": torch.linalg.vector_norm(flat),
        "nonzero": torch.linalg.vector_norm(flat, 0),
    }


def several_samples(values: Tensor) -> bool:
    """Check whether there is more than one sample: a single one shows no variation."""
    return values.dim() > 0 and values.shape[0] > 1


def extremes(values: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Return the minimum and maximum of each unit over all samples and positions."""
    others = tuple(index for index in range(values.dim()) if index != axis)
    return (values.amin(others), values.amax(others)) if others else (values, values)


def one_sided(lowest: Tensor, highest: Tensor) -> Tensor:
    """Return the share of units whose values all have one sign (zero counts for either)."""
    return ((lowest >= 0) | (highest <= 0)).float().mean()


def sample_std(values: Tensor) -> Tensor:
    """Return the standard deviation over samples, averaged over outputs."""
    flat = values.float().flatten(1) if values.dim() > 1 else values.float().unsqueeze(1)
    return flat.std(0, correction=0).mean()


def variation(values: Tensor) -> Tensor:
    """Return the variation over samples relative to the size of the values: 0 when all samples are equal."""
    size = values.float().square().mean().sqrt()
    return sample_std(values) / size.clamp_min(torch.finfo(torch.float32).tiny)


def histogram(values: Tensor) -> Tensor:
    """Return the share of values in each bin of records/layer_metrics.py, which follow mean and std: (bins,)."""
    flat = values.reshape(-1)[:VALUES_PER_HISTOGRAM].float()
    std, mean = torch.std_mean(flat, correction=0)
    # Created on the device: copying a list there would synchronize.
    edges = torch.arange(len(BIN_EDGES), device=flat.device, dtype=torch.float32) * _BIN_WIDTH + BIN_EDGES[0]
    above = (flat > (mean + std * edges).unsqueeze(1)).sum(1)
    counts = torch.cat([above.new_full((1,), flat.numel()), above]) - torch.cat([above, above.new_zeros(1)])
    return counts / max(1, flat.numel())


def saturated(values: Tensor, activation: str) -> Tensor:
    """Return the share of values in the saturated range of an activation."""
    if activation == "sigmoid":
        return ((values - 0.5).abs() > SIGMOID_FLAT).float().mean()
    if activation == "hardsigmoid":
        return ((values <= 0) | (values >= 1)).float().mean()
    return (values.abs() > TANH_FLAT).float().mean()


def finish(raw: dict[str, float], count: int) -> dict[str, float]:
    """Return mean, standard deviation and share of zeros from the sums of `moments` over `count` values.

    The standard deviation comes from the sums in float64; where rounding would make the variance negative (a constant
    far from zero) it is 0. A single value has none: NaN.
    """
    mean = raw["sum"] / count
    square = raw["norm"] ** 2 / count if math.isfinite(raw["norm"]) else math.nan
    variance = square - mean * mean
    return {
        "mean": mean,
        "std": math.sqrt(max(variance, 0.0)) if math.isfinite(variance) and count > 1 else math.nan,
        "zeros": 1.0 - raw["nonzero"] / count,
    }
