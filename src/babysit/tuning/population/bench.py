"""Where forms are tried: some members at their beginning, their first batches, and plain PyTorch's costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, final

import numpy as np
import torch
from torch import Tensor

from babysit.tuning.executor import Member
from babysit.tuning.population.beginning import Measure, Shared, endless, measured
from babysit.tuning.population.forms import Batch, Plan, Stack
from babysit.tuning.population.member_state import Learned, stacked
from babysit.tuning.population.noise import Noise
from babysit.tuning.population.optimizers import coefficients

COMPARED_STEPS: Final = 5
COMPARED_MEMBERS: Final = 2


@final
@dataclass(kw_only=True)
class Bench:
    """Some members of one group, and what plain PyTorch makes of the first of them."""

    plan: Plan
    shared: Shared
    members: Sequence[Learned]
    fixed: dict[str, Tensor]
    measures: Sequence[Measure]
    batches: list[tuple[Tensor, Tensor]] = field(init=False)

    def __post_init__(self) -> None:
        first = self.members[0]
        self.batches = list(islice(endless(self.shared.train, first.recipe, first.member.seed), COMPARED_STEPS))

    def lanes(self, width: int) -> list[Learned]:
        """The members, again and again."""
        compared = self.members[:COMPARED_MEMBERS] if width >= COMPARED_MEMBERS else self.members[:1]
        return [compared[place % len(compared)] for place in range(width)]

    def inputs(self, width: int) -> tuple[Stack, Iterator[Batch]]:
        """A new stack of the members at their beginning, and their first steps."""
        lanes = self.lanes(width)
        stack = stacked(lanes, self.fixed, self.plan.traits.parts)
        table = coefficients([one.recipe for one in lanes], step=0, epoch=0, steps=COMPARED_STEPS)
        numbers = torch.from_numpy(table.astype(np.float32)).to(self.shared.device)
        sites = self.plan.traits.sites
        noise = Noise(lanes, sites, self.shared.device) if sites else None
        return stack, (
            Batch(
                numbers=numbers[step],
                noise=noise.draw(len(x), own=self.plan.own_noise) if noise else {},
                x=x,
                y=y,
            )
            for step, (x, y) in enumerate(self.batches)
        )


def bench_of(plan: Plan, shared: Shared, members: Sequence[Learned], fixed: dict[str, Tensor]) -> Bench:
    """A bench for these members, all at their beginning; trains two of them in plain PyTorch for some steps."""
    compared: list[Member] = [one.member for one in members[:COMPARED_MEMBERS]]
    measures = [measured(member, shared, steps=COMPARED_STEPS) for member in compared]
    return Bench(plan=plan, shared=shared, members=members, fixed=fixed, measures=measures)
