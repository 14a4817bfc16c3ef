"""The dense layer that alone sees the inputs: that of all members can be one product."""

from __future__ import annotations

import copy
from typing import Any, final

import torch
from torch import Tensor, nn

from babysit.tuning.vectorized.signature import Parts, PreparedDropout, noted_dropout


@final
class _ReachedError(Exception):
    """Thrown by the dense layer when its input is known."""


def input_of(template: nn.Module, name: str, values: dict[str, Tensor], x: Tensor) -> Tensor:
    """What the named layer of the template gets for these inputs; nothing behind it runs."""
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
    """The first dense layer, when what it sees depends on the inputs alone; else ""."""
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
    for place, (name, plain) in enumerate(seen):
        module = template.get_submodule(name)
        if type(module) is nn.Linear:
            weights = [id(weight) for _, weight in template.named_parameters(remove_duplicate=False)]
            alone = order.count(name) == 1 and weights.count(id(module.weight)) == 1
            alone = alone and f"{name}.weight" in parts.trained
            return name if plain and alone and name else ""
        moves = any(buffer.rpartition(".")[0] == name for buffer in parts.moving)
        if moves or isinstance(module, PreparedDropout) or place > 8:
            return ""
    return ""


def is_fed_directly(template: nn.Module, name: str, x: Tensor) -> bool:
    """Whether a dense layer sees the batch itself, and the model gives the same when nobody else sees it."""
    if not x.is_floating_point():  # numbers of words or classes are looked up, not multiplied
        return False
    seen: list[Tensor] = []

    def before(_module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        seen.append(inputs[0])
        return (seen[0],)  # in the second pass what it saw in the first

    try:
        own = copy.deepcopy(template)  # what a forward pass keeps of such inputs must stay with nobody
        own.get_submodule(name).register_forward_pre_hook(before)
        with torch.no_grad(), noted_dropout(own, []):
            one, other = own(x), own(torch.full_like(x, torch.nan))
    except Exception:  # an index made of the inputs, or a check that they are finite: somebody else reads them
        return False
    same = isinstance(one, Tensor) and isinstance(other, Tensor) and torch.equal(one, other)
    return same and seen[0].data_ptr() == x.data_ptr() and seen[0].shape == x.flatten(1).shape
