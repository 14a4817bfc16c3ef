"""Training and validation accuracy (or r2), and the generalization gap."""

from __future__ import annotations

from typing import NamedTuple

import altair as alt
import numpy as np

from babysit.plots import markers
from babysit.plots.formatting import number, percent
from babysit.plots.gap import Gap, area, between
from babysit.plots.points import Line, downsample, finite, rows, smooth
from babysit.plots.theme import BLUE, DASHES, SHAPES, VERMILION, Figure, legend, step_axis, themed
from babysit.records.curves import curve_name
from babysit.records.run import Run

_METRICS = ("accuracy", "r2")
_COLOURS = {"train": BLUE, "validation": VERMILION}
_DASHES = {"train": DASHES[0], "validation": DASHES[1]}


class Numbers(NamedTuple):
    """The metric of both splits, and the gap at the steps where both are known."""

    metric: str
    lines: dict[str, Line]
    gap: Gap


def numbers(run: Run) -> Numbers | None:
    """Return the metric curves of a run, or None when it recorded none."""
    for metric in _METRICS:
        lines = {split: finite(run.curves.get(curve_name(split, metric))) for split in _COLOURS}
        if any(len(line) for line in lines.values()):
            # Per-batch accuracy is mostly noise; per-epoch accuracy has few points and is not smoothed.
            lines = {split: downsample(smooth(line, len(line) // 50)) for split, line in lines.items() if len(line)}
            gap = between(lines["train"], lines["validation"]) if len(lines) == 2 else Gap()
            return Numbers(metric, lines, gap)
    return None


def describe(numbers: Numbers) -> str:
    """Describe the figure in one or two sentences."""
    write = percent if numbers.metric == "accuracy" else number
    ends = [f"{split} {write(float(line.values[-1]))}" for split, line in numbers.lines.items()]
    text = f"Final {numbers.metric}: {', '.join(ends)}."
    if "validation" in numbers.lines:
        line = numbers.lines["validation"]
        best = int(line.values.argmax())
        text += f" Best validation: {write(float(line.values[best]))} after step {int(line.steps[best]):,}."
    if numbers.gap.steps:
        gap = numbers.gap.high[-1] - numbers.gap.low[-1]
        points = f"{100 * gap:.1f} points" if numbers.metric == "accuracy" else number(gap)
        text += f" Generalization gap at the end: {points}."
    return text


def draw(numbers: Numbers) -> Figure:
    """Draw both curves and the area between them."""
    values = np.concatenate([line.values for line in numbers.lines.values()])
    # r2 is unbounded below for a bad fit; values below -1 are given in the caption only.
    low, high = (max(-1.0, float(values.min())), 1.0)
    room = 0.04 * (high - low)
    axis = alt.Axis(title=numbers.metric, format=".0%" if numbers.metric == "accuracy" else "~g")
    y = alt.Y("value:Q", axis=axis, scale=alt.Scale(domain=[low - room, high], nice=False, clamp=True))
    layers = [area(numbers.gap, y)] if numbers.gap.steps else []
    layers += [layer for split in numbers.lines for layer in _line(split, numbers.lines, y)]
    return themed(alt.layer(*layers, *markers.hover(numbers.lines, y)))


def _line(split: str, lines: dict[str, Line], y: alt.Y) -> list[Figure]:
    domain, line = list(lines), lines[split]
    chart = alt.Chart(rows(step=line.steps, value=line.values, split=split))
    colour = alt.Color(
        "split:N", scale=alt.Scale(domain=domain, range=[_COLOURS[known] for known in domain]), legend=legend(domain)
    )
    dash = alt.StrokeDash("split:N", scale=alt.Scale(domain=domain, range=[_DASHES[known] for known in domain]))
    drawn = [chart.mark_line(clip=True).encode(x=step_axis(), y=y, color=colour, strokeDash=dash)]
    if len(line) <= 60:
        shape = SHAPES[list(_COLOURS).index(split)]
        points = chart.mark_point(size=24, filled=True, opacity=1, shape=shape, color=_COLOURS[split])
        drawn.append(points.encode(x="step:Q", y=y))
    return drawn
