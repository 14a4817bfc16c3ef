"""Low-overhead mode between sampled steps: counts steps and reads a subset of the losses."""

from __future__ import annotations

import math
import time
import weakref
from collections.abc import Callable
from typing import Final, final

import torch

from babysit.monitor import torch_events
from babysit.monitor.events import EventHandler
from babysit.monitor.last_pass import LastPass
from babysit.monitor.optimizers import Optimizers
from babysit.monitor.record_buffer import RecordBuffer
from babysit.monitor.schedule import Schedule
from babysit.monitor.step_losses import StepLosses
from babysit.records.curves import TRAIN_LOSS

# Budget for unsampled steps, as a share of step time.
IDLE: Final = 0.002
# Seconds for counting a step and for reading a loss, measured with cold caches (docs/benchmarks/overhead.md).
COUNTING: Final = 3e-6
READING: Final = 35e-6
# All losses of the first thousand steps are read regardless of the budget, so that a short training has a full curve;
# then every second, every third after five hundred more, as far as the budget requires it.
ALL_LOSSES: Final = 1000
FIRST_LOSSES: Final = 500
MOST_BETWEEN: Final = 32  # so that later losses still form a curve
MOST_STEPS: Final = 512  # then one step is traced in full
DISTURBED_STEPS: Final = 64  # steps with full tracing after an unusual event


@final
class StepCounter:
    """Counts steps and reads losses until the next sample or flush is due, or an unusual event occurs."""

    def __init__(
        self,
        listener: EventHandler,
        schedule: Schedule,
        optimizers: Optimizers,
        losses: StepLosses,
        buffer: RecordBuffer,
        last_pass: LastPass,
    ) -> None:
        self._listener, self._schedule, self._optimizers = listener, schedule, optimizers
        self._losses, self._buffer, self._last_pass = losses, buffer, last_pass
        self.on = False
        self.busy = False  # inside its own code, which a signal handler may interrupt at any time
        self.reads = False  # whether to read the loss of the current step
        self.counted = 0  # steps counted since `begin`
        self.at_end = False  # counting ended at the end of a step
        self._turn = 0  # number of counted steps at which to act next
        self._only: Callable[[], object | None] = _no_optimizer  # a weak reference to the optimizer that steps
        self._number = self._begun = self._until = self._not_before = 0  # the first: the optimizer's number
        self._every = 1
        self._since = 0.0

    def begin(self, step: int, optimizer: torch.optim.Optimizer | None) -> None:
        """Start counting at this step, if only steps of this optimizer are expected until the next sample."""
        until = min(self._schedule.next_sampled_step - 1, step + MOST_STEPS)
        simple = self._optimizers.alone and not self._losses.scaling
        if optimizer is None or not simple or until - step < 2 or step < self._not_before:
            return
        self.on, self._only, self._begun, self._until = True, weakref.ref(optimizer), step, until - step
        self._every = losses_every(self._schedule.plain_seconds, step)
        self._since, self._number = time.perf_counter(), self._optimizers.number(optimizer)
        self.reads, self._turn = True, 1
        torch_events.set_level(self._listener, torch_events.LOSSES)

    def count(self, optimizer: torch.optim.Optimizer) -> None:
        """Count an optimizer step."""
        if self._only() is not optimizer or not self.on:  # in this order: a signal may arrive at the call
            self._listener.on_full_tracing()
            # Also needed if a signal handler ended counting inside this class.
            torch_events.set_level(self._listener, torch_events.ALL)
            self._listener.on_after_step(optimizer, closure=False)
            return
        self.counted += 1
        self._last_pass.stepped()
        if self.counted >= self._turn:
            self.busy = True
            try:
                self.at_end = not self._continue()
            finally:
                self.busy = False
            if self.at_end:
                self._listener.on_full_tracing()
                self.at_end = False

    def _continue(self) -> bool:
        """Read the loss if due and plan the next action; return False to stop counting."""
        if self.reads and self._losses:
            loss = self._losses.take()
            self._buffer.loss(TRAIN_LOSS, self._begun + self.counted - 1, loss)
        if (
            self._schedule.next_sampled_step == 0
            or self.counted >= self._until
            or self._buffer.due(self._begun + self.counted, time.perf_counter())
        ):
            return False
        if self._every == 1:
            self._turn += 1
            return True
        self.reads = not self.reads
        self._turn = min(self._until, self.counted + (1 if self.reads else self._every - 1))
        torch_events.set_level(self._listener, torch_events.LOSSES if self.reads else torch_events.STEPS)
        return True

    def end(self, *, disturbed: bool) -> int:
        """Stop counting and return the number of counted steps.

        Args:
            disturbed: an unusual event occurred; counting does not start again for DISTURBED_STEPS steps.
        """
        counted, self.busy = self.counted, True
        self.on, self.reads, self._only, self.counted = False, False, _no_optimizer, 0
        if counted:
            self._optimizers.steps[self._number] += counted
            self._losses.count_unheard(counted)
            each = (time.perf_counter() - self._since) / counted
            self._schedule.record_step_time(self._begun + counted, each, sampled=False)
        try:
            torch_events.set_level(self._listener, torch_events.ALL)
        finally:
            self.busy = False
        if disturbed:
            self._not_before = self._begun + counted + DISTURBED_STEPS
        return counted


def _no_optimizer() -> None:
    return None


def losses_every(seconds: float, step: int) -> int:
    """Return the interval between losses to read, so that reading and counting stay within `IDLE`."""
    left = IDLE * seconds - COUNTING
    wanted = math.ceil(READING / left) if left > 0 else MOST_BETWEEN
    return max(1, min(wanted, MOST_BETWEEN, step // FIRST_LOSSES if step >= ALL_LOSSES else 1))
