"""Where the first value that is not finite appeared: in the order weights, outputs, loss, gradient, update."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from babysit.analysis.layer_metrics import table
from babysit.analysis.loss_curve import levels
from babysit.records.layer_metrics import NONFINITE_STAGES
from babysit.records.run import Run

BEFORE_THE_LOSS: Final = ("weights", "outputs")


class Onset(NamedTuple):
    """The first value that was not finite, as far as it was seen."""

    what: str  # weights, outputs, loss, gradient or update
    step: int
    layers: tuple[str, ...] = ()
    finite_until: int | None = None  # the last sampled step before it at which all was finite


def first_nonfinite(run: Run) -> Onset | None:
    """What was the first to be NaN or infinite and stayed so; None when the loss did not end so, or nothing was seen.

    Layers are seen on sampled steps only, the loss on nearly all. A loss scaler meets infinite gradients now and then
    by design, so what became finite again does not count.
    """
    level, rows = levels(run), table(run, "nonfinite_stage")
    if level is None or level.broken_at is None or not len(rows):
        return None
    steps, broken_at = np.asarray(run.layer_metrics.steps), level.broken_at
    bad = (np.nan_to_num(rows) > 0).any(axis=1)
    good = np.flatnonzero(~bad)
    start = int(good[-1]) + 1 if good.size else 0
    # The loss was not finite while all that was measured of the layers was.
    alone = steps[good][steps[good] >= broken_at]
    if alone.size:
        before = steps[good][steps[good] < broken_at]
        return Onset("loss", broken_at, finite_until=int(before[-1]) if before.size else None)
    if start >= len(rows):
        return None
    found = np.where(np.nan_to_num(rows[start]) > 0, rows[start], np.inf)
    stage, step = int(found.min()), int(steps[start])
    until = int(steps[start - 1]) if start else None
    what = NONFINITE_STAGES[stage - 1]
    if step == broken_at and what not in BEFORE_THE_LOSS:
        return Onset("loss", step, finite_until=until)
    layers = tuple(name for name, one in zip(run.layer_metrics.layers, found, strict=True) if one == stage)
    return Onset(what, step, layers, until)
