"""The benchmark set of autotuning: initial members, their first batches, and reference losses of eager PyTorch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, final

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call

from babysit.tuning.executors.base import TrialConfig
from babysit.tuning.vectorized.backends import Backend, Batch, Plan, Stack, reads_half
from babysit.tuning.vectorized.dropout_masks import DropoutMasks
from babysit.tuning.vectorized.init import ReferenceRun, SharedSettings, endless, reference_run
from babysit.tuning.vectorized.optimizers import coefficients
from babysit.tuning.vectorized.state import MemberState, stacked

COMPARED_STEPS: Final = 5
COMPARED_MEMBERS: Final = 2
# Relative tolerance of a member's first loss against its own module; beyond rounding, the members do not compute the
# same function. bfloat16 has 8 bits (4e-3), float32 24.
_SAME_LOSS: Final = 1e-3
_SAME_LOSS_BF16: Final = 5e-2


@final
@dataclass(kw_only=True)
class BenchmarkSet:
    """Some members of one group, and reference runs of the first of them."""

    plan: Plan
    shared: SharedSettings
    members: Sequence[MemberState]
    fixed: dict[str, Tensor]
    measures: Sequence[ReferenceRun]
    batches: list[tuple[Tensor, Tensor]] = field(init=False)

    def __post_init__(self) -> None:
        self.batches = list(islice(self.coming(half=False), COMPARED_STEPS))

    def coming(self, *, half: bool) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches of the first member endlessly, in bfloat16 or unchanged."""
        first = self.members[0]
        return endless(self.shared.train_in(half=half), first.hyperparameters, first.member.seed)

    def lanes(self, width: int) -> list[MemberState]:
        """Return `width` members, repeating those that are compared."""
        compared = self.members[:COMPARED_MEMBERS] if width >= COMPARED_MEMBERS else self.members[:1]
        return [compared[lane % len(compared)] for lane in range(width)]

    def inputs(self, backend: Backend) -> tuple[Stack, Iterator[Batch]]:
        """Return a new stack of initial members, and the inputs of their first steps."""
        lanes, half = self.lanes(backend.width), reads_half(backend, self.plan)
        stack = stacked(lanes, self.fixed, self.plan.traits.parts, channels_last=backend.channels_last)
        table = coefficients([one.hyperparameters for one in lanes], step=0, epoch=0, steps=COMPARED_STEPS)
        numbers = torch.from_numpy(table.astype(np.float32)).to(self.shared.device)
        sites = self.plan.traits.sites
        noise = DropoutMasks(lanes, sites, self.shared.device) if sites else None
        return stack, (
            Batch(
                numbers=numbers[step],
                noise=noise.draw(len(x), own=self.plan.own_noise) if noise else {},
                x=x.bfloat16() if half else x,
                y=y,
            )
            for step, (x, y) in enumerate(self.batches)
        )


def same_function(one: MemberState, plan: Plan, fixed: dict[str, Tensor], shared: SharedSettings) -> bool:
    """Check whether the group's module with this member's tensors gives the first loss of the member's own module."""
    x, y = next(endless(shared.train, one.hyperparameters, one.member.seed))
    sites = plan.traits.sites
    masks = DropoutMasks([one], sites, shared.device).draw(len(x), own=False) if sites else {}
    moving = {name: tensor.clone() for name, tensor in one.moving.items()}
    values = {**one.parameters, **moving, **fixed, **{f"{name}.noise": mask for name, mask in masks.items()}}
    with torch.no_grad():
        cost = float(plan.loss(functional_call(plan.template, values, (x,)), y))
    return same_loss(cost, one.own_cost)


def same_loss(one: float, other: float, *, bf16: bool = False) -> bool:
    """Check whether two first losses are equal up to rounding."""
    if not (math.isfinite(one) and math.isfinite(other)):
        return math.isfinite(one) == math.isfinite(other)
    return abs(one - other) <= (_SAME_LOSS_BF16 if bf16 else _SAME_LOSS) * max(abs(other), 1e-6)


def benchmark_set_of(
    plan: Plan, shared: SharedSettings, members: Sequence[MemberState], fixed: dict[str, Tensor]
) -> BenchmarkSet:
    """Build the benchmark set of these initial members; trains two of them for some steps in eager PyTorch."""
    compared: list[TrialConfig] = [one.member for one in members[:COMPARED_MEMBERS]]
    measures = [reference_run(member, shared, steps=COMPARED_STEPS) for member in compared]
    return BenchmarkSet(plan=plan, shared=shared, members=members, fixed=fixed, measures=measures)
