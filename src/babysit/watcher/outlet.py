"""Where records go: to a writer now and then, to the last point when a watch closes."""

from __future__ import annotations

import time
from typing import Final, final

from babysit.records.run import Overhead
from babysit.watcher.recorder import Recorder, Sink

# After so many steps and so long; or after longer, where steps are slow and somebody may follow the run live.
FLUSH_STEPS: Final = 64
FLUSH_SECONDS: Final = 0.5
SLOW_FLUSH_SECONDS: Final = 2.0


@final
class Outlet:
    """Knows when it is time to hand records on, and hands them on."""

    def __init__(self, recorder: Recorder, writer: Sink | None) -> None:
        self.recorder, self._writer = recorder, writer
        self._last_flush, self._last_step = time.perf_counter(), 0

    def begin(self) -> None:
        """Count time from now."""
        self._last_flush = time.perf_counter()

    def due(self, step: int, now: float) -> bool:
        """Whether it is time to hand records on."""
        waited = now - self._last_flush
        return waited >= SLOW_FLUSH_SECONDS or (waited >= FLUSH_SECONDS and step - self._last_step >= FLUSH_STEPS)

    def flush(self, step: int, layers: list[str], overhead: Overhead) -> None:
        """Read what is still on the device and hand over what is new."""
        self._last_flush, self._last_step = time.perf_counter(), step
        self.recorder.settle()
        if self._writer is not None:
            self.recorder.send(self._writer, layers)
            self._writer.update(overhead=overhead)
