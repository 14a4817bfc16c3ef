"""What a member has learned so far, and how several of them become one stack and members again."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import final

import torch
from torch import Tensor

from babysit.training.hyperparameters import Hyperparameters
from babysit.tuning.early_termination import KEPT_COSTS
from babysit.tuning.executors.base import TrialConfig
from babysit.tuning.vectorized.backends import Stack
from babysit.tuning.vectorized.optimizers import slots
from babysit.tuning.vectorized.signature import Parts


@final
@dataclass(kw_only=True, eq=False)
class MemberState:
    """A member under training. Its tensors are its own; a stack holds copies while it trains."""

    member: TrialConfig
    hyperparameters: Hyperparameters
    parameters: dict[str, Tensor]
    moments: dict[str, dict[str, Tensor]]  # by PyTorch's name of the state, then by parameter
    moving: dict[str, Tensor]  # buffers that training changes
    random_state: Tensor
    dropped: tuple[float, ...]  # the share that each mask drops, in the order of the sites
    own_cost: float  # of the first batch, by its own module in plain PyTorch
    forward_seconds: float  # what that took
    epoch: int = 0
    step: int = 0
    initial_cost: float = float("nan")
    last_costs: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT_COSTS))
    seconds: float = 0.0


def new_moments(hyperparameters: Hyperparameters, parameters: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Zeros for everything that the optimizer keeps."""
    return {
        slot: {name: torch.zeros_like(tensor) for name, tensor in parameters.items()} for slot in slots(hyperparameters)
    }


def stacked(members: Sequence[MemberState], fixed: dict[str, Tensor], parts: Parts, *, channels_last: bool) -> Stack:
    """One stack of copies, in this order; the kernels of a single member perhaps with the channels innermost."""
    first = members[0]

    def together(tensors: Sequence[Tensor]) -> Tensor:
        if channels_last and tensors[0].dim() == 4:
            return tensors[0].clone(memory_format=torch.channels_last)[None]
        return torch.stack([tensor.contiguous() for tensor in tensors])

    return Stack(
        parameters={name: together([one.parameters[name] for one in members]) for name in parts.trained},
        moments={
            slot: {name: together([one.moments[slot][name] for one in members]) for name in parts.trained}
            for slot in first.moments
        },
        moving={name: torch.stack([one.moving[name] for one in members]) for name in parts.moving},
        fixed=fixed,
    )


def unstack_into(stack: Stack, members: Sequence[MemberState]) -> None:
    """Copies what the stack has become into the members; rows beyond them are filling and are left."""
    for place, one in enumerate(members):
        one.parameters = {name: tensor[place].clone() for name, tensor in stack.parameters.items()}
        one.moments = {
            slot: {name: tensor[place].clone() for name, tensor in tensors.items()}
            for slot, tensors in stack.moments.items()
        }
        one.moving = {name: tensor[place].clone() for name, tensor in stack.moving.items()}


def bytes_each(learned: MemberState) -> int:
    """How much memory a member takes while it trains: weights, gradients and moments."""
    weights = sum(tensor.nbytes for tensor in learned.parameters.values())
    return weights * (2 + len(learned.moments)) + sum(tensor.nbytes for tensor in learned.moving.values())
