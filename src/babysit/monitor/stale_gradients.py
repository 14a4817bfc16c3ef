"""Detection of gradients that accumulate over steps, by the identity of the gradient tensors."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import final

from torch import Tensor


@final
class StaleGradients:
    """Compares gradients before the first backward pass of a step and after the optimizer step.

    A gradient was accumulated if it existed and was non-zero before backward, and the same tensor is the gradient
    afterwards. A gradient assigned in between (`p.grad = g`) is a different tensor.
    """

    def __init__(self) -> None:
        self.counts = {"looks_before_backward": 0, "old_gradients": 0}
        self._found: list[tuple[weakref.ref[Tensor], weakref.ref[Tensor]]] | None = None

    def before_backward(self, weights: Iterable[Tensor | None], *, adds: bool) -> None:
        """Record the gradients before a backward pass, which adds to them (`adds`) or returns new ones."""
        self._found = [
            (weakref.ref(one), weakref.ref(one.grad))
            for one in weights
            if adds and one is not None and one.grad is not None and bool(one.grad.any())
        ]

    def stepped(self) -> None:
        """Compare the gradients after an optimizer step."""
        if self._found is not None:
            held = ((weight(), gradient()) for weight, gradient in self._found)
            old = any(weight is not None and weight.grad is gradient is not None for weight, gradient in held)
            self.counts["looks_before_backward"] += 1
            self.counts["old_gradients"] += old
            self._found = None
