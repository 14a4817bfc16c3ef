"""What backward computes the gradient of, also when it is called on anything but one scalar: a sum of losses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

from torch import Tensor

from babysit.monitor.errors import ErrorBoundary
from babysit.monitor.sampled_step import SampledStep
from babysit.monitor.step_losses import scalar_of


@final
class BackwardSums:
    """Adds up what backward is called on, each part times the gradient that it is given."""

    def __init__(self, window: SampledStep, guard: ErrorBoundary) -> None:
        self._window, self._guard = window, guard
        self._weighs: bool | None = None

    def of(self, tensors: Any, gradients: Any) -> Tensor | None:
        """The scalar whose gradient is asked for; None where that is no loss."""
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
        """The weighted sum.

        A gradient without a negative value weighs losses (`loss.backward(torch.ones_like(loss))`). One with both signs
        comes from a network or a loss that is computed elsewhere. Asked once, since on a device it would wait for it.
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
