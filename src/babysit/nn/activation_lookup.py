"""Which activation follows each layer that holds weights, found without running any data where that is possible."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

from torch import Tensor, fx, nn

from babysit.nn.graph_recorder import preserve_state, run_graph
from babysit.nn.maxout import Maxout

# What an operation is called, by the name of its module, function or method in lower case without "_".
_NAMES = {
    **dict.fromkeys(("relu", "relu6"), "relu"),
    "leakyrelu": "leaky_relu",
    "rrelu": "leaky_relu",
    "prelu": "prelu",
    "elu": "elu",
    "celu": "elu",
    "selu": "selu",
    "gelu": "gelu",
    **dict.fromkeys(("silu", "hardswish", "mish"), "silu"),
    "maxout": "maxout",
    **dict.fromkeys(("tanh", "hardtanh"), "tanh"),
    **dict.fromkeys(("sigmoid", "hardsigmoid"), "sigmoid"),
    "softplus": "relu",
    **dict.fromkeys(("softmax", "logsoftmax"), "softmax"),
}

WEIGHTED = (
    nn.Linear,
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)


@final
@dataclass(frozen=True)
class FollowingActivation:
    """What comes after one layer."""

    activation: str = ""  # relu, leaky_relu, tanh, …; "" for none that is known
    module: nn.Module | None = None  # the activation itself, when it is a module
    is_output: bool = False  # no other weighted layer comes after it


def following_activations(model: nn.Module, x: Tensor | None = None) -> dict[str, FollowingActivation]:
    """For the name of each dense or convolutional layer, what comes after it.

    The steps are those of `steps_of`. Where they cannot be known, the order in which modules were registered has to do.
    Raises UserError when the model has to run on x and fails.
    """
    layers = {name for name, module in model.named_modules() if isinstance(module, WEIGHTED)}
    graph, _ = steps_of(model, x)
    found = {} if graph is None else _from_trace(model, graph, layers)
    return {**_from_registration(model), **found}


def steps_of(model: nn.Module, x: Tensor | None = None) -> tuple[fx.Graph | None, str]:
    """The steps of the forward pass, or None and why they are not known; the random state stays as it was.

    They are traced symbolically, which sees functional calls and modules that are used several times; a model that
    branches on values, and so cannot be traced, runs on x instead, if there is one.
    """
    tracer = _Tracer()
    try:
        with preserve_state(model):
            return tracer.trace(model), ""
    # Tracing runs the user's code with stand-ins for tensors; it may fail in any way.
    except Exception as problem:
        if x is not None:
            return run_graph(model, x, is_leaf=tracer.is_leaf_module), ""
        return None, next(iter(str(problem).splitlines()), "")[:200] or type(problem).__name__


@final
class _Tracer(fx.Tracer):
    """A tracer that does not look into Maxout, as it does not look into PyTorch's own modules."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, Maxout) or fx.Tracer.is_leaf_module(self, m, module_qualified_name)


def _from_trace(model: nn.Module, graph: fx.Graph, layers: set[str]) -> dict[str, FollowingActivation]:
    found: dict[str, FollowingActivation] = {}
    for node in graph.nodes:
        if node.op == "call_module" and node.target in layers and node.target not in found:
            after = list(nodes_after(node, layers))
            named = next((other for other in after if activation_of(other, model)), None)
            module = model.get_submodule(str(named.target)) if named and named.op == "call_module" else None
            found[node.target] = FollowingActivation(
                activation=activation_of(named, model) if named else "",
                module=module,
                is_output=not _reaches_weights(node, layers),
            )
    return found


def nodes_after(node: fx.Node, layers: set[str]) -> Iterator[fx.Node]:
    """Nodes that use the result, nearest first, without passing through another weighted layer."""
    waiting, seen = list(node.users), set(node.users)
    while waiting:
        current = waiting.pop(0)
        if current.op == "call_module" and current.target in layers:
            continue
        yield current
        new = [user for user in current.users if user not in seen]
        seen.update(new)
        waiting.extend(new)


def _reaches_weights(node: fx.Node, layers: set[str]) -> bool:
    frontier = [node, *nodes_after(node, layers)]
    return any(user.op == "call_module" and user.target in layers for other in frontier for user in other.users)


def activation_of(node: fx.Node, model: nn.Module) -> str:
    """The activation that a step of the trace is, or "" when it is none."""
    if node.op == "call_module":
        return activation_name(type(model.get_submodule(str(node.target))).__name__)
    if node.op in {"call_function", "call_method"}:
        # clamp(min=0) and maximum(x, 0) are how some write a ReLU.
        name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
        if name in {"clamp", "clamp_min", "clamp_"} and 0 in (*node.args, *node.kwargs.values()):
            return "relu"
        return activation_name(str(name))
    return ""


def activation_name(name: str) -> str:
    """The activation that a module class or a function of this name is, or "" when it is none."""
    return _NAMES.get(name.lower().replace("_", ""), "")


def _from_registration(model: nn.Module) -> dict[str, FollowingActivation]:
    found: dict[str, FollowingActivation] = {}
    waiting = ""  # the last weighted layer, as long as nothing but norms and the like came after it
    last = ""
    for name, module in model.named_modules():
        if isinstance(module, WEIGHTED):
            found[name] = FollowingActivation()
            waiting = last = name
        elif waiting and activation_name(type(module).__name__):
            found[waiting] = FollowingActivation(activation=activation_name(type(module).__name__), module=module)
            waiting = ""
    if last:
        found[last] = FollowingActivation(activation=found[last].activation, module=found[last].module, is_output=True)
    return found
