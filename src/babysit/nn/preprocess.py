"""Preprocessing modules: fitted on the training split, saved with the model, applied identically at inference."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, final

import torch
from torch import Tensor, nn

from babysit.nn.moments import Moments, moments
from babysit.records.errors import UserError

# Dividing by a standard deviation below the smallest normal float32 would give infinities.
_SMALLEST_SCALE = torch.finfo(torch.float32).tiny


@final
class Standardize(nn.Module):
    """Subtract each feature's (or image channel's) mean and divide by its standard deviation.

    Constant features are only centered. `shape` is that of the statistics: (features,) for a table,
    (channels, 1, 1) for images. Create it with `Standardize.fit(training_x)`; created from a shape, it is the identity
    until a state is loaded.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, shape: int | Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("scale", torch.ones(shape))

    @classmethod
    def fit(cls, x: Tensor | Iterable[Any]) -> Standardize:
        """Compute the statistics of a tensor, or of batches in one pass, in float64.

        Raises UserError when there are no samples, and for NaN or infinite values.
        """
        found = moments(x)
        module = cls(tuple(found.mean.shape))
        module.mean.copy_(found.mean)
        module.scale.copy_(_usable_scale(found))
        return module

    @property
    def words(self) -> str:
        """Describe the preprocessing for reports."""
        return "standardized by the training split: each feature has mean 0 and standard deviation 1"

    def forward(self, x: Tensor) -> Tensor:
        """Return the standardized values."""
        return (x - self.mean) / self.scale

    def inverse(self, x: Tensor) -> Tensor:
        """Return the original values."""
        return x * self.scale + self.mean


@final
class Center(nn.Module):
    """Subtract the mean of each channel (VGG) or the mean image (AlexNet), and optionally divide by one scale.

    `shape` as for `Standardize`, or the shape of an image for per="pixel". Pixels have a common scale, so per-feature
    scaling is unnecessary; one scale for all of them preserves their relations and suits initializations that expect
    unit-scale inputs.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, shape: int | Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("scale", torch.ones(()))

    @classmethod
    def fit(
        cls,
        x: Tensor | Iterable[Any],
        *,
        per: Literal["channel", "pixel"] = "channel",
        shared_scale: bool = False,
    ) -> Center:
        """Compute the means of a tensor, or of batches in one pass, in float64.

        With `shared_scale` all values are divided by one number, the standard deviation of the centered data. Raises
        UserError when there are no samples, and for NaN or infinite values.
        """
        if per not in {"channel", "pixel"}:
            raise UserError(f"means per {per!r} are not known", do="Give 'channel' or 'pixel'")
        found = moments(x, per=per)
        module = cls(tuple(found.mean.shape))
        module.mean.copy_(found.mean)
        if shared_scale:
            scale = found.variance.mean().sqrt()
            module.scale.copy_(scale if scale >= _SMALLEST_SCALE else torch.ones(()))
        return module

    @property
    def words(self) -> str:
        """Describe the preprocessing for reports."""
        each = "channel" if self.mean.dim() == 3 else "feature"
        means = "the mean image" if self.mean.numel() > self.mean.shape[0] else f"the mean of each {each}"
        scale = "" if float(self.scale) == 1 else f", divided by {float(self.scale):.4g}"
        return f"centered by the training split: {means} subtracted{scale}"

    def forward(self, x: Tensor) -> Tensor:
        """Return the centered values."""
        return (x - self.mean) / self.scale

    def inverse(self, x: Tensor) -> Tensor:
        """Return the original values."""
        return x * self.scale + self.mean


def preprocessing_for(kind: str, x: Tensor | Iterable[Any]) -> Standardize | Center:
    """Fit the usual preprocessing on x: images centered by channel with one scale, tables standardized."""
    return Center.fit(x, shared_scale=True) if kind == "image" else Standardize.fit(x)


def _usable_scale(found: Moments) -> Tensor:
    scale = found.variance.sqrt()
    return torch.where(found.constant | (scale < _SMALLEST_SCALE), torch.ones_like(scale), scale)
