"""The optimizers of a loop, known by a number without keeping them alive."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from typing import final

import torch
from torch import Tensor


@final
class Optimizers:
    """Every optimizer made or seen to step, how often it stepped, and who takes over another's parameters."""

    def __init__(self) -> None:
        self._known: list[weakref.ref[torch.optim.Optimizer]] = []
        self._held: dict[int, weakref.ref[Tensor]] = {}  # the first parameter of each
        self._order: list[int] = []  # numbers of those that stepped, in the order of their first steps
        # The one that stepped last, its number and place: most loops have no other, and this is asked in every step.
        self._last: tuple[Callable[[], object | None], int, int] = (lambda: None, 0, 0)
        self.steps: list[int] = []  # by number

    def number(self, optimizer: torch.optim.Optimizer) -> int:
        """The optimizer's number, from 0 in the order they were met."""
        for number, reference in enumerate(self._known):
            if reference() is optimizer:
                return number
        self._known.append(weakref.ref(optimizer))
        self.steps.append(0)
        return len(self._known) - 1

    def made(self, optimizer: torch.optim.Optimizer) -> bool:
        """Take in a new optimizer; True when an earlier one held the same parameters."""
        self.number(optimizer)
        first = next((tensor for group in optimizer.param_groups for tensor in group["params"]), None)
        if first is None:
            return False
        known = self._held.get(id(first))
        self._held[id(first)] = weakref.ref(first)
        return known is not None and known() is first

    def stepped(self, optimizer: torch.optim.Optimizer) -> int:
        """Count a step; returns the optimizer's place in the order of first steps."""
        last, number, place = self._last
        if last() is not optimizer:
            number = self.number(optimizer)
            if self.steps[number] == 0:
                self._order.append(number)
            place = self._order.index(number)
            self._last = (self._known[number], number, place)
        self.steps[number] += 1
        return place

    @property
    def any_stepped(self) -> bool:
        """Whether an optimizer has stepped at all."""
        return bool(self._order)

    def alive(self) -> Iterator[tuple[int, torch.optim.Optimizer]]:
        """Those that still exist, by number."""
        for number, reference in enumerate(self._known):
            optimizer = reference()
            if optimizer is not None:
                yield number, optimizer
