"""What a loop computes between training steps without gradients: losses and accuracies on other data.

The model itself runs untouched: the mode is taken away while one of its modules is called and only sees what is done
with the outputs. So fused inference paths stay as they are, and a pass costs a few operations a batch.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final, final

import torch
from torch import Tensor, nn

from babysit.records.curves import ACCURACY_TRAIN, ACCURACY_VALIDATION, LOSS_VALIDATION
from babysit.watcher.arguments import tensors_of
from babysit.watcher.batches import BatchProfile
from babysit.watcher.book import ParameterBook, holds_parameters
from babysit.watcher.mode_effects import mode_effect
from babysit.watcher.node import Node
from babysit.watcher.patch import Hook, Patch
from babysit.watcher.stack import push_below, remove
from babysit.watcher.trace import Trace

# A block without gradient in each of so many steps in a row belongs to the training step (clipping, an average of
# weights, a target network); blocks are then followed only from where a model is called in them.
HABIT_STEPS: Final = 5
CHOICES: Final = frozenset({"argmax", "max", "gt", "ge", "lt", "le", "round", "topk", "sign", "int", "long", "bool"})


@final
class Evaluation:
    """Watches passes without gradient and gathers their losses and accuracies until the next training step."""

    def __init__(
        self,
        book: ParameterBook,
        batches: BatchProfile,
        scale: Callable[[Node, int], float | None],
        on_problem: Callable[[str, BaseException], None],
    ) -> None:
        self._batches = batches
        self._scale = scale  # what makes a loss comparable with the training loss, or None when nothing does
        self._on_problem = on_problem
        self._trace = Trace(book, self)
        self._depth = 0
        register = torch.nn.modules.module
        self._entering = Hook(register.register_module_forward_pre_hook, self._enter)
        self._leaving = Hook(partial(register.register_module_forward_hook, always_call=True), self._leave)
        self._inside = 0
        self._following = False
        self._ran = False  # whether the network ran in this block at all
        self._from_train = False
        self._sums: dict[str, tuple[float, int]] = {}
        self.passes = 0
        self.training = False  # whether the model was in train mode in the last pass
        self.dropping = False  # whether dropout was on in eval mode, in the last pass
        self._effects: dict[str, None] = {}  # what ran in train mode and does otherwise in eval mode, in the last pass
        self._dropout = Patch(torch.nn.functional, "dropout", self._noticing)
        self._in_a_row, self._last_step = 0, -1

    @property
    def running(self) -> bool:
        """Whether a pass is being watched."""
        return self._depth > 0

    @property
    def mode(self) -> str:
        """In which mode the network was in the last pass, in words."""
        if self._effects:
            return "train mode: " + ", ".join(self._effects)
        return "train mode" if self.training else "eval mode, dropout on" if self.dropping else "eval mode"

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
        if self._depth == 1:
            self._trace.clear()
            self._ran = False
            self._entering.put()
            if not waiting:
                self._follow()

    def _follow(self) -> None:
        """Look at what is done from now on."""
        push_below(self._trace)
        self._following = True
        self._leaving.put()

    def end(self) -> bool:
        """Gradients may be on again; whether that ends the pass."""
        self._depth = max(0, self._depth - 1)
        if self._depth == 0:
            self.close()
        return self._depth == 0

    def close(self) -> None:
        """Follow nothing, however many blocks are open."""
        self._depth, self._inside, self._following = 0, 0, False
        try:
            remove(self._trace)
        finally:
            for one in (self._entering, self._leaving, self._dropout):
                one.undo()

    def take(self) -> dict[str, float]:
        """The means gathered since the last time, by the name of their curve."""
        means = {name: total / count for name, (total, count) in self._sums.items() if count}
        self._sums, self.passes = {}, 0
        return means

    def _enter(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        try:
            if self._inside == 0 and not self._begins(module, inputs):
                return
            if module.training and (effect := mode_effect(module)):
                self._effects[effect] = None
        except Exception as problem:
            self._on_problem("evaluation", problem)
        self._inside += 1

    def _begins(self, module: nn.Module, inputs: tuple[Any, ...]) -> bool:
        """Whether a call of this module is a pass of a network; what goes in is looked at then."""
        # With gradients inside a block without: the closure of an optimizer that steps without gradients.
        if torch.is_grad_enabled() or not holds_parameters(module):
            return False
        if not self._following:
            self._follow()
        self._ran = True
        remove(self._trace)
        self.training, self.dropping, self._effects = module.training, False, {}
        self._dropout.put()
        self._from_train = self._batches.feed_evaluated(module, tensors_of(module, inputs))
        return True

    def _noticing(self, original: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """Functional dropout, which does not know of the network's mode: whether it is on while that is eval."""

        def dropout(*args: Any, **kwargs: Any) -> Tensor:
            try:
                share = kwargs.get("p", args[1] if len(args) > 1 else 0.5)
                on = kwargs.get("training", args[2] if len(args) > 2 else True) and share != 0
                if self._inside > 0 and on and self.training and not any("(p=" in one for one in self._effects):
                    self._effects[f"dropout (p={share:g})"] = None
                self.dropping |= self._inside > 0 and not self.training and bool(on)
            except Exception as problem:
                self._on_problem("evaluation", problem)
            return original(*args, **kwargs)

        return dropout

    def _leave(self, module: nn.Module, _inputs: Any, result: Any) -> None:
        if self._inside == 0:
            return
        self._inside -= 1
        try:
            if self._inside == 0 and self._depth > 0:
                push_below(self._trace)
                for tensor in result if isinstance(result, tuple | list) else (result,):
                    if isinstance(tensor, Tensor):
                        self._trace.mark(tensor)
                self.passes += 1
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

    def on_dropout(self, place: str, rate: float) -> None:
        """Nothing to note."""

    def on_loss(self, node: Node, value: Tensor) -> None:
        """A loss of the model's output without gradient."""
        if value.numel() == 1 and not value.requires_grad and node.meeting is not None and not self._from_train:
            target = node.meeting[1]
            samples = target.shape[0] if target.dim() else 1
            scale = self._scale(node, samples)
            if scale is not None:
                self._add(LOSS_VALIDATION, float(value) * scale, samples)

    def on_refused_loss(self, node: Node) -> None:
        """Nothing to note."""

    def on_comparison(self, node: Node, value: Tensor, target: Tensor) -> None:
        """The model's choice was compared with labels."""
        chosen = any(parent.op in CHOICES for parent in node.ancestors() if parent is not node)
        if not chosen or value.dtype != torch.bool:
            return
        share = float(value.float().mean())
        name = ACCURACY_TRAIN if self._from_train else ACCURACY_VALIDATION
        self._add(name, share if node.op == "eq" else 1.0 - share, value.numel())

    def on_taken(self, node: Node) -> None:
        """Nothing to note."""

    def on_problem(self, where: str, problem: BaseException) -> None:
        """Passed on."""
        self._on_problem(where, problem)
