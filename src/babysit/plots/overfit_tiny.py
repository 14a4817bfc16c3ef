"""Overfit a small batch: the loss on twenty samples by step."""

from __future__ import annotations

from typing import NamedTuple

import altair as alt

from babysit.plots import markers
from babysit.plots.formatting import count, number
from babysit.plots.points import Line, downsample, finite, rows
from babysit.plots.theme import BLUE, GREY, Figure, log_axis, log_scale, step_axis, themed
from babysit.records.curves import Series
from babysit.records.run import Run

# An exact 0 cannot be drawn on a log axis; values below a millionth of the initial loss do not matter.
_FLOOR_SHARE = 1e-6


class Numbers(NamedTuple):
    """The loss on the small batch, and the required loss (None when unknown)."""

    loss: Line
    goal: float | None
    passed: bool


def numbers(run: Run) -> Numbers | None:
    """Return the experiment of a run, or None when it was not run or has no curve."""
    experiment = run.experiment("overfit-tiny")
    line = finite(experiment.curves.get("loss", Series())) if experiment else finite(Series())
    if experiment is None or len(line) < 2:
        return None
    share = experiment.expected.get("share")  # of the initial loss
    goal = experiment.expected.get("loss", share * float(line.values[0]) if share else None)
    return Numbers(downsample(line), goal if goal and goal > 0 else None, experiment.outcome == "pass")


def describe(numbers: Numbers) -> str:
    """Describe the figure in one sentence."""
    first, last = float(numbers.loss.values[0]), float(numbers.loss.values[-1])
    steps = count(int(numbers.loss.steps[-1]), "step")
    goal = f" (required: {number(numbers.goal)})" if numbers.goal is not None else ""
    outcome = "passed" if numbers.passed else "failed"
    return f"Small-batch overfit test {outcome}: loss {number(first)} → {number(last)} in {steps}{goal}."


def draw(numbers: Numbers) -> Figure:
    """Draw the loss by step, with the required value."""
    values = numbers.loss.values
    floor = max(float(abs(values).max()) * _FLOOR_SHARE, 1e-12)
    line = Line(numbers.loss.steps, values.clip(min=floor))
    goal = max(numbers.goal, floor) if numbers.goal is not None else None
    shown = [float(line.values.min()), float(line.values.max()), *([goal] if goal is not None else [])]
    low, high = min(shown), max(shown)
    y = alt.Y("value:Q", scale=log_scale(low, high), axis=log_axis("loss (log)", low, high))
    layers = []
    if goal is not None:
        data = rows(value=[goal], words=[f"required: {number(goal)}"])
        layers = [
            alt.Chart(data).mark_rule(color=GREY, strokeDash=[3, 3], strokeWidth=1.5).encode(y=y),
            alt.Chart(data)
            .mark_text(align="left", baseline="bottom", dx=6, dy=-3, opacity=0.85)
            .encode(x=alt.value(0), y=y, text="words:N"),
        ]
    curve = alt.Chart(rows(step=line.steps, value=line.values)).mark_line(color=BLUE).encode(x=step_axis(), y=y)
    return themed(alt.layer(*layers, curve, *markers.hover({"loss": line}, y)))
