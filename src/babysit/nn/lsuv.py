"""Weights scaled by real data, layer after layer, until what each layer gives has the spread it should have."""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from babysit.nn.activation_lookup import WEIGHTED
from babysit.nn.graph_recorder import isolated_run

# Of Mishkin and Matas 2015, All you need is a good init: ten trials at most; their tolerance of 0.1 for the variance
# is tightened, since a linear layer meets its goal with the first scaling.
_TRIALS = 10
_TOLERANCE = 0.01


def scale_by_data_(model: nn.Module, x: Tensor, goals: Mapping[str, float]) -> None:
    """Scale the weights of the named layers, in the order they run, until their outputs have these deviations.

    The model runs on x in evaluation mode; its modes, buffers and the random state stay as they were. A layer that
    gives the same value for everything, or that never runs, is left as it is. Raises UserError when the model cannot
    run on x.
    """
    with isolated_run(model, x):
        for name in _order(model, x, goals):
            _scale_layer(model, name, x, goals[name])


def _order(model: nn.Module, x: Tensor, names: Mapping[str, float]) -> list[str]:
    """The names in the order in which their layers first run."""
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
        spread, weight = _spread(model, layer, x), layer.weight
        if not 0 < spread < math.inf or abs(spread / goal - 1) < _TOLERANCE or not isinstance(weight, Tensor):
            return
        if is_parametrized(layer, "weight"):
            layer.weight = weight * (goal / spread)  # goes through the parametrization's inverse
        else:
            weight.mul_(goal / spread)


def _spread(model: nn.Module, layer: nn.Module, x: Tensor) -> float:
    """The standard deviation of what a layer gives when it first runs."""
    seen: list[float] = []
    handle = layer.register_forward_hook(lambda module, inputs, output: seen.append(_deviation(output)))
    try:
        model(x)
    finally:
        handle.remove()
    return seen[0]


def _deviation(output: Tensor) -> float:
    return float(output.double().std(correction=0))
