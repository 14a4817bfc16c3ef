"""Leave everything as it was: model, optimizer, random state, modes and flags, to the bit."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from babysit.records.errors import UserError

Restore = Callable[[], None]


@contextmanager
def isolated(model: nn.Module, optimizer: Optimizer | None = None) -> Iterator[None]:
    """Whatever happens inside, afterwards all is as it was, exceptions included.

    Restored bit for bit: parameters, buffers and other tensors of the modules; gradients, also their absence;
    `requires_grad`; train or eval mode of each submodule; the optimizer's state and groups; the random states of
    torch (every device in use), NumPy and Python; grad mode and the switches for deterministic kernels.
    Not restored: what the model changes outside itself (files, closed-over objects).

    Raises:
        UserError: the model has lazy layers that have not seen data, so there is nothing yet to restore.
    """
    # ExitStack runs every callback even if one of them raises; the last registered runs first.
    with ExitStack() as stack:
        stack.callback(_keep_random_states())
        stack.callback(_keep_switches())
        if optimizer is not None:
            stack.callback(_keep_optimizer(optimizer))
        for restore in _keep_modules(model):
            stack.callback(restore)
        yield


@contextmanager
def preserve_random_states() -> Iterator[None]:
    """Whatever is drawn or seeded inside, the program's random states afterwards are those from before."""
    states = random_states()
    try:
        yield
    finally:
        set_random_states(states)


def seed_everything(seed: int) -> None:
    """Seed torch, NumPy and Python."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)  # NumPy takes no more
    random.seed(seed)


def random_states() -> dict[str, Any]:
    """The random states of torch, NumPy and Python as tensors and plain values, so that they load without code."""
    kind, words, position, has_gauss, gauss = np.random.get_state(legacy=True)
    version, python_words, python_gauss = random.getstate()
    states: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "numpy": (str(kind), torch.from_numpy(np.asarray(words).astype("int64")), position, has_gauss, gauss),
        "python": (version, torch.tensor(python_words, dtype=torch.int64), python_gauss),
    }
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]  # torch has no type
        states["cuda"] = torch.cuda.get_rng_state_all()
    if torch.backends.mps.is_available():
        states["mps"] = torch.mps.get_rng_state()
    return states


def set_random_states(states: dict[str, Any]) -> None:
    """Go on from random states taken earlier by `random_states`; those of devices that are not here are left out."""
    torch.set_rng_state(states["torch"])
    kind, words, position, has_gauss, gauss = states["numpy"]
    np.random.set_state((kind, words.numpy().astype("uint32"), position, has_gauss, gauss))
    version, python_words, python_gauss = states["python"]
    random.setstate((version, tuple(python_words.tolist()), python_gauss))
    if "cuda" in states and torch.cuda.is_available() and len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states["cuda"])
    if "mps" in states and torch.backends.mps.is_available():
        torch.mps.set_rng_state(states["mps"])


def _keep_random_states() -> Restore:
    states = random_states()
    return lambda: set_random_states(states)


def _keep_switches() -> Restore:
    grad = torch.is_grad_enabled()
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    cudnn = (torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark)
    precision = torch.get_float32_matmul_precision()

    def restore() -> None:
        torch.set_grad_enabled(grad)
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = cudnn
        torch.set_float32_matmul_precision(precision)

    return restore


def _keep_modules(model: nn.Module) -> list[Restore]:
    """Restores of every attribute of every module (the mode is one), then of the values of every tensor."""
    kept: dict[int, Tensor] = {}
    for module in model.modules():
        plain = [value for value in vars(module).values() if isinstance(value, Tensor)]
        for tensor in (*module._parameters.values(), *module._buffers.values(), *plain):
            if tensor is not None:
                kept[id(tensor)] = tensor
    if any(is_lazy(tensor) for tensor in kept.values()):
        raise UserError(
            "the model has lazy layers whose shapes are not known yet", do="Run one batch through the model first"
        )
    return [_keep_attributes(module) for module in model.modules()] + [_keep_tensor(t) for t in kept.values()]


def _keep_attributes(module: nn.Module) -> Restore:
    attributes = dict(vars(module))
    # Dictionaries (parameters, buffers, submodules, hooks) are kept one level deep: entries that were replaced return.
    entries = {name: dict(value) for name, value in attributes.items() if type(value) is dict}

    def restore() -> None:
        vars(module).clear()
        vars(module).update(attributes)
        for name, value in entries.items():
            attributes[name].clear()
            attributes[name].update(value)

    return restore


def _keep_tensor(tensor: Tensor) -> Restore:
    # `.data` has a version counter of its own, so graphs that the caller still holds stay valid.
    data, needs_grad = tensor.data, tensor.requires_grad
    values = data.clone()
    expanded = any(stride == 0 and size > 1 for stride, size in zip(data.stride(), data.shape, strict=True))
    grad = tensor.grad if tensor.is_leaf else None
    grad_values = torch.empty(0) if grad is None else grad.detach().clone()

    def restore() -> None:
        if not expanded:  # memory that several places share cannot have been written in place
            data.copy_(values)
        tensor.data = data
        if not tensor.is_leaf:
            return
        tensor.requires_grad_(needs_grad)
        if grad is not None:
            grad.data.copy_(grad_values)
        tensor.grad = grad

    return restore


def _keep_optimizer(optimizer: Optimizer) -> Restore:
    same = list(optimizer.param_groups)
    groups = [{**_plain_copies(group), "params": list(group["params"])} for group in optimizer.param_groups]
    states = {parameter: _plain_copies(state) for parameter, state in optimizer.state.items()}
    tensors = [_keep_tensor(value) for holder in (*groups, *states.values()) for value in _tensors(holder)]

    def restore() -> None:
        for restore_tensor in tensors:
            restore_tensor()
        optimizer.param_groups[:] = same
        for group, kept in zip(same, groups, strict=True):
            group.clear()
            group.update(kept)
        optimizer.state.clear()
        optimizer.state.update(states)

    return restore


def _plain_copies(holder: dict[str, Any]) -> dict[str, Any]:
    """The same tensors, and copies of everything else (LBFGS keeps its history in lists)."""
    return {
        name: value if name == "params" or isinstance(value, Tensor) else copy.deepcopy(value)
        for name, value in holder.items()
    }


def _tensors(holder: dict[str, Any]) -> list[Tensor]:
    return [value for value in holder.values() if isinstance(value, Tensor)]
