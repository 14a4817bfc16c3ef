"""Best values within the search range: metric by hyperparameter value and search stage."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import altair as alt

from babysit.plots.formatting import number
from babysit.plots.names import short
from babysit.plots.points import rows
from babysit.plots.theme import COLOURS, GREY, SHAPES, Figure, log_axis, log_scale, themed
from babysit.records.run import Run

_OUTER: Final = 0.1  # a best value in this outer fraction of the range suggests moving the range


class Stage(NamedTuple):
    """One stage: its range, value and metric of each finished trial, diverged trials, and the reason for the range."""

    name: str
    low: float
    high: float
    points: tuple[tuple[float, float], ...]
    diverged: tuple[float, ...]
    why: str


class Numbers(NamedTuple):
    """The hyperparameter whose ranges are shown, and its stages."""

    name: str
    stages: tuple[Stage, ...]
    log: bool


def numbers(run: Run) -> Numbers | None:
    """Return the ranges of the learning rate, or of the first hyperparameter with ranges; None without."""
    names = list(dict.fromkeys(piece.parameter for piece in run.ranges))
    for name in sorted(names, key=lambda name: name != "lr"):
        pieces = [piece for piece in run.ranges if piece.parameter == name and 0 < piece.high - piece.low < math.inf]
        stages = [
            Stage(
                piece.stage,
                piece.low,
                piece.high,
                tuple(_points(run, piece.stage, name)),
                tuple(
                    float(trial.parameters[name])
                    for trial in run.trials
                    if trial.stage == piece.stage and trial.metric is None and _is_number(trial.parameters.get(name))
                ),
                piece.why,
            )
            for piece in pieces
        ]
        stages = [stage for stage in stages if stage.points]
        if stages:
            values = [value for stage in stages for value in (stage.low, *(x for x, _ in stage.points))]
            return Numbers(name, tuple(stages), all(piece.log for piece in pieces) and min(values) > 0)
    return None


def describe(numbers: Numbers) -> str:
    """Describe the position of the best value in the range of the last stage, in one or two sentences."""
    stage = numbers.stages[-1]
    best = max(stage.points, key=lambda point: point[1])[0]
    position = _position(best, stage, log=numbers.log)
    where = "at the low end of" if position < _OUTER else "at the high end of" if position > 1 - _OUTER else "inside"
    text = f"In the {stage.name} stage, the best {numbers.name} was {number(best)}, {where} {number(stage.low)} to "
    moved = [other for other in numbers.stages if other.why.startswith("moved")]
    return text + number(stage.high) + "." + (f" The range was {moved[-1].why}." if moved else "")


def draw(numbers: Numbers) -> Figure:
    """Draw one mark per trial, a bar for the range of each stage, and crosses for diverged trials."""
    low = min(min(stage.low, *(x for x, _ in stage.points)) for stage in numbers.stages)
    high = max(max(stage.high, *(x for x, _ in stage.points), *stage.diverged) for stage in numbers.stages)
    label = short(numbers.name, 24)
    if numbers.log:
        scale, axis = log_scale(low, high), log_axis(f"{label} (log)", low, high)
    else:
        scale, axis = alt.Scale(zero=False, padding=8), alt.Axis(title=label, format="~g")
    x = alt.X("value:Q", scale=scale, axis=axis)
    # Room above the marks for the range bars.
    room = alt.Scale(zero=False, nice=False, padding=18 + 9 * len(numbers.stages))
    y = alt.Y("metric:Q", axis=alt.Axis(title="metric", format=".3~g"), scale=room)
    names = [short(stage.name, 20) for stage in numbers.stages]
    data = rows(
        value=[value for stage in numbers.stages for value, _ in stage.points],
        metric=[metric for stage in numbers.stages for _, metric in stage.points],
        stage=[name for name, stage in zip(names, numbers.stages, strict=True) for _ in stage.points],
    )
    colours = alt.Color(
        "stage:N",
        sort=names,
        scale=alt.Scale(domain=names, range=[*_cycled(COLOURS, len(names))]),
        legend=alt.Legend(title=None),
    )
    shapes = alt.Shape("stage:N", sort=names, scale=alt.Scale(domain=names, range=[*_cycled(SHAPES, len(names))]))
    tooltip = [alt.Tooltip("value:Q", format=".3~g"), alt.Tooltip("metric:Q", format=".4~g"), alt.Tooltip("stage:N")]
    dots = alt.Chart(data).mark_point(filled=True, size=60, opacity=0.9)
    layers: list[Figure] = [
        *_bars(numbers, names, x, colours),
        dots.encode(x=x, y=y, color=colours, shape=shapes, tooltip=tooltip),
    ]
    crossed = [value for stage in numbers.stages for value in stage.diverged]
    if crossed:
        floor = min(metric for stage in numbers.stages for _, metric in stage.points)
        cross = alt.Chart(rows(value=crossed, metric=floor, words="diverged")).mark_point(
            shape="cross", angle=45, size=55, color=GREY, strokeWidth=1.5
        )
        layers.append(cross.encode(x=x, y=y, tooltip=[alt.Tooltip("value:Q", format=".3~g"), alt.Tooltip("words:N")]))
    return themed(alt.layer(*layers))


def _bars(numbers: Numbers, names: list[str], x: alt.X, colours: alt.Color) -> list[Figure]:
    """Draw the range of each stage as a bar above the marks."""
    data = rows(
        value=[stage.low for stage in numbers.stages],
        end=[stage.high for stage in numbers.stages],
        stage=names,
        height=[12 + 9 * index for index in range(len(names))],
    )
    y = alt.Y("height:Q", scale=None, axis=None)
    return [alt.Chart(data).mark_rule(strokeWidth=4).encode(x=x, x2="end:Q", y=y, color=colours)]


def _points(run: Run, stage: str, name: str) -> list[tuple[float, float]]:
    trials = [trial for trial in run.trials if trial.stage == stage and trial.metric is not None]
    top = max((trial.level for trial in trials), default=0)
    return [
        (float(trial.parameters[name]), float(trial.metric or 0.0))
        for trial in trials
        if trial.level == top and math.isfinite(trial.metric or 0.0) and _is_number(trial.parameters.get(name))
    ]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _position(value: float, stage: Stage, *, log: bool) -> float:
    if log and stage.low > 0 and value > 0:
        return math.log(value / stage.low) / math.log(stage.high / stage.low)
    return (value - stage.low) / (stage.high - stage.low)


def _cycled(choices: tuple[str, ...], count: int) -> list[str]:
    return [choices[index % len(choices)] for index in range(count)]
