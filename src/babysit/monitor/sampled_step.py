"""Full measurement of a sampled step, from the end of one optimizer step to the end of the next."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, final

import torch
from torch import Tensor, nn

from babysit.monitor.batch_stats import BatchStats
from babysit.monitor.graph_capture import GraphCapture
from babysit.monitor.graph_node import DATA, MODEL, Node, is_of_unknown_origin
from babysit.monitor.metric_collector import MetricCollector
from babysit.monitor.micro_batches import Evidence, evidence_of
from babysit.monitor.model_summary import ModelSummaryBuilder
from babysit.monitor.module_arguments import tensors_of
from babysit.monitor.nested_tensors import tensors_in
from babysit.monitor.objective import accuracy, loss_nodes
from babysit.monitor.parameter_registry import ParameterRegistry, holds_parameters, is_compiled, runs_alone
from babysit.monitor.patch import Hook
from babysit.monitor.stale_gradients import StaleGradients
from babysit.monitor.torch_function_mode import inside_transform, push_to_bottom, remove


@final
class SampledStep:
    """Installs a graph capture and global module hooks during a sampled step, and removes them afterwards."""

    def __init__(
        self,
        registry: ParameterRegistry,
        collector: MetricCollector,
        model_summary: ModelSummaryBuilder,
        batches: BatchStats,
        on_problem: Callable[[str, BaseException], None],
    ) -> None:
        self._registry, self._collector, self._summary, self._batches = registry, collector, model_summary, batches
        self._on_problem = on_problem
        self._capture = GraphCapture(registry, self)
        register = torch.nn.modules.module
        self._hooks = (
            Hook(register.register_module_forward_pre_hook, self._enter),
            Hook(partial(register.register_module_forward_hook, always_call=True), self._leave),
        )
        self._traced = False
        self._paused = False
        self._depth = 0
        self._untouched = 0  # nesting depth of the module that must run without the mode
        self._in_model = False  # the outermost running module holds parameters
        self._fed: Tensor | None = None
        self._given: list[tuple[str, weakref.ref[Tensor]]] = []  # arguments of the calls of models
        self.gradients = StaleGradients()
        self._learned: set[int] = set()  # order numbers of nodes that a loss of this step depends on
        self._reached: set[int] = set()  # these, and nodes that values read by the script depend on
        self._blind = False  # whether part of this step could not be traced, so its inputs are unknown
        self.name_of: Callable[[nn.Module], str] = lambda _module: ""
        self.active = False
        self.capturing = True
        self.accuracy: Tensor | None = None

    def open(self, *, traced: bool) -> None:
        """Start measuring; if not `traced`, only weights, gradients and updates."""
        self.active, self._traced, self._paused, self._depth, self._untouched = True, traced, not traced, 0, 0
        self._fed, self.accuracy = None, None
        self._given, self._learned, self._reached, self._blind = [], set(), set(), False
        self._capture.clear()
        self._collector.begin()
        if not traced:
            return
        push_to_bottom(self._capture)
        for hook in self._hooks:
            hook.put()

    def close(self) -> None:
        """Stop measuring; the values remain in the metric collector."""
        if self.active:
            self.active, self._fed = False, None
            self.leave()
            if self.capturing and self._reached and not self._blind and not self._summary.compiled:
                self._note_inputs()
            self._capture.clear()

    def leave(self) -> None:
        """Remove hooks and mode, the mode also from the current thread, which may differ from the training thread."""
        try:
            remove(self._capture)
        finally:
            for hook in self._hooks:
                hook.undo()

    def abandon(self) -> None:
        """Stop measuring in a forked child and discard the values."""
        self.capturing = False
        self.close()

    def pause(self) -> None:
        """Remove the mode until `resume`."""
        if self.active and not self._paused:
            self._paused = True
            remove(self._capture)

    def resume(self) -> None:
        """Reinstall the mode."""
        if self.active and self._paused and self._traced:
            self._paused = False
            if not self._untouched:
                push_to_bottom(self._capture)

    def sum(self, tensors: Iterable[Tensor], total: Tensor) -> None:
        """Register the sum of the tensors that backward is called on."""
        self._capture.add_sum(tensors, total)

    def backward(self, loss: Tensor, *, first: bool, adds: bool = True) -> Evidence | None:
        """Read the objective from the graph before a backward pass.

        Returns:
            The relation of the scalar to its losses; None if it was not captured.
        """
        if first and (self.capturing or loss.is_cpu):
            self.gradients.before_backward((place.weight for place in self._registry.places.values()), adds=adds)
        node = self._capture.node(loss)
        if node is None:
            return None
        nodes, evidence = loss_nodes(node), None
        if self.capturing:
            for inner, _ in nodes:
                inner.extra["reconstruction"] = self._is_input(inner)
            self._summary.loss(node)
            evidence = self._evidence(node, loss)
            reached = list(node.ancestors())
            self._blind |= any(is_of_unknown_origin(one) for one in reached)
            self._uses(reached, complete=not self._blind)
        if self.capturing or loss.is_cpu:  # otherwise reading them would synchronize the device
            self._summary.terms(node)
        if loss.is_cpu:
            self._summary.values(node)
        for inner, _ in nodes[:1]:
            share = accuracy(inner)
            self.accuracy = share if share is not None else self.accuracy
        return evidence

    def _evidence(self, node: Node, loss: Tensor) -> Evidence:
        again = any(one.role == MODEL and one.order in self._learned for one in node.ancestors(through_cuts=False))
        self._learned.update(one.order for one in node.ancestors())
        return evidence_of(node, loss, again=again)

    def _uses(self, reached: list[Node], *, complete: bool) -> None:
        self._reached.update(one.order for one in reached)
        self._summary.uses(reached, complete=complete)

    def _is_made(self, tensor: Tensor) -> bool:
        """Check whether a tensor comes from a model; such inputs of another network change during training."""
        node = self._capture.node(tensor)
        return (node is not None and node.role == MODEL) or tensor.grad_fn is not None

    def _is_input(self, inner: Node) -> bool:
        """Check whether the target of a loss is the input of the network."""
        if inner.meeting is None or self._fed is None:
            return False
        target = inner.meeting[1]
        return target.data_ptr() == self._fed.data_ptr() and target.numel() == self._fed.numel()

    def _note_inputs(self) -> None:
        """Record for each argument of a model whether a loss depends on it."""
        for name, reference in self._given:
            tensor = reference()
            if tensor is not None:
                node = self._capture.node(tensor)
                self._summary.given(name, used=node is not None and node.order in self._reached)

    # -- modules

    def _enter(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if self._paused:
            return
        self._depth += 1
        try:
            if self._depth == 1:
                self._in_model = holds_parameters(module)
            if self._depth == 1 and self._in_model:
                self._registry.register(module, self.name_of(module))
                for tensor in inputs:
                    if isinstance(tensor, Tensor):
                        self._capture.add_input(tensor)
                if self.capturing and inside_transform() is None:
                    if torch.is_grad_enabled():
                        given = [pair for pair in tensors_of(module, inputs) if not self._is_made(pair[1])]
                        with torch._C.DisableTorchFunction():  # measuring does not count as a use by the model
                            self._batches.add_arguments(module, given)
                    tensors = [one for one in inputs if isinstance(one, Tensor) and one.is_floating_point()]
                    kind = type(module).__name__
                    self._given += [(f"{kind} input {place}", weakref.ref(one)) for place, one in enumerate(tensors, 1)]
            if runs_alone(module) and not self._untouched:
                self._summary.compiled |= is_compiled(module)
                self._untouched = self._depth
                self._given = []
                remove(self._capture)
        except Exception as problem:
            self._on_problem("module call", problem)

    def _leave(self, _module: nn.Module, _inputs: Any, result: Any) -> None:
        if self._paused or self._depth == 0:  # the call started before this step was sampled
            return
        self._depth -= 1
        try:
            if self._untouched > self._depth:
                self._untouched = 0
                if self.active:
                    push_to_bottom(self._capture)
                    for tensor in tensors_in(result):
                        self._capture.add_opaque_output(tensor)
        except Exception as problem:
            self._on_problem("module call", problem)

    # -- callbacks of GraphCapture

    def on_layer(self, place: str, op: str, entering: Tensor | None, result: Tensor) -> None:
        """Record a layer."""
        self._collector.layer(place, op, entering, result)
        if not torch.is_grad_enabled():
            return
        if self.capturing:
            self._summary.layer(self._capture, place, op, (entering, result))
        if entering is not None and self._fed is None:
            node = self._capture.node(entering)
            if node is not None and node.role == DATA:
                self._fed = entering.detach()
                if self.capturing:
                    self._batches.add(entering)
                else:
                    self._batches.count_nonfinite(entering)

    def on_parameter(self, place: str, op: str, entering: tuple[int, ...], shape: tuple[int, ...]) -> None:
        """Record the use of a parameter."""
        if self.capturing:
            self._summary.parameter(place, op, (entering, shape))

    def on_activation(self, place: str, op: str, result: Tensor, dim: int | None) -> None:
        """Record an activation."""
        self._collector.activation(place, op, result, dim)
        if self.capturing:
            size = self._capture.current.size if self._capture.current is not None else None
            self._summary.activation(place, op, size)

    def on_gate(self, place: str, op: str) -> None:
        """Record a gate."""
        if self.capturing:
            self._summary.gate(place, op)

    def on_dropout(self, place: str, lr: float) -> None:
        """Record a dropout."""
        if self.capturing:
            self._summary.dropout(place, lr)

    def on_loss(self, node: Node, value: Tensor) -> None:
        """Record a loss function, to check later whether it became part of the scalar of backward."""
        if self.capturing and value.requires_grad:
            self._summary.computed(node)
            self._summary.loss_inside |= self._depth > 0 and self._in_model

    def on_refused_loss(self, node: Node) -> None:
        """Record the arguments of a loss that raised an error, as if backward had been called on it."""
        if self.capturing:
            self._summary.loss(node)

    def on_comparison(self, node: Node, value: Tensor, target: Tensor) -> None:
        """Ignore an accuracy of the training batch, which `backward` measures."""

    def on_taken(self, node: Node) -> None:
        """Record that values read out of the graph were used."""
        if self.capturing:
            self._uses(list(node.ancestors()), complete=True)

    def on_problem(self, where: str, problem: BaseException) -> None:
        """Forward the problem to the error boundary."""
        self._blind = True
        self._on_problem(where, problem)
