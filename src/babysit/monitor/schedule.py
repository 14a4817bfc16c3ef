"""When to sample: densely at the beginning, then as often as the budget allows."""

from __future__ import annotations

import math
import statistics
from collections import deque
from typing import Final, final

from babysit.records.run import Overhead

DENSE_STEPS: Final = 20
# Beyond the dense beginning the samples of a short training lie log-spaced, so that a run of 200 steps is seen to its
# end; from some thousand steps on the budget is the stricter of the two.
GROWTH: Final = 1.25
CLOSE_LOOKS: Final = 3  # after an alarm
# After a loss that left its band: as many as at the beginning, since what happened then decides what comes after it.
# Once for each doubling of the steps: the cost of it falls as the run gets longer, as that of the beginning does.
JUMP_LOOKS: Final = DENSE_STEPS
# Timings of the last so many steps of each kind; medians, since an evaluation or another program may sit in between.
MEMORY: Final = 33
# Half of the budget: the other half is for what a sample costs afterwards (caches, allocations), for judging and for
# the hooks of every step. With all of it the default cost 2.5 % of a 2.2 ms step (docs/benchmarks/overhead.md).
SAMPLING: Final = 0.5
MOST_BETWEEN: Final = 10_000


@final
class Schedule:
    """Decides step by step whether to sample, from measured step times.

    The cost of a sample is what sampled steps took longer than plain ones, so it holds everything: hooks, copies,
    caches. `overhead` is the share of step time allowed.
    """

    def __init__(self, overhead: float) -> None:
        self.overhead = overhead
        self._sampling = SAMPLING * overhead
        self._plain: deque[float] = deque(maxlen=MEMORY)
        self._sampled: deque[float] = deque(maxlen=MEMORY)
        self._next = 0
        self._close_looks = self._asked = 0
        self._jumps = 0
        self.sampled_steps = 0

    def should_sample(self, step: int) -> bool:
        """Whether to sample this step."""
        return step < DENSE_STEPS or step >= self._next or self._asked > 0

    @property
    def next_sampled_step(self) -> int:
        """No step before this one will be wanted."""
        return 0 if self._asked else self._next

    def record_step_time(self, step: int, seconds: float, *, sampled: bool) -> None:
        """Tell how long a step took, from the end of the one before."""
        if not sampled:
            self._plain.append(seconds)
            return
        self.sampled_steps += 1
        if step >= 2:  # the first steps warm caches and allocate optimizer state
            self._sampled.append(seconds)
        self._close_looks, self._asked = max(self._asked, self._close_looks) - 1, 0
        if self._close_looks > 0:
            self._next = step + 1
            return
        # A jitter of up to two steps keeps samples from falling always on the same of several alternating steps.
        self._next = step + 1 + self.between_at(step) + (step * 7) % 3

    @property
    def plain_seconds(self) -> float:
        """What a step takes that is not sampled; 0 while none was timed."""
        return statistics.median(self._plain) if self._plain else 0.0

    def request_samples(self, steps: int = CLOSE_LOOKS) -> None:
        """Sample the next few steps: something just changed. May be called from another thread."""
        self._asked = max(steps, self._asked)

    def sample_after_jump(self, step: int) -> None:
        """Sample densely for a while, since the loss left its band; at most once for each doubling of the steps."""
        if self._jumps < 1 + math.log2(max(step, 1) / DENSE_STEPS):
            self._jumps += 1
            self.request_samples(JUMP_LOOKS)

    @property
    def cost_seconds(self) -> float:
        """What one sample costs; 0 while there is nothing to compare with."""
        if not self._plain or not self._sampled:
            return 0.0
        return max(0.0, statistics.median(self._sampled) - self.plain_seconds)

    def between_at(self, step: int) -> int:
        """Plain steps to leave between two samples: what the budget asks for, or less while the run is short."""
        return min(self._between_by_budget(), max(1, int((GROWTH - 1) * step)))

    def _between_by_budget(self) -> int:
        if not self._plain:
            return 2
        allowed = self._sampling * self.plain_seconds
        return min(MOST_BETWEEN, round(self.cost_seconds / allowed)) if allowed > 0 else MOST_BETWEEN

    def share_at(self, step: int) -> float:
        """Share of step time that sampling takes at the distance between samples kept at this step."""
        if not self._plain:
            return 0.0
        return self.cost_seconds / (self.plain_seconds * (self.between_at(step) + 1))

    def cost(self, steps: int) -> Overhead:
        """What watching has cost so many steps."""
        return Overhead(
            budget=self.overhead,
            share=self.share_at(steps),
            seconds=self.cost_seconds * self.sampled_steps,
            sampled_steps=self.sampled_steps,
            steps=steps,
            every=self.between_at(steps) + 1,
        )
