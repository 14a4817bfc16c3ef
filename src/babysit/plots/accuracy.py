"""Accuracy (or r2) on training and validation data, and the gap between the two."""

from __future__ import annotations

from typing import NamedTuple

import altair as alt
import numpy as np

from babysit.plots import marks
from babysit.plots.points import Line, finite, rows, smooth, thin
from babysit.plots.theme import BLUE, GREY, SHAPES, VERMILION, Figure, step_axis, themed
from babysit.plots.words import number, percent
from babysit.records.run import Run

_METRICS = ("accuracy", "r2")
_COLOURS = {"train": BLUE, "validation": VERMILION}


class Numbers(NamedTuple):
    """The metric of both splits, and both at the steps where both are known."""

    metric: str
    lines: dict[str, Line]
    gap_steps: tuple[int, ...]
    gap_low: tuple[float, ...]
    gap_high: tuple[float, ...]


def numbers(run: Run) -> Numbers | None:
    """The metric curves of a run, or None when it recorded none."""
    for metric in _METRICS:
        lines = {split: finite(run.curves.get(f"{metric}/{split}")) for split in _COLOURS}
        if any(len(line) for line in lines.values()):
            # Accuracy of every batch is mostly noise; accuracy of every epoch is few points and stays as it is.
            lines = {split: thin(smooth(line, len(line) // 50)) for split, line in lines.items() if len(line)}
            return Numbers(metric, lines, *_gap(lines))
    return None


def describe(numbers: Numbers) -> str:
    """The figure in one or two sentences."""
    write = percent if numbers.metric == "accuracy" else number
    ends = [f"{split} {write(float(line.values[-1]))}" for split, line in numbers.lines.items()]
    said = f"In the end: {', '.join(ends)} {numbers.metric}."
    if "validation" in numbers.lines:
        line = numbers.lines["validation"]
        best = int(line.values.argmax())
        said += f" Best validation: {write(float(line.values[best]))} after step {int(line.steps[best]):,}."
    if numbers.gap_steps:
        gap = numbers.gap_high[-1] - numbers.gap_low[-1]
        points = f"{100 * gap:.1f} points" if numbers.metric == "accuracy" else number(gap)
        said += f" Gap at the end: {points}."
    return said


def draw(numbers: Numbers) -> Figure:
    """The figure: both curves and the area between them."""
    values = np.concatenate([line.values for line in numbers.lines.values()])
    # r2 falls without bound when a fit goes wrong; what lies below -1 is told by the caption.
    low, high = (max(-1.0, float(values.min())), 1.0)
    room = 0.04 * (high - low)
    axis = alt.Axis(title=numbers.metric, format=".0%" if numbers.metric == "accuracy" else "~g")
    y = alt.Y("value:Q", axis=axis, scale=alt.Scale(domain=[low - room, high], nice=False, clamp=True))
    layers = [_area(numbers, y)] if numbers.gap_steps else []
    layers += [_line(split, line, y) for split, line in numbers.lines.items()]
    return themed(alt.layer(*layers, *marks.hover(numbers.lines, y)))


def _area(numbers: Numbers, y: alt.Y) -> Figure:
    data = rows(step=list(numbers.gap_steps), value=list(numbers.gap_high), low=list(numbers.gap_low))
    area: Figure = alt.Chart(data).mark_area(color=GREY, opacity=0.18).encode(x="step:Q", y=y, y2="low:Q")
    return area


def _line(split: str, line: Line, y: alt.Y) -> Figure:
    few = len(line) <= 60
    domain = list(_COLOURS)
    point = alt.OverlayMarkDef(size=24, filled=True, opacity=1) if few else False
    chart = alt.Chart(rows(step=line.steps, value=line.values, split=split)).mark_line(point=point, clip=True)
    encoded: Figure = chart.encode(
        x=step_axis(),
        y=y,
        color=alt.Color("split:N", scale=alt.Scale(domain=domain, range=list(_COLOURS.values())), title=None),
        shape=alt.Shape("split:N", scale=alt.Scale(domain=domain, range=list(SHAPES[:2])), title=None),
    )
    return encoded


def _gap(lines: dict[str, Line]) -> tuple[tuple[int, ...], tuple[float, ...], tuple[float, ...]]:
    if len(lines) < 2:
        return (), (), ()
    train, validation = lines["train"], lines["validation"]
    start = max(train.steps[0], validation.steps[0])
    end = min(train.steps[-1], validation.steps[-1])
    steps = np.unique(np.concatenate([train.steps, validation.steps]))
    steps = steps[(steps >= start) & (steps <= end)]
    if len(steps) < 2:
        return (), (), ()
    both = [np.interp(steps, line.steps, line.values) for line in (train, validation)]
    low, high = np.minimum(*both), np.maximum(*both)
    return tuple(steps.tolist()), tuple(low.tolist()), tuple(high.tolist())
