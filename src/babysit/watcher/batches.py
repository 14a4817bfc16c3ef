"""What the first steps of a watched loop were fed, kept small on the host."""

from __future__ import annotations

import math
from typing import Final, final

import msgspec
import numpy as np
from torch import Tensor

from babysit.records.arrays import Array
from babysit.records.dataprofile import DataProfile, SplitProfile
from babysit.stats.values import to_numpy

MOST_VALUES: Final = 1_000_000
MOST_STEPS: Final = 20


@final
class BatchProfile:
    """Gathers the inputs of the first sampled steps and of the first evaluations, and knows training rows again."""

    def __init__(self) -> None:
        self._trained: list[Array] = []
        self._evaluated: list[Array] = []
        self._rows: set[bytes] = set()
        self._steps = 0
        self._nonfinite = 0  # values of batches that were not kept
        self.batch_size = 0

    def add(self, inputs: Tensor) -> None:
        """Take the input of one training step: what entered the first layer."""
        if inputs.dim():
            self.batch_size = self.batch_size or inputs.shape[0]
        if self._steps >= MOST_STEPS or inputs.dim() < 2 or not inputs.is_floating_point():
            return
        self._steps += 1
        rows = to_numpy(inputs)
        self._rows.update(_fingerprints(rows))
        _keep(self._trained, rows, MOST_VALUES)

    def look(self, inputs: Tensor) -> None:
        """Count what is no number in a later batch; on the host only, elsewhere it would wait for the device."""
        if inputs.is_cpu and inputs.is_floating_point() and not math.isfinite(float(inputs.sum())):
            self._nonfinite += int((~inputs.isfinite()).sum())

    def add_evaluated(self, inputs: Tensor) -> None:
        """Take the input of one evaluation pass over other data."""
        wanted = self._trained and self._trained[0].shape[1:] == tuple(inputs.shape[1:])
        if wanted and len(self._evaluated) < MOST_STEPS and inputs.is_floating_point():
            _keep(self._evaluated, to_numpy(inputs), MOST_VALUES // 5)

    def share_seen(self, inputs: Tensor) -> float:
        """Share of rows of a batch that were among the training rows looked at."""
        rows = to_numpy(inputs)
        marks = _fingerprints(rows)
        return sum(mark in self._rows for mark in marks) / len(marks) if marks else 0.0

    def profile(self, class_counts: tuple[int, ...], target: tuple[float, float]) -> DataProfile | None:
        """The profile of what was seen, as the splits `batch` and `evaluation`; None when nothing was."""
        if not self._trained:
            return None
        batch = msgspec.structs.replace(
            kept := _split("batch", self._trained),
            nonfinite=kept.nonfinite + self._nonfinite,
            class_counts=class_counts,
            target_mean=target[0],
            target_variance=target[1],
        )
        others = (_split("evaluation", self._evaluated),) if self._evaluated else ()
        kind = "image" if self._trained[0].ndim > 3 else "table"
        return DataProfile(source="watched loop", kind=kind, splits=(batch, *others))


def _keep(parts: list[Array], rows: Array, most: int) -> None:
    """Keep rows of the same shape as those before while there is room; of a large batch, as many as fit."""
    if parts and parts[0].shape[1:] != rows.shape[1:]:
        return
    room = most - sum(part.size for part in parts)
    fitting = rows[: room // max(1, int(np.prod(rows.shape[1:])))]
    if len(fitting):
        parts.append(fitting)


def _split(name: str, parts: list[Array]) -> SplitProfile:
    values = np.concatenate(parts)
    finite = np.where(np.isfinite(values), values, np.nan)
    known = np.isfinite(values).any()
    # Images: one value a channel; everything else: one value a feature.
    axes = (0, *range(2, values.ndim)) if values.ndim > 3 else tuple(range(values.ndim - 1))
    with np.errstate(all="ignore"):
        return SplitProfile(
            split=name,
            samples=len(values),
            input_shape=tuple(values.shape[1:]),
            low=float(np.nanmin(finite)) if known else float("nan"),
            high=float(np.nanmax(finite)) if known else float("nan"),
            mean=float(np.nanmean(finite)),
            std=float(np.nanstd(finite)),
            nonfinite=int(np.count_nonzero(~np.isfinite(values))),
            feature_mean=np.atleast_1d(np.nanmean(finite, axis=axes)),
            feature_std=np.atleast_1d(np.nanstd(finite, axis=axes)),
            constant_features=int(np.count_nonzero(np.nanstd(finite, axis=0) == 0)) if len(values) > 1 else 0,
        )


def _fingerprints(rows: Array) -> list[bytes]:
    flat = np.ascontiguousarray(rows.reshape(len(rows), -1))
    return [row.tobytes() if row.size <= 32 else hash(row.tobytes()).to_bytes(8, "little", signed=True) for row in flat]
