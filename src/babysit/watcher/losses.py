"""The losses that backward was called on since the last optimizer step."""

from __future__ import annotations

from typing import Any, final

from torch import Tensor


def scalar_of(tensors: Any) -> Tensor | None:
    """The one scalar that backward was called on, or None."""
    if isinstance(tensors, tuple | list) and len(tensors) == 1:
        tensors = tensors[0]
    return tensors if isinstance(tensors, Tensor) and tensors.numel() == 1 else None


def divided_by(loss: Tensor) -> float:
    """By how many micro-batches a script divides each of its losses before backward; 1 when it does not."""
    last = loss.grad_fn
    factor = getattr(last, "_saved_other", None)
    if not isinstance(factor, Tensor) or factor.dim() > 0 or not factor.is_cpu:
        return 1.0
    name, value = type(last).__name__, float(factor)
    number = value if name == "DivBackward0" else 1 / value if name == "MulBackward0" and value else 1.0
    return float(round(number)) if number >= 2 and abs(number - round(number)) < 1e-3 * number else 1.0


@final
class Losses:
    """Collects one step's losses; several of them are micro-batches, or the tries of a closure."""

    def __init__(self) -> None:
        self._values: list[float | Tensor] = []  # what backward was called on since the last step
        self._scaled: dict[int, Tensor] = {}  # by the identity of what backward will be called on
        self.scaling = False  # whether any was
        self._divisor = 1.0
        self._unused = 0
        self.backwards = self.clears = self.discarded = 0
        self._before = self._usual = (0, 0)  # calls of backward and zero_grad: until this step, and in a whole one
        self._aside: list[float | Tensor] = []
        self._whole, self._unread = True, False  # of the step under way: all of it was heard; its losses were not

    def __len__(self) -> int:
        return len(self._values or self._aside)

    def scale(self, loss: Any, scaled: Any) -> None:
        """Remember the loss itself when mixed precision multiplies it before backward."""
        if isinstance(loss, Tensor) and loss.numel() == 1:
            self.scaling = True
            self._scaled[id(scaled)] = loss

    def cleared(self, *, in_step: bool) -> None:
        """Gradients are about to be cleared: those of backward passes that no step has used are lost."""
        self.clears += 1
        if not in_step:
            self.discarded += self._unused
            self._unused = 0

    def heard_from_here(self, *, at_end: bool, wanted: bool) -> None:
        """Everything is heard from now on, which may be the middle of a step.

        Args:
            at_end: it is the end of one.
            wanted: the losses of the step under way were heard from its beginning.
        """
        self._whole, self._unread = at_end, not at_end and not wanted

    def step_done(self) -> None:
        """A step ended. When not all of it was heard, it is taken to have been like the one before."""
        if self._unread:
            self._values, self._aside = [], []
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

    def set_aside(self) -> None:
        """Another optimizer has stepped: what was heard was its loss, unless ours steps with it."""
        if self._values:
            self._aside, self._values, self._unused = self._values, [], 0

    def counts(self) -> dict[str, int]:
        """How often backward and zero_grad were called, and how many backward passes were for nothing."""
        return {"backward": self.backwards, "zero_grad": self.clears, "discarded": self.discarded}

    def add_simply(self, loss: Any) -> bool:
        """Take the only loss of a step if it is a plain scalar on the CPU, with as little work as can be."""
        alone = not self._values and not self._scaled and self._divisor == 1
        if not alone or type(loss) is not Tensor or loss.dim() or not loss.is_cpu:
            return False
        self._values.append(loss.item())
        return True

    def add(self, loss: Tensor, *, counted: bool = True) -> None:
        """Take the scalar that backward is called on."""
        self.backwards += counted
        loss = self._scaled.pop(id(loss), loss) if self._scaled else loss
        if self._values or self._divisor > 1:  # asked of micro-batches only: a loss alone may well be halved
            self._divisor = divided_by(loss)
        self._unused += counted
        # On the CPU reading a scalar costs nothing. Elsewhere it would wait for the device, so it is read later, from a
        # copy: a script may well sum its loss over processes in place.
        self._values.append(loss.item() if loss.is_cpu else loss.detach().clone())

    def take(self, *, first_only: bool) -> float | Tensor:
        """One value for the step, and begin anew: the mean over micro-batches; for a closure, where it began.

        Micro-batches whose losses are divided give what one large batch would have given, however many there were.
        """
        values, self._values, self._aside, self._unused = self._values or self._aside, [], [], 0
        if self._scaled:
            self._scaled.clear()
        if first_only or (len(values) == 1 and self._divisor == 1):
            return values[0]
        return sum(values[1:], start=values[0]) * (self._divisor / len(values))
