"""Detection of a loss computed after the last optimizer step, and whether it was finite.

A program that stops at a loss of NaN calls neither backward nor step, so no event is received. Two sources remain: the
number of operations that autograd has recorded, which torch counts per thread, and the tensors that still exist.
"""

from __future__ import annotations

import gc
import math
import threading
from collections.abc import Callable, Iterable
from typing import Final, final

import torch
from torch import Tensor

# torch.fx numbers its nodes with the same private function.
_operations: Callable[[], int] = torch.autograd._get_sequence_nr  # type: ignore[attr-defined]
# Steps record similar numbers of operations. If one recorded twice as many as another, the program also makes passes
# without a step, or its passes differ: then one more pass at the end has no meaning.
MOST_UNEQUAL: Final = 2
_PLAIN: Final = (Tensor, torch.nn.Parameter)


@final
class LastPass:
    """Counts the operations that autograd records between steps."""

    def __init__(self) -> None:
        self._thread, self._at = 0, -1  # the second: operations recorded up to the last step; -1 before the first
        self._least = self._most = 0

    def begin(self) -> None:
        """Start counting; operations recorded before belong to no step."""
        self._at = -1

    def stepped(self, *, sampled: bool = False) -> None:
        """Count a finished step; in a sampled step, measuring may have recorded operations too."""
        now, before = _operations(), self._at
        self._at = now
        if sampled or before < 0:
            self._thread = threading.get_ident()
            return
        made = now - before
        if not self._least <= made <= self._most:  # in most programs all steps record the same number
            self._least = min(made, self._least or made)
            self._most = max(made, self._most)

    @property
    def unfinished(self) -> bool:
        """Check whether as many operations were recorded since the last step as in a typical step."""
        return 0 < self._least <= self._recorded() and self._most < MOST_UNEQUAL * self._least

    def loss(self) -> float | None:
        """Return a scalar that was computed with gradients after the last step and still exists; non-finite first.

        Synchronizes the device, so call it only at the end.
        """
        if self._recorded() <= 0:
            return None
        scalars = [one for one in gc.get_objects() if type(one) is Tensor and one.numel() == 1 and self._is_newer(one)]
        values = [float(one.detach()) for one in scalars if not one.is_complex()]
        return min(values, key=math.isfinite, default=None)

    def _recorded(self) -> int:
        """Return the number of operations recorded since the last step; 0 if unknown."""
        known = self._at >= 0 and self._thread == threading.get_ident()
        return _operations() - self._at if known else 0

    def _is_newer(self, tensor: Tensor) -> bool:
        made = tensor.grad_fn
        return made is not None and made._sequence_nr() >= self._at


def nonfinite(parameters: Iterable[tuple[str, Tensor]]) -> tuple[str, ...]:
    """Return the names of the parameters with NaN or infinite values; synchronizes the device.

    Parameters sharded across processes are skipped: reading one would wait for the other processes.
    """
    return tuple(
        name
        for name, one in parameters
        if type(one) in _PLAIN and one.requires_grad and not one.is_meta and not bool(torch.isfinite(one).all())
    )
