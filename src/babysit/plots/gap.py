"""The area between two curves: the gap between training and validation."""

from __future__ import annotations

from typing import NamedTuple

import altair as alt
import numpy as np

from babysit.plots.points import Line, rows
from babysit.plots.theme import GREY, Figure


class Gap(NamedTuple):
    """Two curves at common steps, the lower and the upper one; empty when fewer than two steps are common."""

    steps: tuple[float, ...] = ()
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()


def between(one: Line, other: Line) -> Gap:
    """Return the area between two linearly interpolated curves."""
    if not len(one) or not len(other):
        return Gap()
    start, end = max(one.steps[0], other.steps[0]), min(one.steps[-1], other.steps[-1])
    steps = np.unique(np.concatenate([one.steps, other.steps]))
    steps = steps[(steps >= start) & (steps <= end)]
    if len(steps) < 2:
        return Gap()
    both = [np.interp(steps, line.steps, line.values) for line in (one, other)]
    low, high = np.minimum(*both), np.maximum(*both)
    return Gap(tuple(steps.tolist()), tuple(low.tolist()), tuple(high.tolist()))


def area(gap: Gap, y: alt.Y) -> Figure:
    """Draw the gap as a grey area."""
    data = rows(step=list(gap.steps), value=list(gap.high), low=list(gap.low))
    drawn: Figure = alt.Chart(data).mark_area(color=GREY, opacity=0.18, clip=True).encode(x="step:Q", y=y, y2="low:Q")
    return drawn
