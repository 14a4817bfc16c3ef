"""Whether the program computed a loss after the last optimizer step, and whether that loss was a number.

A program that stops at a loss of NaN calls neither backward nor step, so nothing of it is heard. What remains is the
number of operations that autograd has recorded, which torch counts for each thread, and the tensors that still exist.
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
# Steps record about as many operations each. Where one has recorded twice as many as another, the program also makes
# passes without a step, or its passes differ: then one more pass at the end says nothing.
MOST_UNEQUAL: Final = 2
_PLAIN: Final = (Tensor, torch.nn.Parameter)


@final
class LastPass:
    """Counts the operations that autograd records from one step to the next."""

    def __init__(self) -> None:
        self._thread, self._at = 0, -1  # the second: operations recorded until the last step; -1 before the first
        self._least = self._most = 0

    def begin(self) -> None:
        """Begin to count: what was recorded until now belongs to no step."""
        self._at = -1

    def stepped(self, *, sampled: bool = False) -> None:
        """A step ended; where it was sampled, our own work on it may have recorded operations too."""
        now, before = _operations(), self._at
        self._at = now
        if sampled or before < 0:
            self._thread = threading.get_ident()
            return
        made = now - before
        if not self._least <= made <= self._most:  # in most programs all steps record as much as the first
            self._least = min(made, self._least or made)
            self._most = max(made, self._most)

    @property
    def unfinished(self) -> bool:
        """Whether as much was recorded since the last step as in a step, as far as can be said."""
        return 0 < self._least <= self._recorded() and self._most < MOST_UNEQUAL * self._least

    def loss(self) -> float | None:
        """Return a scalar that was computed with gradients after the last step and still exists; NaN or infinity first.

        Reads what is on a device, so it is for the end of a watch.
        """
        if self._recorded() <= 0:
            return None
        scalars = [one for one in gc.get_objects() if type(one) is Tensor and one.numel() == 1 and self._is_newer(one)]
        values = [float(one.detach()) for one in scalars if not one.is_complex()]
        return min(values, key=math.isfinite, default=None)

    def _recorded(self) -> int:
        """How many operations were recorded since the last step; 0 where that is not known."""
        known = self._at >= 0 and self._thread == threading.get_ident()
        return _operations() - self._at if known else 0

    def _is_newer(self, tensor: Tensor) -> bool:
        made = tensor.grad_fn
        return made is not None and made._sequence_nr() >= self._at


def nonfinite(parameters: Iterable[tuple[str, Tensor]]) -> tuple[str, ...]:
    """Return the names of the parameters with values that are NaN or infinite; waits for the device.

    Those that are spread over processes are left out: to read one would wait for the others.
    """
    return tuple(
        name
        for name, one in parameters
        if type(one) in _PLAIN and one.requires_grad and not one.is_meta and not bool(torch.isfinite(one).all())
    )
