"""Parallel coordinates: every trial as a line through its hyperparameters to its metric."""

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

_MOST_LINES: Final = 200  # the best ones; more make a grey block
_MOST_AXES: Final = 7


class Line(NamedTuple):
    """One trial: its places on the axes (0 to 1, None where it has no such hyperparameter), and its metric."""

    trial: int
    places: tuple[float | None, ...]
    metric: float
    words: str


class Numbers(NamedTuple):
    """Lines from the worst to the best, and for each axis its name and what stands at its two ends."""

    lines: tuple[Line, ...]
    axes: tuple[str, ...]
    ends: tuple[tuple[str, str], ...]
    left_out: int
    best: str  # the best trial in words, its metric first


def numbers(run: Run) -> Numbers | None:
    """The trials with a metric, or None when fewer than two or nothing varies."""
    done = [trial for trial in run.trials if trial.metric is not None and math.isfinite(trial.metric)]
    names = [name for name in dict.fromkeys(n for t in done for n in t.parameters) if _varies(done, name)]
    names = names[: _MOST_AXES - 1]
    if len(done) < 2 or not names:
        return None
    done.sort(key=lambda trial: (trial.level, trial.metric or 0.0))
    best = best_trial(run)
    shown = done[-_MOST_LINES:]
    scaled = {name: _places([trial.parameters.get(name) for trial in shown]) for name in names}
    metrics = _places([trial.metric for trial in shown])
    lines = tuple(
        Line(
            trial.number,
            (*(scaled[name][0][place] for name in names), metrics[0][place]),
            float(trial.metric or 0.0),
            _words(trial),
        )
        for place, trial in enumerate(shown)
    )
    told = f" Best: {number(best.metric, 4)} at {_words(best.trial)}." if best else ""
    ends = (*(scaled[name][1] for name in names), metrics[1])
    return Numbers(lines, (*distinct(names, 18), "metric"), ends, len(done) - len(shown), told)


def _words(trial: Trial) -> str:
    return short(", ".join(f"{name} {_said(value)}" for name, value in trial.parameters.items()), 120)


def describe(numbers: Numbers) -> str:
    """The figure in one sentence."""
    told = f"{count(len(numbers.lines), 'trial')}, each a line from its hyperparameters to its metric"
    left = f" (the best; {numbers.left_out:,} others left out)" if numbers.left_out else ""
    return f"{told}{left}.{numbers.best}"


def draw(numbers: Numbers) -> Figure:
    """The figure: axes side by side, bright lines are good trials."""
    points = [
        (line, axis, place)
        for line in numbers.lines
        for axis, place in zip(numbers.axes, line.places, strict=True)
        if place is not None
    ]
    data = rows(
        trial=[line.trial for line, _, _ in points],
        axis=[axis for _, axis, _ in points],
        place=[place for _, _, place in points],
        metric=[line.metric for line, _, _ in points],
        words=[line.words for line, _, _ in points],
    )
    x = alt.X("axis:N", sort=list(numbers.axes), axis=alt.Axis(title=None, labelAngle=0, grid=True), scale=_SPREAD)
    y = alt.Y("place:Q", axis=None, scale=alt.Scale(domain=[-0.08, 1.08], nice=False))
    metrics = np.array([line.metric for line in numbers.lines])
    low, high = float(np.quantile(metrics, 0.25)), float(metrics.max())
    scale = alt.Scale(scheme="viridis", domain=[low, high if high > low else low + 1e-9], clamp=True)
    colour = alt.Color("metric:Q", scale=scale, legend=alt.Legend(title="metric", orient="right", format=".3~g"))
    tooltip = [alt.Tooltip("trial:Q"), alt.Tooltip("metric:Q", format=".4~g"), alt.Tooltip("words:N", title="values")]
    lines = alt.Chart(data).mark_line(strokeWidth=1.4, opacity=0.75)
    ends = rows(
        axis=[axis for axis in numbers.axes for _ in range(2)],
        place=[end for _ in numbers.axes for end in (-0.05, 1.05)],
        words=[words for pair in numbers.ends for words in pair],
    )
    text = alt.Chart(ends).mark_text(color=INK, fontSize=10.5)
    return themed(
        alt.layer(
            lines.encode(x=x, y=y, color=colour, detail=alt.Detail("trial:Q"), tooltip=tooltip),
            text.encode(x=x, y=y, text="words:N"),
        )
    )


_SPREAD: Final = alt.Scale(type="point", padding=0.3)


def _varies(trials: list[Trial], name: str) -> bool:
    return len({repr(trial.parameters.get(name)) for trial in trials}) > 1


def _places(values: list[Value | None]) -> tuple[list[float | None], tuple[str, str]]:
    """Places from 0 to 1 (by factors where the values span two decades or more), and what stands at the ends."""
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
    places: list[float | None] = [None if value is None else kinds.index(str(value)) / step for value in values]
    return places, (short(kinds[0], 14), short(kinds[-1], 14))


def _said(value: Value) -> str:
    return number(value) if isinstance(value, float) else str(value)
