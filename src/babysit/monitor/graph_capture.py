"""A TorchFunctionMode that records the operations of one step as a graph of small nodes.

It sees module and functional calls alike, changes nothing, and holds no tensor longer than the step: tensors are
identified through weak references. The overhead in Python is a few microseconds per operation, so it is active in
sampled steps only.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import Any, Final, final

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from babysit.monitor.gates import gates
from babysit.monitor.graph_node import DATA, MODEL, PARAMETER, UNSEEN, Node, state_of
from babysit.monitor.nested_tensors import given_in
from babysit.monitor.observer import Observer
from babysit.monitor.op_details import axis, describe_loss, effective_role, note_summands
from babysit.monitor.operations import (
    ACTIVATIONS,
    LOSSES,
    MEETINGS,
    MIXERS,
    NORMS,
    READ_DATA,
    RECURRENT,
    TAKING,
    WEIGHTED,
    operation_name,
)
from babysit.monitor.parameter_registry import ParameterRegistry
from babysit.monitor.torch_function_mode import inside_transform

_IN_TRANSFORM: Final = "operations inside a transform of torch.func (grad, vmap, jvp) cannot be traced"


@final
class GraphCapture(TorchFunctionMode):
    """Records operations while it is active and notifies an observer."""

    def __init__(self, registry: ParameterRegistry, observer: Observer) -> None:
        super().__init__()
        self._registry = registry
        self._observer = observer
        self._known: dict[int, tuple[weakref.ref[Tensor], Node, tuple[int, str]]] = {}
        self._count = 0
        # Torch removes this mode from its stack while it runs the intercepted function, and restores it afterwards.
        self.inside = 0
        self.only_losses = False  # inside a model: record only loss functions
        self._meetings: list[Node] = []
        self.current: Node | None = None  # node of the current notification

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run the function unchanged, then record its inputs and outputs."""
        kwargs, name, changed = kwargs or {}, "", None
        try:
            name = operation_name(func)
            changed = self._changed(name, args)
        except Exception as problem:
            self._observer.on_problem("operation", problem)
        self.inside += 1
        try:
            result = func(*args, **kwargs)
        except Exception:
            if name in LOSSES:
                self._refused(name, args, kwargs)
            raise
        finally:
            self.inside -= 1
        if self.only_losses and name not in LOSSES:
            return result
        try:
            if inside_transform() is None:
                self._follow(name, func, (args, kwargs), result, changed)
            elif isinstance(result, Tensor | tuple):
                self._observer.on_problem("torch.func", RuntimeError(_IN_TRANSFORM))
        except Exception as problem:
            self._observer.on_problem(name, problem)
        return result

    def _follow(self, name: str, func: Any, given: tuple[Any, Any], result: Any, changed: Node | None) -> None:
        """Record a finished operation."""
        args, kwargs = given
        made = args[0] if name == "setitem" else result  # `x[mask] = 0` changes its first argument and returns None
        if (name in TAKING and not isinstance(made, Tensor)) or func == READ_DATA:
            self._taken(args)
        elif name and isinstance(made, Tensor | tuple):
            if changed is not None and made is args[0]:  # in place: its input is the node from before
                self._keep(made, changed)
            self._see(name, args, kwargs, made)

    def node(self, tensor: Tensor) -> Node | None:
        """Return the node of a tensor created during this capture, or None."""
        entry = self._known.get(id(tensor))
        if entry is None or entry[0]() is not tensor:
            return None
        node = entry[1]
        if node.role == MODEL and entry[2] != state_of(tensor):
            before, node = node, Node(UNSEEN, (node,), MODEL, self._next())
            node.shape, node.cut = before.shape, before.cut
            self._keep(tensor, node)
        return node

    def _taken(self, args: tuple[Any, ...]) -> None:
        """Notify the observer that values leave the graph, so their sources count as used."""
        node = self._changed("values", args)
        if node is not None:
            self._observer.on_taken(node)

    def _changed(self, name: str, args: tuple[Any, ...]) -> Node | None:
        """Return the node of the argument that an operation may change in place, from before the change."""
        return self.node(args[0]) if name and args and isinstance(args[0], Tensor) else None

    def _keep(self, tensor: Tensor, node: Node) -> None:
        self._known[id(tensor)] = (weakref.ref(tensor), node, state_of(tensor))

    def add_opaque_output(self, tensor: Tensor, layer: str = "") -> None:
        """Register a tensor as an output of the model whose operations were not recorded."""
        node = Node("model", (), MODEL, self._next())
        node.layer, node.shape = layer, tuple(tensor.shape)
        self._keep(tensor, node)

    def add_input(self, tensor: Tensor) -> None:
        """Register an argument of the model's call as data, even if it requires a gradient."""
        if tensor.requires_grad and tensor.is_leaf and self._registry.place_of(tensor) is None:
            node = Node("data", (), DATA, self._next())
            node.shape = tuple(tensor.shape)
            self._keep(tensor, node)

    def add_sum(self, tensors: Iterable[Tensor], total: Tensor) -> None:
        """Register the summands of a sum that was not recorded."""
        node = Node("sum", tuple(self._node_of(tensor) for tensor in tensors), MODEL, self._next())
        self._keep(total, node)

    def forget_dead(self) -> None:
        """Remove tensors that no longer exist."""
        self._known = {key: entry for key, entry in self._known.items() if entry[0]() is not None}

    def clear(self) -> None:
        """Remove all nodes."""
        self._known.clear()
        self._meetings.clear()

    def _next(self) -> int:
        self._count += 1
        return self._count

    def _node_of(self, tensor: Tensor) -> Node:
        node, place = self.node(tensor), self._registry.place_of(tensor)
        # A weight that was seen before its model was registered is not data.
        if node is not None and (not place or node.role != DATA):
            return node
        leaf = tensor.requires_grad and tensor.is_leaf
        role = PARAMETER if place or leaf else MODEL if tensor.grad_fn is not None else DATA
        node = Node("parameter" if role == PARAMETER else "data", (), role, self._next())
        if leaf and not place:
            node.extra["stranger"] = tensor
        node.place, node.shape = place or "", tuple(tensor.shape)
        self._keep(tensor, node)
        return node

    def _see(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        given = [*given_in(args), *(tensor for value in kwargs.values() for tensor in given_in(value))]
        if not given:
            return
        if self.only_losses:  # inside a model, the first argument of a loss function comes from the model
            self.add_opaque_output(kwargs.get("input", given[0]))
        parents = tuple(self._node_of(tensor) for tensor in given)
        node = Node(name, parents, max(effective_role(parents), DATA), self._next())
        results = [result] if isinstance(result, Tensor) else list(given_in(result))
        if not results:
            return
        first = results[0]
        node.shape, node.cut = tuple(first.shape), torch.is_grad_enabled() and not first.requires_grad
        self._place(node, parents, given)
        if node.role == MODEL:
            self.current = node
            note_summands(node, given)
            self._tell(node, given, args, kwargs, first)
        for tensor in results:
            # A parameter changed in place (an optimizer inside the step) stays a parameter.
            if self._registry.place_of(tensor) is None:
                self._keep(tensor, node)

    def _refused(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Describe a loss function that raised an error from its arguments."""
        try:
            given = list(given_in(args))
            node = Node(name, tuple(self._node_of(tensor) for tensor in given), MODEL, self._next())
            describe_loss(node, given, args, kwargs)
            self._observer.on_refused_loss(node)
        except Exception as problem:
            self._observer.on_problem(name, problem)

    def _place(self, node: Node, parents: tuple[Node, ...], given: list[Tensor]) -> None:
        """Assign a result to a layer, and note whether this operation applies the layer's own weight."""
        own = [parent for parent in parents if parent.role == PARAMETER]
        if node.role == PARAMETER:
            node.place = own[0].place
            if "stranger" in own[0].extra and node.op != "detach":  # a detached tensor is not trained
                node.extra["stranger"] = own[0].extra["stranger"]
            return
        for parent in own:
            # A tensor outside all modules belongs to the network once it is combined with data with gradients enabled,
            # unlike weights that are averaged, copied or initialized.
            stranger = parent.extra.pop("stranger", None)
            if stranger is not None and torch.is_grad_enabled():
                parent.place = self._registry.place_of(stranger) or self._registry.adopt(stranger)
        latest = self._inherit(node, parents, product=not own and node.op in MIXERS)
        if not own:
            return
        if torch.is_grad_enabled():
            entering = next((parent.shape for parent in parents if parent.role != PARAMETER), ())
            for place in {parent.place for parent in own if parent.place}:
                self._observer.on_parameter(place, node.op, entering, node.shape)
        if node.op in WEIGHTED or node.op in NORMS:
            weight = max(own, key=lambda parent: len(parent.shape))
            node.layer, node.extra["weighted"], node.extra["mixed"] = weight.place, True, False
        elif node.op == "add" and latest is not None and latest.layer and len(own[0].shape) <= 1:
            # `x @ w + b` with plain tensors: the bias belongs to the preceding product.
            tensor = next(tensor for tensor, parent in zip(given, parents, strict=True) if parent is own[0])
            self._registry.attach(latest.layer, tensor)
            node.extra["weighted"] = latest.extra.get("weighted", False)

    def _inherit(self, node: Node, parents: tuple[Node, ...], *, product: bool) -> Node | None:
        """Inherit the layer of the latest parent that has one, and return that parent.

        A product of two results of the model (attention, a gate) no longer belongs to one layer.
        """
        placed = [parent for parent in parents if parent.layer or parent.extra.get("mixed")]
        latest = max(placed, key=lambda parent: parent.order, default=None)
        product = product and sum(parent.role == MODEL for parent in parents) > 1
        if product or (latest is not None and latest.extra.get("mixed")):
            node.extra["mixed"] = True
        else:
            node.layer = latest.layer if latest else ""
        for gate in gates(node) if product else ():
            if gate.layer:
                self._observer.on_gate(gate.layer, gate.op)
        return latest

    def _tell(
        self, node: Node, given: list[Tensor], args: tuple[Any, ...], kwargs: dict[str, Any], result: Tensor
    ) -> None:
        name = node.op
        if name in LOSSES:
            describe_loss(node, given, args, kwargs)
            node.extra["total"] = result.detach().sum()
            self._observer.on_loss(node, result)
        elif node.extra.get("weighted"):
            if name in RECURRENT:
                # The last of nine arguments is `batch_first`; packed sequences have no batch axis.
                node.extra["batch_axis"] = 0 if len(args) < 9 or args[8] else 1
            entering = next((t for t, p in zip(given, node.parents, strict=True) if p.role != PARAMETER), None)
            self._observer.on_layer(node.layer, name, entering, result)
        elif name in ACTIVATIONS:
            node.dim = axis(name, args, kwargs, result)
            node.size = result.shape[node.dim] if node.dim is not None and result.dim() else None
            if node.layer:
                self._observer.on_activation(node.layer, name, result, node.dim)
        elif name in {"eq", "ne"}:
            self._compare(node, given, result)
        elif name in MEETINGS:
            node.extra["negative"] = any(isinstance(value, int | float) and value < 0 for value in args)
            self._meet(node, given)
        elif "dropout" in name:
            lr = node.extra["value"] = float(kwargs.get("p", args[1] if len(args) > 1 else 0.5))
            if node.layer and kwargs.get("training", args[2] if len(args) > 2 else True):
                self._observer.on_dropout(node.layer, lr)

    def _compare(self, node: Node, given: list[Tensor], result: Tensor) -> None:
        data = next((t for t, p in zip(given, node.parents, strict=True) if p.role == DATA), None)
        if data is not None and data.numel() and result.numel():
            self._observer.on_comparison(node, result, data)

    def _meet(self, node: Node, given: list[Tensor]) -> None:
        """Record a pair of prediction and target: the last operation on both before the loss is the likely one."""
        # A result that no gradient passes (a sampled action, its reward) counts as a target, like values computed
        # without gradients beforehand.
        pairs = list(zip(given, node.parents, strict=True))
        graded = torch.is_grad_enabled()
        cut = [p.cut or (graded and not t.requires_grad) for t, p in pairs]
        data = [t for (t, p), off in zip(pairs, cut, strict=True) if p.role == DATA or (p.role == MODEL and off)]
        model = [t for (t, p), off in zip(pairs, cut, strict=True) if p.role == MODEL and not off]
        if data and model and (data[0].dim() > 0 or model[0].dim() == 0):
            # `p[range(n), y]` selects by its last index.
            target = data[-1] if node.op == "getitem" else data[0]
            node.extra["moving_target"] = any(one is target and p.role == MODEL for one, p in pairs)
            node.meeting = (model[0].detach(), target.detach())
            self._meetings.append(node)
            if len(self._meetings) > 16:  # the target enters among the last operations before the loss
                self._meetings.pop(0).meeting = None
