"""Aggregation of neighboring values that preserves extremes."""

from __future__ import annotations

from enum import StrEnum

import numpy as np

from babysit.records.arrays import Array


class Aggregation(StrEnum):
    """Aggregation of a group of values."""

    MEDIAN = "median"
    HIGHEST = "highest"  # the worst share
    FARTHEST = "farthest"  # the value farthest from the usual one


def aggregate(table: Array, group: Array, how: Aggregation, *, usual: float = 0.0) -> Array:
    """Aggregate groups of rows: (rows, columns) becomes (columns, groups); `group` holds the group of each row.

    NaN (not measured) is ignored unless a group has no other values; infinities count.
    """
    result = np.full((table.shape[1], int(group.max()) + 1), np.nan)
    for index in np.unique(group):
        result[:, index] = _REDUCE[how](table[group == index], usual)
    return result


def _median(rows: Array, _: float) -> Array:
    # The lower of the two middle values, not their mean: infinities of both signs would become NaN. NumPy's
    # nanquantile processes columns one at a time: two hundred times slower.
    ordered = np.sort(rows, axis=0)  # NaN is sorted last
    middle = np.maximum((~np.isnan(rows)).sum(axis=0) - 1, 0) // 2
    chosen: Array = np.take_along_axis(ordered, middle[None], axis=0)[0]
    return chosen


def _highest(rows: Array, _: float) -> Array:
    highest: Array = np.fmax.reduce(rows, axis=0)
    return highest


def _farthest(rows: Array, usual: float) -> Array:
    distance = np.where(np.isnan(rows), -1.0, np.abs(rows - usual))
    chosen: Array = np.take_along_axis(rows, distance.argmax(axis=0)[None], axis=0)[0]
    return chosen


_REDUCE = {Aggregation.MEDIAN: _median, Aggregation.HIGHEST: _highest, Aggregation.FARTHEST: _farthest}
