"""What the first steps of a watched loop were fed, kept small on the host."""

from __future__ import annotations

from typing import Final, final

import numpy as np
from torch import Tensor

from babysit.records.arrays import Array
from babysit.records.dataprofile import DataProfile, SplitProfile
from babysit.stats.values import to_numpy

MOST_VALUES: Final = 1_000_000
MOST_STEPS: Final = 20


@final
class BatchProfile:
    """Gathers the inputs of the first sampled steps, and recognizes their rows again."""

    def __init__(self) -> None:
        self._parts: list[Array] = []
        self._rows: set[bytes] = set()
        self._steps = 0
        self.batch_size = 0

    def add(self, inputs: Tensor) -> None:
        """Take the input of one step: what entered the first layer."""
        if inputs.dim():
            self.batch_size = self.batch_size or inputs.shape[0]
        if self._steps >= MOST_STEPS or inputs.dim() < 2 or not inputs.is_floating_point():
            return
        self._steps += 1
        rows = to_numpy(inputs)
        self._rows.update(_fingerprints(rows))
        if sum(part.size for part in self._parts) + rows.size <= MOST_VALUES:
            same = not self._parts or self._parts[0].shape[1:] == rows.shape[1:]
            if same:
                self._parts.append(rows)

    def share_seen(self, inputs: Tensor) -> float:
        """Share of rows of a batch that were among the training rows looked at."""
        rows = to_numpy(inputs)
        marks = _fingerprints(rows)
        return sum(mark in self._rows for mark in marks) / len(marks) if marks else 0.0

    def profile(self, class_counts: tuple[int, ...], target: tuple[float, float]) -> DataProfile | None:
        """The profile of what was seen, as the split `batch`; None when nothing was."""
        if not self._parts:
            return None
        values = np.concatenate(self._parts)
        finite = np.where(np.isfinite(values), values, np.nan)
        # Images: one value a channel; everything else: one value a feature.
        axes = (0, *range(2, values.ndim)) if values.ndim > 3 else tuple(range(values.ndim - 1))
        with np.errstate(all="ignore"):
            mean, std = np.nanmean(finite, axis=axes), np.nanstd(finite, axis=axes)
            split = SplitProfile(
                split="batch",
                samples=len(values),
                input_shape=tuple(values.shape[1:]),
                low=float(np.nanmin(finite)) if np.isfinite(values).any() else float("nan"),
                high=float(np.nanmax(finite)) if np.isfinite(values).any() else float("nan"),
                mean=float(np.nanmean(finite)),
                std=float(np.nanstd(finite)),
                nonfinite=int(np.count_nonzero(~np.isfinite(values))),
                feature_mean=np.atleast_1d(mean),
                feature_std=np.atleast_1d(std),
                constant_features=int(np.count_nonzero(np.nanstd(finite, axis=0) == 0)) if len(values) > 1 else 0,
                class_counts=class_counts,
                target_mean=target[0],
                target_variance=target[1],
            )
        return DataProfile(source="watched loop", kind="image" if values.ndim > 3 else "table", splits=(split,))


def _fingerprints(rows: Array) -> list[bytes]:
    flat = np.ascontiguousarray(rows.reshape(len(rows), -1))
    return [row.tobytes() if row.size <= 32 else hash(row.tobytes()).to_bytes(8, "little", signed=True) for row in flat]
