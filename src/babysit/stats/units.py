"""Which units have been silent, remembered on the device from sample to sample."""

from __future__ import annotations

from typing import Final, final

import torch
from torch import Tensor

# "Dead" means zero on all samples of a window of this many sampled steps: at batch 64 more than a thousand samples,
# so that a merely sparse unit is not called dead (a unit active on 1 % of samples survives 1,280 with 1 - 3e-6).
WINDOW_SAMPLES: Final = 20


@final
class SilentUnits:
    """For each unit of one layer, the sampled step it was last seen alive."""

    def __init__(self) -> None:
        self._last_alive: Tensor | None = None
        self._index = 0

    def update(self, highest: Tensor) -> Tensor:
        """Take each unit's highest value of a sampled step; returns the share of units silent for the whole window."""
        alive = ~(highest <= 0)  # NaN is no silence
        if self._last_alive is None or self._last_alive.shape != alive.shape:
            self._last_alive = torch.full(alive.shape, -1, dtype=torch.int32, device=alive.device)
            self._index = 0
        self._last_alive = torch.where(alive, self._index, self._last_alive)
        silent = self._last_alive <= self._index - min(WINDOW_SAMPLES, self._index + 1)
        self._index += 1
        return silent.float().mean()
