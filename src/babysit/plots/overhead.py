"""Monitoring overhead, and the sampling interval over the training."""

from __future__ import annotations

from typing import NamedTuple

import altair as alt
import numpy as np

from babysit.plots.formatting import count, number, percent
from babysit.plots.points import Line, downsample, rows
from babysit.plots.theme import BLUE, TEAL, Figure, log_axis, log_scale, step_axis, themed
from babysit.records.run import Run


class Numbers(NamedTuple):
    """The interval between sampled steps, and the total overhead."""

    gaps: Line
    share: float
    budget: float
    seconds: float
    sampled: int
    steps: int


def numbers(run: Run) -> Numbers | None:
    """Return the sampled steps of a run and their overhead, or None when fewer than two steps were sampled."""
    steps, spent = np.asarray(run.layer_metrics.steps), run.overhead
    if spent is None or not spent.steps or len(steps) < 2:
        return None
    gaps = Line(steps[1:], np.maximum(1, np.diff(steps)).astype("float64"))
    # During a training, samples may have been recorded after the last update of the overhead.
    seen = max(spent.steps, int(steps[-1]) + 1)
    return Numbers(gaps, spent.share, spent.budget, spent.seconds, len(steps), seen)


def describe(numbers: Numbers) -> str:
    """Describe the figure in two sentences."""
    within = "within" if numbers.share <= numbers.budget else "above"
    return (
        f"{numbers.sampled:,} of {count(numbers.steps, 'step')} were sampled; final interval: "
        f"{number(float(numbers.gaps.values[-1]))} steps. Monitoring took {percent(numbers.share)} of the step time, "
        f"{within} its budget of {percent(numbers.budget)}, and {number(numbers.seconds)} seconds in total."
    )


def draw(numbers: Numbers) -> Figure:
    """Draw the number of steps between samples, with a tick for every sample."""
    low, high = 1.0, max(2.0, float(numbers.gaps.values.max()))
    y = alt.Y("gap:Q", scale=log_scale(low, high), axis=log_axis("steps between samples (log)", low, high))
    line = downsample(numbers.gaps, 200)
    data = rows(step=line.steps, gap=line.values)
    tooltip = [alt.Tooltip("step:Q", format=","), alt.Tooltip("gap:Q", title="steps since last sample", format=",")]
    curve = alt.Chart(data).mark_line(color=BLUE, interpolate="step-before").encode(x=step_axis(), y=y)
    points = (
        alt.Chart(data).mark_point(color=BLUE, filled=True, size=14, opacity=1).encode(x="step:Q", y=y, tooltip=tooltip)
    )
    ticks = alt.Chart(rows(step=line.steps)).mark_tick(color=TEAL, thickness=1, size=10, opacity=0.6)
    return themed(alt.layer(curve, points, ticks.encode(x="step:Q", y=alt.value("height"))), height=180)
