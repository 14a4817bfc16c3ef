"""Distribution shift between the training split and another split, per feature."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from babysit.records.dataprofile import Drift

# A distance is reported when it is significant over all features and large enough to matter: two normal distributions
# a quarter of a standard deviation apart have a Kolmogorov-Smirnov distance of 0.1.
CHANCE: Final = 1e-3
DISTANCE: Final = 0.1
# Class shares in which one sample in twenty belongs to another class; the accuracy of the class prior changes as much.
SHARE_DISTANCE: Final = 0.05


def drifted_features(
    train: NDArray[np.float32], other: NDArray[np.float32], *, names: Sequence[str], split: str
) -> list[Drift]:
    """Find features whose distributions differ, by the two-sample Kolmogorov-Smirnov test with Bonferroni correction.

    train and other have shape (rows, features). Missing values are ignored.
    """
    from scipy.special import kolmogorov

    found = []
    for index, name in enumerate(names):
        left, right = (np.sort(rows[:, index][np.isfinite(rows[:, index])]) for rows in (train, other))
        if not len(left) or not len(right):
            continue
        distance = _distance(left, right)
        size = math.sqrt(len(left) * len(right) / (len(left) + len(right)))
        p_value = min(1.0, float(kolmogorov(distance * size)) * len(names))
        if p_value < CHANCE and distance > DISTANCE:
            found.append(Drift(split=split, feature=name, distance=distance, p_value=p_value))
    return sorted(found, key=lambda drift: -drift.distance)


def _distance(left: NDArray[np.float32], right: NDArray[np.float32]) -> float:
    """Return the largest difference of two cumulative distributions given as sorted values."""
    at = np.concatenate((left, right))
    below = [np.searchsorted(values, at, side="right") / len(values) for values in (left, right)]
    return float(np.abs(below[0] - below[1]).max())


def drifted_classes(train: Sequence[int], other: Sequence[int], *, split: str) -> list[Drift]:
    """Test the class shares for a difference by the chi-squared test of homogeneity."""
    from scipy.special import chdtrc

    table = np.array((train, other), dtype=np.float64)
    table = table[:, table.sum(axis=0) > 0]
    if table.shape[1] < 2 or not table.sum(axis=1).all():
        return []
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum()
    p_value = float(chdtrc(table.shape[1] - 1, ((table - expected) ** 2 / expected).sum()))
    shares = table / table.sum(axis=1, keepdims=True)
    distance = float(np.abs(shares[0] - shares[1]).sum() / 2)
    if p_value < CHANCE and distance > SHARE_DISTANCE:
        return [Drift(split=split, feature="target", distance=distance, p_value=p_value)]
    return []
