"""Preprocessing as modules: fitted on the training split, saved with the model, the same for whoever uses it later."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, final

import torch
from torch import Tensor, nn

from babysit.nn.moments import Moments, moments
from babysit.records.errors import UserError

# A standard deviation below the smallest normal float32 would turn quotients into infinities.
_SMALLEST_SCALE = torch.finfo(torch.float32).tiny


@final
class Standardize(nn.Module):
    """Subtract each feature's (or image channel's) mean and divide by its standard deviation.

    Features that never change are only centred. `shape` is that of the statistics: (features,) for a table,
    (channels, 1, 1) for images. Make it with `Standardize.fit(training_x)`; one that is made from a shape changes
    nothing until a saved state is loaded into it.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, shape: int | Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("scale", torch.ones(shape))

    @classmethod
    def fit(cls, x: Tensor | Iterable[Any]) -> Standardize:
        """Take the statistics of a tensor, or of batches in one pass, in float64.

        Raises UserError when there are no samples, and for NaN or infinite values.
        """
        found = moments(x)
        module = cls(tuple(found.mean.shape))
        module.mean.copy_(found.mean)
        module.scale.copy_(_usable_scale(found))
        return module

    @property
    def words(self) -> str:
        """What it does, as reports say it."""
        return "standardized by the training split: each feature has mean 0 and standard deviation 1"

    def forward(self, x: Tensor) -> Tensor:
        """The standardized values."""
        return (x - self.mean) / self.scale

    def inverse(self, x: Tensor) -> Tensor:
        """The values as they were before."""
        return x * self.scale + self.mean


@final
class Center(nn.Module):
    """Subtract the mean of each channel (VGG) or the mean image (AlexNet); with a shared scale, divide by one number.

    `shape` as for `Standardize`, or the shape of an image for per="pixel". Pixels share a scale, so nothing needs to
    be divided feature by feature; one scale for all of them keeps their relations and suits initializations that
    expect inputs of unit size.
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
        """Take the means of a tensor, or of batches in one pass, in float64.

        With `shared_scale` all values are divided by one number, the standard deviation of the centred data. Raises
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
        """What it does, as reports say it."""
        each = "channel" if self.mean.dim() == 3 else "feature"
        means = "the mean image" if self.mean.numel() > self.mean.shape[0] else f"the mean of each {each}"
        scale = "" if float(self.scale) == 1 else f", divided by {float(self.scale):.4g}"
        return f"centred by the training split: {means} subtracted{scale}"

    def forward(self, x: Tensor) -> Tensor:
        """The centred values."""
        return (x - self.mean) / self.scale

    def inverse(self, x: Tensor) -> Tensor:
        """The values as they were before."""
        return x * self.scale + self.mean


def preprocessing_for(kind: str, x: Tensor | Iterable[Any]) -> Standardize | Center:
    """What suits the kind of data, fitted on x: images are centred by channel with one scale, tables standardized."""
    return Center.fit(x, shared_scale=True) if kind == "image" else Standardize.fit(x)


def _usable_scale(found: Moments) -> Tensor:
    scale = found.variance.sqrt()
    return torch.where(found.constant | (scale < _SMALLEST_SCALE), torch.ones_like(scale), scale)
