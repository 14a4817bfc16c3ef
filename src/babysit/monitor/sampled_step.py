"""A sampled step: from the end of one optimizer step to the end of the next, everything is looked at."""

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
    """Arms a trace and global module hooks while a step is sampled; leaves nothing armed in between."""

    def __init__(
        self,
        book: ParameterRegistry,
        gauge: MetricCollector,
        model_summary: ModelSummaryBuilder,
        batches: BatchStats,
        on_problem: Callable[[str, BaseException], None],
    ) -> None:
        self._book, self._gauge, self._anatomist, self._batches = book, gauge, model_summary, batches
        self._on_problem = on_problem
        self._trace = GraphCapture(book, self)
        register = torch.nn.modules.module
        self._hooks = (
            Hook(register.register_module_forward_pre_hook, self._enter),
            Hook(partial(register.register_module_forward_hook, always_call=True), self._leave),
        )
        self._traced = False
        self._paused = False
        self._depth = 0
        self._untouched = 0  # depth at which a module began that must run without the mode
        self._in_model = False  # the outermost module under way holds parameters
        self._fed: Tensor | None = None
        self._given: list[tuple[str, weakref.ref[Tensor]]] = []  # what whole models were called with
        self.gradients = StaleGradients()
        self._learned: set[int] = set()  # nodes that some loss of this step depends on, by their order
        self._reached: set[int] = set()  # these, and what values depend on that were read
        self._blind = False  # whether something of this step could not be followed: what it used is not known
        self.name_of: Callable[[nn.Module], str] = lambda _module: ""
        self.active = False
        self.capturing = True
        self.accuracy: Tensor | None = None

    def open(self, *, traced: bool) -> None:
        """Begin to look; untraced, at weights, gradients and updates only."""
        self.active, self._traced, self._paused, self._depth, self._untouched = True, traced, not traced, 0, 0
        self._fed, self.accuracy = None, None
        self._given, self._learned, self._reached, self._blind = [], set(), set(), False
        self._trace.clear()
        self._gauge.begin()
        if not traced:
            return
        push_to_bottom(self._trace)
        for hook in self._hooks:
            hook.put()

    def close(self) -> None:
        """Look no more; what was measured stays in the gauge."""
        if self.active:
            self.active, self._fed = False, None
            self.leave()
            if self.capturing and self._reached and not self._blind and not self._anatomist.compiled:
                self._note_inputs()
            self._trace.clear()

    def leave(self) -> None:
        """Take hooks and mode off, the mode also from this thread, where it may have stayed while another trained."""
        try:
            remove(self._trace)
        finally:
            for hook in self._hooks:
                hook.undo()

    def abandon(self) -> None:
        """Look no more, in a forked child: nothing of what was measured is wanted there."""
        self.capturing = False
        self.close()

    def pause(self) -> None:
        """Take the mode away for a while."""
        if self.active and not self._paused:
            self._paused = True
            remove(self._trace)

    def resume(self) -> None:
        """Put it back."""
        if self.active and self._paused and self._traced:
            self._paused = False
            if not self._untouched:
                push_to_bottom(self._trace)

    def sum(self, tensors: Iterable[Tensor], total: Tensor) -> None:
        """Backward is about to run on several values, which add up to this."""
        self._trace.add_sum(tensors, total)

    def backward(self, loss: Tensor, *, first: bool, adds: bool = True) -> Evidence | None:
        """Backward is about to run, for the first time since a step or again: read the objective off the graph.

        Returns:
            What the scalar is to the loss that it is made of; None when that was not looked at.
        """
        if first and (self.capturing or loss.is_cpu):
            self.gradients.look((place.weight for place in self._book.places.values()), adds=adds)
        node = self._trace.node(loss)
        if node is None:
            return None
        nodes, evidence = loss_nodes(node), None
        if self.capturing:
            for inner, _ in nodes:
                inner.extra["reconstruction"] = self._is_input(inner)
            self._anatomist.loss(node)
            evidence = self._evidence(node, loss)
            reached = list(node.ancestors())
            self._blind |= any(is_of_unknown_origin(one) for one in reached)
            self._uses(reached, complete=not self._blind)
        if self.capturing or loss.is_cpu:  # elsewhere reading them would wait for the device
            self._anatomist.terms(node)
        if loss.is_cpu:
            self._anatomist.values(node)
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
        self._anatomist.uses(reached, complete=complete)

    def _is_made(self, tensor: Tensor) -> bool:
        """Whether a tensor comes from a model: what one network gives to another changes as it learns."""
        node = self._trace.node(tensor)
        return (node is not None and node.role == MODEL) or tensor.grad_fn is not None

    def _is_input(self, inner: Node) -> bool:
        """Whether the target of a loss is what the network was fed."""
        if inner.meeting is None or self._fed is None:
            return False
        target = inner.meeting[1]
        return target.data_ptr() == self._fed.data_ptr() and target.numel() == self._fed.numel()

    def _note_inputs(self) -> None:
        """Say of each tensor that a model was given whether a loss came to depend on it."""
        for name, reference in self._given:
            tensor = reference()
            if tensor is not None:
                node = self._trace.node(tensor)
                self._anatomist.given(name, used=node is not None and node.order in self._reached)

    # -- modules

    def _enter(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if self._paused:
            return
        self._depth += 1
        try:
            if self._depth == 1:
                self._in_model = holds_parameters(module)
            if self._depth == 1 and self._in_model:
                self._book.register(module, self.name_of(module))
                for tensor in inputs:
                    if isinstance(tensor, Tensor):
                        self._trace.add_input(tensor)
                if self.capturing and inside_transform() is None:
                    if torch.is_grad_enabled():
                        given = [pair for pair in tensors_of(module, inputs) if not self._is_made(pair[1])]
                        with torch._C.DisableTorchFunction():  # our reading is no use that the model makes of it
                            self._batches.add_arguments(module, given)
                    tensors = [one for one in inputs if isinstance(one, Tensor) and one.is_floating_point()]
                    kind = type(module).__name__
                    self._given += [(f"{kind} input {place}", weakref.ref(one)) for place, one in enumerate(tensors, 1)]
            if runs_alone(module) and not self._untouched:
                self._anatomist.compiled |= is_compiled(module)
                self._untouched = self._depth
                self._given = []
                remove(self._trace)
        except Exception as problem:
            self._on_problem("module call", problem)

    def _leave(self, _module: nn.Module, _inputs: Any, result: Any) -> None:
        if self._paused or self._depth == 0:  # the call began before this window did
            return
        self._depth -= 1
        try:
            if self._untouched > self._depth:
                self._untouched = 0
                if self.active:
                    push_to_bottom(self._trace)
                    for tensor in tensors_in(result):
                        self._trace.add_opaque_output(tensor)
        except Exception as problem:
            self._on_problem("module call", problem)

    # -- the trace tells

    def on_layer(self, place: str, op: str, entering: Tensor | None, result: Tensor) -> None:
        """A layer ran."""
        self._gauge.layer(place, op, entering, result)
        if not torch.is_grad_enabled():
            return
        if self.capturing:
            self._anatomist.layer(self._trace, place, op, (entering, result))
        if entering is not None and self._fed is None:
            node = self._trace.node(entering)
            if node is not None and node.role == DATA:
                self._fed = entering.detach()
                if self.capturing:
                    self._batches.add(entering)
                else:
                    self._batches.count_nonfinite(entering)

    def on_parameter(self, place: str, op: str, entering: tuple[int, ...], shape: tuple[int, ...]) -> None:
        """A parameter was used."""
        if self.capturing:
            self._anatomist.parameter(place, op, (entering, shape))

    def on_activation(self, place: str, op: str, result: Tensor, dim: int | None) -> None:
        """An activation ran."""
        self._gauge.activation(place, op, result, dim)
        if self.capturing:
            size = self._trace.current.size if self._trace.current is not None else None
            self._anatomist.activation(place, op, size)

    def on_gate(self, place: str, op: str) -> None:
        """An activation weighs another result."""
        if self.capturing:
            self._anatomist.gate(place, op)

    def on_dropout(self, place: str, lr: float) -> None:
        """A dropout ran."""
        if self.capturing:
            self._anatomist.dropout(place, lr)

    def on_loss(self, node: Node, value: Tensor) -> None:
        """A loss ran; what matters is the one that backward is called on, and whether this became part of it."""
        if self.capturing and value.requires_grad:
            self._anatomist.computed(node)
            self._anatomist.loss_inside |= self._depth > 0 and self._in_model

    def on_refused_loss(self, node: Node) -> None:
        """A loss raised an error: what it was given is looked at as if backward had been called on it."""
        if self.capturing:
            self._anatomist.loss(node)

    def on_comparison(self, node: Node, value: Tensor, target: Tensor) -> None:
        """An accuracy of the training batch; `backward` measures it anyway."""

    def on_taken(self, node: Node) -> None:
        """Values were read out of the graph: whatever becomes of them, they were used."""
        if self.capturing:
            self._uses(list(node.ancestors()), complete=True)

    def on_problem(self, where: str, problem: BaseException) -> None:
        """Passed on."""
        self._blind = True
        self._on_problem(where, problem)
