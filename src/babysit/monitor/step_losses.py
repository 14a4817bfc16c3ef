"""The losses that backward was called on since the last optimizer step."""

from __future__ import annotations

from typing import Any, final

from torch import Tensor

from babysit.monitor.micro_batches import Evidence, Head, MicroBatches, Part, divided_by, signature_of


def scalar_of(tensors: Any) -> Tensor | None:
    """The one scalar that backward was called on, or None."""
    if isinstance(tensors, tuple | list) and len(tensors) == 1:
        tensors = tensors[0]
    return tensors if isinstance(tensors, Tensor) and tensors.numel() == 1 else None


@final
class StepLosses:
    """Collects one step's losses; several of them are micro-batches, different losses, or the tries of a closure."""

    def __init__(self, scales: dict[Head, float]) -> None:
        self._parts: list[Part] = []  # what backward was called on since the last step
        self._aside: list[Part] = []
        self._scaled: dict[int, Tensor] = {}  # by the identity of what backward will be called on
        self.scaling = False  # whether any was
        self._micro = MicroBatches(scales)
        self._several = False  # the last step had more than one
        self._within = 0  # parts of this step that were heard inside the optimizer's step: of its closure
        self._cleared_within = self._tried = False  # the closure cleared gradients; and what follows is another try
        self._unused = 0
        self.backwards = self.clears = self.discarded = 0
        self._before = self._usual = (0, 0)  # calls of backward and zero_grad: until this step, and in a whole one
        self._whole, self._unread = True, False  # of the step under way: all of it was heard; its losses were not

    def __len__(self) -> int:
        return len(self._parts or self._aside)

    def scale(self, loss: Any, scaled: Any) -> None:
        """Remember the loss itself when mixed precision multiplies it before backward."""
        if isinstance(loss, Tensor) and loss.numel() == 1:
            self.scaling = True
            self._scaled[id(scaled)] = loss

    def unscaled(self, loss: Tensor) -> Tensor:
        """The loss itself, of what backward is called on."""
        return self._scaled.pop(id(loss), loss) if self._scaled else loss

    def cleared(self, *, in_step: bool) -> None:
        """Gradients are about to be cleared: those of backward passes that no step has used are lost."""
        self.clears += 1
        if in_step:
            self._cleared_within, self._tried = True, self._tried or bool(self._parts)
        else:
            self.discarded += self._unused
            self._unused = 0

    def resume_mid_step(self, *, at_end: bool, wanted: bool) -> None:
        """Everything is heard from now on, which may be the middle of a step.

        Args:
            at_end: it is the end of one.
            wanted: the losses of the step under way were heard from its beginning.
        """
        self._whole, self._unread = at_end, not at_end and not wanted

    def step_done(self) -> None:
        """A step ended. When not all of it was heard, it is taken to have been like the one before."""
        if self._unread:
            self._parts, self._aside = [], []
        whole, self._whole, self._unread = self._whole, True, False
        if whole:
            self._usual = self.backwards - self._before[0], self.clears - self._before[1]
        else:
            self.backwards, self.clears = (now + one for now, one in zip(self._before, self._usual, strict=True))
        self._before = self.backwards, self.clears

    def count_unheard(self, steps: int) -> None:
        """Steps that were only counted: as many calls are added as there are in a step."""
        self.backwards, self.clears = (now + steps * one for now, one in zip(self._before, self._usual, strict=True))
        self._before = self.backwards, self.clears

    def defer(self) -> None:
        """Another optimizer has stepped: what was heard was its loss, unless ours steps with it."""
        if self._parts:
            self._aside, self._parts, self._unused = self._parts, [], 0

    def counts(self) -> dict[str, int]:
        """How often backward and zero_grad were called, and how many backward passes were for nothing."""
        return {"backward": self.backwards, "zero_grad": self.clears, "discarded": self.discarded}

    def add_fast(self, loss: Any) -> bool:
        """Take the only loss of a step if it is a plain scalar on the CPU, with as little work as can be."""
        alone = not self._parts and not self._scaled and not self._several
        if not alone or type(loss) is not Tensor or loss.dim() or not loss.is_cpu:
            return False
        self._parts.append(Part(loss.item()))
        return True

    def add(
        self, loss: Tensor, evidence: Evidence | None = None, *, counted: bool = True, in_step: bool = False
    ) -> None:
        """Take the scalar that backward is called on.

        Args:
            loss: that scalar, before mixed precision has scaled it.
            evidence: what was seen of how it was made.
            counted: it counts among the calls of backward.
            in_step: the optimizer's closure makes it. Only the first evaluation of a closure is at the step's weights:
                it ends where gradients are cleared again, or with its first loss when it never clears them.
        """
        self.backwards += counted
        self._unused += counted
        if in_step:
            if self._tried or (self._within and not self._cleared_within):
                return
            self._within += 1
        # On the CPU reading a scalar costs nothing. Elsewhere it would wait for the device, so it is read later, from a
        # copy: a script may well sum its loss over processes in place.
        value = loss.item() if loss.is_cpu else loss.detach().clone()
        if self._parts or self._several or evidence is not None:
            self._parts.append(Part(value, signature_of(loss), divided_by(loss), evidence))
        else:
            self._parts.append(Part(value))

    def take(self) -> float | Tensor:
        """One value for the step, and begin again."""
        parts, self._parts, self._aside, self._unused = self._parts or self._aside, [], [], 0
        self._within, self._cleared_within, self._tried = 0, False, False
        if self._scaled:
            self._scaled.clear()
        # The first step that has several is seen from its second part on; a step of one part may be an epoch's rest.
        self._several = len(parts) > 1 or (self._several and parts[0].divisor > 1)
        return self._micro.join(parts) if self._several or parts[0].evidence is not None else parts[0].value
