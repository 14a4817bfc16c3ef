"""Trains one chunk of members for one epoch, as one."""

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
from babysit.tuning.vectorized.benchmark_set import same_cost
from babysit.tuning.vectorized.compiling import matmul_precision
from babysit.tuning.vectorized.dropout_masks import DropoutMasks
from babysit.tuning.vectorized.init import SharedSettings
from babysit.tuning.vectorized.optimizers import coefficients
from babysit.tuning.vectorized.state import MemberState, stacked, unstack_into

# Steps between two looks at the costs. A look waits for the device; a member that died in between trains on in vain.
LOOK_EVERY: Final = 32

# Why a member has to be trained by itself in plain PyTorch, from its beginning.
FOR_PLAIN: Final = "for plain PyTorch: "
DIFFERS: Final = f"{FOR_PLAIN}its first cost is not that of its own module"


@final
@dataclass(kw_only=True)
class Runner:
    """A form made ready: its step, and the uncompiled one for the odd last batch of an epoch."""

    form: Backend
    plan: Plan
    fixed: dict[str, Tensor]
    step: Step
    plain_step: Step = field(init=False)

    def __post_init__(self) -> None:
        self.plain_step = train_step_of(self.form, self.plan)


@final
@dataclass(kw_only=True)
class Outcome:
    """What an epoch made of a chunk, by place in the chunk."""

    costs: list[list[float]]
    stopped: list[str]
    seconds: float = 0.0


def run_epoch(members: Sequence[MemberState], runner: Runner, shared: SharedSettings) -> Outcome:
    """Trains the members, all of one seed and epoch, for an epoch; those that stopped keep their old tensors.

    Nothing is changed before the end: an epoch that raises or is interrupted can be done again.
    """
    began = time.perf_counter()
    form = runner.form
    lanes = [*members, *[members[-1]] * (form.width - len(members))]
    stack = stacked(lanes, runner.fixed, runner.plan.traits.parts, channels_last=form.channels_last)
    noise = DropoutMasks(lanes, runner.plan.traits.sites, shared.device) if runner.plan.traits.sites else None
    watch = _Watch(members, bf16=form.bf16)
    with torch.no_grad(), matmul_precision(form.matmul):
        _steps(stack, noise, runner, watch, (shared, lanes))
    outcome = Outcome(costs=watch.costs, stopped=watch.stopped)
    unstack_into(stack, members)
    states = noise.random_states() if noise else [one.random_state for one in lanes]
    for place, one in enumerate(members):
        one.epoch += 1
        one.step += len(outcome.costs[place]) - bool(outcome.stopped[place])
        one.random_state = states[place]
        one.initial_cost = watch.initial[place]
        one.last_costs.extend(outcome.costs[place])
    outcome.seconds = time.perf_counter() - began
    return outcome


def _steps(
    stack: Stack,
    noise: DropoutMasks | None,
    runner: Runner,
    watch: _Watch,
    given: tuple[SharedSettings, Sequence[MemberState]],
) -> None:
    shared, lanes = given
    first, own = lanes[0], runner.plan.own_noise
    size = first.hyperparameters.batch_size
    samples = shared.train_in(half=reads_half(runner.form, runner.plan))
    bounds = batch_bounds(len(samples), size)
    full = bounds[0][1] - bounds[0][0]
    recipes = [one.hyperparameters for one in lanes]
    table = coefficients(recipes, step=first.step, epoch=first.epoch, steps=len(bounds))
    numbers = torch.from_numpy(table.astype(np.float32)).to(shared.device)
    pending: list[Tensor] = []
    for done, (x, y) in enumerate(batches(samples, size=size, seed=first.member.seed, epoch=first.epoch)):
        masks = noise.draw(len(x), own=own) if noise else {}
        step = runner.step if len(x) == full else runner.plain_step
        pending.append(step(stack, Batch(numbers=numbers[done], noise=masks, x=x, y=y)).clone())
        if len(pending) == LOOK_EVERY:
            watch.look(pending)
            pending = []
            if watch.all_stopped:
                return
    if pending:
        watch.look(pending)


@final
class _Watch:
    """Reads the costs of a chunk and says who must stop, at which step exactly."""

    def __init__(self, members: Sequence[MemberState], *, bf16: bool) -> None:
        self._members = members
        self._bf16 = bf16
        self.initial = [one.initial_cost for one in members]
        self.costs: list[list[float]] = [[] for _ in members]
        self.stopped = [""] * len(members)

    @property
    def all_stopped(self) -> bool:
        return all(self.stopped)

    def look(self, pending: Sequence[Tensor]) -> None:
        """Takes in the costs of some steps, (members,) each."""
        block = torch.stack(list(pending)).double().cpu().numpy()[:, : len(self._members)]
        for place, one in enumerate(self._members):
            if not one.last_costs and not self.costs[place]:
                self.initial[place] = float(block[0, place])
                if not same_cost(self.initial[place], one.own_cost, bf16=self._bf16):
                    self.stopped[place] = DIFFERS
        # Only costs that are not finite or above the factor can stop a member, those of before among them, since they
        # are judged together: all others are not looked at one by one.
        calm = np.all(block <= FACTOR * np.array(self.initial), axis=0).tolist()
        for place, column in enumerate(block.T.tolist()):
            if not self.stopped[place]:
                quiet = calm[place] and max(self._recent(place), default=0.0) <= FACTOR * self.initial[place]
                self.costs[place] += column if quiet else self._judged(place, column)

    def _judged(self, place: int, column: list[float]) -> list[float]:
        """The costs up to the one that stops the member, if one does."""
        recent = self._recent(place)
        for count, cost in enumerate(column, start=1):
            recent.append(cost)
            self.stopped[place] = stop_reason(self.initial[place], recent[-KEPT_COSTS:])
            if self.stopped[place]:
                return column[:count]
        return column

    def _recent(self, place: int) -> list[float]:
        """The newest costs so far, also of the epoch before."""
        return [*self._members[place].last_costs, *self.costs[place][-KEPT_COSTS:]][-KEPT_COSTS:]
