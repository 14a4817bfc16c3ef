"""A copy of the model for experiments."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.optim import Optimizer

from babysit.experiments.isolation import isolated, seed_everything


@contextmanager
def replica(
    model: nn.Module, optimizer: Optimizer | None = None, *, seed: int = 0
) -> Iterator[tuple[nn.Module, Optimizer | None]]:
    """Yield a copy of model and optimizer in train mode, without optimizer state, with a seeded random state.

    All state is restored on exit: the copy shares random state and flags with the rest of the program, and a model
    that cannot be copied is used itself and restored.
    """
    with isolated(model, optimizer):
        try:
            twin, twin_optimizer = _copies(model, optimizer)
        except Exception:  # a custom __deepcopy__ may raise anything
            twin, twin_optimizer = model, optimizer
        if twin_optimizer is not None:
            twin_optimizer.state.clear()
        twin.train()
        twin.zero_grad(set_to_none=True)
        seed_everything(seed)
        with torch.enable_grad():
            yield twin, twin_optimizer


def _copies(model: nn.Module, optimizer: Optimizer | None) -> tuple[nn.Module, Optimizer | None]:
    memo: dict[int, object] = {}
    twin, twin_optimizer = copy.deepcopy((model, optimizer), memo)
    if optimizer is not None and twin_optimizer is not None:
        # Optimizers copy only their groups and state; LBFGS also has a list of its parameters.
        for name in vars(optimizer).keys() - vars(twin_optimizer).keys():
            setattr(twin_optimizer, name, copy.deepcopy(vars(optimizer)[name], memo))
    return twin, twin_optimizer


def device_of(model: nn.Module) -> torch.device:
    """Return the device of the model's parameters; the CPU when it has none."""
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))


def silence_dropout(model: nn.Module) -> None:
    """Switch off every dropout of the model in any mode; for copies only, since it is not switched on again."""
    for module in model.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.eval()
        elif isinstance(module, nn.RNNBase | nn.MultiheadAttention):
            module.dropout = 0.0  # an attribute, not a module
