"""Where forms are tried: some members at their beginning, their first batches, and plain PyTorch's costs."""

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
# How far a member's first cost may be from what its own module gives, relatively: beyond rounding it means that the
# members do not compute the same function. bfloat16 keeps 8 bits (4e-3), float32 24.
_SAME_COST: Final = 1e-3
_SAME_COST_BF16: Final = 5e-2


@final
@dataclass(kw_only=True)
class BenchmarkSet:
    """Some members of one group, and what plain PyTorch makes of the first of them."""

    plan: Plan
    shared: SharedSettings
    members: Sequence[MemberState]
    fixed: dict[str, Tensor]
    measures: Sequence[ReferenceRun]
    batches: list[tuple[Tensor, Tensor]] = field(init=False)

    def __post_init__(self) -> None:
        self.batches = list(islice(self.coming(half=False), COMPARED_STEPS))

    def coming(self, *, half: bool) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of the first member, without end; in bfloat16 or as they are."""
        first = self.members[0]
        return endless(self.shared.train_in(half=half), first.hyperparameters, first.member.seed)

    def lanes(self, width: int) -> list[MemberState]:
        """The members, again and again."""
        compared = self.members[:COMPARED_MEMBERS] if width >= COMPARED_MEMBERS else self.members[:1]
        return [compared[place % len(compared)] for place in range(width)]

    def inputs(self, form: Backend) -> tuple[Stack, Iterator[Batch]]:
        """A new stack of the members at their beginning, and their first steps."""
        lanes, half = self.lanes(form.width), reads_half(form, self.plan)
        stack = stacked(lanes, self.fixed, self.plan.traits.parts, channels_last=form.channels_last)
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
    """Whether the group's module with this member's tensors gives what the member's own module gave at first."""
    x, y = next(endless(shared.train, one.hyperparameters, one.member.seed))
    sites = plan.traits.sites
    masks = DropoutMasks([one], sites, shared.device).draw(len(x), own=False) if sites else {}
    moving = {name: tensor.clone() for name, tensor in one.moving.items()}
    values = {**one.parameters, **moving, **fixed, **{f"{name}.noise": mask for name, mask in masks.items()}}
    with torch.no_grad():
        cost = float(plan.loss(functional_call(plan.template, values, (x,)), y))
    return same_cost(cost, one.own_cost)


def same_cost(one: float, other: float, *, bf16: bool = False) -> bool:
    """Whether two members' first costs say that they compute the same function."""
    if not (math.isfinite(one) and math.isfinite(other)):
        return math.isfinite(one) == math.isfinite(other)
    return abs(one - other) <= (_SAME_COST_BF16 if bf16 else _SAME_COST) * max(abs(other), 1e-6)


def benchmark_set_of(
    plan: Plan, shared: SharedSettings, members: Sequence[MemberState], fixed: dict[str, Tensor]
) -> BenchmarkSet:
    """A bench for these members, all at their beginning; trains two of them in plain PyTorch for some steps."""
    compared: list[TrialConfig] = [one.member for one in members[:COMPARED_MEMBERS]]
    measures = [reference_run(member, shared, steps=COMPARED_STEPS) for member in compared]
    return BenchmarkSet(plan=plan, shared=shared, members=members, fixed=fixed, measures=measures)
