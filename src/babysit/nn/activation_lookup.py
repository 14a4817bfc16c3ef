"""The activation that follows each weighted layer, found without running data where possible."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

from torch import Tensor, fx, nn

from babysit.nn.graph_recorder import preserve_state, run_graph
from babysit.nn.maxout import Maxout

# Operation names by module class, function or method in lower case without "_".
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
    """The activation after one layer."""

    activation: str = ""  # relu, leaky_relu, tanh, …; "" if unknown
    module: nn.Module | None = None  # the activation itself, when it is a module
    is_output: bool = False  # no other weighted layer follows


def following_activations(model: nn.Module, x: Tensor | None = None) -> dict[str, FollowingActivation]:
    """Map the name of each dense or convolutional layer to the activation that follows.

    Uses the graph of `steps_of`; without one, the registration order of the modules.
    Raises UserError when the model has to run on x and fails.
    """
    layers = {name for name, module in model.named_modules() if isinstance(module, WEIGHTED)}
    graph, _ = steps_of(model, x)
    found = {} if graph is None else _from_trace(model, graph, layers)
    return {**_from_registration(model), **found}


def steps_of(model: nn.Module, x: Tensor | None = None) -> tuple[fx.Graph | None, str]:
    """Return the graph of the forward pass, or None and the reason; the random state is restored.

    Symbolic tracing covers functional calls and reused modules; a model that cannot be traced because it branches on
    values is run on x instead, if given.
    """
    tracer = _Tracer()
    try:
        with preserve_state(model):
            return tracer.trace(model), ""
    # Tracing runs user code with proxies for tensors; it may raise anything.
    except Exception as problem:
        if x is not None:
            return run_graph(model, x, is_leaf=tracer.is_leaf_module), ""
        return None, next(iter(str(problem).splitlines()), "")[:200] or type(problem).__name__


@final
class _Tracer(fx.Tracer):
    """A tracer that treats Maxout as a leaf, like PyTorch's own modules."""

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
    """Yield the nodes that use the result, nearest first, without passing through another weighted layer."""
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
    """Return the activation of a node, or "" when it is none."""
    if node.op == "call_module":
        return activation_name(type(model.get_submodule(str(node.target))).__name__)
    if node.op in {"call_function", "call_method"}:
        # clamp(min=0) and maximum(x, 0) are equivalent to ReLU.
        name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
        if name in {"clamp", "clamp_min", "clamp_"} and 0 in (*node.args, *node.kwargs.values()):
            return "relu"
        return activation_name(str(name))
    return ""


def activation_name(name: str) -> str:
    """Return the activation for the name of a module class or function, or "" when it is none."""
    return _NAMES.get(name.lower().replace("_", ""), "")


def _from_registration(model: nn.Module) -> dict[str, FollowingActivation]:
    found: dict[str, FollowingActivation] = {}
    waiting = ""  # the last weighted layer, while only norms and the like follow
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
