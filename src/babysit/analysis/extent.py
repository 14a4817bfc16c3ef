"""Extent of a run: number of steps, and whether anything was measured."""

from __future__ import annotations

from typing import Final

import numpy as np

from babysit.records.curves import GRADIENT_NORM, LEARNING_RATE, TRAIN_LOSS, Curves
from babysit.records.run import Run

_IN_EACH_STEP: Final = (TRAIN_LOSS, LEARNING_RATE, GRADIENT_NORM)


def steps(run: Run, recorded: int | None = None) -> int:
    """Count the optimizer steps of the run.

    Args:
        run: the run.
        recorded: the last step of its rows, if they are not in `run`.
    """
    counted = max(run.events.steps, run.overhead.steps if run.overhead else 0)
    return max(counted, steps_of(run.curves) if recorded is None else recorded)


def steps_of(curves: Curves) -> int:
    """Count the optimizer steps of these curves.

    Values measured in a step have its number, from 0; an evaluation has the number of steps before it.
    """
    ends = [
        int(np.max(series.steps)) + name.startswith(_IN_EACH_STEP)
        for name, series in curves.series.items()
        if len(series)
    ]
    return max(ends, default=0)


def measured(run: Run) -> bool:
    """Check whether the run has any data: a curve, a sampled step, a check or a trial."""
    curves = any(len(series) for series in run.curves.series.values())
    return bool(curves or len(run.layer_metrics.steps) or run.experiments or run.trials)
