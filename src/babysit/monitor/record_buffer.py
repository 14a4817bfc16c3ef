"""Buffers records and flushes them periodically and on close."""

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

# Flush after this many steps and seconds, or after a longer time if steps are slow, for the live view.
FLUSH_STEPS: Final = 64
FLUSH_SECONDS: Final = 0.5
SLOW_FLUSH_SECONDS: Final = 2.0
# Steps to sample after the first non-finite loss, since the batch that caused it comes again with the next epoch. The
# training has failed by then, so overhead matters less.
NONFINITE_SAMPLES: Final = 400
_NO_LOSS: Final = (
    "No loss was recorded in {} steps: backward was never called on a loss, as with torch.func or gradients from "
    "another source. The rules for the course of the loss were not evaluated; to evaluate them, record the loss in "
    "each step: `w.log('train/loss', loss)`."
)


@final
class RecordBuffer:
    """Collects losses and flushes records to the writer when due."""

    def __init__(self, recorder: Recorder, schedule: Schedule, writer: RunWriter | None) -> None:
        self.recorder, self._schedule, self.writer = recorder, schedule, writer
        self._broken = False
        self._band = Band()
        self._unread = 0  # number of losses still on the device
        self._last_flush, self._last_step = time.perf_counter(), 0

    def begin(self) -> None:
        """Start the flush timer."""
        self._last_flush = time.perf_counter()

    def loss(self, name: str, step: int, value: float | Tensor) -> None:
        """Record a loss; request samples of the next steps if it is the first non-finite one or leaves its band."""
        self.recorder.scalar(name, step, value)
        if not isinstance(value, float):
            self._unread += name == TRAIN_LOSS
        elif not math.isfinite(value) and not self._broken:
            self._broken = True
            self._schedule.request_samples(NONFINITE_SAMPLES)
        elif name == TRAIN_LOSS and self._band.leaves(value):
            self._schedule.sample_after_jump(step)

    def end(self, steps: int) -> None:
        """Report at the end of the training if no loss was recorded."""
        if steps and not self.recorder.knows(TRAIN_LOSS):
            self.recorder.event(steps, "measurement_gap", _NO_LOSS.format(steps))

    def due(self, step: int, now: float) -> bool:
        """Check whether a flush is due."""
        waited = now - self._last_flush
        return waited >= SLOW_FLUSH_SECONDS or (waited >= FLUSH_SECONDS and step - self._last_step >= FLUSH_STEPS)

    def flush(self, step: int, layers: list[str], overhead: Overhead) -> None:
        """Copy pending values from the device and send new records to the writer."""
        self._last_flush, self._last_step = time.perf_counter(), step
        self.recorder.settle()
        unread, self._unread = self._unread, 0
        if any([self._band.leaves(value) for value in self.recorder.last(TRAIN_LOSS, unread)] if unread else ()):
            self._schedule.sample_after_jump(step)
        if self.writer is not None:
            self.recorder.send(self.writer, layers)
            self.writer.update(overhead=overhead)
