"""Where records go: to a writer now and then, to the last point when a watch closes."""

from __future__ import annotations

import math
import time
from typing import Final, final

from torch import Tensor

from babysit.monitor.inplace_band import Band
from babysit.monitor.recorder import Recorder, RunWriter
from babysit.monitor.schedule import Schedule
from babysit.records.curves import TRAIN_LOSS
from babysit.records.run import Overhead

# After so many steps and so long; or after longer, where steps are slow and somebody may follow the run live.
FLUSH_STEPS: Final = 64
FLUSH_SECONDS: Final = 0.5
SLOW_FLUSH_SECONDS: Final = 2.0
# The batch that broke a training comes again with the next epoch: so many steps are sampled to find it. That training
# is lost; what is left of its time may cost more.
LOOKS_WHEN_BROKEN: Final = 400
_NO_LOSS: Final = (
    "No loss was seen in {} steps: backward was never called on losses, as in torch.func or where gradients come from "
    "elsewhere. Nothing can be said of how the training went; `w.log('train/loss', loss)` in each step records it."
)


@final
class RecordBuffer:
    """Knows when it is time to hand records on, and hands them on."""

    def __init__(self, recorder: Recorder, schedule: Schedule, writer: RunWriter | None) -> None:
        self.recorder, self._schedule, self._writer = recorder, schedule, writer
        self._broken = False
        self._band = Band()
        self._unread = 0  # losses that are still on the device
        self._last_flush, self._last_step = time.perf_counter(), 0

    def begin(self) -> None:
        """Count time from now."""
        self._last_flush = time.perf_counter()

    def loss(self, name: str, step: int, value: float | Tensor) -> None:
        """One loss; when it is the first that is not finite, or leaves its band, the next steps are sampled."""
        self.recorder.scalar(name, step, value)
        if not isinstance(value, float):
            self._unread += name == TRAIN_LOSS
        elif not math.isfinite(value) and not self._broken:
            self._broken = True
            self._schedule.request_samples(LOOKS_WHEN_BROKEN)
        elif name == TRAIN_LOSS and self._band.leaves(value):
            self._schedule.sample_after_jump(step)

    def end(self, steps: int) -> None:
        """The training is over: say so where no loss of it was seen."""
        if steps and not self.recorder.knows(TRAIN_LOSS):
            self.recorder.event(steps, "measurement_gap", _NO_LOSS.format(steps))

    def due(self, step: int, now: float) -> bool:
        """Whether it is time to hand records on."""
        waited = now - self._last_flush
        return waited >= SLOW_FLUSH_SECONDS or (waited >= FLUSH_SECONDS and step - self._last_step >= FLUSH_STEPS)

    def flush(self, step: int, layers: list[str], overhead: Overhead) -> None:
        """Read what is still on the device and hand over what is new."""
        self._last_flush, self._last_step = time.perf_counter(), step
        self.recorder.settle()
        unread, self._unread = self._unread, 0
        if any([self._band.leaves(value) for value in self.recorder.last(TRAIN_LOSS, unread)] if unread else ()):
            self._schedule.sample_after_jump(step)
        if self._writer is not None:
            self.recorder.send(self._writer, layers)
            self._writer.update(overhead=overhead)
