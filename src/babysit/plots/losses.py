"""Training loss (raw and smoothed), validation loss, chance level, and events."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import altair as alt
import numpy as np

from babysit.plots import markers
from babysit.plots.formatting import count, number
from babysit.plots.gap import Gap, area, between
from babysit.plots.names import short
from babysit.plots.points import Line, by_name, downsample, finite, first_nonfinite, rows, smooth
from babysit.plots.theme import (
    BLUE,
    COLOURS,
    DASHES,
    GREY,
    PURPLE,
    SHAPES,
    VERMILION,
    Figure,
    legend,
    log_axis,
    log_scale,
    step_axis,
    themed,
)
from babysit.records.curves import LEARNING_RATE, TRAIN_LOSS, VAL_LOSS, metric_of
from babysit.records.model_summary import Task
from babysit.records.run import Run

# A window of one thirtieth of the curve removes batch noise and keeps every visible bend.
_WINDOW_SHARE = 30
# A loss that decreases by less than this factor is easier to read on a linear axis.
_LOG_FROM = 20.0
# Fraction of a page-wide figure that the label of the expected loss takes.
_FIFTH = 0.22


class Numbers(NamedTuple):
    """Data of the figure; `window` is the number of steps averaged by the smoothed curve."""

    lines: dict[str, Line]  # by legend label, the training loss first
    raw: Line
    window: int
    expected: float | None  # loss at chance level
    expected_words: str
    best: tuple[int, float] | None
    markers: tuple[markers.Marker, ...]
    low: float
    high: float
    gap: Gap
    lr: Line  # empty when the learning rate is constant
    constant_lr: float | None


def numbers(run: Run) -> Numbers | None:
    """Return the losses of a run, or None when it recorded none."""
    series = {name: curve for name, curve in run.curves.series.items() if metric_of(name) == "loss"}
    raw, validation = finite(run.curves.get(TRAIN_LOSS)), finite(run.curves.get(VAL_LOSS))
    window = max(1, len(raw) // _WINDOW_SHARE)
    lines = {"train" + (f", mean of {window} steps" if window > 1 else ""): downsample(smooth(raw, window))}
    if len(validation):
        lines["validation"] = downsample(validation)
    for name in sorted(set(series) - {TRAIN_LOSS, VAL_LOSS})[:4]:  # a second objective: a GAN's, a VAE's
        other = finite(series[name])
        lines[short(name, 30)] = downsample(smooth(other, max(1, len(other) // _WINDOW_SHARE)))
    lines = {name: line for name, line in lines.items() if len(line)}
    if not lines:
        return None
    expected, words = _expected(run)
    best = _best(run, validation)
    low, high = _limits(raw, lines, expected)
    train = next(iter(lines.values())) if len(raw) else Line(validation.steps[:0], validation.values[:0])
    gap = between(train, lines["validation"]) if "validation" in lines else Gap()
    markers = _markers(run, best)
    return Numbers(lines, downsample(raw), window, expected, words, best, markers, low, high, gap, *_lr(run))


def describe(numbers: Numbers) -> str:
    """Describe the figure in a few sentences, for captions and screen readers."""
    sentences = []
    for name, line in numbers.lines.items():
        first, last = float(line.values[0]), float(line.values[-1])
        label = name.split(",")[0].capitalize() + " loss"
        steps = count(int(line.steps[-1]) + 1, "step")
        sentences.append(f"{label}: {number(first)} initially, {number(last)} at the end ({steps}).")
    if numbers.best is not None:
        sentences.append(f"Lowest validation loss: {number(numbers.best[1])} after step {numbers.best[0]:,}.")
    if numbers.expected is not None:
        sentences.append(f"Chance level: {number(numbers.expected)}.")
    if numbers.constant_lr is not None:
        sentences.append(f"Constant learning rate {number(numbers.constant_lr)}.")
    if len(numbers.lr):
        first, last = float(numbers.lr.values[0]), float(numbers.lr.values[-1])
        sentences.append(f"Learning rate (dotted, right axis): {number(first)} initially, {number(last)} at the end.")
    sentences += [f"{marker.label} at step {marker.step:,}." for marker in numbers.markers if marker.bad]
    return " ".join(sentences)


def draw(numbers: Numbers) -> Figure:
    """Draw the loss by optimizer step, logarithmic for a large decrease."""
    y = _y(numbers)
    layers: list[Any] = [area(numbers.gap, y)] if numbers.gap.steps else []
    if numbers.expected is not None:
        layers += _reference(numbers, y)
    layers.append(
        alt.Chart(rows(step=numbers.raw.steps, value=numbers.raw.values))
        .mark_line(color=BLUE, opacity=0.28, strokeWidth=1, clip=True)
        .encode(x=step_axis(), y=y)
    )
    layers += [_lines(numbers, y), *_spots(numbers, y)]
    last = max(int(line.steps[-1]) for line in numbers.lines.values())
    marked, room = markers.draw(numbers.markers, last)
    losses = alt.layer(*layers, *marked, *markers.hover(numbers.lines, y))
    if not len(numbers.lr):
        return themed(losses, height=300, legend_offset=room)
    both = alt.layer(losses, _lr_line(numbers.lr)).resolve_scale(y="independent")
    return themed(both, height=300, legend_offset=room)


def _lr_line(lr: Line) -> Figure:
    low, high = float(lr.values.min()), float(lr.values.max())
    axis = log_axis("learning rate (log, dotted)", low, high, orient="right", grid=False)
    y = alt.Y("lr:Q", scale=log_scale(low, high), axis=axis)
    line = alt.Chart(rows(step=lr.steps, lr=lr.values)).mark_line(
        color=PURPLE, strokeDash=[1, 3], strokeWidth=1.6, interpolate="step-after", clip=True
    )
    encoded: Figure = line.encode(x="step:Q", y=y)
    return encoded


def _lines(numbers: Numbers, y: alt.Y) -> Figure:
    names = list(numbers.lines)
    chart = alt.Chart(by_name(numbers.lines)).mark_line(clip=True)
    encoded: Figure = chart.encode(
        x=step_axis(),
        y=y,
        color=alt.Color("name:N", sort=names, scale=alt.Scale(domain=names, range=list(COLOURS)), legend=legend(names)),
        strokeDash=alt.StrokeDash("name:N", sort=names, scale=alt.Scale(domain=names, range=list(DASHES))),
    )
    return encoded


def _spots(numbers: Numbers, y: alt.Y) -> list[Figure]:
    """Draw the best validation loss, and all of them as points when they are few enough to distinguish."""
    spots = []
    validation = numbers.lines.get("validation")
    if validation is not None and len(validation) <= 60:
        spots.append(
            alt.Chart(rows(step=validation.steps, value=validation.values))
            .mark_point(shape=SHAPES[1], size=22, filled=True, color=VERMILION, opacity=1)
            .encode(x="step:Q", y=y)
        )
    if numbers.best is not None:
        spots.append(
            alt.Chart(rows(step=[numbers.best[0]], value=[numbers.best[1]]))
            .mark_point(shape="diamond", size=130, strokeWidth=2, color=VERMILION, opacity=1)
            .encode(x="step:Q", y=y)
        )
    return spots


def _reference(numbers: Numbers, y: alt.Y) -> list[Figure]:
    data = rows(value=[numbers.expected], words=[numbers.expected_words])
    start = min((0.78, 0.52, 0.27), key=lambda start: _crowded(numbers, start))
    # The label is on the side of the line with more room.
    upper = abs((numbers.expected or 0) - numbers.low) > abs(numbers.high - (numbers.expected or 0))
    words = alt.Chart(data).mark_text(
        align="right", baseline="top" if upper else "bottom", dy=4 if upper else -3, opacity=0.85
    )
    return [
        alt.Chart(data).mark_rule(color=GREY, strokeDash=[3, 3], strokeWidth=1.5).encode(y=y),
        words.encode(x=alt.value(alt.ExprRef(f"width * {start + _FIFTH} - 6")), y=y, text="words:N"),
    ]


def _crowded(numbers: Numbers, start: float) -> tuple[int, float]:
    """Rate the overlap of markers and curves with a label from fraction `start` of the training on, lower is better."""
    last = max(int(line.steps[-1]) for line in numbers.lines.values())
    end = start + _FIFTH
    upright = sum(start * last <= marker.step <= min(end * last, last - 1) for marker in numbers.markers)
    apart = [
        abs(float(value) - (numbers.expected or 0.0))
        for line in numbers.lines.values()
        for step, value in zip(line.steps, line.values, strict=True)
        if start * last <= step <= end * last
    ]
    return upright, -min(apart, default=math.inf)


def _y(numbers: Numbers) -> alt.Y:
    low, high = numbers.low, numbers.high
    if low > 0 and high / low >= _LOG_FROM:
        return alt.Y("value:Q", scale=log_scale(low, high), axis=log_axis("loss (log)", low, high))
    room = 0.05 * ((high - low) or abs(high) or 1.0)
    bottom = 0.0 if 0 <= low < 0.3 * high else low - room
    scale = alt.Scale(domain=[bottom, high + room], nice=True, clamp=True)
    return alt.Y("value:Q", scale=scale, axis=alt.Axis(title="loss", format="~g"))


def _limits(raw: Line, lines: dict[str, Line], expected: float | None) -> tuple[float, float]:
    values = np.concatenate([line.values for line in lines.values()])
    if len(raw):
        # The raw curve may leave the figure for one batch in two hundred: one spike must not flatten the rest.
        values = np.concatenate([values, np.quantile(raw.values, [0.005, 0.995])])
    if expected is not None:
        values = np.append(values, expected)
    low, high = float(values.min()), float(values.max())
    # A loss that reaches exactly 0 still needs a log axis: the smallest positive value is the floor.
    positive = values[values > 0]
    if low == 0 and len(positive):
        low = float(positive.min())
    return low, min(high, 1e300)


def _expected(run: Run) -> tuple[float | None, str]:
    experiment = run.experiment("initial-loss")
    objective = run.model_summary.objectives[0] if run.model_summary and run.model_summary.objectives else None
    value = experiment.expected.get("loss", next(iter(experiment.expected.values()), None)) if experiment else None
    classes = objective.outputs if objective and objective.task in (Task.CLASSES, Task.BINARY) else 0
    if objective and value is None and objective.loss in ("cross_entropy", "nll_loss") and classes > 1:
        value = math.log(classes)
    if value is None or not math.isfinite(value):
        return None, ""
    for base in (classes, 2):
        if base > 1 and abs(value - math.log(base)) < 1e-3:
            return value, f"chance level (ln {base:,} = {value:.3f})"
    return value, f"chance level ({number(value, 4)})"


def _lr(run: Run) -> tuple[Line, float | None]:
    """Return the learning rate as a curve if it changed by more than 1 %, else as a constant."""
    line = finite(run.curves.get(LEARNING_RATE))
    line = Line(line.steps[line.values > 0], line.values[line.values > 0])
    if not len(line):
        return line, None
    if line.values.max() > 1.01 * line.values.min():
        return downsample(line, 200), None
    return Line(line.steps[:0], line.values[:0]), float(line.values[-1])


def _best(run: Run, validation: Line) -> tuple[int, float] | None:
    if len(validation) < 2:
        return None
    index = int(validation.values.argmin())
    return int(validation.steps[index]), float(validation.values[index])


def _markers(run: Run, best: tuple[int, float] | None) -> tuple[markers.Marker, ...]:
    saved = _best_model_step(run)
    found = []
    if best is not None:
        same = saved == best[0]
        found.append(markers.Marker(best[0], "lowest validation" + (", model saved" if same else ""), bad=False))
        saved = None if same else saved
    if saved is not None:
        found.append(markers.Marker(saved, "model saved", bad=False))
    broken = first_nonfinite(run.curves.get(TRAIN_LOSS))
    if broken is not None:
        found.append(markers.Marker(broken, "loss not finite", bad=True))
    steps = np.asarray(run.curves.get(TRAIN_LOSS).steps)
    if run.stop_reason and len(steps):
        found.append(markers.Marker(int(steps.max()), f"stopped: {short(run.stop_reason, 56)}", bad=False))
    return tuple(found) + markers.of_findings(run)


def _best_model_step(run: Run) -> int | None:
    """Return the step of the saved model, counted from 0 like the curves: `best_step` counts completed steps."""
    count_of_steps = run.result.get("best_step")
    if count_of_steps is None or not math.isfinite(count_of_steps):
        return None
    return max(0, int(count_of_steps) - 1)
