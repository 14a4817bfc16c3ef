"""Losses and accuracies that a loop computes without gradients between training steps.

The function mode is removed while a module of the model is called, so it only sees operations on the outputs. Fused
inference paths stay active, and the overhead is a few operations per batch. The mode is active inside `forward` only
for models that compute their own loss; there it records only loss functions and is removed for modules with a fused
path.

Operations on the outputs after the block has ended belong to the pass, until the network trains again.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final, final

import torch
from torch import Tensor, nn

from babysit.monitor.batch_stats import BatchStats
from babysit.monitor.errors import ErrorBoundary
from babysit.monitor.graph_capture import GraphCapture
from babysit.monitor.graph_node import MODEL, Node
from babysit.monitor.mode_effects import PassMode
from babysit.monitor.model_summary import ModelSummaryBuilder
from babysit.monitor.module_arguments import tensors_of
from babysit.monitor.nested_tensors import tensors_in
from babysit.monitor.parameter_registry import ParameterRegistry, holds_parameters, runs_alone
from babysit.monitor.patch import Hook
from babysit.monitor.torch_function_mode import push_to_bottom, remove
from babysit.records.curves import TRAIN_ACCURACY, VAL_ACCURACY, VAL_LOSS

# Consecutive steps with a block without gradients after which such blocks count as part of the training step
# (clipping, weight averaging, a target network); they are then followed only from the first model call in them.
HABIT_STEPS: Final = 5
_UNREAD: Final = (
    "{passes} of the network without gradients gave neither a validation loss nor an accuracy that could be read from "
    "the operations on its outputs, so the rules for overfitting were not evaluated. To evaluate them, record the loss "
    'of held-out data: w.log("val/loss", value).'
)
# Samples generated for inspection come in one batch or less; a validation set is larger.
VALIDATION_BATCHES: Final = 2
CHOICES: Final = frozenset({"argmax", "max", "gt", "ge", "lt", "le", "round", "topk", "sign", "int", "long", "bool"})


@final
class Evaluation:
    """Observes passes without gradients and collects their losses and accuracies until the next training step."""

    def __init__(
        self, registry: ParameterRegistry, batches: BatchStats, model_summary: ModelSummaryBuilder, guard: ErrorBoundary
    ) -> None:
        self._registry, self._batches = registry, batches
        self._summary = model_summary
        self._tell, self._on_problem = guard.tell, guard.problem
        self._capture = GraphCapture(registry, self)
        self._depth = 0
        register = torch.nn.modules.module
        self._entering = Hook(register.register_module_forward_pre_hook, self._enter)
        self._leaving = Hook(partial(register.register_module_forward_hook, always_call=True), self._leave)
        self._inside = 0
        self._alone = 0  # nesting depth of the module that must run without the mode
        self._following = self._waiting = False
        self._lingering = False  # the block has ended, and operations on its outputs are still recorded
        self._ran = False  # whether the network ran in this block
        self._from_train = False
        self._sums: dict[str, tuple[float, int]] = {}
        self._calls = 0  # calls of models since the last training step
        self._rows = 0  # samples passed to a model in eval mode, in calls that look like a validation
        self.missed = False  # whether the last pass was a validation without a readable loss or accuracy
        self.read = self.unread = 0  # passes with and without a readable loss or accuracy
        self._mode = PassMode(guard.problem)
        self._in_a_row, self._last_step = 0, -1

    @property
    def running(self) -> bool:
        """Check whether a pass is being observed."""
        return self._depth > 0

    @property
    def mode(self) -> str:
        """Describe the mode of the network in the last pass."""
        return str(self._mode)

    def is_habit(self, step: int) -> bool:
        """Check whether each of the last training steps had a block without gradients."""
        if step - self._last_step == 1:
            self._in_a_row += 1
        elif step != self._last_step:
            self._in_a_row = 0
        self._last_step = step
        return self._in_a_row >= HABIT_STEPS

    def begin(self, *, waiting: bool = False) -> None:
        """Handle the start of a block without gradients; if `waiting`, follow nothing until a model is called."""
        self._depth += 1
        if self._depth > 1:
            return
        self._waiting = waiting
        if waiting:  # the apparent passes were part of the training step
            self.unread = 0
        if self._lingering:
            self._lingering = False
            self._capture.forget_dead()
            return
        self._capture.clear()
        self._ran = False
        self._entering.put()
        if not waiting:
            self._follow()

    def _follow(self) -> None:
        """Start following operations."""
        push_to_bottom(self._capture)
        self._following = True
        self._leaving.put()

    def end(self) -> bool:
        """Handle the end of a block; return True if it ends the pass."""
        self._depth = max(0, self._depth - 1)
        if self._depth == 0:
            self._mode.stop()
            self._lingering = self._ran and self._following and not self._waiting
            if self._lingering:
                self._leave_network()
            else:
                self.close()
        return self._depth == 0

    def _leave_network(self) -> None:
        """Reset the module depth and follow all operations again."""
        self._inside = self._alone = 0
        self._capture.only_losses = False
        self._mode.end()
        push_to_bottom(self._capture)

    def close(self) -> None:
        """Stop following, regardless of open blocks."""
        self._depth = self._inside = self._alone = 0
        self._following = self._lingering = self._capture.only_losses = False
        try:
            remove(self._capture)
        finally:
            for undo in (self._entering.undo, self._leaving.undo, self._mode.stop):
                undo()

    def take(self) -> dict[str, float]:
        """Return the means collected since the last call, by curve name, and reset them."""
        if self._lingering:
            self.close()
        means = {name: total / count for name, (total, count) in self._sums.items() if count}
        self.read += bool(means)
        self.unread += self._calls > 0 and not means
        self.missed = not means and self._rows >= VALIDATION_BATCHES * max(1, self._batches.batch_size)
        self._sums, self._calls, self._rows = {}, 0, 0
        return means

    def report_unread(self) -> None:
        """Report passes of which none gave a loss or an accuracy."""
        if self.unread and not self.read:
            self._tell(_UNREAD.format(passes=f"{self.unread} pass{'es' if self.unread > 1 else ''}"))

    def _enter(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        try:
            if self._inside == 0 and not self._begins(module, inputs):
                return
            self._mode.add(module)
            if self._capture.only_losses and not self._alone and runs_alone(module):
                self._alone = self._inside + 1
                remove(self._capture)
        except Exception as problem:
            self._on_problem("evaluation", problem)
        self._inside += 1

    def _begins(self, module: nn.Module, inputs: tuple[Any, ...]) -> bool:
        """Check whether a call of this module is a pass of a network, and if so record its inputs."""
        if not holds_parameters(module):
            return False
        if torch.is_grad_enabled():
            # Inside a block without gradients: the closure of a gradient-free optimizer. After the block: the network
            # trains again.
            if self._lingering:
                self.close()
            return False
        if not self._following:
            self._follow()
        self._ran = True
        self._mode.begin(module)
        self._capture.only_losses = self._summary.loss_inside
        if not self._capture.only_losses:
            remove(self._capture)
        given = tensors_of(module, inputs)
        self._from_train = self._batches.add_evaluated(module, given)
        if not (self._waiting or self._from_train or module.training) and self._registry.is_root(module):
            self._rows += self._rows_of([tensor for _, tensor in given])
        return True

    def _rows_of(self, given: list[Tensor]) -> int:
        """Return the number of samples passed to a model; 0 below a batch and for its own outputs (generation)."""
        nodes = [self._capture.node(tensor) for tensor in given]
        rows = max((tensor.shape[0] for tensor in given if tensor.dim()), default=0)
        generated = any(node is not None and node.role == MODEL for node in nodes)
        return rows if rows >= self._batches.batch_size > 0 and not generated else 0

    def _leave(self, module: nn.Module, _inputs: Any, result: Any) -> None:
        if self._inside == 0:
            return
        self._inside -= 1
        try:
            if self._inside == 0 and self._depth > 0:
                self._leave_network()
                for tensor in tensors_in(result):
                    self._capture.add_opaque_output(tensor)
                self._calls += not self._waiting
            elif self._alone > self._inside:
                self._alone = 0
                push_to_bottom(self._capture)
        except Exception as problem:
            self._on_problem("evaluation", problem)

    def _add(self, name: str, value: float, count: int) -> None:
        if not self._ran:  # computed from earlier outputs with gradients: belongs to the training batch
            return
        total, seen = self._sums.get(name, (0.0, 0))
        self._sums[name] = (total + value * count, seen + count)

    # -- callbacks of GraphCapture

    def on_layer(self, place: str, op: str, entering: Tensor | None, result: Tensor) -> None:
        """Handle a layer of a model written without modules."""
        self._ran = True

    def on_parameter(self, place: str, op: str, entering: tuple[int, ...], shape: tuple[int, ...]) -> None:
        """Ignore the event."""

    def on_activation(self, place: str, op: str, result: Tensor, dim: int | None) -> None:
        """Ignore the event."""

    def on_gate(self, place: str, op: str) -> None:
        """Ignore the event."""

    def on_dropout(self, place: str, lr: float) -> None:
        """Ignore the event."""

    def on_loss(self, node: Node, value: Tensor) -> None:
        """Record a loss of the model's output, computed without gradients."""
        if not value.requires_grad and node.meeting is not None and not self._from_train:
            target = node.meeting[1]
            loss = self._summary.comparable(node)
            if loss is not None:
                self._add(VAL_LOSS, loss, target.shape[0] if target.dim() else 1)

    def on_refused_loss(self, node: Node) -> None:
        """Ignore the event."""

    def on_comparison(self, node: Node, value: Tensor, target: Tensor) -> None:
        """Record a comparison of predictions with labels."""
        chosen = any(parent.op in CHOICES for parent in node.ancestors() if parent is not node)
        if not chosen or value.dtype != torch.bool:
            return
        share = float(value.float().mean())
        name = TRAIN_ACCURACY if self._from_train else VAL_ACCURACY
        self._add(name, share if node.op == "eq" else 1.0 - share, value.numel())

    def on_taken(self, node: Node) -> None:
        """Ignore the event."""

    def on_problem(self, where: str, problem: BaseException) -> None:
        """Forward the problem to the error boundary."""
        self._on_problem(where, problem)
