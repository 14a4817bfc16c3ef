"""Losses of the current optimizer step."""

from __future__ import annotations

from typing import Any, final

from torch import Tensor

from babysit.monitor.micro_batches import Evidence, Head, MicroBatches, Part, divided_by, signature_of


def scalar_of(tensors: Any) -> Tensor | None:
    """Return the single scalar that backward was called on, or None."""
    if isinstance(tensors, tuple | list) and len(tensors) == 1:
        tensors = tensors[0]
    return tensors if isinstance(tensors, Tensor) and tensors.numel() == 1 else None


@final
class StepLosses:
    """Collects the losses of a step: one, micro-batches, different losses, or evaluations of a closure."""

    def __init__(self, scales: dict[Head, float]) -> None:
        self._parts: list[Part] = []  # scalars that backward was called on since the last step
        self._aside: list[Part] = []
        self._scaled: dict[int, Tensor] = {}  # unscaled losses by the id of the scaled tensor
        self.scaling = False  # whether any loss was scaled
        self._micro = MicroBatches(scales)
        self._several = False  # the last step had more than one part
        self._within = 0  # parts of this step from the closure of the optimizer
        self._cleared_within = self._tried = False  # the closure cleared gradients; its first evaluation is over
        self._unused = 0
        self.backwards = self.clears = self.discarded = 0
        self._before = self._usual = (0, 0)  # calls of backward and zero_grad: before this step, and in a full step
        self._complete, self._unread = True, False  # the current step: all of it was traced; its losses were not read

    def __len__(self) -> int:
        return len(self._parts or self._aside)

    def scale(self, loss: Any, scaled: Any) -> None:
        """Record the unscaled loss when mixed precision scales it before backward."""
        if isinstance(loss, Tensor) and loss.numel() == 1:
            self.scaling = True
            self._scaled[id(scaled)] = loss

    def unscaled(self, loss: Tensor) -> Tensor:
        """Return the unscaled loss of the scalar that backward is called on."""
        return self._scaled.pop(id(loss), loss) if self._scaled else loss

    def cleared(self, *, in_step: bool) -> None:
        """Count a call of `zero_grad`, which discards the gradients of unused backward passes."""
        self.clears += 1
        if in_step:
            self._cleared_within, self._tried = True, self._tried or bool(self._parts)
        else:
            self.discarded += self._unused
            self._unused = 0

    def resume_mid_step(self, *, at_end: bool, wanted: bool) -> None:
        """Resume full tracing, possibly in the middle of a step.

        Args:
            at_end: the current step has just ended.
            wanted: the losses of the current step were recorded from its beginning.
        """
        self._complete, self._unread = at_end, not at_end and not wanted

    def step_done(self) -> None:
        """Count the calls of a finished step; one that was traced only in part counts like the previous one."""
        if self._unread:
            self._parts, self._aside = [], []
        complete, self._complete, self._unread = self._complete, True, False
        if complete:
            self._usual = self.backwards - self._before[0], self.clears - self._before[1]
        else:
            self.backwards, self.clears = (now + one for now, one in zip(self._before, self._usual, strict=True))
        self._before = self.backwards, self.clears

    def count_unheard(self, steps: int) -> None:
        """Add the usual number of calls for steps that were only counted."""
        self.backwards, self.clears = (now + steps * one for now, one in zip(self._before, self._usual, strict=True))
        self._before = self.backwards, self.clears

    def defer(self) -> None:
        """Set the losses aside after a step of another optimizer; its own unless the watched one steps too."""
        if self._parts:
            self._aside, self._parts, self._unused = self._parts, [], 0

    def counts(self) -> dict[str, int]:
        """Return the numbers of calls of backward and zero_grad, and of discarded backward passes."""
        return {"backward": self.backwards, "zero_grad": self.clears, "discarded": self.discarded}

    def add_fast(self, loss: Any) -> bool:
        """Add the only loss of a step with minimal overhead; return False unless it is a plain scalar on the CPU."""
        alone = not self._parts and not self._scaled and not self._several
        if not alone or type(loss) is not Tensor or loss.dim() or not loss.is_cpu:
            return False
        self._parts.append(Part(loss.item()))
        return True

    def add(
        self, loss: Tensor, evidence: Evidence | None = None, *, counted: bool = True, in_step: bool = False
    ) -> None:
        """Add the scalar that backward is called on.

        Args:
            loss: the unscaled scalar.
            evidence: traced facts about its computation.
            counted: whether to count a call of backward.
            in_step: whether it comes from the optimizer's closure. Only the first evaluation of a closure uses the
                weights before the step: it ends at the next `zero_grad`, or after its first loss without one.
        """
        self.backwards += counted
        self._unused += counted
        if in_step:
            if self._tried or (self._within and not self._cleared_within):
                return
            self._within += 1
        # Reading a scalar on the CPU is cheap. On a device it would synchronize, so a copy is read later: a script may
        # reduce its loss over processes in place.
        value = loss.item() if loss.is_cpu else loss.detach().clone()
        if self._parts or self._several or evidence is not None:
            self._parts.append(Part(value, signature_of(loss), divided_by(loss), evidence))
        else:
            self._parts.append(Part(value))

    def take(self) -> float | Tensor:
        """Return the loss of the step and reset."""
        parts, self._parts, self._aside, self._unused = self._parts or self._aside, [], [], 0
        self._within, self._cleared_within, self._tried = 0, False, False
        if self._scaled:
            self._scaled.clear()
        # Signatures are recorded from the second part of the first step with several; a step with one part may be the
        # remainder of an epoch.
        self._several = len(parts) > 1 or (self._several and parts[0].divisor > 1)
        return self._micro.join(parts) if self._several or parts[0].evidence is not None else parts[0].value
