"""The optimizers of a loop, known without keeping them alive."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import final

import torch
from torch import Tensor


@final
class Optimizers:
    """Every optimizer made, every one that stepped and how often, and who takes over another's parameters."""

    def __init__(self) -> None:
        self._made: list[weakref.ref[torch.optim.Optimizer]] = []
        self._held: dict[int, weakref.ref[Tensor]] = {}  # the first parameter of each
        self._stepping: list[weakref.ref[torch.optim.Optimizer]] = []
        self._counts: list[int] = []

    def made(self, optimizer: torch.optim.Optimizer) -> bool:
        """Take in a new optimizer; True when an earlier one held the same parameters."""
        self._made = [reference for reference in self._made if reference() is not None]
        self._made.append(weakref.ref(optimizer))
        first = next((tensor for group in optimizer.param_groups for tensor in group["params"]), None)
        if first is None:
            return False
        known = self._held.get(id(first))
        self._held[id(first)] = weakref.ref(first)
        return known is not None and known() is first

    def stepped(self, optimizer: torch.optim.Optimizer) -> int:
        """Count a step; returns the optimizer's place in the order of first steps."""
        for index, reference in enumerate(self._stepping):
            if reference() is optimizer:
                self._counts[index] += 1
                return index
        self._stepping.append(weakref.ref(optimizer))
        self._counts.append(1)
        return len(self._counts) - 1

    @property
    def any_stepped(self) -> bool:
        """Whether an optimizer has stepped at all."""
        return bool(self._counts)

    def steps(self) -> dict[int, int]:
        """How often each living optimizer stepped, by its identity."""
        return {id(reference()): count for reference, count in zip(self._stepping, self._counts, strict=True)}

    def alive(self) -> Iterator[torch.optim.Optimizer]:
        """Those made that still exist, in the order they were made."""
        for reference in self._made:
            optimizer = reference()
            if optimizer is not None:
                yield optimizer
