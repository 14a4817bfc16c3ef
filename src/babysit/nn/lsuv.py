"""LSUV: weights scaled on real data, layer by layer, to a given standard deviation of the outputs."""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from babysit.nn.activation_lookup import WEIGHTED
from babysit.nn.graph_recorder import isolated_run

# Mishkin and Matas 2015, All you need is a good init: at most ten trials; their tolerance of 0.1 for the variance is
# tightened, since a linear layer reaches its goal with the first scaling.
_TRIALS = 10
_TOLERANCE = 0.01


def scale_by_data_(model: nn.Module, x: Tensor, goals: Mapping[str, float]) -> None:
    """Scale the weights of the named layers, in execution order, until their outputs have these standard deviations.

    The model runs on x in eval mode; its modes, buffers and the random state are restored. Layers with a constant
    output, or that never run, are unchanged. Raises UserError when the model fails on x.
    """
    with isolated_run(model, x):
        for name in _order(model, x, goals):
            _scale_layer(model, name, x, goals[name])


def _order(model: nn.Module, x: Tensor, names: Mapping[str, float]) -> list[str]:
    """Return the names in the order in which their layers first run."""
    ran: dict[str, None] = {}
    handles = [
        module.register_forward_hook(lambda *_, name=name: ran.setdefault(name))
        for name, module in model.named_modules()
        if name in names and isinstance(module, WEIGHTED)
    ]
    try:
        model(x)
    finally:
        for handle in handles:
            handle.remove()
    return list(ran)


def _scale_layer(model: nn.Module, name: str, x: Tensor, goal: float) -> None:
    layer = model.get_submodule(name)
    for _ in range(_TRIALS):
        std, weight = _output_std(model, layer, x), layer.weight
        if not 0 < std < math.inf or abs(std / goal - 1) < _TOLERANCE or not isinstance(weight, Tensor):
            return
        if is_parametrized(layer, "weight"):
            layer.weight = weight * (goal / std)  # goes through the parametrization's inverse
        else:
            weight.mul_(goal / std)


def _output_std(model: nn.Module, layer: nn.Module, x: Tensor) -> float:
    """Return the standard deviation of a layer's first output."""
    seen: list[float] = []
    handle = layer.register_forward_hook(lambda module, inputs, output: seen.append(_deviation(output)))
    try:
        model(x)
    finally:
        handle.remove()
    return seen[0]


def _deviation(output: Tensor) -> float:
    return float(output.double().std(correction=0))
