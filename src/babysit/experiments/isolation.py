"""Save and restore model, optimizer, random state, modes and flags, bit for bit."""

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
    """Restore all state on exit, also after exceptions.

    Restored bit for bit: parameters, buffers and other tensors of the modules; gradients, including their absence;
    `requires_grad`; train or eval mode of each submodule; the optimizer's state and groups; the random states of
    torch (every device in use), NumPy and Python; grad mode and the flags for deterministic kernels.
    Not restored: what the model changes outside itself (files, closed-over objects).

    Raises:
        UserError: the model has lazy layers that are not initialized yet.
    """
    # ExitStack runs every callback even if one of them raises; the last registered runs first.
    with ExitStack() as stack:
        stack.callback(_save_random_states())
        stack.callback(_save_flags())
        if optimizer is not None:
            stack.callback(_save_optimizer(optimizer))
        for restore in _save_modules(model):
            stack.callback(restore)
        yield


@contextmanager
def preserve_random_states() -> Iterator[None]:
    """Restore the program's random states on exit, regardless of what was drawn or seeded inside."""
    states = random_states()
    try:
        yield
    finally:
        set_random_states(states)


def seed_everything(seed: int) -> None:
    """Seed torch, NumPy and Python."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)  # the largest seed NumPy accepts
    random.seed(seed)


def random_states() -> dict[str, Any]:
    """Return the random states of torch, NumPy and Python as tensors and plain values, which load without code."""
    kind, key, position, has_gauss, gauss = np.random.get_state(legacy=True)
    version, python_key, python_gauss = random.getstate()
    states: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "numpy": (str(kind), torch.from_numpy(np.asarray(key).astype("int64")), position, has_gauss, gauss),
        "python": (version, torch.tensor(python_key, dtype=torch.int64), python_gauss),
    }
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]  # torch has no type
        states["cuda"] = torch.cuda.get_rng_state_all()
    if torch.backends.mps.is_available():
        states["mps"] = torch.mps.get_rng_state()
    return states


def set_random_states(states: dict[str, Any]) -> None:
    """Restore random states returned by `random_states`; those of absent devices are ignored."""
    torch.set_rng_state(states["torch"])
    kind, key, position, has_gauss, gauss = states["numpy"]
    np.random.set_state((kind, key.numpy().astype("uint32"), position, has_gauss, gauss))
    version, python_key, python_gauss = states["python"]
    random.setstate((version, tuple(python_key.tolist()), python_gauss))
    if "cuda" in states and torch.cuda.is_available() and len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states["cuda"])
    if "mps" in states and torch.backends.mps.is_available():
        torch.mps.set_rng_state(states["mps"])


def _save_random_states() -> Restore:
    states = random_states()
    return lambda: set_random_states(states)


def _save_flags() -> Restore:
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


def _save_modules(model: nn.Module) -> list[Restore]:
    """Save every attribute of every module (including the mode), then the values of every tensor."""
    saved: dict[int, Tensor] = {}
    for module in model.modules():
        plain = [value for value in vars(module).values() if isinstance(value, Tensor)]
        for tensor in (*module._parameters.values(), *module._buffers.values(), *plain):
            if tensor is not None:
                saved[id(tensor)] = tensor
    if any(is_lazy(tensor) for tensor in saved.values()):
        raise UserError(
            "the model has lazy layers whose shapes are not known yet", do="Run one batch through the model first"
        )
    return [_save_attributes(module) for module in model.modules()] + [_save_tensor(t) for t in saved.values()]


def _save_attributes(module: nn.Module) -> Restore:
    attributes = dict(vars(module))
    # Dictionaries (parameters, buffers, submodules, hooks) are saved one level deep: replaced entries are restored.
    entries = {name: dict(value) for name, value in attributes.items() if type(value) is dict}

    def restore() -> None:
        vars(module).clear()
        vars(module).update(attributes)
        for name, value in entries.items():
            attributes[name].clear()
            attributes[name].update(value)

    return restore


def _save_tensor(tensor: Tensor) -> Restore:
    # `.data` has a separate version counter, so graphs that the caller still holds stay valid.
    data, needs_grad = tensor.data, tensor.requires_grad
    values = data.clone()
    expanded = any(stride == 0 and size > 1 for stride, size in zip(data.stride(), data.shape, strict=True))
    grad = tensor.grad if tensor.is_leaf else None
    grad_values = torch.empty(0) if grad is None else grad.detach().clone()

    def restore() -> None:
        if not expanded:  # overlapping memory cannot have been written in place
            data.copy_(values)
        tensor.data = data
        if not tensor.is_leaf:
            return
        tensor.requires_grad_(needs_grad)
        if grad is not None:
            grad.data.copy_(grad_values)
        tensor.grad = grad

    return restore


def _save_optimizer(optimizer: Optimizer) -> Restore:
    same = list(optimizer.param_groups)
    groups = [{**_plain_copies(group), "params": list(group["params"])} for group in optimizer.param_groups]
    states = {parameter: _plain_copies(state) for parameter, state in optimizer.state.items()}
    tensors = [_save_tensor(value) for holder in (*groups, *states.values()) for value in _tensors(holder)]

    def restore() -> None:
        for restore_tensor in tensors:
            restore_tensor()
        optimizer.param_groups[:] = same
        for group, saved in zip(same, groups, strict=True):
            group.clear()
            group.update(saved)
        optimizer.state.clear()
        optimizer.state.update(states)

    return restore


def _plain_copies(holder: dict[str, Any]) -> dict[str, Any]:
    """Copy everything but tensors (LBFGS stores its history in lists)."""
    return {
        name: value if name == "params" or isinstance(value, Tensor) else copy.deepcopy(value)
        for name, value in holder.items()
    }


def _tensors(holder: dict[str, Any]) -> list[Tensor]:
    return [value for value in holder.values() if isinstance(value, Tensor)]
