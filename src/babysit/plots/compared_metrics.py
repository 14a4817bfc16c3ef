"""The accuracies (or r2) of several runs over each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from babysit.plots import compared_losses
from babysit.plots.theme import Figure
from babysit.records.run import Run

Numbers: TypeAlias = compared_losses.Numbers


def numbers(runs: Sequence[Run]) -> Numbers | None:
    """The accuracies of the runs, else their r2; None when fewer than two recorded one."""
    return compared_losses.of_metric(runs, "accuracy") or compared_losses.of_metric(runs, "r2")


def describe(numbers: Numbers) -> str:
    """Where each line ended, in one sentence."""
    return compared_losses.describe(numbers)


def draw(numbers: Numbers) -> Figure:
    """The figure: a colour a run, dashes for validation, and the run's letter at the end of its lines."""
    return compared_losses.draw(numbers)
