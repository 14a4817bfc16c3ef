"""What a loop computes between training steps without gradients: losses and accuracies on other data.

The model itself runs untouched: the mode is taken away while one of its modules is called and only sees what is done
with the outputs. So fused inference paths stay as they are, and a pass costs a few operations a batch. Only a model
that computes its own loss is followed into its forward, where nothing but loss functions is looked at; modules with a
fused path run without the mode there as well.

What is done with the outputs after the block has ended belongs to the pass, until the network trains again.
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

# A block without gradient in each of so many steps in a row belongs to the training step (clipping, an average of
# weights, a target network); blocks are then followed only from where a model is called in them.
HABIT_STEPS: Final = 5
_UNREAD: Final = (
    "{passes} without gradient through the network were seen, and neither a validation loss nor an accuracy could be "
    "read from what was done with the outputs, so overfitting is not judged. To have it judged, record the loss of "
    'held-out data: w.log("val/loss", value).'
)
# Samples that are drawn to be looked at come in one batch or less, a validation set is larger.
VALIDATION_BATCHES: Final = 2
CHOICES: Final = frozenset({"argmax", "max", "gt", "ge", "lt", "le", "round", "topk", "sign", "int", "long", "bool"})


@final
class Evaluation:
    """Watches passes without gradient and gathers their losses and accuracies until the next training step."""

    def __init__(
        self, book: ParameterRegistry, batches: BatchStats, model_summary: ModelSummaryBuilder, guard: ErrorBoundary
    ) -> None:
        self._book, self._batches = book, batches
        self._anatomist = model_summary
        self._tell, self._on_problem = guard.tell, guard.problem
        self._trace = GraphCapture(book, self)
        self._depth = 0
        register = torch.nn.modules.module
        self._entering = Hook(register.register_module_forward_pre_hook, self._enter)
        self._leaving = Hook(partial(register.register_module_forward_hook, always_call=True), self._leave)
        self._inside = 0
        self._alone = 0  # how deep the module lies that must run without the mode
        self._following = self._waiting = False
        self._lingering = False  # the block has ended, and its outputs are still looked at
        self._ran = False  # whether the network ran in this block at all
        self._from_train = False
        self._sums: dict[str, tuple[float, int]] = {}
        self._calls = 0  # of models, since the last training step
        self._rows = 0  # that a model in eval mode was given in calls that look like those of a validation
        self.missed = False  # whether the last pass was a validation of which nothing could be read
        self.read = self.unread = 0  # passes that gave a loss or an accuracy, and those that gave neither
        self._mode = PassMode(guard.problem)
        self._in_a_row, self._last_step = 0, -1

    @property
    def running(self) -> bool:
        """Whether a pass is being watched."""
        return self._depth > 0

    @property
    def mode(self) -> str:
        """In which mode the network was in the last pass, in words."""
        return str(self._mode)

    def is_habit(self, step: int) -> bool:
        """Whether blocks without gradient have come with every one of the last training steps."""
        if step - self._last_step == 1:
            self._in_a_row += 1
        elif step != self._last_step:
            self._in_a_row = 0
        self._last_step = step
        return self._in_a_row >= HABIT_STEPS

    def begin(self, *, waiting: bool = False) -> None:
        """Gradients were switched off; while waiting, nothing is followed until a model is called."""
        self._depth += 1
        if self._depth > 1:
            return
        self._waiting = waiting
        if waiting:  # what looked like passes was part of the training step
            self.unread = 0
        if self._lingering:
            self._lingering = False
            self._trace.forget_dead()
            return
        self._trace.clear()
        self._ran = False
        self._entering.put()
        if not waiting:
            self._follow()

    def _follow(self) -> None:
        """Look at what is done from now on."""
        push_to_bottom(self._trace)
        self._following = True
        self._leaving.put()

    def end(self) -> bool:
        """Gradients may be on again; whether that ends the pass."""
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
        """No module is under way any longer, and all that is done is looked at again."""
        self._inside = self._alone = 0
        self._trace.only_losses = False
        self._mode.end()
        push_to_bottom(self._trace)

    def close(self) -> None:
        """Follow nothing any longer, however many blocks are open."""
        self._depth = self._inside = self._alone = 0
        self._following = self._lingering = self._trace.only_losses = False
        try:
            remove(self._trace)
        finally:
            for undo in (self._entering.undo, self._leaving.undo, self._mode.stop):
                undo()

    def take(self) -> dict[str, float]:
        """The means gathered since the last time, by the name of their curve."""
        if self._lingering:
            self.close()
        means = {name: total / count for name, (total, count) in self._sums.items() if count}
        self.read += bool(means)
        self.unread += self._calls > 0 and not means
        self.missed = not means and self._rows >= VALIDATION_BATCHES * max(1, self._batches.batch_size)
        self._sums, self._calls, self._rows = {}, 0, 0
        return means

    def tell_of_unread(self) -> None:
        """Say that there were passes, and that none of them gave a loss or an accuracy."""
        if self.unread and not self.read:
            self._tell(_UNREAD.format(passes=f"{self.unread} pass{'es' if self.unread > 1 else ''}"))

    def _enter(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        try:
            if self._inside == 0 and not self._begins(module, inputs):
                return
            self._mode.add(module)
            if self._trace.only_losses and not self._alone and runs_alone(module):
                self._alone = self._inside + 1
                remove(self._trace)
        except Exception as problem:
            self._on_problem("evaluation", problem)
        self._inside += 1

    def _begins(self, module: nn.Module, inputs: tuple[Any, ...]) -> bool:
        """Whether a call of this module is a pass of a network; what goes in is looked at then."""
        if not holds_parameters(module):
            return False
        if torch.is_grad_enabled():
            # Inside a block without gradient: the closure of an optimizer that steps without. After the block: the
            # network trains again.
            if self._lingering:
                self.close()
            return False
        if not self._following:
            self._follow()
        self._ran = True
        self._mode.begin(module)
        self._trace.only_losses = self._anatomist.loss_inside
        if not self._trace.only_losses:
            remove(self._trace)
        given = tensors_of(module, inputs)
        self._from_train = self._batches.feed_evaluated(module, given)
        if not (self._waiting or self._from_train or module.training) and self._book.is_root(module):
            self._rows += self._rows_of([tensor for _, tensor in given])
        return True

    def _rows_of(self, given: list[Tensor]) -> int:
        """How many samples a model is given; 0 for fewer than a batch, and for what it has made itself (generation)."""
        nodes = [self._trace.node(tensor) for tensor in given]
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
                    self._trace.mark(tensor)
                self._calls += not self._waiting
            elif self._alone > self._inside:
                self._alone = 0
                push_to_bottom(self._trace)
        except Exception as problem:
            self._on_problem("evaluation", problem)

    def _add(self, name: str, value: float, count: int) -> None:
        if not self._ran:  # of outputs made before, with gradients: of the training batch
            return
        total, seen = self._sums.get(name, (0.0, 0))
        self._sums[name] = (total + value * count, seen + count)

    # -- the trace tells

    def on_layer(self, place: str, op: str, entering: Tensor | None, result: Tensor) -> None:
        """A model written without modules ran."""
        self._ran = True

    def on_parameter(self, place: str, op: str, entering: tuple[int, ...], shape: tuple[int, ...]) -> None:
        """Nothing to note."""

    def on_activation(self, place: str, op: str, result: Tensor, dim: int | None) -> None:
        """Nothing to note."""

    def on_gate(self, place: str, op: str) -> None:
        """Nothing to note."""

    def on_dropout(self, place: str, lr: float) -> None:
        """Nothing to note."""

    def on_loss(self, node: Node, value: Tensor) -> None:
        """A loss of the model's output without gradient."""
        if not value.requires_grad and node.meeting is not None and not self._from_train:
            target = node.meeting[1]
            loss = self._anatomist.comparable(node)
            if loss is not None:
                self._add(VAL_LOSS, loss, target.shape[0] if target.dim() else 1)

    def on_refused_loss(self, node: Node) -> None:
        """Nothing to note."""

    def on_comparison(self, node: Node, value: Tensor, target: Tensor) -> None:
        """The model's choice was compared with labels."""
        chosen = any(parent.op in CHOICES for parent in node.ancestors() if parent is not node)
        if not chosen or value.dtype != torch.bool:
            return
        share = float(value.float().mean())
        name = TRAIN_ACCURACY if self._from_train else VAL_ACCURACY
        self._add(name, share if node.op == "eq" else 1.0 - share, value.numel())

    def on_taken(self, node: Node) -> None:
        """Nothing to note."""

    def on_problem(self, where: str, problem: BaseException) -> None:
        """Passed on."""
        self._on_problem(where, problem)
