"""Samples: inputs and targets in memory, with their description."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from babysit.records.model_summary import Task


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Samples:
    """Inputs and targets of samples, with their description.

    x is float32: (samples, features) for a table, (samples, channels, height, width) for images. Values are unchanged
    (pixels 0 to 255): scaling belongs to the model, so that it is saved with it.
    y is int64 class indices (samples,), or float32 (samples, columns) for regression and multilabel targets.
    """

    x: Tensor
    y: Tensor
    task: Task
    kind: str  # table or image
    class_names: tuple[str, ...] = ()  # class_names[i] is the label of index i
    feature_names: tuple[str, ...] = ()
    source: str = ""
    skipped: int = 0  # files of the source that were not read
    notes: tuple[str, ...] = ()  # decisions while reading, one sentence each
    given_test: int = 0  # number of samples at the end that are the test set of the source

    def __len__(self) -> int:
        return len(self.x)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Return the shape of one sample."""
        return tuple(self.x.shape[1:])

    @property
    def outputs(self) -> int:
        """Return the number of network outputs per sample: classes, or target columns."""
        return len(self.class_names) if self.task is Task.CLASSES else int(self.y.shape[1])

    def take(self, indices: Tensor | Sequence[int]) -> Samples:
        """Return the samples at these indices, in this order."""
        positions = torch.as_tensor(indices, dtype=torch.int64)
        return replace(self, x=self.x[positions], y=self.y[positions], given_test=0)
