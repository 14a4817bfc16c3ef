"""Who hears of a training loop."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import nn


class EventHandler(Protocol):
    """What a watch hears of the loop, on the thread that trains; what it raises is handed to `on_problem`."""

    def on_optimizer(self, optimizer: torch.optim.Optimizer) -> None:
        """An optimizer was made."""

    def on_before_step(self, optimizer: torch.optim.Optimizer, *, closure: bool) -> None:
        """An optimizer is about to step."""

    def on_after_step(self, optimizer: torch.optim.Optimizer, *, closure: bool) -> None:
        """An optimizer has stepped."""

    def on_step_counted(self, optimizer: torch.optim.Optimizer) -> None:
        """An optimizer has stepped, told to those who want to hear less than everything."""

    def on_backward(self, tensors: Any, weights: Any = None, *, adds: bool = True) -> None:
        """Gradients are about to be computed: of these, each times its weight, and added to what is in `.grad`."""

    def on_zero_grad(self, owner: object) -> None:
        """Gradients are about to be cleared."""

    def on_mode(self, module: nn.Module, *, training: bool) -> None:
        """A module was put into train or eval mode."""

    def on_gradient_off(self) -> None:
        """A block without gradients begins: no_grad, inference_mode or set_grad_enabled(False)."""

    def on_gradient_on(self) -> None:
        """It ends."""

    def on_clip(self, norm: Any, limit: Any) -> None:
        """Gradients were clipped."""

    def on_scale(self, loss: Any, scaled: Any) -> None:
        """A loss was scaled for mixed precision: backward will be called on the second."""

    def on_compile(self, what: object) -> None:
        """Something, a module perhaps, was handed to torch.compile."""

    def on_problem(self, where: str, problem: BaseException) -> None:
        """One of these raised an error, which goes no further."""

    def on_full_tracing(self) -> None:
        """So little need not be heard any longer: asked by what counts steps for the listener (count steps.py)."""
