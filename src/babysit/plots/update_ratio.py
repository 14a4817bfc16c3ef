"""How much each layer's weights change in one step, relative to themselves, against the usual one in a thousand."""

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

# "About 1e-3": CS231n (2017), lecture 6 and its notes on babysitting; Karpathy's recipe reads it on a log axis the
# same way. The band is one decade to each side: within it the ratio says nothing against the learning rate.
USUAL: Final = 1e-3
BAND: Final = (1e-4, 1e-2)
# More single lines than this cannot be told apart; then the spread of all layers is drawn, and the ones farthest off.
_MOST_LINES = 6
_FARTHEST = 3


class Numbers(NamedTuple):
    """The lines to draw by layer, and for many layers the spread of all of them."""

    lines: dict[str, Line]
    spread: tuple[Line, Line] | None  # lowest and highest tenth of all layers
    layers: int
    outside: int  # layers whose median lies outside of the band
    typical: float  # median of all layers over the whole training
    low: float
    high: float


def numbers(run: Run) -> Numbers | None:
    """The update ratios of a run, or None when no layer was measured."""
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
    spread = None
    if len(known) > _MOST_LINES:
        chosen = sorted(np.argsort(-np.abs(medians - np.log10(USUAL)), kind="stable")[:_FARTHEST].tolist())
        low, median, high = _spread(steps, logs)
        spread = (low, high)
    lines = {names[index]: downsample(_line(steps, 10 ** logs[:, index]), 200) for index in chosen}
    if spread:
        lines = {f"median of {len(known):,} layers": median, **lines}
    lowest, highest = float(np.nanmin(table)), float(np.nanmax(table))
    return Numbers(
        lines, spread, len(known), outside, float(10 ** np.median(even)), min(lowest, BAND[0]), max(highest, BAND[1])
    )


def describe(numbers: Numbers) -> str:
    """The figure in one or two sentences."""
    said = f"A step typically changes the weights by {number(numbers.typical)} of themselves; about 1e-3 is usual."
    if not numbers.outside:
        return f"{said} All layers ({numbers.layers:,}) stay within one decade of it."
    shown = "; the grey area holds eight in ten layers, the named ones are the farthest off" if numbers.spread else ""
    verb = "lies" if numbers.outside == 1 else "lie"
    return f"{said} {numbers.outside:,} of {count(numbers.layers, 'layer')} {verb} more than a decade off{shown}."


def draw(numbers: Numbers) -> Figure:
    """The figure: ratio by step on a log axis, with the usual value and its band."""
    axis = log_axis("update / weight (log)", numbers.low, numbers.high)
    y = alt.Y("value:Q", scale=log_scale(numbers.low, numbers.high), axis=axis)
    layers = [*_band(y)]
    if numbers.spread is not None:
        layers.append(_spread_area(numbers.spread, y))
    layers.append(_lines(numbers, y))
    return themed(alt.layer(*layers, *markers.hover(numbers.lines, y)))


def _band(y: alt.Y) -> list[Figure]:
    band = rows(value=[BAND[0]], top=[BAND[1]])
    usual = rows(value=[USUAL], words=["1e-3 is usual"])
    return [
        alt.Chart(band).mark_rect(color=TEAL, opacity=0.12).encode(y=y, y2="top:Q"),
        alt.Chart(usual).mark_rule(color=TEAL, strokeWidth=1.5).encode(y=y),
        alt.Chart(usual)
        .mark_text(align="right", baseline="bottom", dy=-2, opacity=0.85)
        .encode(x=alt.value("width"), y=y, text="words:N"),
    ]


def _spread_area(spread: tuple[Line, Line], y: alt.Y) -> Figure:
    low, high = spread
    data = rows(step=low.steps, value=low.values, top=high.values)
    area: Figure = alt.Chart(data).mark_area(color=GREY, opacity=0.3).encode(x=step_axis(), y=y, y2="top:Q")
    return area


def _lines(numbers: Numbers, y: alt.Y) -> Figure:
    lines, names = numbers.lines, list(numbers.lines)
    colours = [INK, *COLOURS] if numbers.spread else list(COLOURS)
    chart = alt.Chart(by_name(lines)).mark_line(strokeWidth=1.6, clip=True)
    encoded: Figure = chart.encode(
        x=step_axis(),
        y=y,
        color=alt.Color("name:N", sort=names, scale=alt.Scale(domain=names, range=colours), legend=legend(names)),
        strokeDash=alt.StrokeDash("name:N", sort=names, scale=alt.Scale(domain=names, range=list(DASHES))),
    )
    return encoded


def _evenly(steps: Array, logs: Array) -> Array:
    """The curves at evenly spaced steps: the dense samples of the beginning must not count more than the rest."""
    places = np.linspace(steps[0], steps[-1], 200)
    columns = [
        np.interp(places, steps[known], column[known])
        for column, known in zip(logs.T, np.isfinite(logs).T, strict=True)
    ]
    return np.stack(columns, axis=1)


def _line(steps: Array, values: Array) -> Line:
    known = np.isfinite(values)
    return Line(steps[known], values[known])


def _spread(steps: Array, logs: Array) -> tuple[Line, Line, Line]:
    known = np.isfinite(logs).any(axis=1)
    steps, logs = steps[known], logs[known]
    # The same stretches for all three curves, so that the band closes; 150 are more than the eye resolves.
    parts = np.array_split(np.arange(len(steps)), min(150, len(steps)))
    middle = np.array([steps[part[len(part) // 2]] for part in parts])
    tenths = np.array([np.nanquantile(logs[part], [0.1, 0.5, 0.9]) for part in parts])
    low, median, high = (Line(middle, 10 ** tenths[:, column]) for column in range(3))
    return low, median, high
