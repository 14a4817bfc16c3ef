"""What the operations of one step were: a TorchFunctionMode that keeps the graph in small nodes.

It sees module and functional calls alike, changes nothing, and holds no tensor longer than the step: a tensor is
known by its identity through a weak reference. Python's cost is a few microseconds an operation, so a trace runs on
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

_IN_TRANSFORM: Final = "what runs inside a transform (grad, vmap, jvp) cannot be followed"


@final
class GraphCapture(TorchFunctionMode):
    """Follows the operations between two moments and tells an observer."""

    def __init__(self, book: ParameterRegistry, observer: Observer) -> None:
        super().__init__()
        self._book = book
        self._observer = observer
        self._known: dict[int, tuple[weakref.ref[Tensor], Node, tuple[int, str]]] = {}
        self._count = 0
        # While torch runs a function for us it has taken this mode off its stack, and will put it back by itself.
        self.inside = 0
        self.only_losses = False  # inside a model: of its operations, loss functions alone are looked at
        self._meetings: list[Node] = []
        self.current: Node | None = None  # what the observer is being told of

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run the function as it is, then look at what went in and came out."""
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
        """Take in an operation that was done."""
        args, kwargs = given
        made = args[0] if name == "setitem" else result  # `x[mask] = 0` changes its first argument and returns None
        if (name in TAKING and not isinstance(made, Tensor)) or func == READ_DATA:
            self._taken(args)
        elif name and isinstance(made, Tensor | tuple):
            if changed is not None and made is args[0]:  # in place: its node is what it was before
                self._keep(made, changed)
            self._see(name, args, kwargs, made)

    def node(self, tensor: Tensor) -> Node | None:
        """The node of a tensor made during this trace, or None."""
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
        """Values leave the graph: what they come from is used, though nothing more of it is seen."""
        node = self._changed("values", args)
        if node is not None:
            self._observer.on_taken(node)

    def _changed(self, name: str, args: tuple[Any, ...]) -> Node | None:
        """The node of what an operation may change in place, before it does."""
        return self.node(args[0]) if name and args and isinstance(args[0], Tensor) else None

    def _keep(self, tensor: Tensor, node: Node) -> None:
        self._known[id(tensor)] = (weakref.ref(tensor), node, state_of(tensor))

    def mark(self, tensor: Tensor, layer: str = "") -> None:
        """Say that a tensor came out of the model although the trace did not see how."""
        node = Node("model", (), MODEL, self._next())
        node.layer, node.shape = layer, tuple(tensor.shape)
        self._keep(tensor, node)

    def feed(self, tensor: Tensor) -> None:
        """Say that a tensor is data although gradients are asked of it: a model is called with it."""
        if tensor.requires_grad and tensor.is_leaf and self._book.place_of(tensor) is None:
            node = Node("data", (), DATA, self._next())
            node.shape = tuple(tensor.shape)
            self._keep(tensor, node)

    def sum(self, tensors: Iterable[Tensor], total: Tensor) -> None:
        """Say what a sum is made of that the trace did not see."""
        node = Node("sum", tuple(self._node_of(tensor) for tensor in tensors), MODEL, self._next())
        self._keep(total, node)

    def forget_dead(self) -> None:
        """Forget tensors that are gone."""
        self._known = {key: entry for key, entry in self._known.items() if entry[0]() is not None}

    def clear(self) -> None:
        """Forget everything but the parameters."""
        self._known.clear()
        self._meetings.clear()

    def _next(self) -> int:
        self._count += 1
        return self._count

    def _node_of(self, tensor: Tensor) -> Node:
        node, place = self.node(tensor), self._book.place_of(tensor)
        # A weight that was met before its model was is no data after all.
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
        if self.only_losses:  # what a loss function is called with first inside a model comes from it
            self.mark(kwargs.get("input", given[0]))
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
            if self._book.place_of(tensor) is None:
                self._keep(tensor, node)

    def _refused(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A loss could not be computed of what it was given: what that was says why."""
        try:
            given = list(given_in(args))
            node = Node(name, tuple(self._node_of(tensor) for tensor in given), MODEL, self._next())
            describe_loss(node, given, args, kwargs)
            self._observer.on_refused_loss(node)
        except Exception as problem:
            self._observer.on_problem(name, problem)

    def _place(self, node: Node, parents: tuple[Node, ...], given: list[Tensor]) -> None:
        """Say which layer a result belongs to, and whether this operation is a layer's own."""
        own = [parent for parent in parents if parent.role == PARAMETER]
        if node.role == PARAMETER:
            node.place = own[0].place
            if "stranger" in own[0].extra and node.op != "detach":  # what is detached is not trained by this
                node.extra["stranger"] = own[0].extra["stranger"]
            return
        for parent in own:
            # A tensor that no module holds belongs to the network once it meets data with gradients on; weights that
            # are averaged, copied or initialized do not.
            stranger = parent.extra.pop("stranger", None)
            if stranger is not None and torch.is_grad_enabled():
                parent.place = self._book.place_of(stranger) or self._book.adopt(stranger)
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
            # `x @ w + b` with tensors of the user's own: the bias belongs to the product before it.
            tensor = next(tensor for tensor, parent in zip(given, parents, strict=True) if parent is own[0])
            self._book.attach(latest.layer, tensor)
            node.extra["weighted"] = latest.extra.get("weighted", False)

    def _inherit(self, node: Node, parents: tuple[Node, ...], *, product: bool) -> Node | None:
        """Take the layer over from the latest parent that has one, which is returned.

        A product of two things from the model (attention, a gate) is no longer what one layer gave.
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
                # The last of nine arguments says whether the batch comes first; packed sequences have no such axis.
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
        """Remember where model and data met: the last such place before the loss is where the target came in."""
        # What the model chose or drew (an action, a reward for it) is a target like any other: no gradient passes it.
        pairs = list(zip(given, node.parents, strict=True))
        # So is what was computed without gradients beforehand.
        graded = torch.is_grad_enabled()
        cut = [p.cut or (graded and not t.requires_grad) for t, p in pairs]
        data = [t for (t, p), off in zip(pairs, cut, strict=True) if p.role == DATA or (p.role == MODEL and off)]
        model = [t for (t, p), off in zip(pairs, cut, strict=True) if p.role == MODEL and not off]
        if data and model and (data[0].dim() > 0 or model[0].dim() == 0):
            # `p[range(n), y]` picks by its last index.
            target = data[-1] if node.op == "getitem" else data[0]
            node.extra["moving_target"] = any(one is target and p.role == MODEL for one, p in pairs)
            node.meeting = (model[0].detach(), target.detach())
            self._meetings.append(node)
            if len(self._meetings) > 16:  # a loss meets its target among the last operations
                self._meetings.pop(0).meeting = None
