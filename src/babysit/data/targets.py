"""Streaming target statistics for classification or regression."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, final

import numpy as np
from numpy.typing import NDArray

from babysit.data.labels import are_classes, label_of
from babysit.data.moments import Moments, merged, moments

MOST_DISTINCT: Final = 100_000  # distinct targets that are counted; with more they are not classes


@final
class Targets:
    """Counts and moments of the targets of one split."""

    def __init__(self) -> None:
        self.samples = 0
        self.missing = 0  # NaN, infinite or empty
        self.moments: Moments | None = None  # of numbers
        self.counts: Counter[Any] | None = Counter()  # of single targets by value; None with too many distinct values
        self.text = False

    def add(self, y: NDArray[Any]) -> None:
        """Add targets: text or numbers, of shape (samples,) or (samples, columns)."""
        self.samples += len(y)
        if y.ndim == 2:
            self.counts = None
            self.missing += int((~np.isfinite(y)).any(axis=1).sum())
            self.moments = merged(self.moments, moments(y))
            return
        self.text = self.text or y.dtype.kind in "US"
        known = np.char.str_len(y) > 0 if y.dtype.kind in "US" else np.isfinite(y)
        self.missing += int(len(y) - known.sum())
        if y.dtype.kind not in "US":
            self.moments = merged(self.moments, moments(y[:, None]))
        if self.counts is not None:
            self.counts.update(_counted(y[known]))
            if len(self.counts) > MOST_DISTINCT:
                self.counts = None


def _counted(y: NDArray[Any]) -> dict[Any, int]:
    """Count the occurrences of each value."""
    if y.dtype.kind in "iuf" and len(y) and 0 <= y.min() <= y.max() < MOST_DISTINCT:
        integers = y.astype(np.int64)
        if y.dtype.kind != "f" or np.array_equal(integers, y):  # integers: several times faster than sorting
            times = np.bincount(integers)
            return {int(value): int(times[value]) for value in np.flatnonzero(times)}
    values, times = np.unique(y, return_counts=True)
    return dict(zip(values.tolist(), times.tolist(), strict=True))


def class_names(splits: Sequence[Targets]) -> tuple[str, ...]:
    """Return the sorted classes in the targets of all splits; empty for quantities."""
    total: Counter[Any] = Counter()
    for targets in splits:
        if targets.counts is None:
            return ()
        total.update(targets.counts)
    if not total:
        return ()
    if any(targets.text for targets in splits):
        return tuple(sorted({label_of(value) for value in total}))
    values = np.array(sorted(total))
    integral = np.array_equal(values, np.round(values))
    return tuple(label_of(value) for value in values) if integral and are_classes(values, total.total()) else ()


def class_counts(targets: Targets, names: Sequence[str]) -> tuple[int, ...]:
    """Count the samples of each class."""
    by_name: Counter[str] = Counter()
    for value, count in (targets.counts or {}).items():
        by_name[label_of(value)] += count
    return tuple(by_name[name] for name in names)


def mean_and_variance(targets: Targets, counts: Sequence[int]) -> tuple[float, float]:
    """Return mean and variance of the class indices, or of the targets (averaged over columns)."""
    if counts:
        indices, total = np.arange(len(counts)), max(1, sum(counts))
        mean = float((indices * counts).sum() / total)
        return mean, float((np.array(counts) * (indices - mean) ** 2).sum() / total)
    if targets.moments is None:
        return 0.0, 0.0
    return float(targets.moments.mean.mean()), float(targets.moments.variance.mean())
