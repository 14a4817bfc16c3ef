"""Reduce the arguments of `backward` to one scalar loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

from torch import Tensor

from babysit.monitor.errors import ErrorBoundary
from babysit.monitor.sampled_step import SampledStep
from babysit.monitor.step_losses import scalar_of


@final
class BackwardSums:
    """Computes the sum of the tensors that `backward` is called on, each weighted by its `grad_tensors` entry."""

    def __init__(self, window: SampledStep, guard: ErrorBoundary) -> None:
        self._window, self._guard = window, guard
        self._weighs: bool | None = None

    def of(self, tensors: Any, gradients: Any) -> Tensor | None:
        """Return the scalar that is differentiated, or None if it is not a loss."""
        if gradients is None and (scalar := scalar_of(tensors)) is not None:
            return scalar
        parts, total = tensors if isinstance(tensors, list | tuple) else (tensors,), None
        with self._guard.unseen("backward"):
            given = gradients if isinstance(gradients, list | tuple) else [gradients] * len(parts)
            total = self._total(parts, given)
            if total is not None and self._window.active:
                self._window.sum(parts, total)
        return total

    def _total(self, parts: Sequence[Any], given: Sequence[Any]) -> Tensor | None:
        """Return the weighted sum, or None if the gradients are not weights of a loss.

        Non-negative gradients are weights of losses (`loss.backward(torch.ones_like(loss))`). Gradients of both signs
        come from another network or a loss computed elsewhere. Checked only once, because it synchronizes the device.
        """
        if not parts or len(given) != len(parts) or not all(isinstance(part, Tensor) for part in parts):
            return None
        weights = [one for one in given if isinstance(one, Tensor)]
        if weights and self._weighs is None:
            self._weighs = all(not one.is_complex() and bool((one >= 0).all()) for one in weights)
        if weights and not self._weighs:
            return None
        sums = [
            (part.detach() * weight.detach()).sum() if isinstance(weight, Tensor) else part.detach().sum()
            for part, weight in zip(parts, given, strict=True)
        ]
        total: Tensor = sum(sums[1:], start=sums[0])
        return total
