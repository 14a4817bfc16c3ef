"""Location of the first non-finite value: in the order weights, outputs, loss, gradient, update."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from babysit.analysis.layer_metrics import table
from babysit.analysis.loss_curve import levels
from babysit.records.layer_metrics import NONFINITE_STAGES
from babysit.records.run import Run

BEFORE_THE_LOSS: Final = ("weights", "outputs")


class Onset(NamedTuple):
    """The first non-finite value observed."""

    what: str  # weights, outputs, loss, gradient or update
    step: int
    layers: tuple[str, ...] = ()
    finite_until: int | None = None  # last sampled step before it at which all values were finite


def first_nonfinite(run: Run) -> Onset | None:
    """Find the first value that became NaN or infinite and stayed so; None if the loss ended finite or is unknown.

    Layers are observed on sampled steps only, the loss on nearly all. A loss scaler produces infinite gradients
    occasionally by design, so values that became finite again do not count.
    """
    level, rows = levels(run), table(run, "nonfinite_stage")
    if level is None or level.broken_at is None or not len(rows):
        return None
    steps, broken_at = np.asarray(run.layer_metrics.steps), level.broken_at
    bad = (np.nan_to_num(rows) > 0).any(axis=1)
    good = np.flatnonzero(~bad)
    start = int(good[-1]) + 1 if good.size else 0
    # The loss was not finite while all layer metrics were.
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
