"""Samples: inputs and targets in memory, with what they mean."""

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
    """Inputs and targets of some samples, and what they mean.

    x is float32: (samples, features) for a table, (samples, channels, height, width) for images. Values are kept as
    they were read (pixels 0 to 255): scaling belongs to the model, so that it is saved with it.
    y is int64 class indices (samples,), or float32 (samples, columns) for regression and for several labels at once.
    """

    x: Tensor
    y: Tensor
    task: Task
    kind: str  # table or image
    class_names: tuple[str, ...] = ()  # class_names[i] is the label that index i stands for
    feature_names: tuple[str, ...] = ()
    source: str = ""
    skipped: int = 0  # things in the source that were not read (files that are no images)
    notes: tuple[str, ...] = ()  # what was decided while reading, one sentence each
    given_test: int = 0  # the last so many samples are the test set that the source came with

    def __len__(self) -> int:
        return len(self.x)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one sample."""
        return tuple(self.x.shape[1:])

    @property
    def outputs(self) -> int:
        """How many values the network must give for a sample: classes, or target columns."""
        return len(self.class_names) if self.task is Task.CLASSES else int(self.y.shape[1])

    def take(self, indices: Tensor | Sequence[int]) -> Samples:
        """The samples at these places, in this order."""
        places = torch.as_tensor(indices, dtype=torch.int64)
        return replace(self, x=self.x[places], y=self.y[places], given_test=0)
