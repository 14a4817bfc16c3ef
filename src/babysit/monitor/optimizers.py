"""The optimizers of a loop, known by a number without keeping them alive."""

from __future__ import annotations

import numbers
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, final

import torch
from torch import Tensor

from babysit.records.model_summary import ParameterGroup

# An optimizer that stepped this often while the leading one rested has taken over (one model trained after another).
HANDOVER_STEPS: Final = 200
# And one that went on alone for so many did not take turns with it: adversarial training alternates within ten or so.
ALONE_STEPS: Final = 20
_LATER: Final = (
    "Another optimizer went on alone after the first had ended, as when networks are trained one after another. "
    "Layers, objective and data are those of the first training; of later ones only the losses were read. "
    "To have one judged, watch it by itself: `with babysit.watch(model, optimizer):` around its loop."
)


@final
class Optimizers:
    """Every optimizer made or seen to step, how often it stepped, and who takes over another's parameters."""

    def __init__(self) -> None:
        self._known: list[tuple[weakref.ref[torch.optim.Optimizer], int]] = []
        self._held: dict[int, tuple[weakref.ref[Tensor], int]] = {}  # the first parameter of each
        self._order: list[int] = []  # numbers of those that stepped, in the order of their first steps
        # The one that stepped last, its number and place: most loops have no other, and this is asked in every step.
        self._last: tuple[Callable[[], object | None], int, int] = (lambda: None, 0, 0)
        self.steps: list[int] = []  # by number
        self.others = 0  # steps of such as nobody asked to watch
        self.leader = 0  # place of the one whose steps are the steps of the loop
        self._since_leader = 0
        self._told_of_later = False
        self._cleared: set[int] = set()  # numbers of those whose zero_grad was heard
        self._all_cleared = False  # that of a module, which may hold the parameters of any

    def number(self, optimizer: torch.optim.Optimizer) -> int:
        """The optimizer's number, from 0 in the order they were met."""
        for reference, number in self._known:
            if reference() is optimizer:
                return number
        self._known.append((weakref.ref(optimizer), len(self.steps)))
        self.steps.append(0)
        return len(self.steps) - 1

    def made(self, optimizer: torch.optim.Optimizer) -> bool:
        """Take in a new optimizer; True when it goes on under the number of one that held the same parameters."""
        first = next((tensor for group in optimizer.param_groups for tensor in group["params"]), None)
        known = self._held.get(id(first))
        if first is not None and known is not None and known[0]() is first:
            number = known[1]
            self._known = [one for one in self._known if one[1] != number or one[0]() is not None]
            self._known.append((weakref.ref(optimizer), number))
            return True
        number = self.number(optimizer)
        if first is not None:
            self._held[id(first)] = weakref.ref(first), number
        return False

    def stepped(self, optimizer: torch.optim.Optimizer) -> int:
        """Count a step; returns the optimizer's place in the order of first steps."""
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
        """Whether a single one steps."""
        return len(self._order) == 1 and not self.others

    def counts(self) -> dict[str, int]:
        """How often others stepped, for the events."""
        return {"other_step": self.others}

    def leads(self, place: int) -> bool:
        """Whether the one at this place, which has just stepped, is the one whose steps are counted."""
        if place != self.leader:
            self._since_leader += 1
            if self._since_leader <= HANDOVER_STEPS:
                return False
            self.leader = place
        self._since_leader = 0
        return True

    def clears(self, owner: object) -> None:
        """Gradients are about to be cleared by an optimizer or a module."""
        if not isinstance(owner, torch.optim.Optimizer):
            self._all_cleared = True
            return
        number = next((number for reference, number in self._known if reference() is owner), None)
        if number is None or number in self._cleared:  # one not met yet may be none of ours
            return
        tensors = _tensors(owner)
        self._cleared |= {number for number, other in self.alive() if tensors & _tensors(other)}

    def cleared(self, number: int) -> bool:
        """Whether gradients of this one were ever cleared, as far as heard: of several, each step is."""
        return self._all_cleared or number in self._cleared

    def tell_of_later(self, tell: Callable[[int, str, str], None]) -> None:
        """Say, once, that only the first of several trainings was measured."""
        if not self._told_of_later and (self.leader != 0 or self._since_leader >= ALONE_STEPS):
            self._told_of_later = True
            tell(self.steps[self._order[0]], "measurement_gap", _LATER)

    def alive(self) -> Iterator[tuple[int, torch.optim.Optimizer]]:
        """Those that still exist, by number."""
        for reference, number in self._known:
            optimizer = reference()
            if optimizer is not None:
                yield number, optimizer


def _tensors(optimizer: torch.optim.Optimizer) -> set[int]:
    return {id(tensor) for group in optimizer.param_groups for tensor in group["params"]}


def number(value: object) -> float | None:
    """A setting as a number; None where it is none: a pair, a name, a function, nothing at all."""
    one = isinstance(value, Tensor) and value.numel() == 1 and not value.is_complex()
    if not one and not isinstance(value, numbers.Real):
        return None
    try:
        return float(value)  # type: ignore[arg-type]  # a tensor of one value, or a real number
    except (ValueError, OverflowError, RuntimeError):  # a whole number too large, a tensor without values
        return None


def lr_of(optimizer: torch.optim.Optimizer) -> float | None:
    """The learning rate of the first group; None where none is known."""
    return next((number(group.get("lr")) for group in optimizer.param_groups), None)


def group_of(group: dict[str, Any]) -> ParameterGroup:
    """A parameter group; what it does not have is off, what is there and no number is not known."""
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
    """The name of the dtype with the largest rounding error among these; "" without any."""
    dtypes = {tensor.dtype for tensor in tensors if tensor.is_floating_point()}
    widest = max(dtypes, key=lambda one: torch.finfo(one).eps, default=None)
    return str(widest).removeprefix("torch.") if widest is not None else ""
