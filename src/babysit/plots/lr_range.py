"""LR range test: loss by learning rate, and the suggested learning rates."""

from __future__ import annotations

from typing import NamedTuple

import altair as alt
import numpy as np

from babysit.plots.formatting import number
from babysit.plots.points import Line, rows
from babysit.plots.theme import BLUE, TEAL, VERMILION, Figure, log_axis, log_scale, themed
from babysit.records.arrays import Array
from babysit.records.curves import Series
from babysit.records.run import Run

# The test itself stops at three times the initial loss (the lecture's limit); the figure ends there.
_TOP = 3.0


class Numbers(NamedTuple):
    """Loss and smoothed loss by learning rate (in `steps` of both lines), and the suggestions."""

    raw: Line
    smoothed: Line
    suggested: float | None
    low: float | None
    high: float | None
    message: str


def numbers(run: Run) -> Numbers | None:
    """Return the LR range test of a run, or None when it was not run."""
    experiment = run.experiment("lr-range")
    if experiment is None:
        return None
    lrs = np.asarray(experiment.curves.get("lr", Series()).values, dtype="float64")
    raw = _by_lr(experiment.curves.get("loss", Series()), lrs)
    smoothed = _by_lr(experiment.curves.get("smoothed", Series()), lrs)
    if len(raw) < 2:
        return None
    found = {name: experiment.measured.get(name) for name in ("suggested", "low", "high")}
    known = {name: value if value and np.isfinite(value) else None for name, value in found.items()}
    return Numbers(raw, smoothed, known["suggested"], known["low"], known["high"], experiment.message)


def describe(numbers: Numbers) -> str:
    """Describe the figure in one sentence."""
    tested = f"Learning rates from {number(numbers.raw.steps[0])} to {number(numbers.raw.steps[-1])}"
    if numbers.suggested is None:
        return f"{tested}; no usable one was found."
    usable = ""
    if numbers.low is not None and numbers.high is not None:
        usable = f" (usable: {number(numbers.low)} to {number(numbers.high)})"
    return f"{tested}; suggested: {number(numbers.suggested)}{usable}."


def draw(numbers: Numbers) -> Figure:
    """Draw the loss by learning rate, the latter on a log axis."""
    low, high = float(numbers.raw.steps[0]), float(numbers.raw.steps[-1])
    x = alt.X("lr:Q", scale=log_scale(low, high), axis=log_axis("learning rate (log)", low, high))
    first, most = float(numbers.raw.values[0]), float(numbers.raw.values.max())
    floor = float(min(numbers.raw.values.min(), 0.9 * first))
    top = min(most, _TOP * first) if first > 0 else most
    axis = alt.Axis(title="loss", format="~g")
    y = alt.Y("loss:Q", scale=alt.Scale(domain=[min(0.0, floor), top], clamp=True), axis=axis)
    tooltip = [
        alt.Tooltip("lr:Q", title="learning rate", format=".2~e"),
        alt.Tooltip("loss:Q", format=".4~g"),
    ]
    points = alt.Chart(rows(lr=numbers.raw.steps, loss=numbers.raw.values))
    layers = [*_usable(numbers, x)]
    layers.append(points.mark_point(filled=True, size=16, color=BLUE, opacity=0.5).encode(x=x, y=y, tooltip=tooltip))
    if len(numbers.smoothed) >= 2:
        line = alt.Chart(rows(lr=numbers.smoothed.steps, loss=numbers.smoothed.values))
        layers.append(line.mark_line(color=BLUE, clip=True).encode(x=x, y=y))
    return themed(alt.layer(*layers, *_suggested(numbers, x)))


def _usable(numbers: Numbers, x: alt.X) -> list[Figure]:
    if numbers.low is None or numbers.high is None:
        return []
    data = rows(lr=[numbers.low], end=[numbers.high])
    return [alt.Chart(data).mark_rect(color=TEAL, opacity=0.13).encode(x=x, x2="end:Q")]


def _suggested(numbers: Numbers, x: alt.X) -> list[Figure]:
    if numbers.suggested is None:
        return []
    data = rows(lr=[numbers.suggested], words=[f"suggested {number(numbers.suggested, 2)}"])
    low, high = np.log10(numbers.raw.steps[0]), np.log10(numbers.raw.steps[-1])
    left = np.log10(numbers.suggested) > (low + high) / 2
    words = alt.Chart(data).mark_text(
        align="right" if left else "left", dx=-5 if left else 5, baseline="top", fontWeight=600
    )
    return [
        alt.Chart(data).mark_rule(color=VERMILION, strokeDash=[5, 3], strokeWidth=1.6).encode(x=x),
        words.encode(x=x, y=alt.value(4), text="words:N"),
    ]


def _by_lr(series: Series, lrs: Array) -> Line:
    """Return a curve by step number as a curve by learning rate, without steps that lack a finite value."""
    steps, values = np.asarray(series.steps, dtype="int64"), np.asarray(series.values, dtype="float64")
    usable = (steps >= 0) & (steps < len(lrs)) & np.isfinite(values)
    steps, values = steps[usable], values[usable]
    usable = np.isfinite(lrs[steps]) & (lrs[steps] > 0)
    return Line(lrs[steps][usable], values[usable])
