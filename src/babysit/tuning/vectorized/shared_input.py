"""Finds a dense layer that alone reads the inputs: the products of all members can be computed as one."""

from __future__ import annotations

import copy
from typing import Any, final

import torch
from torch import Tensor, nn

from babysit.tuning.vectorized.signature import Parts, PreparedDropout, noted_dropout


@final
class _ReachedError(Exception):
    """Raised by a hook of the dense layer when its input is known."""


def input_of(template: nn.Module, name: str, values: dict[str, Tensor], x: Tensor) -> Tensor:
    """Return the input of the named layer for these inputs; later layers do not run."""
    found: list[Tensor] = []

    def reached(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        found.append(inputs[0])
        raise _ReachedError

    handle = template.get_submodule(name).register_forward_pre_hook(reached)
    try:
        torch.func.functional_call(template, values, (x,))
    except _ReachedError:
        return found[0]
    finally:
        handle.remove()
    raise RuntimeError(f"layer {name} was not reached")


def find_first_dense(template: nn.Module, x: Tensor, *, parts: Parts) -> str:
    """Return the first dense layer if its input depends on the model's inputs alone, else ""."""
    names = {id(module): name for name, module in template.named_modules()}
    seen: list[tuple[str, bool]] = []

    def before(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        plain = len(inputs) == 1 and isinstance(inputs[0], Tensor) and not inputs[0].requires_grad
        seen.append((names[id(module)], plain))

    leaves = [module for module in template.modules() if not list(module.children())]
    handles = [module.register_forward_pre_hook(before) for module in leaves]
    notes: list[tuple[str, tuple[int, ...]]] = []
    try:
        with torch.enable_grad(), noted_dropout(template, notes):
            template(x)
    finally:
        for handle in handles:
            handle.remove()
    order = [name for name, _ in seen]
    for position, (name, plain) in enumerate(seen):
        module = template.get_submodule(name)
        if type(module) is nn.Linear:
            weights = [id(weight) for _, weight in template.named_parameters(remove_duplicate=False)]
            alone = order.count(name) == 1 and weights.count(id(module.weight)) == 1
            alone = alone and f"{name}.weight" in parts.trained
            return name if plain and alone and name else ""
        moves = any(buffer.rpartition(".")[0] == name for buffer in parts.moving)
        if moves or isinstance(module, PreparedDropout) or position > 8:
            return ""
    return ""


def is_fed_directly(template: nn.Module, name: str, x: Tensor) -> bool:
    """Check whether a dense layer reads the batch unchanged and no other layer affects the result by reading it."""
    if not x.is_floating_point():  # token or class indices are looked up, not multiplied
        return False
    seen: list[Tensor] = []

    def before(_module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        seen.append(inputs[0])
        return (seen[0],)  # in the second pass, the input of the first

    try:
        own = copy.deepcopy(template)  # the forward pass may store such inputs
        own.get_submodule(name).register_forward_pre_hook(before)
        with torch.no_grad(), noted_dropout(own, []):
            one, other = own(x), own(torch.full_like(x, torch.nan))
    except Exception:  # indexing by the inputs or a check that they are finite: something else reads them
        return False
    same = isinstance(one, Tensor) and isinstance(other, Tensor) and torch.equal(one, other)
    return same and seen[0].data_ptr() == x.data_ptr() and seen[0].shape == x.flatten(1).shape
