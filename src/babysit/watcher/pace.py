"""When records are handed on, and until when a step needs only to be counted and timed."""

from __future__ import annotations

import time
from typing import Final, final

FLUSH_STEPS: Final = 64
FLUSH_SECONDS: Final = 0.5
SLOW_FLUSH_SECONDS: Final = 2.0  # where 64 steps take longer: who follows the run live need not wait for them


@final
class Pace:
    """Knows when something is due at the end of a step; between those steps watching costs next to nothing."""

    def __init__(self) -> None:
        self._last_flush = time.perf_counter()
        self._calm_until, self._calm_before = 0, 0.0

    def calm(self, step: int) -> bool:
        """Whether nothing is due at the end of this step, unless it took very long."""
        return step < self._calm_until

    def in_time(self, now: float) -> bool:
        """Whether it did not."""
        return now < self._calm_before

    def plan(self, step: int, *, coming: int) -> None:
        """Nothing is due before `coming`, the next step that may be sampled, or before records are to be handed on."""
        self._calm_until = min(coming, step - step % FLUSH_STEPS + FLUSH_STEPS) - 1
        self._calm_before = self._last_flush + SLOW_FLUSH_SECONDS

    def interrupt(self) -> None:
        """Every step is to be looked at until the next plan."""
        self._calm_until = 0

    def asks(self, step: int, now: float) -> bool:
        """Whether it is time to hand records on."""
        return step % FLUSH_STEPS == 0 or now - self._last_flush >= SLOW_FLUSH_SECONDS

    def may_flush(self) -> bool:
        """Whether the last time is long enough ago; if so, this is the new last time."""
        now = time.perf_counter()
        enough = now - self._last_flush >= FLUSH_SECONDS
        self._last_flush = now if enough else self._last_flush
        return enough

    def begin(self) -> None:
        """Count from now."""
        self._last_flush = time.perf_counter()
