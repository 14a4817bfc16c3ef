"""Insertion of BatchNorm into an existing model, after each dense or convolutional layer, before its activation."""

from __future__ import annotations

import copy
import logging
from collections import OrderedDict
from typing import Final, TypeVar

import torch
from torch import Tensor, fx, nn

from babysit.nn.activation_lookup import (
    WEIGHTED,
    activation_name,
    activation_of,
    following_activations,
    nodes_after,
    steps_of,
)
from babysit.records.errors import UserError

_log = logging.getLogger(__name__)

Model = TypeVar("Model", bound=nn.Module)

_NORMS: Final = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.LocalResponseNorm)


def insert_batch_norm(model: Model, *, x: Tensor | None = None) -> Model:
    """Copy the model with BatchNorm between each hidden layer and the nonlinearity that follows.

    Dense layers are normalized per feature, convolutions per channel (Ioffe and Szegedy 2015). Unchanged are layers
    without a known activation, the output layer, and layers already followed by a normalization. The bias of a
    normalized layer is dropped: BatchNorm subtracts it with the mean and has its own shift. Create the optimizer from
    the copy.

    In an `nn.Sequential` the norm stands behind its layer; elsewhere the layer becomes a Sequential of `layer` and
    `norm` under the same name. What follows a layer is read from a symbolic trace; a model that cannot be traced (it
    branches on values) is run on x; without x, the order in which its modules were registered decides, and the
    log says so.

    Args:
        model: any module; it is not changed.
        x: a batch to run the model and the copy on; required to detect dense layers over more than two axes.

    Raises:
        UserError: no layer can take BatchNorm, a layer is not initialized yet, or the copy fails on x.
    """
    graph, problem = steps_of(model, x)
    if graph is None:
        _log.warning(
            "%s cannot be traced (%s); BatchNorm was put behind layers by the order in which the modules were "
            "registered, which may not be the order in which they run: give a batch as x",
            type(model).__name__,
            problem,
        )
    names = _layers_to_normalize(model, graph, x)
    if not names:
        raise UserError(
            "there is no hidden layer with an activation that is not already normalized",
            where=type(model).__name__,
            do="No change is needed",
        )
    result = copy.deepcopy(model)
    # Look up all layers first: names change as modules are inserted.
    found = [(result.get_submodule(name.rpartition(".")[0]), result.get_submodule(name), name) for name in names]
    for parent, layer, name in found:
        _insert(parent, layer, name)
    if x is not None:
        _try(result, x)
    return result


def _layers_to_normalize(model: nn.Module, graph: fx.Graph | None, x: Tensor | None) -> list[str]:
    done = _normalized_by_order(model) if graph is None else _normalized_in(graph, model)
    return [
        name
        for name, after in following_activations(model, x).items()
        if after.activation not in ("", "softmax") and not after.is_output and name not in done
    ]


def _normalized_in(graph: fx.Graph, model: nn.Module) -> set[str]:
    """Return the layers with a normalization before their activation, in execution order."""
    layers = {name for name, module in model.named_modules() if isinstance(module, WEIGHTED)}
    found = set()
    for node in graph.nodes:
        if node.op == "call_module" and node.target in layers:
            for after in nodes_after(node, layers):
                if activation_of(after, model):
                    break
                if _is_norm(after, model):
                    found.add(str(node.target))
                    break
    return found


def _is_norm(node: fx.Node, model: nn.Module) -> bool:
    if node.op == "call_module":
        return isinstance(model.get_submodule(str(node.target)), _NORMS)
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    return node.op in {"call_function", "call_method"} and "norm" in name


def _normalized_by_order(model: nn.Module) -> set[str]:
    found, waiting = set(), ""
    for name, module in model.named_modules():
        if isinstance(module, WEIGHTED):
            waiting = name
        elif waiting and isinstance(module, _NORMS):
            found.add(waiting)
        elif activation_name(type(module).__name__):
            waiting = ""
    return found


def _insert(parent: nn.Module, layer: nn.Module, name: str) -> None:
    norm = _norm_for(layer, name)
    layer.register_parameter("bias", None)
    own = next(key for key, module in parent.named_children() if module is layer)
    if type(parent) is not nn.Sequential:
        parent.register_module(own, nn.Sequential(OrderedDict(layer=layer, norm=norm)))
        return
    children = list(parent.named_children())
    numbered = all(key == str(index) for index, (key, _) in enumerate(children))
    index = next(index for index, (_, module) in enumerate(children) if module is layer)
    children.insert(index + 1, (f"{own}_norm", norm))
    for key in list(parent._modules):
        delattr(parent, key)
    for number, (key, module) in enumerate(children):
        parent.register_module(str(number) if numbered else key, module)


def _norm_for(layer: nn.Module, name: str) -> nn.Module:
    weight = layer.weight
    if not isinstance(weight, Tensor) or nn.parameter.is_lazy(weight):
        raise UserError("this layer is not initialized yet", where=name, do="Run one batch through the model first")
    if isinstance(layer, nn.Linear):
        return nn.BatchNorm1d(layer.out_features, device=weight.device, dtype=weight.dtype)
    assert isinstance(layer, nn.modules.conv._ConvNd)
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
    return kinds[len(layer.kernel_size) - 1](layer.out_channels, device=weight.device, dtype=weight.dtype)


def _try(model: nn.Module, x: Tensor) -> None:
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=()):
            # A copy, because one step in train mode changes the running statistics.
            copy.deepcopy(model).train()(x)
    except Exception as problem:
        raise UserError(
            f"with BatchNorm the model fails on inputs of the shape {tuple(x.shape)}: {problem}",
            where=type(model).__name__,
            do="Normalize layers over sequences with LayerNorm instead",
        ) from problem
