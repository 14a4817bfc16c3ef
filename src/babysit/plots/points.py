"""Curves prepared for drawing: finite points, downsampled without losing peaks, smoothed without lag."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, final

import altair as alt
import numpy as np

from babysit.records.arrays import Array
from babysit.records.curves import Series

# About one point per two pixels of a page-wide figure; more are not visible.
POINTS = 400


@final
@dataclass(frozen=True, eq=False)
class Line:
    """Finite points in order of their steps."""

    steps: Array
    values: Array

    def __len__(self) -> int:
        return len(self.steps)


def finite(series: Series) -> Line:
    """Return the finite points of a curve in order of their steps."""
    steps, values = np.asarray(series.steps), np.asarray(series.values, dtype="float64")
    length = min(len(steps), len(values))
    steps, values = steps[:length], values[:length]
    order = np.argsort(steps, kind="stable")
    order = order[np.isfinite(values[order])]
    # Sums and differences of the drawn values must stay finite.
    return Line(steps[order], values[order].clip(-1e300, 1e300))


def first_nonfinite(series: Series) -> int | None:
    """Return the first step whose value is NaN or infinite."""
    bad = ~np.isfinite(np.asarray(series.values, dtype="float64"))
    return int(np.asarray(series.steps)[: len(bad)][bad].min()) if bad.any() else None


def downsample(line: Line, points: int = POINTS) -> Line:
    """Reduce to about `points` points: the minimum and maximum of every segment, so that no spike disappears."""
    if len(line) <= points:
        return line
    selected = [0, len(line) - 1]
    for stretch in np.array_split(np.arange(len(line)), points // 2):
        values = line.values[stretch]
        selected += [int(stretch[values.argmin()]), int(stretch[values.argmax()])]
    indices = np.unique(selected)
    return Line(line.steps[indices], line.values[indices])


def smooth(line: Line, window: int) -> Line:
    """Return the centered running mean over `window` points: no lag, unlike an exponential average."""
    if window <= 1 or len(line) <= window:
        return line
    length, half = len(line), window // 2
    scale = float(np.abs(line.values).max()) or 1.0  # normalize first: sums of huge losses must not overflow
    scaled = line.values / scale
    sums = np.concatenate([[0.0], np.cumsum(scaled)])
    middle = np.arange(length)
    # Near both ends the window shrinks symmetrically, so that the mean is not biased toward the middle.
    reach = np.minimum(half, np.minimum(middle, length - 1 - middle))
    low, high = middle - reach, middle + reach + 1
    values = (sums[high] - sums[low]) / (high - low)
    # That leaves batch noise at the very end, the most important part: there, a straight line instead, fitted to three
    # windows, so that its end varies no more than the running mean before it.
    tail = scaled[-3 * window :]
    positions = np.arange(len(tail)) - (len(tail) - 1) / 2
    slope, level = np.polyfit(positions, tail, 1)
    straight = np.clip(level + slope * positions, tail.min(), tail.max())
    values[length - half :] = straight[len(tail) - half :]
    return Line(line.steps, values * scale)


def significant(value: float, digits: int = 4) -> float | None:
    """Round the value to `digits` significant digits; None (drawn as a gap) when it is not finite."""
    value = float(value)
    if not math.isfinite(value):
        return None
    return float(f"{value:.{digits - 1}e}")


def rows(**columns: Any) -> alt.InlineData:
    """Return columns of equal length as data of a figure; a single value is repeated for the whole column."""
    length = max((len(column) for column in columns.values() if _is_column(column)), default=1)
    full = {name: column if _is_column(column) else [column] * length for name, column in columns.items()}
    names = list(full)
    return alt.InlineData(
        values=[dict(zip(names, map(_plain, row), strict=True)) for row in zip(*full.values(), strict=True)]
    )


def _is_column(column: Any) -> bool:
    return isinstance(column, list | tuple | np.ndarray)


def _plain(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    return significant(value, 5) if isinstance(value, float) else value


def by_name(lines: dict[str, Line]) -> alt.InlineData:
    """Concatenate all lines: columns step, value and name."""
    return rows(
        step=[step for line in lines.values() for step in line.steps.tolist()],
        value=[value for line in lines.values() for value in line.values.tolist()],
        name=[name for name, line in lines.items() for _ in range(len(line))],
    )
