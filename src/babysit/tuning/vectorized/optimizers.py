"""Optimizers for many members at once: every coefficient is a vector over members.

PyTorch's optimizers take one learning rate for all. These update stacked tensors (members, …) in place, with PyTorch's
formulas and state names, so that a member's state can be exchanged with them. Everything that depends on the step
(schedules, bias corrections) is computed in float64 for an epoch in advance: `coefficients`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from babysit.training.hyperparameters import Hyperparameters

Tensors = Mapping[str, Tensor]
Moments = Mapping[str, Tensors]  # by PyTorch's name of the state, then by parameter

_SMALL: Final = {"adam": 1e-8, "adamw": 1e-8, "rmsprop": 1e-8, "adagrad": 1e-10}  # PyTorch's eps
_CLIP_SMALL: Final = 1e-6  # added to the norm by clip_grad_norm_
# A sum so large that Adagrad divides by its root alone, for any gradient.
PLAIN_SUM: Final = 1e12

# The rows of `coefficients`, in their order.
ROWS: Final = (
    *("lr", "weight_decay", "momentum", "grad_clip_norm"),
    # 1 - beta is computed in float64: 1 - 0.999 in float32 is off by 1.3e-5.
    *("beta1", "rest1", "beta2", "rest2", "step_size", "root", "keep"),
)


def slots(hyperparameters: Hyperparameters) -> tuple[str, ...]:
    """Return the names of the optimizer state per parameter, as in PyTorch."""
    momentum = () if hyperparameters.momentum is None else ("momentum_buffer",)
    return {
        "adam": ("exp_avg", "exp_avg_sq"),
        "adamw": ("exp_avg", "exp_avg_sq"),
        "rmsprop": ("square_avg", *momentum),
        "adagrad": ("sum",),
    }.get(hyperparameters.optimizer, momentum)


def coefficients(configs: Sequence[Hyperparameters], *, step: int, epoch: int, steps: int) -> NDArray[np.float64]:
    """Return the coefficients of the next steps of an epoch: (steps, rows, members), rows as in ROWS.

    Args:
        configs: one per member, all of one kind of optimizer.
        step: number of steps done.
        epoch: number of epochs done.
        steps: number of steps to compute.
    """
    table = np.empty((steps, len(ROWS), len(configs)))
    for index, hyperparameters in enumerate(configs):
        lrs = np.array([hyperparameters.lr_at(step + i, epoch) for i in range(steps)])
        count = step + 1 + np.arange(steps)
        rows = {
            "lr": lrs,
            "weight_decay": hyperparameters.weight_decay,
            "momentum": hyperparameters.momentum or 0.0,
            "grad_clip_norm": hyperparameters.grad_clip_norm,
            "beta1": hyperparameters.beta1,
            "rest1": 1 - hyperparameters.beta1,
            "beta2": hyperparameters.beta2,
            "rest2": 1 - hyperparameters.beta2,
            "step_size": lrs / (1 - hyperparameters.beta1**count),
            "root": np.sqrt(1 - hyperparameters.beta2**count),
            "keep": 1 - lrs * hyperparameters.weight_decay,
        }
        for row, name in enumerate(ROWS):
            table[:, row, index] = rows[name]
    return table


def plain_descent(hyperparameters: Hyperparameters, numbers: Tensor) -> Tensor:
    """Return coefficients with which a first step subtracts the (clipped) gradient itself, for any optimizer.

    Args:
        hyperparameters: the kind of optimizer.
        numbers: (rows, members), those of the first step; only the gradient norm limit is used. Adagrad's sum must be
            PLAIN_SUM.
    """
    small = _SMALL.get(hyperparameters.optimizer, 1.0)
    lr = {"rmsprop": small, "adagrad": math.sqrt(PLAIN_SUM)}.get(hyperparameters.optimizer, 1.0)
    # The squared gradients get weight 0, so that the divisor is PyTorch's eps alone.
    values = {"lr": lr, "beta2": 1.0, "rest1": 1.0, "step_size": small, "root": 1.0, "keep": 1.0}
    table = torch.tensor([values.get(name, 0.0) for name in ROWS])[:, None].to(numbers).expand_as(numbers).clone()
    table[ROWS.index("grad_clip_norm")] = numbers[ROWS.index("grad_clip_norm")]
    return table


def update(
    hyperparameters: Hyperparameters, numbers: Tensor, *, parameters: Tensors, gradients: Tensors, moments: Moments
) -> None:
    """Update all members by one step, in place.

    Args:
        hyperparameters: the kind of optimizer, and whether there is momentum and clipping. Its numbers are not used.
        numbers: (rows, members), one step of `coefficients`.
        parameters: (members, …) each.
        gradients: likewise.
        moments: likewise, one set for each of `slots`.
    """
    row = dict(zip(ROWS, numbers.unbind(0), strict=True))
    if math.isfinite(hyperparameters.grad_clip_norm):
        gradients = _clipped(gradients, row["grad_clip_norm"])
    for name, parameter in parameters.items():
        wide = {key: value.reshape(-1, *[1] * (parameter.dim() - 1)) for key, value in row.items()}
        state = {slot: moments[slot][name] for slot in moments}
        _update_one(hyperparameters, wide, parameter, gradients[name], state)


def _clipped(gradients: Tensors, grad_clip_norm: Tensor) -> dict[str, Tensor]:
    """Scale each member's gradients down where their norm exceeds its limit."""
    squares = torch.stack([gradient.square().reshape(len(gradient), -1).sum(1) for gradient in gradients.values()])
    shrink = (grad_clip_norm / (squares.sum(0).sqrt() + _CLIP_SMALL)).clamp(max=1.0)
    return {name: gradient * shrink.reshape(-1, *[1] * (gradient.dim() - 1)) for name, gradient in gradients.items()}


def _update_one(
    hyperparameters: Hyperparameters, row: Tensors, parameter: Tensor, gradient: Tensor, state: Tensors
) -> None:
    kind = hyperparameters.optimizer
    if kind == "adamw":
        parameter.mul_(row["keep"])
    else:
        gradient = gradient + row["weight_decay"] * parameter
    if kind in {"adam", "adamw"}:
        first, second = state["exp_avg"], state["exp_avg_sq"]
        first.add_((gradient - first) * row["rest1"])
        second.mul_(row["beta2"]).add_(gradient * gradient * row["rest2"])
        parameter.sub_(row["step_size"] * first / (second.sqrt() / row["root"] + _SMALL[kind]))
    elif kind == "rmsprop":
        second = state["square_avg"]
        second.mul_(row["beta2"]).add_(gradient * gradient * row["rest2"])
        direction = gradient / (second.sqrt() + _SMALL[kind])
        parameter.sub_(row["lr"] * _with_momentum(direction, row, state))
    elif kind == "adagrad":
        total = state["sum"]
        total.add_(gradient * gradient)
        parameter.sub_(row["lr"] * gradient / (total.sqrt() + _SMALL[kind]))
    else:
        direction = _with_momentum(gradient, row, state)
        if kind == "nesterov":
            direction = gradient + row["momentum"] * direction
        parameter.sub_(row["lr"] * direction)


def _with_momentum(direction: Tensor, row: Tensors, state: Tensors) -> Tensor:
    buffer = state.get("momentum_buffer")
    return direction if buffer is None else buffer.mul_(row["momentum"]).add_(direction)
