"""Targets that pass by: counts of classes, or mean and variance, without knowing beforehand which they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, final

import numpy as np
from numpy.typing import NDArray

from babysit.data.labels import are_classes, label_of
from babysit.data.moments import Moments, merged, moments

MOST_DISTINCT: Final = 100_000  # different targets whose counts are kept; beyond them they are no classes


@final
class Targets:
    """Counts and moments of the targets of one split."""

    def __init__(self) -> None:
        self.samples = 0
        self.missing = 0  # NaN, infinite or empty
        self.moments: Moments | None = None  # of numbers
        self.counts: Counter[Any] | None = Counter()  # of single targets, by value; None when there are too many
        self.text = False

    def add(self, y: NDArray[Any]) -> None:
        """Targets of some more samples: text or numbers, of shape (samples,) or (samples, columns)."""
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
    """How often each value occurs."""
    if y.dtype.kind in "iuf" and len(y) and 0 <= y.min() <= y.max() < MOST_DISTINCT:
        places = y.astype(np.int64)
        if y.dtype.kind != "f" or np.array_equal(places, y):  # whole numbers: several times faster than sorting
            times = np.bincount(places)
            return {int(value): int(times[value]) for value in np.flatnonzero(times)}
    values, times = np.unique(y, return_counts=True)
    return dict(zip(values.tolist(), times.tolist(), strict=True))


def class_names(splits: Sequence[Targets]) -> tuple[str, ...]:
    """The classes that the targets of all splits name, in order; none when they are quantities."""
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
    whole = np.array_equal(values, np.round(values))
    return tuple(label_of(value) for value in values) if whole and are_classes(values, total.total()) else ()


def class_counts(targets: Targets, names: Sequence[str]) -> tuple[int, ...]:
    """How many samples each class has."""
    by_name: Counter[str] = Counter()
    for value, count in (targets.counts or {}).items():
        by_name[label_of(value)] += count
    return tuple(by_name[name] for name in names)


def mean_and_variance(targets: Targets, counts: Sequence[int]) -> tuple[float, float]:
    """Of class indices, when there are classes, else of the targets themselves (averaged over columns)."""
    if counts:
        indices, total = np.arange(len(counts)), max(1, sum(counts))
        mean = float((indices * counts).sum() / total)
        return mean, float((np.array(counts) * (indices - mean) ** 2).sum() / total)
    if targets.moments is None:
        return 0.0, 0.0
    return float(targets.moments.mean.mean()), float(targets.moments.variance.mean())
