"""Between sampled steps: they are counted, the losses of some are read, and nothing else is listened to."""

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

# Share of step time for what is done in steps that are not sampled.
IDLE: Final = 0.002
# Seconds that counting a step costs, and reading a loss, called out of the cache (docs/benchmarks/overhead.md).
COUNTING: Final = 3e-6
READING: Final = 35e-6
# All losses of the first thousand steps are read, whatever they cost, since a short training is to be seen whole; then
# every second, every third after five hundred more, as far as the cost asks for it.
ALL_LOSSES: Final = 1000
FIRST_LOSSES: Final = 500
MOST_BETWEEN: Final = 32  # so that what follows is still a curve
MOST_STEPS: Final = 512  # then everything is heard again for a step
STAY_AWAKE: Final = 64  # steps, after something unusual was heard


@final
class StepCounter:
    """Counts steps and reads losses until something is due, or something unusual is heard."""

    def __init__(
        self,
        listener: EventHandler,
        schedule: Schedule,
        optimizers: Optimizers,
        losses: StepLosses,
        outlet: RecordBuffer,
        last_pass: LastPass,
    ) -> None:
        self._listener, self._schedule, self._optimizers = listener, schedule, optimizers
        self._losses, self._outlet, self._last_pass = losses, outlet, last_pass
        self.on = False
        self.busy = False  # at work itself: a signal may come at any moment, and its handler may do anything
        self.reads = False  # whether the loss of the step under way is wanted
        self.counted = 0  # steps of this count steps
        self.at_end = False  # it is over with the end of a step
        self._turn = 0  # when so many are counted, something is to be done
        self._only: Callable[[], object | None] = _nobody  # a weak reference to the optimizer that steps
        self._number = self._begun = self._until = self._not_before = 0  # the first: which optimizer that is
        self._every = 1
        self._since = 0.0

    def begin(self, step: int, optimizer: torch.optim.Optimizer | None) -> None:
        """Doze from this step on, if there is a time of nothing but steps of this optimizer to come."""
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
        """An optimizer has stepped."""
        if self._only() is not optimizer or not self.on:  # in this order: the call is where a signal may come in
            self._listener.on_full_tracing()
            torch_events.set_level(
                self._listener, torch_events.ALL
            )  # also when something has woken it in the middle of its work
            self._listener.on_after_step(optimizer, closure=False)
            return
        self.counted += 1
        self._last_pass.stepped()
        if self.counted >= self._turn:
            self.busy = True
            try:
                self.at_end = not self._goes_on()
            finally:
                self.busy = False
            if self.at_end:
                self._listener.on_full_tracing()
                self.at_end = False

    def _goes_on(self) -> bool:
        """Read the loss if it is wanted, and see what comes next."""
        if self.reads and self._losses:
            loss = self._losses.take()
            self._outlet.loss(TRAIN_LOSS, self._begun + self.counted - 1, loss)
        if (
            self._schedule.next_sampled_step == 0
            or self.counted >= self._until
            or self._outlet.due(self._begun + self.counted, time.perf_counter())
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
        """Wake: how many steps were counted.

        Args:
            disturbed: something unusual was heard; then it is better to stay awake for a while.
        """
        counted, self.busy = self.counted, True
        self.on, self.reads, self._only, self.counted = False, False, _nobody, 0
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
            self._not_before = self._begun + counted + STAY_AWAKE
        return counted


def _nobody() -> None:
    return None


def losses_every(seconds: float, step: int) -> int:
    """Of how many steps that take so long one loss is read, for reading and counting to stay within `IDLE`."""
    left = IDLE * seconds - COUNTING
    wanted = math.ceil(READING / left) if left > 0 else MOST_BETWEEN
    return max(1, min(wanted, MOST_BETWEEN, step // FIRST_LOSSES if step >= ALL_LOSSES else 1))
