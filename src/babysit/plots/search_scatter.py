"""All trials of a search by hyperparameter values, with their metric and the ranges of the stages."""

from __future__ import annotations

from typing import Final, NamedTuple

import altair as alt
import numpy as np

from babysit.analysis.trials import best_trial
from babysit.plots.formatting import count, number
from babysit.plots.names import short
from babysit.plots.points import rows
from babysit.plots.theme import GREY, INK, VERMILION, Figure, log_axis, log_scale, themed
from babysit.records.run import Run
from babysit.records.trial import StageRange, Trial, TrialState

_USUAL_PAIR: Final = ("lr", "weight_decay")  # the lecture's two


class Axis(NamedTuple):
    """One hyperparameter as an axis."""

    name: str
    low: float
    high: float
    log: bool


class Point(NamedTuple):
    """One trial: position, metric (None when it has none), and how it ended."""

    number: int
    x: float
    y: float
    metric: float | None
    stage: str
    why: str


class Box(NamedTuple):
    """The range of one stage."""

    stage: str
    x: tuple[float, float]
    y: tuple[float, float]


class Numbers(NamedTuple):
    """Points, boxes, axes, and the best point's trial number."""

    points: tuple[Point, ...]
    boxes: tuple[Box, ...]
    x: Axis
    y: Axis
    best: Point | None
    pruned: int


def numbers(run: Run) -> Numbers | None:
    """Return the trials of a run, or None when there are none with a numeric hyperparameter."""
    names = _numeric(run.trials)
    if not names:
        return None
    names = [name for name in _USUAL_PAIR if name in names] + [name for name in names if name not in _USUAL_PAIR]
    first, second = names[0], names[1] if len(names) > 1 else ""
    points = tuple(point for trial in run.trials if (point := _point(trial, first, second)) is not None)
    if not points:
        return None
    known = [point for point in points if point.metric is not None]
    x, y = _axis(run, first, [point.x for point in points]), _axis(run, second, [point.y for point in points])
    pruned = sum(trial.state == TrialState.PRUNED for trial in run.trials)
    best = best_trial(run)
    marked = [point._replace(metric=best.metric) for point in known if best and point.number == best.trial.number]
    return Numbers(points, _boxes(run.ranges, x, y), x, y, next(iter(marked), None), pruned)


def describe(numbers: Numbers) -> str:
    """Describe the figure in one or two sentences."""
    text = f"{count(len(numbers.points), 'trial')}, {numbers.pruned:,} of them stopped early."
    if numbers.best is not None:
        where = f"{numbers.x.name} = {number(numbers.best.x)}"
        if numbers.y.name:
            where += f", {numbers.y.name} = {number(numbers.best.y)}"
        text += f" Best: {number(numbers.best.metric or 0.0, 4)} at {where}."
    return text


def draw(numbers: Numbers) -> Figure:
    """Draw one point per trial; crosses were stopped early, the ring marks the best."""
    x, y = _channel(numbers.x, alt.X, "x"), _channel(numbers.y, alt.Y, "y")
    layers: list[Figure] = [*_box_marks(numbers, x, y)]
    done = [point for point in numbers.points if point.metric is not None]
    stopped = [point for point in numbers.points if point.metric is None]
    tooltip = [
        alt.Tooltip("number:Q", title="trial"),
        alt.Tooltip("stage:N"),
        alt.Tooltip("x:Q", title=numbers.x.name, format=".3~g"),
        *([alt.Tooltip("y:Q", title=numbers.y.name, format=".3~g")] if numbers.y.name else []),
        alt.Tooltip("metric:Q", format=".4~g"),
        alt.Tooltip("why:N", title="ended"),
    ]
    if stopped:
        cross = alt.Chart(_data(stopped)).mark_point(shape="cross", angle=45, size=55, color=GREY, strokeWidth=1.5)
        layers.append(cross.encode(x=x, y=y, tooltip=tooltip))
    if done:
        metrics = np.array([point.metric for point in done])
        # One failed trial with a thousandfold loss must not compress the color scale.
        low, high = float(np.quantile(metrics, 0.1)), float(metrics.max())
        scale = alt.Scale(scheme="viridis", domain=[low, high if high > low else low + 1e-9], clamp=True)
        colour = alt.Color("metric:Q", scale=scale, legend=alt.Legend(title="metric", orient="right", format=".3~g"))
        dots = alt.Chart(_data(done)).mark_point(filled=True, size=75, opacity=1, stroke=INK, strokeWidth=0.7)
        layers.append(dots.encode(x=x, y=y, color=colour, tooltip=tooltip))
    if numbers.best is not None:
        ring = alt.Chart(_data([numbers.best])).mark_point(size=240, color=VERMILION, strokeWidth=2.2)
        layers.append(ring.encode(x=x, y=y))
    return themed(alt.layer(*layers))


def _box_marks(numbers: Numbers, x: alt.X | alt.Y, y: alt.X | alt.Y) -> list[Figure]:
    if not numbers.boxes:
        return []
    data = rows(
        x=[box.x[0] for box in numbers.boxes],
        end=[box.x[1] for box in numbers.boxes],
        y=[box.y[0] for box in numbers.boxes],
        top=[box.y[1] for box in numbers.boxes],
        stage=[box.stage for box in numbers.boxes],
    )
    area = alt.Chart(data).mark_rect(filled=True, fill=GREY, fillOpacity=0.08, stroke=GREY, strokeDash=[4, 3])
    words = alt.Chart(data).mark_text(align="left", baseline="top", dx=5, dy=5, opacity=0.85)
    return [
        area.encode(x=x, x2="end:Q", y=y, y2="top:Q"),
        words.encode(x=x, y=_channel(numbers.y, alt.Y, "top"), text="stage:N"),
    ]


def _channel(axis: Axis, channel: type[alt.X | alt.Y], field: str) -> alt.X | alt.Y:
    title = axis.name or "metric"
    if axis.log:
        label = log_axis(f"{title} (log)", axis.low, axis.high)
        return channel(f"{field}:Q", scale=log_scale(axis.low, axis.high), axis=label)
    return channel(f"{field}:Q", scale=alt.Scale(zero=False, padding=8), axis=alt.Axis(title=title, format="~g"))


def _data(points: list[Point]) -> alt.InlineData:
    columns = {name: [getattr(point, name) for point in points] for name in Point._fields}
    return rows(**columns)


def _numeric(trials: tuple[Trial, ...]) -> list[str]:
    """Return hyperparameters that are numeric in every trial and vary, in the given order."""
    found: dict[str, set[float]] = {}
    for trial in trials:
        for name, value in trial.parameters.items():
            number_like = isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(value)
            found.setdefault(name, set()).add(float(value) if number_like else float("nan"))
    return [name for name, values in found.items() if not any(np.isnan(list(values))) and len(values) > 1]


def _point(trial: Trial, first: str, second: str) -> Point | None:
    metric = trial.metric if trial.metric is not None and np.isfinite(trial.metric) else None
    x = trial.parameters.get(first)
    y = trial.parameters.get(second) if second else metric
    if x is None or y is None:
        return None
    why = short(trial.reason, 80) or str(trial.state)
    shown = None if trial.state == TrialState.PRUNED else metric
    return Point(trial.number, float(x), float(y), shown, short(trial.stage, 20), why)


def _axis(run: Run, name: str, values: list[float]) -> Axis:
    stages = [stage for stage in run.ranges if stage.parameter == name]
    values = values + [bound for stage in stages for bound in (stage.low, stage.high)]
    low, high = min(values), max(values)
    # Without a stage, values over more than two decades are drawn on a log scale.
    log = all(stage.log for stage in stages) if stages else low > 0 and high / low > 100
    return Axis(short(name, 24), low, high, bool(log and low > 0))


def _boxes(ranges: tuple[StageRange, ...], x: Axis, y: Axis) -> tuple[Box, ...]:
    if not y.name:
        return ()
    stages: dict[str, dict[str, tuple[float, float]]] = {}
    for stage in ranges:
        stages.setdefault(stage.stage, {})[short(stage.parameter, 24)] = (stage.low, stage.high)
    return tuple(
        Box(short(name, 20), parameters[x.name], parameters[y.name])
        for name, parameters in stages.items()
        if x.name in parameters and y.name in parameters
    )
