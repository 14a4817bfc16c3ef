"""The band in which the last losses lay: one that leaves it says that something has happened."""

from __future__ import annotations

import math
from typing import Final, final

# The level follows the last eight values or so, so that it keeps up with a loss that falls; the width the last thirty.
LEVEL_MEMORY: Final = 1 / 8
WIDTH_MEMORY: Final = 1 / 32
FEWEST: Final = 16  # values before anything can be called unusual
# Five mean absolute deviations are four standard deviations of a normal one; two such values on end, both on one side,
# come once in 10 ** 8 steps by chance, and heavy tails give one of them at a time.
WIDTH: Final = 5.0
IN_A_ROW: Final = 2


@final
class Band:
    """Follows the level of a loss and how far values lie from it."""

    def __init__(self) -> None:
        self._level = self._width = 0.0
        self._count = 0
        self._outside = 0  # how many values on end lie above (positive) or below (negative)

    def leaves(self, value: float) -> bool:
        """Take the next loss; whether with it the loss has left its band. The band then begins again."""
        if not math.isfinite(value):
            return False
        away = value - self._level
        if self._count >= FEWEST and abs(away) > WIDTH * self._width:
            side = 1 if away > 0 else -1
            self._outside = self._outside + side if self._outside * side > 0 else side
            if abs(self._outside) < IN_A_ROW:
                return False  # one alone is left out of the band
            self._count = self._outside = 0
            self._level, self._width = value, 0.0
            return True
        self._outside = 0
        self._count += 1
        self._level += max(LEVEL_MEMORY, 1 / self._count) * away
        # The first value has nothing to lie away from.
        if self._count > 1:
            self._width += max(WIDTH_MEMORY, 1 / (self._count - 1)) * (abs(away) - self._width)
        return False
