"""Streaming mean and standard deviation of tensors."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor

from babysit.records.dataprofile import SplitProfile


@final
class RunningMoments:
    """Accumulates the moments of all values; batches with non-finite values are skipped."""

    def __init__(self) -> None:
        self.samples = 0
        self.count = 0  # number of values
        self.mean = self._squares = 0.0
        self.flags = True  # whether all values so far are 0 or 1: a mask, which has no scale
        self.blank = False  # whether it started as zeros: a state that the model fills, which changes during training

    def add(self, tensor: Tensor) -> None:
        """Add one batch."""
        count = tensor.numel()
        if not count:
            return
        with torch._C.DisableTorchFunction():  # keep these operations out of the graph capture
            values = tensor.detach()
            variance, mean = (float(one) for one in torch.var_mean(values.float(), correction=0))
            self.flags = self.flags and bool(((values == 0) | (values == 1)).all())
        if not (math.isfinite(mean) and math.isfinite(variance)):
            return
        self.blank |= not self.count and mean == variance == 0
        total = self.count + count
        self._squares += variance * count + (mean - self.mean) ** 2 * self.count * count / total
        self.mean += (mean - self.mean) * count / total
        self.count, self.samples = total, self.samples + (tensor.shape[0] if tensor.dim() else 1)

    @property
    def variance(self) -> float:
        """Return the variance of all values."""
        return self._squares / self.count if self.count else 0.0

    def profile(self, split: str) -> SplitProfile:
        """Return the moments as a profile of this split."""
        return SplitProfile(split=split, samples=self.samples, mean=self.mean, std=math.sqrt(self.variance))
