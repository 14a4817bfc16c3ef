"""Parallel coordinates: each trial as a line through its hyperparameters to its metric."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import altair as alt
import numpy as np

from babysit.analysis.trials import best_trial
from babysit.plots.formatting import count, number
from babysit.plots.names import distinct, short
from babysit.plots.points import rows
from babysit.plots.theme import INK, Figure, themed
from babysit.records.run import Run
from babysit.records.trial import Trial, Value

_MOST_LINES: Final = 200  # the best ones; more are not distinguishable
_MOST_AXES: Final = 7


class Line(NamedTuple):
    """One trial: its positions on the axes (0 to 1, None for absent hyperparameters), and its metric."""

    trial: int
    positions: tuple[float | None, ...]
    metric: float
    words: str


class Numbers(NamedTuple):
    """Lines from worst to best, and for each axis its name and the labels of its two ends."""

    lines: tuple[Line, ...]
    axes: tuple[str, ...]
    ends: tuple[tuple[str, str], ...]
    left_out: int
    best: str  # the best trial as text, its metric first


def numbers(run: Run) -> Numbers | None:
    """Return the trials with a metric, or None when fewer than two or nothing varies."""
    done = [trial for trial in run.trials if trial.metric is not None and math.isfinite(trial.metric)]
    names = [name for name in dict.fromkeys(n for t in done for n in t.parameters) if _varies(done, name)]
    names = names[: _MOST_AXES - 1]
    if len(done) < 2 or not names:
        return None
    done.sort(key=lambda trial: (trial.level, trial.metric or 0.0))
    best = best_trial(run)
    shown = done[-_MOST_LINES:]
    scaled = {name: _positions([trial.parameters.get(name) for trial in shown]) for name in names}
    metrics = _positions([trial.metric for trial in shown])
    lines = tuple(
        Line(
            trial.number,
            (*(scaled[name][0][position] for name in names), metrics[0][position]),
            float(trial.metric or 0.0),
            _words(trial),
        )
        for position, trial in enumerate(shown)
    )
    best_text = f" Best: {number(best.metric, 4)} at {_words(best.trial)}." if best else ""
    ends = (*(scaled[name][1] for name in names), metrics[1])
    return Numbers(lines, (*distinct(names, 18), "metric"), ends, len(done) - len(shown), best_text)


def _words(trial: Trial) -> str:
    return short(", ".join(f"{name} {_value_text(value)}" for name, value in trial.parameters.items()), 120)


def describe(numbers: Numbers) -> str:
    """Describe the figure in one sentence."""
    text = f"{count(len(numbers.lines), 'trial')}, each a line from its hyperparameters to its metric"
    left = f" (the best; {numbers.left_out:,} others left out)" if numbers.left_out else ""
    return f"{text}{left}.{numbers.best}"


def draw(numbers: Numbers) -> Figure:
    """Draw parallel axes; bright lines are good trials."""
    points = [
        (line, axis, position)
        for line in numbers.lines
        for axis, position in zip(numbers.axes, line.positions, strict=True)
        if position is not None
    ]
    data = rows(
        trial=[line.trial for line, _, _ in points],
        axis=[axis for _, axis, _ in points],
        position=[position for _, _, position in points],
        metric=[line.metric for line, _, _ in points],
        words=[line.words for line, _, _ in points],
    )
    x = alt.X("axis:N", sort=list(numbers.axes), axis=alt.Axis(title=None, labelAngle=0, grid=True), scale=_AXIS_SCALE)
    y = alt.Y("position:Q", axis=None, scale=alt.Scale(domain=[-0.08, 1.08], nice=False))
    metrics = np.array([line.metric for line in numbers.lines])
    low, high = float(np.quantile(metrics, 0.25)), float(metrics.max())
    scale = alt.Scale(scheme="viridis", domain=[low, high if high > low else low + 1e-9], clamp=True)
    colour = alt.Color("metric:Q", scale=scale, legend=alt.Legend(title="metric", orient="right", format=".3~g"))
    tooltip = [alt.Tooltip("trial:Q"), alt.Tooltip("metric:Q", format=".4~g"), alt.Tooltip("words:N", title="values")]
    lines = alt.Chart(data).mark_line(strokeWidth=1.4, opacity=0.75)
    ends = rows(
        axis=[axis for axis in numbers.axes for _ in range(2)],
        position=[end for _ in numbers.axes for end in (-0.05, 1.05)],
        words=[words for pair in numbers.ends for words in pair],
    )
    text = alt.Chart(ends).mark_text(color=INK, fontSize=10.5)
    return themed(
        alt.layer(
            lines.encode(x=x, y=y, color=colour, detail=alt.Detail("trial:Q"), tooltip=tooltip),
            text.encode(x=x, y=y, text="words:N"),
        )
    )


_AXIS_SCALE: Final = alt.Scale(type="point", padding=0.3)


def _varies(trials: list[Trial], name: str) -> bool:
    return len({repr(trial.parameters.get(name)) for trial in trials}) > 1


def _positions(values: list[Value | None]) -> tuple[list[float | None], tuple[str, str]]:
    """Return positions from 0 to 1 (log scale for two decades or more), and the labels of both ends."""
    present = [value for value in values if value is not None]
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in present):
        known = np.array([float(value) for value in present])
        if np.isfinite(known).all():
            low, high = float(known.min()), float(known.max())
            log = low > 0 and high / low >= 100
            width = (math.log(high) - math.log(low)) if log else high - low
            return [
                None
                if value is None
                else 0.5
                if width == 0 or not math.isfinite(width)
                else ((math.log(float(value)) - math.log(low)) if log else float(value) - low) / width
                for value in values
            ], (number(low), number(high))
    kinds = sorted({str(value) for value in present})
    step = max(len(kinds) - 1, 1)
    positions: list[float | None] = [None if value is None else kinds.index(str(value)) / step for value in values]
    return positions, (short(kinds[0], 14), short(kinds[-1], 14))


def _value_text(value: Value) -> str:
    return number(value) if isinstance(value, float) else str(value)
