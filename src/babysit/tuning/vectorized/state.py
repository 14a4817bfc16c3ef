"""The state of members, and stacking and unstacking of several of them."""

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
    """A member in training. It owns its tensors; a stack holds copies while it trains."""

    member: TrialConfig
    hyperparameters: Hyperparameters
    parameters: dict[str, Tensor]
    moments: dict[str, dict[str, Tensor]]  # by PyTorch's name of the state, then by parameter
    moving: dict[str, Tensor]  # buffers that training changes
    random_state: Tensor
    dropped: tuple[float, ...]  # drop probability of each mask, in the order of the sites
    own_cost: float  # loss of the first batch, by its own module in eager PyTorch
    forward_seconds: float  # duration of that forward pass
    epoch: int = 0
    step: int = 0
    initial_cost: float = float("nan")
    last_costs: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT_COSTS))
    seconds: float = 0.0


def new_moments(hyperparameters: Hyperparameters, parameters: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Return the initial optimizer state, all zeros."""
    return {
        slot: {name: torch.zeros_like(tensor) for name, tensor in parameters.items()} for slot in slots(hyperparameters)
    }


def stacked(members: Sequence[MemberState], fixed: dict[str, Tensor], parts: Parts, *, channels_last: bool) -> Stack:
    """Stack copies of the members in this order; convolutions of a single member optionally channels last."""
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
    """Unstack into the members; padding rows are ignored."""
    for index, one in enumerate(members):
        one.parameters = {name: tensor[index].clone() for name, tensor in stack.parameters.items()}
        one.moments = {
            slot: {name: tensor[index].clone() for name, tensor in tensors.items()}
            for slot, tensors in stack.moments.items()
        }
        one.moving = {name: tensor[index].clone() for name, tensor in stack.moving.items()}


def bytes_each(member: MemberState) -> int:
    """Return the memory of a member in training: weights, gradients and moments."""
    weights = sum(tensor.nbytes for tensor in member.parameters.values())
    return weights * (2 + len(member.moments)) + sum(tensor.nbytes for tensor in member.moving.values())
