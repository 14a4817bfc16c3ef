"""Whether new gradients are added to those of the step before, by what becomes of the tensors that hold them."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import final

from torch import Tensor


@final
class StaleGradients:
    """Looks before a step's first backward, and again once the optimizer has stepped.

    A gradient is an old one that was added to when it was there, not zero, before backward, and when the same tensor
    still is the gradient afterwards. One that was assigned in between (`p.grad = g`) is another tensor.
    """

    def __init__(self) -> None:
        self.counts = {"looks_before_backward": 0, "old_gradients": 0}
        self._found: list[tuple[weakref.ref[Tensor], weakref.ref[Tensor]]] | None = None

    def look(self, weights: Iterable[Tensor | None], *, adds: bool) -> None:
        """Gradients are about to be computed, and added to those that are there or given back by themselves."""
        self._found = [
            (weakref.ref(one), weakref.ref(one.grad))
            for one in weights
            if adds and one is not None and one.grad is not None and bool(one.grad.any())
        ]

    def stepped(self) -> None:
        """An optimizer has used them."""
        if self._found is not None:
            held = ((weight(), gradient()) for weight, gradient in self._found)
            old = any(weight is not None and weight.grad is gradient is not None for weight, gradient in held)
            self.counts["looks_before_backward"] += 1
            self.counts["old_gradients"] += old
            self._found = None
