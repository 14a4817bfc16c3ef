"""Detection of jumps of a loss: values outside a band around its running level."""

from __future__ import annotations

import math
from typing import Final, final

# Windows of the running averages: short for the level, so that it follows a falling loss, longer for the width.
LEVEL_MEMORY: Final = 1 / 8
WIDTH_MEMORY: Final = 1 / 32
FEWEST: Final = 16  # values before a value can be an outlier
# Five mean absolute deviations are four standard deviations of a normal distribution; two such values in a row on the
# same side occur once in 10 ** 8 steps by chance, and heavy tails give single outliers.
WIDTH: Final = 5.0
IN_A_ROW: Final = 2


@final
class Band:
    """Tracks the level of a loss and the mean absolute deviation from it."""

    def __init__(self) -> None:
        self._level = self._width = 0.0
        self._count = 0
        self._outside = 0  # consecutive values above (positive) or below (negative) the band

    def leaves(self, value: float) -> bool:
        """Add the next loss and return True if the loss has left its band, which resets the band."""
        if not math.isfinite(value):
            return False
        away = value - self._level
        if self._count >= FEWEST and abs(away) > WIDTH * self._width:
            side = 1 if away > 0 else -1
            self._outside = self._outside + side if self._outside * side > 0 else side
            if abs(self._outside) < IN_A_ROW:
                return False  # a single outlier does not update the band
            self._count = self._outside = 0
            self._level, self._width = value, 0.0
            return True
        self._outside = 0
        self._count += 1
        self._level += max(LEVEL_MEMORY, 1 / self._count) * away
        # The first value has no deviation.
        if self._count > 1:
            self._width += max(WIDTH_MEMORY, 1 / (self._count - 1)) * (abs(away) - self._width)
        return False
