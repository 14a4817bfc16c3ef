"""Sampling schedule: dense in the first steps, then as often as the overhead budget allows."""

from __future__ import annotations

import math
import statistics
from collections import deque
from typing import Final, final

from babysit.records.run import Overhead

DENSE_STEPS: Final = 20
# After the dense start, samples are at most log-spaced, so that a run of 200 steps is covered to its end; from some
# thousand steps on the budget is the stricter limit.
GROWTH: Final = 1.25
ALARM_SAMPLES: Final = 3  # after an alarm
# Samples after a loss that left its band: as many as in the dense start, to record the cause. At most once per
# doubling of the steps, so that the relative overhead falls with the length of the run.
JUMP_SAMPLES: Final = DENSE_STEPS
# Number of recent step times per kind; their median is robust to evaluations and other programs in between.
MEMORY: Final = 33
# Half of the budget; the other half is for the after-effects of a sample (caches, allocations), rule evaluation and
# the hooks of every step. With the full budget the default took 2.5 % of a 2.2 ms step (docs/benchmarks/overhead.md).
SAMPLING: Final = 0.5
MOST_BETWEEN: Final = 10_000


@final
class Schedule:
    """Decides for each step whether to sample it, from measured step times.

    The cost of a sample is the additional time of sampled steps, so it includes everything: hooks, copies, caches.
    `overhead` is the allowed share of step time.
    """

    def __init__(self, overhead: float) -> None:
        self.overhead = overhead
        self._sampling = SAMPLING * overhead
        self._plain: deque[float] = deque(maxlen=MEMORY)
        self._sampled: deque[float] = deque(maxlen=MEMORY)
        self._next = 0
        self._remaining = self._requested = 0
        self._jumps = 0
        self.sampled_steps = 0

    def should_sample(self, step: int) -> bool:
        """Check whether to sample this step."""
        return step < DENSE_STEPS or step >= self._next or self._requested > 0

    @property
    def next_sampled_step(self) -> int:
        """Return the earliest step that may be sampled next."""
        return 0 if self._requested else self._next

    def record_step_time(self, step: int, seconds: float, *, sampled: bool) -> None:
        """Record the duration of a step, from the end of the previous one."""
        if not sampled:
            self._plain.append(seconds)
            return
        self.sampled_steps += 1
        if step >= 2:  # the first steps warm caches and allocate optimizer state
            self._sampled.append(seconds)
        self._remaining, self._requested = max(self._requested, self._remaining) - 1, 0
        if self._remaining > 0:
            self._next = step + 1
            return
        # A jitter of up to two steps prevents sampling always the same of several alternating steps.
        self._next = step + 1 + self.between_at(step) + (step * 7) % 3

    @property
    def plain_seconds(self) -> float:
        """Return the median duration of an unsampled step in seconds; 0 if none was timed."""
        return statistics.median(self._plain) if self._plain else 0.0

    def request_samples(self, steps: int = ALARM_SAMPLES) -> None:
        """Sample the next few steps after a change. May be called from another thread."""
        self._requested = max(steps, self._requested)

    def sample_after_jump(self, step: int) -> None:
        """Sample densely after the loss left its band; at most once per doubling of the steps."""
        if self._jumps < 1 + math.log2(max(step, 1) / DENSE_STEPS):
            self._jumps += 1
            self.request_samples(JUMP_SAMPLES)

    @property
    def cost_seconds(self) -> float:
        """Return the additional seconds of a sampled step; 0 without steps of both kinds."""
        if not self._plain or not self._sampled:
            return 0.0
        return max(0.0, statistics.median(self._sampled) - self.plain_seconds)

    def between_at(self, step: int) -> int:
        """Return the number of unsampled steps between two samples: set by the budget, less while the run is short."""
        return min(self._between_by_budget(), max(1, int((GROWTH - 1) * step)))

    def _between_by_budget(self) -> int:
        if not self._plain:
            return 2
        allowed = self._sampling * self.plain_seconds
        return min(MOST_BETWEEN, round(self.cost_seconds / allowed)) if allowed > 0 else MOST_BETWEEN

    def share_at(self, step: int) -> float:
        """Return the share of step time for sampling at the sampling interval of this step."""
        if not self._plain:
            return 0.0
        return self.cost_seconds / (self.plain_seconds * (self.between_at(step) + 1))

    def cost(self, steps: int) -> Overhead:
        """Return the overhead of the first `steps` steps."""
        return Overhead(
            budget=self.overhead,
            share=self.share_at(steps),
            seconds=self.cost_seconds * self.sampled_steps,
            sampled_steps=self.sampled_steps,
            steps=steps,
            every=self.between_at(steps) + 1,
        )
