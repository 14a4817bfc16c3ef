"""Registry of the optimizers of a loop, by number, through weak references."""

from __future__ import annotations

import numbers
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, final

import torch
from torch import Tensor

from babysit.records.model_summary import ParameterGroup

# Steps of another optimizer without a step of the leading one, after which it takes over (consecutive trainings).
HANDOVER_STEPS: Final = 200
# Steps of another optimizer alone, after which it does not alternate: adversarial training alternates within about ten.
ALONE_STEPS: Final = 20
_LATER: Final = (
    "Another optimizer kept stepping after the first had stopped, as when networks are trained one after another. "
    "Layers, objective and data are those of the first training; for later ones only the losses were recorded. "
    "To check a later training, watch it separately: `with babysit.watch(model, optimizer):` around its loop."
)


@final
class Optimizers:
    """Tracks all optimizers of a loop, their step counts, and which one leads."""

    def __init__(self) -> None:
        self._known: list[tuple[weakref.ref[torch.optim.Optimizer], int]] = []
        # By the id of its first parameter: that parameter, the ids of all, and the optimizer's number.
        self._held: dict[int, tuple[weakref.ref[Tensor], set[int], int]] = {}
        self._order: list[int] = []  # optimizer numbers in the order of their first steps
        # The last optimizer that stepped, its number and index: a fast path, since most loops have only one.
        self._last: tuple[Callable[[], object | None], int, int] = (lambda: None, 0, 0)
        self.steps: list[int] = []  # by number
        self.others = 0  # steps of unwatched optimizers
        self.leader = 0  # index of the optimizer whose steps are the steps of the loop
        self._since_leader = 0
        self.later_measured = False  # or reported that it is not
        self._cleared: set[int] = set()  # numbers of optimizers whose zero_grad was called
        self._all_cleared = False  # zero_grad of a module, which may hold the parameters of any optimizer

    def number(self, optimizer: torch.optim.Optimizer) -> int:
        """Return the number of an optimizer, from 0 in order of appearance."""
        for reference, number in self._known:
            if reference() is optimizer:
                return number
        self._known.append((weakref.ref(optimizer), len(self.steps)))
        self.steps.append(0)
        return len(self.steps) - 1

    def replaced_by(self, optimizer: torch.optim.Optimizer) -> int | None:
        """Return the number of the optimizer that held exactly the same parameters; None if there is none."""
        first, tensors, number = self._held.get(id(_first(optimizer)), (lambda: None, set(), None))
        alive = first() is not None and first() is _first(optimizer)  # the id of a dead tensor is used again
        return number if alive and tensors == _tensors(optimizer) else None

    def made(self, optimizer: torch.optim.Optimizer) -> bool:
        """Register a new optimizer; return True if it replaces one with the same parameters and takes its number."""
        number = self.replaced_by(optimizer)
        if number is not None:
            self._known = [one for one in self._known if one[1] != number or one[0]() is not None]
            self._known.append((weakref.ref(optimizer), number))
            return True
        number, first = self.number(optimizer), _first(optimizer)
        if first is not None:
            self._held[id(first)] = weakref.ref(first), _tensors(optimizer), number
        return False

    def has_stepped(self, optimizer: torch.optim.Optimizer) -> bool:
        """Check whether this optimizer has made a step."""
        return any(reference() is optimizer and self.steps[number] for reference, number in self._known)

    def stepped(self, optimizer: torch.optim.Optimizer) -> int:
        """Count a step and return the optimizer's index in the order of first steps."""
        last, number, place = self._last
        if last() is not optimizer:
            number = self.number(optimizer)
            if self.steps[number] == 0:
                self._order.append(number)
            place = self._order.index(number)
            self._last = (weakref.ref(optimizer), number, place)
        self.steps[number] += 1
        return place

    @property
    def alone(self) -> bool:
        """Check whether only one optimizer steps."""
        return len(self._order) == 1 and not self.others

    def counts(self) -> dict[str, int]:
        """Return the number of steps of unwatched optimizers, for the events."""
        return {"other_step": self.others}

    def leads(self, place: int) -> bool:
        """Check whether the optimizer at this index, which has just stepped, is the one whose steps are counted."""
        if place != self.leader:
            self._since_leader += 1
            if self._since_leader <= HANDOVER_STEPS:
                return False
            self.leader = place
        self._since_leader = 0
        return True

    @property
    def handed_over(self) -> bool:
        """Check whether another optimizer has stepped alone for so long that it begins another training."""
        return self._since_leader == HANDOVER_STEPS

    def clears(self, owner: object) -> None:
        """Record a call of `zero_grad` on an optimizer or a module."""
        if not isinstance(owner, torch.optim.Optimizer):
            self._all_cleared = True
            return
        number = next((number for reference, number in self._known if reference() is owner), None)
        if number is None or number in self._cleared:  # an unknown optimizer may be an unwatched one
            return
        tensors = _tensors(owner)
        self._cleared |= {number for number, other in self.alive() if tensors & _tensors(other)}

    def cleared(self, number: int) -> bool:
        """Check whether a call of `zero_grad` that clears this optimizer's gradients was observed."""
        return self._all_cleared or number in self._cleared

    def report_later(self, report: Callable[[int, str, str], None]) -> None:
        """Report once that only the first of several trainings was measured."""
        if not self.later_measured and (self.leader != 0 or self._since_leader >= ALONE_STEPS):
            self.later_measured = True
            report(self.steps[self._order[0]], "measurement_gap", _LATER)

    def alive(self) -> Iterator[tuple[int, torch.optim.Optimizer]]:
        """Yield the optimizers that still exist, with their numbers."""
        for reference, number in self._known:
            optimizer = reference()
            if optimizer is not None:
                yield number, optimizer


def _first(optimizer: torch.optim.Optimizer) -> Tensor | None:
    return next((tensor for group in optimizer.param_groups for tensor in group["params"]), None)


def _tensors(optimizer: torch.optim.Optimizer) -> set[int]:
    return {id(tensor) for group in optimizer.param_groups for tensor in group["params"]}


def number(value: object) -> float | None:
    """Convert a setting to a float; None if it is not a number (a tuple, a string, a function, None)."""
    one = isinstance(value, Tensor) and value.numel() == 1 and not value.is_complex()
    if not one and not isinstance(value, numbers.Real):
        return None
    try:
        return float(value)  # type: ignore[arg-type]  # a tensor of one value, or a real number
    except (ValueError, OverflowError, RuntimeError):  # an integer too large, an empty tensor
        return None


def lr_of(optimizer: torch.optim.Optimizer) -> float | None:
    """Return the learning rate of the first group; None if unknown."""
    return next((number(group.get("lr")) for group in optimizer.param_groups), None)


def group_of(group: dict[str, Any]) -> ParameterGroup:
    """Describe a parameter group; missing settings are off, non-numeric ones unknown."""
    betas = group.get("betas") or ()
    known = [number(beta) for beta in betas] if isinstance(betas, list | tuple) else []
    return ParameterGroup(
        lr=number(group.get("lr")),
        weight_decay=number(group.get("weight_decay", 0.0)),
        momentum=number(group.get("momentum", 0.0)),
        betas=tuple(beta for beta in known if beta is not None) if None not in known else (),
        epsilon=number(group.get("eps", 0.0)),
        parameters=sum(tensor.numel() for tensor in group["params"]),
        tensors=len(group["params"]),
        dtype=_least_precise(group["params"]),
    )


def _least_precise(tensors: Iterable[Tensor]) -> str:
    """Return the name of the dtype with the largest rounding error; "" without tensors."""
    dtypes = {tensor.dtype for tensor in tensors if tensor.is_floating_point()}
    widest = max(dtypes, key=lambda one: torch.finfo(one).eps, default=None)
    return str(widest).removeprefix("torch.") if widest is not None else ""
