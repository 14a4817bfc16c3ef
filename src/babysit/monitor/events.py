"""Callbacks for the events of a training loop."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import nn


class EventHandler(Protocol):
    """Receives events on the training thread. Exceptions it raises are passed to `on_problem`."""

    def on_optimizer(self, optimizer: torch.optim.Optimizer) -> None:
        """Handle the construction of an optimizer."""

    def on_before_step(self, optimizer: torch.optim.Optimizer, *, closure: bool) -> None:
        """Handle the start of an optimizer step."""

    def on_after_step(self, optimizer: torch.optim.Optimizer, *, closure: bool) -> None:
        """Handle the end of an optimizer step."""

    def on_step_counted(self, optimizer: torch.optim.Optimizer) -> None:
        """Handle the end of an optimizer step below the level ALL."""

    def on_backward(self, tensors: Any, weights: Any = None, *, adds: bool = True) -> None:
        """Handle the start of a backward pass of `tensors` weighted by `weights`; `adds` if `.grad` accumulates."""

    def on_zero_grad(self, owner: object) -> None:
        """Handle a call of `zero_grad`."""

    def on_mode(self, module: nn.Module, *, training: bool) -> None:
        """Handle a switch of a module to train or eval mode."""

    def on_gradient_off(self) -> None:
        """Handle the start of a no_grad, inference_mode or set_grad_enabled(False) block."""

    def on_gradient_on(self) -> None:
        """Handle the end of a block without gradients."""

    def on_clip(self, norm: Any, limit: Any) -> None:
        """Handle gradient clipping."""

    def on_scale(self, loss: Any, scaled: Any) -> None:
        """Handle loss scaling for mixed precision; `backward` will be called on `scaled`."""

    def on_compile(self, what: object) -> None:
        """Handle a call of torch.compile on a module or function."""

    def on_problem(self, where: str, problem: BaseException) -> None:
        """Handle an exception that one of the other callbacks raised; it does not propagate."""

    def on_full_tracing(self) -> None:
        """Request full tracing again; called by the step counter (step_counting.py)."""
