"""Mean and deviation of tensors that come one by one, without keeping them."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor

from babysit.records.dataprofile import SplitProfile


@final
class RunningMoments:
    """Gathers the moments of all values seen; batches that hold a value that is no number are left out."""

    def __init__(self) -> None:
        self.samples = 0
        self.count = 0  # of values
        self.mean = self._squares = 0.0
        self.flags = True  # whether every value so far was 0 or 1: a mask, which has no scale
        self.blank = False  # whether it began as zeros: a state that the model fills, which changes as it learns

    def add(self, tensor: Tensor) -> None:
        """Take in one batch."""
        count = tensor.numel()
        if not count:
            return
        with torch._C.DisableTorchFunction():  # not to be followed as operations of the training
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
        """Of all values taken in."""
        return self._squares / self.count if self.count else 0.0

    def profile(self, split: str) -> SplitProfile:
        """What was gathered, under this name."""
        return SplitProfile(split=split, samples=self.samples, mean=self.mean, std=math.sqrt(self.variance))
