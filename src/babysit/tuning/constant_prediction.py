"""The score of the best constant prediction."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from babysit.analysis.constant import Constant, from_counts, from_variance
from babysit.data.samples import Samples
from babysit.records.model_summary import Task


def constant_prediction(train: Samples, validation: Samples) -> Constant | None:
    """Return the score of the best constant prediction; None for tasks where it is unknown."""
    match train.task:
        case Task.CLASSES | Task.SEQUENCE | Task.BINARY:
            return from_counts(_counts(train.y), _counts(validation.y))
        case Task.REGRESSION | Task.RECONSTRUCTION if len(train.y):
            variance = float(train.y.double().var(dim=0, correction=0).mean())
            return from_variance(variance, len(validation))
        case _:
            return None


def _counts(y: Tensor) -> list[int]:
    return [int(count) for count in np.unique(y.flatten().cpu().numpy(), return_counts=True)[1]]
