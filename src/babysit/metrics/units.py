"""Silent units: for each unit, the samples since it was last active, accumulated on the device over sampled steps."""

from __future__ import annotations

import math
from typing import Final, final

import torch
from torch import Tensor

# "Dead" means zero on all of this many last samples, over any number of sampled steps: a unit that is active on 2 % of
# the samples is mistaken for a dead one with probability 0.98 ** 256 = 0.6 %.
SILENT_SAMPLES: Final = 256
# One batch may be homogeneous (ordered data), so a large batch alone is no evidence.
SILENT_STEPS: Final = 3
# Neighboring positions of an image or a sequence are correlated: regardless of their number, they count as this many.
POSITIONS: Final = 8
# More samples of a batch than for a layer's other statistics; of images and sequences, which have many values, fewer.
# For a batch of 64 images (64 channels, 32 x 32) it takes a quarter of the time of the ReLU itself.
SAMPLES_PER_STEP: Final = 64
IMAGES_PER_STEP: Final = 16


@final
class SilentUnits:
    """Number of samples and of sampled steps since each unit of a layer was last active."""

    def __init__(self) -> None:
        self._samples: Tensor | None = None  # since the unit was last active
        self._steps: Tensor | None = None
        self._seen = self._seen_steps = 0

    def update(self, values: Tensor, axis: int) -> Tensor | None:
        """Add the output of an activation; return the share of dead units, or None with too few samples.

        Args:
            values: the output for a whole batch, samples first; or for a single sample.
            axis: the axis of the units.
        """
        if values.dim() == 1:  # a single sample
            values, axis = values.unsqueeze(0), 1
        part = values.detach()[: SAMPLES_PER_STEP if values.dim() == 2 else IMAGES_PER_STEP]
        others = tuple(index for index in range(part.dim()) if index != axis)
        if 0 in part.shape or not others:
            return None
        silent = part.amax(others) <= 0  # NaN counts as active
        size = _samples_in(part, axis)
        if self._samples is None or self._steps is None or self._samples.shape != silent.shape:
            self._samples = torch.zeros(silent.shape, dtype=torch.int32, device=silent.device)
            self._steps = self._samples.clone()
            self._seen = self._seen_steps = 0
        self._samples = (self._samples + size) * silent
        self._steps = (self._steps + 1) * silent
        self._seen, self._seen_steps = self._seen + size, self._seen_steps + 1
        if self._seen < SILENT_SAMPLES or self._seen_steps < SILENT_STEPS:
            return None
        return ((self._samples >= SILENT_SAMPLES) & (self._steps >= SILENT_STEPS)).float().mean()


def _samples_in(values: Tensor, axis: int) -> int:
    """Return the number of samples observed per unit."""
    positions = math.prod(size for index, size in enumerate(values.shape[1:], 1) if index != axis)
    return values.shape[0] * min(positions, POSITIONS)
