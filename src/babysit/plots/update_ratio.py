"""Update-to-weight ratio of each layer, compared with the usual 1e-3."""

from __future__ import annotations

from typing import Final, NamedTuple

import altair as alt
import numpy as np

from babysit.plots import markers
from babysit.plots.formatting import count, number
from babysit.plots.names import distinct
from babysit.plots.points import Line, by_name, downsample, rows
from babysit.plots.theme import COLOURS, DASHES, GREY, INK, TEAL, Figure, legend, log_axis, log_scale, step_axis, themed
from babysit.records.arrays import Array
from babysit.records.run import Run

# "About 1e-3": CS231n (2017), lecture 6 and its notes on babysitting; Karpathy 2019, A recipe for training neural
# networks, also uses a log axis. The band is one decade to each side: within it the ratio does not indicate a wrong
# learning rate.
USUAL: Final = 1e-3
BAND: Final = (1e-4, 1e-2)
# More single lines cannot be distinguished; then quantiles over all layers are drawn, and the farthest layers.
_MOST_LINES = 6
_FARTHEST = 3


class Numbers(NamedTuple):
    """The lines to draw by layer, and for many layers the quantiles over all of them."""

    lines: dict[str, Line]
    quantiles: tuple[Line, Line] | None  # 0.1 and 0.9 over all layers
    layers: int
    outside: int  # layers whose median is outside the band
    typical: float  # median of all layers over the whole training
    low: float
    high: float


def numbers(run: Run) -> Numbers | None:
    """Return the update ratios of a run, or None when no layer was measured."""
    table = run.layer_metrics.values.get("update_ratio")
    if table is None or not np.size(table):
        return None
    table = np.asarray(table, dtype="float64")
    table = np.where(np.isfinite(table) & (table > 0), table, np.nan)
    known = [index for index in range(table.shape[1]) if np.isfinite(table[:, index]).any()]
    if not known:
        return None
    logs = np.log10(table[:, known])
    steps = np.asarray(run.layer_metrics.steps)
    even = _evenly(steps, logs)
    medians = np.median(even, axis=0)
    outside = int(np.sum((medians < np.log10(BAND[0])) | (medians > np.log10(BAND[1]))))
    names = distinct([run.layer_metrics.layers[index] for index in known], 32)
    chosen = list(range(len(known)))
    quantiles = None
    if len(known) > _MOST_LINES:
        chosen = sorted(np.argsort(-np.abs(medians - np.log10(USUAL)), kind="stable")[:_FARTHEST].tolist())
        low, median, high = _quantiles(steps, logs)
        quantiles = (low, high)
    lines = {names[index]: downsample(_line(steps, 10 ** logs[:, index]), 200) for index in chosen}
    if quantiles:
        lines = {f"median of {len(known):,} layers": median, **lines}
    lowest, highest = float(np.nanmin(table)), float(np.nanmax(table))
    return Numbers(
        lines, quantiles, len(known), outside, float(10 ** np.median(even)), min(lowest, BAND[0]), max(highest, BAND[1])
    )


def describe(numbers: Numbers) -> str:
    """Describe the figure in one or two sentences."""
    text = f"Median update/weight ratio {number(numbers.typical)} (typical: 1e-3)."
    if not numbers.outside:
        return f"{text} All layers ({numbers.layers:,}) are within one decade of 1e-3."
    shown = (
        "; the grey area covers 80 % of the layers, the named ones are the farthest off" if numbers.quantiles else ""
    )
    verb = "is" if numbers.outside == 1 else "are"
    return f"{text} {numbers.outside:,} of {count(numbers.layers, 'layer')} {verb} more than a decade off{shown}."


def draw(numbers: Numbers) -> Figure:
    """Draw the ratio by step on a log axis, with the usual value and its band."""
    axis = log_axis("update / weight (log)", numbers.low, numbers.high)
    y = alt.Y("value:Q", scale=log_scale(numbers.low, numbers.high), axis=axis)
    layers = [*_band(y)]
    if numbers.quantiles is not None:
        layers.append(_quantile_area(numbers.quantiles, y))
    layers.append(_lines(numbers, y))
    return themed(alt.layer(*layers, *markers.hover(numbers.lines, y)))


def _band(y: alt.Y) -> list[Figure]:
    band = rows(value=[BAND[0]], top=[BAND[1]])
    usual = rows(value=[USUAL], words=["typical: 1e-3"])
    return [
        alt.Chart(band).mark_rect(color=TEAL, opacity=0.12).encode(y=y, y2="top:Q"),
        alt.Chart(usual).mark_rule(color=TEAL, strokeWidth=1.5).encode(y=y),
        alt.Chart(usual)
        .mark_text(align="right", baseline="bottom", dy=-2, opacity=0.85)
        .encode(x=alt.value("width"), y=y, text="words:N"),
    ]


def _quantile_area(quantiles: tuple[Line, Line], y: alt.Y) -> Figure:
    low, high = quantiles
    data = rows(step=low.steps, value=low.values, top=high.values)
    area: Figure = alt.Chart(data).mark_area(color=GREY, opacity=0.3).encode(x=step_axis(), y=y, y2="top:Q")
    return area


def _lines(numbers: Numbers, y: alt.Y) -> Figure:
    lines, names = numbers.lines, list(numbers.lines)
    colours = [INK, *COLOURS] if numbers.quantiles else list(COLOURS)
    chart = alt.Chart(by_name(lines)).mark_line(strokeWidth=1.6, clip=True)
    encoded: Figure = chart.encode(
        x=step_axis(),
        y=y,
        color=alt.Color("name:N", sort=names, scale=alt.Scale(domain=names, range=colours), legend=legend(names)),
        strokeDash=alt.StrokeDash("name:N", sort=names, scale=alt.Scale(domain=names, range=list(DASHES))),
    )
    return encoded


def _evenly(steps: Array, logs: Array) -> Array:
    """Resample the curves at evenly spaced steps: the dense early samples must not have more weight."""
    positions = np.linspace(steps[0], steps[-1], 200)
    columns = [
        np.interp(positions, steps[known], column[known])
        for column, known in zip(logs.T, np.isfinite(logs).T, strict=True)
    ]
    return np.stack(columns, axis=1)


def _line(steps: Array, values: Array) -> Line:
    known = np.isfinite(values)
    return Line(steps[known], values[known])


def _quantiles(steps: Array, logs: Array) -> tuple[Line, Line, Line]:
    known = np.isfinite(logs).any(axis=1)
    steps, logs = steps[known], logs[known]
    # The same time bins for all three curves, so that the band closes; 150 exceed the visible resolution.
    parts = np.array_split(np.arange(len(steps)), min(150, len(steps)))
    middle = np.array([steps[part[len(part) // 2]] for part in parts])
    tenths = np.array([np.nanquantile(logs[part], [0.1, 0.5, 0.9]) for part in parts])
    low, median, high = (Line(middle, 10 ** tenths[:, column]) for column in range(3))
    return low, median, high
