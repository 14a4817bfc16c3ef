"""Scalars by step: losses, metrics, learning rate, gradient norm."""

from __future__ import annotations

from typing import Final

import msgspec

from babysit.records.arrays import Array, empty

# The names every room uses. "loss/train" is the data loss of each optimizer step; a second objective (a GAN's) is
# "loss/train/1". Steps count optimizer steps from 0; validation values carry the step they were measured after.
LOSS_TRAIN: Final = "loss/train"
LOSS_VALIDATION: Final = "loss/validation"
ACCURACY_TRAIN: Final = "accuracy/train"
ACCURACY_VALIDATION: Final = "accuracy/validation"
RATE: Final = "rate"
GRADIENT_NORM: Final = "gradient_norm"


class Series(msgspec.Struct, frozen=True, eq=False):
    """One curve: `values[i]` was seen after step `steps[i]`."""

    steps: Array = msgspec.field(default_factory=lambda: empty("int64"))
    values: Array = msgspec.field(default_factory=empty)

    def __len__(self) -> int:
        return len(self.steps)


class Curves(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """All curves of a run by name."""

    series: dict[str, Series] = {}

    def get(self, name: str) -> Series:
        """The curve of that name; an empty one when it was never recorded."""
        return self.series.get(name, Series())
