"""Trains a chunk of members together for one epoch."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, final

import numpy as np
import torch
from torch import Tensor

from babysit.data.batches import batch_bounds, batches
from babysit.tuning.early_termination import FACTOR, KEPT_COSTS, stop_reason
from babysit.tuning.vectorized.backends import Backend, Batch, Plan, Stack, Step, reads_half, train_step_of
from babysit.tuning.vectorized.benchmark_set import same_loss
from babysit.tuning.vectorized.compiling import matmul_precision
from babysit.tuning.vectorized.dropout_masks import DropoutMasks
from babysit.tuning.vectorized.init import SharedSettings
from babysit.tuning.vectorized.optimizers import coefficients
from babysit.tuning.vectorized.state import MemberState, stacked, unstack_into

# Steps between two checks of the losses. A check synchronizes with the device; until then stopped members train in
# vain.
CHECK_EVERY: Final = 32

# Prefix of the reason why a member must be trained in eager PyTorch from its start.
FOR_PLAIN: Final = "for plain PyTorch: "
DIFFERS: Final = f"{FOR_PLAIN}its first loss differs from that of its own module"


@final
@dataclass(kw_only=True)
class Runner:
    """A prepared backend: its step, and the uncompiled step for a smaller last batch."""

    backend: Backend
    plan: Plan
    fixed: dict[str, Tensor]
    step: Step
    plain_step: Step = field(init=False)

    def __post_init__(self) -> None:
        self.plain_step = train_step_of(self.backend, self.plan)


@final
@dataclass(kw_only=True)
class Outcome:
    """The results of an epoch of a chunk, by position in the chunk."""

    costs: list[list[float]]
    stopped: list[str]
    seconds: float = 0.0


def run_epoch(members: Sequence[MemberState], runner: Runner, shared: SharedSettings) -> Outcome:
    """Train the members, all of one seed and epoch, for an epoch; stopped members keep their old tensors.

    Members change only at the end: an epoch that raises or is interrupted can be repeated.
    """
    began = time.perf_counter()
    backend = runner.backend
    lanes = [*members, *[members[-1]] * (backend.width - len(members))]
    stack = stacked(lanes, runner.fixed, runner.plan.traits.parts, channels_last=backend.channels_last)
    noise = DropoutMasks(lanes, runner.plan.traits.sites, shared.device) if runner.plan.traits.sites else None
    monitor = _LossMonitor(members, bf16=backend.bf16)
    with torch.no_grad(), matmul_precision(backend.matmul):
        _steps(stack, noise, runner, monitor, (shared, lanes))
    outcome = Outcome(costs=monitor.costs, stopped=monitor.stopped)
    unstack_into(stack, members)
    states = noise.random_states() if noise else [one.random_state for one in lanes]
    for index, one in enumerate(members):
        one.epoch += 1
        one.step += len(outcome.costs[index]) - bool(outcome.stopped[index])
        one.random_state = states[index]
        one.initial_cost = monitor.initial[index]
        one.last_costs.extend(outcome.costs[index])
    outcome.seconds = time.perf_counter() - began
    return outcome


def _steps(
    stack: Stack,
    noise: DropoutMasks | None,
    runner: Runner,
    monitor: _LossMonitor,
    given: tuple[SharedSettings, Sequence[MemberState]],
) -> None:
    shared, lanes = given
    first, own = lanes[0], runner.plan.own_noise
    size = first.hyperparameters.batch_size
    samples = shared.train_in(half=reads_half(runner.backend, runner.plan))
    bounds = batch_bounds(len(samples), size)
    full = bounds[0][1] - bounds[0][0]
    configs = [one.hyperparameters for one in lanes]
    table = coefficients(configs, step=first.step, epoch=first.epoch, steps=len(bounds))
    numbers = torch.from_numpy(table.astype(np.float32)).to(shared.device)
    pending: list[Tensor] = []
    for done, (x, y) in enumerate(batches(samples, size=size, seed=first.member.seed, epoch=first.epoch)):
        masks = noise.draw(len(x), own=own) if noise else {}
        step = runner.step if len(x) == full else runner.plain_step
        pending.append(step(stack, Batch(numbers=numbers[done], noise=masks, x=x, y=y)).clone())
        if len(pending) == CHECK_EVERY:
            monitor.check(pending)
            pending = []
            if monitor.all_stopped:
                return
    if pending:
        monitor.check(pending)


@final
class _LossMonitor:
    """Reads the losses of a chunk and finds the members that must stop, with their exact step."""

    def __init__(self, members: Sequence[MemberState], *, bf16: bool) -> None:
        self._members = members
        self._bf16 = bf16
        self.initial = [one.initial_cost for one in members]
        self.costs: list[list[float]] = [[] for _ in members]
        self.stopped = [""] * len(members)

    @property
    def all_stopped(self) -> bool:
        return all(self.stopped)

    def check(self, pending: Sequence[Tensor]) -> None:
        """Check the losses of some steps, (members,) each."""
        block = torch.stack(list(pending)).double().cpu().numpy()[:, : len(self._members)]
        for index, one in enumerate(self._members):
            if not one.last_costs and not self.costs[index]:
                self.initial[index] = float(block[0, index])
                if not same_loss(self.initial[index], one.own_cost, bf16=self._bf16):
                    self.stopped[index] = DIFFERS
        # Only losses that are not finite or above the factor can stop a member, including earlier ones, since they are
        # judged together: all others are not checked one by one.
        calm = np.all(block <= FACTOR * np.array(self.initial), axis=0).tolist()
        for index, column in enumerate(block.T.tolist()):
            if not self.stopped[index]:
                quiet = calm[index] and max(self._recent(index), default=0.0) <= FACTOR * self.initial[index]
                self.costs[index] += column if quiet else self._judged(index, column)

    def _judged(self, index: int, column: list[float]) -> list[float]:
        """Return the losses up to the one that stops the member, if any."""
        recent = self._recent(index)
        for count, cost in enumerate(column, start=1):
            recent.append(cost)
            self.stopped[index] = stop_reason(self.initial[index], recent[-KEPT_COSTS:])
            if self.stopped[index]:
                return column[:count]
        return column

    def _recent(self, index: int) -> list[float]:
        """Return the latest losses, including those of the epoch before."""
        return [*self._members[index].last_costs, *self.costs[index][-KEPT_COSTS:]][-KEPT_COSTS:]
