"""Accuracies (or r2) of several runs in one figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from babysit.plots import compared_losses
from babysit.plots.theme import Figure
from babysit.records.run import Run

Numbers: TypeAlias = compared_losses.Numbers


def numbers(runs: Sequence[Run]) -> Numbers | None:
    """Return the accuracies of the runs, else their r2; None when fewer than two recorded one."""
    return compared_losses.of_metric(runs, "accuracy") or compared_losses.of_metric(runs, "r2")


def describe(numbers: Numbers) -> str:
    """Describe where each line ends, in one sentence."""
    return compared_losses.describe(numbers)


def draw(numbers: Numbers) -> Figure:
    """Draw one color per run, dashes for validation, and the label of the run at the end of its lines."""
    return compared_losses.draw(numbers)
