"""Layer activations over the training: histogram, mean, and the shares of zeros and saturated values."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import altair as alt
import numpy as np

from babysit.plots.aggregation import Aggregation, aggregate
from babysit.plots.formatting import count, number, percent
from babysit.plots.heatmap_data import time_edges
from babysit.plots.names import distinct
from babysit.plots.points import rows, significant
from babysit.plots.theme import BLUE, GREY, INK, PURPLE, VERMILION, Figure, themed
from babysit.records.arrays import Array
from babysit.records.layer_metrics import BIN_EDGES, BINS
from babysit.records.run import Run

# Layers offered in the list; beyond that, those with a std farthest from 1 or with the largest shares are chosen.
_MOST_LAYERS: Final = 40
_SHARES: Final = {"zeros": "zeros", "dead": "dead units", "saturated": "saturated"}


class Histograms(NamedTuple):
    """Distribution of the activations by layer and time bin; the histogram bins follow mean and std."""

    steps: tuple[int, ...]  # first step of each column
    ends: tuple[int, ...]  # first step of the next one
    mean: Array  # (layers, columns)
    std: Array
    percent: Array  # (layers, columns, bins), whole percents; 0 where nothing was measured


class Numbers(NamedTuple):
    """Mean, standard deviation and shares by layer (rows) and time bin; NaN where nothing was measured."""

    layers: tuple[str, ...]
    steps: tuple[int, ...]
    mean: Array
    std: Array
    shares: dict[str, Array]
    first: int  # the layer shown first
    measured: int  # number of layers measured
    histograms: Histograms | None = None


def numbers(run: Run) -> Numbers | None:
    """Return the activations of a run, or None when none were measured."""
    steps = np.asarray(run.layer_metrics.steps)
    mean, std = (run.layer_metrics.values.get(name) for name in ("activation_mean", "activation_std"))
    if not len(steps) or mean is None or std is None:
        return None
    known = np.flatnonzero(np.isfinite(mean).any(axis=0) & np.isfinite(std).any(axis=0))
    if not len(known):
        return None
    edges, _ = time_edges(steps)
    column = np.clip(np.searchsorted(edges, steps, side="right") - 1, 0, len(edges) - 2)
    chosen = known if len(known) <= _MOST_LAYERS else np.sort(known[np.argsort(-_oddness(run, known))[:_MOST_LAYERS]])

    def table(values: Array) -> Array:
        return aggregate(np.asarray(values, dtype="float64")[:, chosen], column, Aggregation.MEDIAN)

    shares = {
        name: table(run.layer_metrics.values[name])
        for name in _SHARES
        if name in run.layer_metrics.values and np.isfinite(run.layer_metrics.values[name]).any()
    }
    first = int(np.argmax(_oddness(run, chosen)))
    about = run.root_cause.layers[:1] if run.root_cause else ()
    names = [run.layer_metrics.layers[index] for index in chosen]
    first = names.index(about[0]) if about and about[0] in names else first
    starts = tuple(int(step) for step in edges[:-1])
    found = Numbers(distinct(names), starts, table(mean), table(std), shares, first, len(known))
    if not set(BINS) <= set(run.layer_metrics.values):
        return found
    bins = np.stack([table(run.layer_metrics.values[name]) for name in BINS], axis=-1)
    return found._replace(histograms=_histograms(found, bins, int(edges[-1])))


def _histograms(found: Numbers, bins: Array, end: int) -> Histograms | None:
    """Return the histograms of the columns in which any layer has one; None when all values are constant."""
    usable = np.isfinite(bins).all(axis=-1) & np.isfinite(found.mean) & np.isfinite(found.std) & (found.std > 0)
    columns = np.flatnonzero(usable.any(axis=0))
    if not len(columns):
        return None
    starts = [found.steps[column] for column in columns]
    percents = np.where(usable[..., None], np.round(100 * np.nan_to_num(bins)), 0).astype("int64")
    mean, std = (np.where(usable, values, np.nan)[:, columns] for values in (found.mean, found.std))
    return Histograms(tuple(starts), (*starts[1:], end), mean, std, percents[:, columns])


def describe(numbers: Numbers) -> str:
    """Describe the layer shown first, at the start and at the end, in one or two sentences."""
    name = numbers.layers[numbers.first]
    mean, std = numbers.mean[numbers.first], numbers.std[numbers.first]
    known = np.flatnonzero(np.isfinite(mean) & np.isfinite(std))
    if not len(known):
        return f"{count(numbers.measured, 'layer')}; no finite values were measured in {name}."
    ends = [f"{number(float(mean[at]))} ± {number(float(std[at]))}" for at in (known[0], known[-1])]
    text = f"{name}: mean ± std {ends[0]} at step {numbers.steps[known[0]]:,}, {ends[1]} at the end."
    for share, words in _SHARES.items():
        values = numbers.shares[share][numbers.first] if share in numbers.shares else np.empty(0)
        values = values[np.isfinite(values)]
        if len(values) and values[-1] > 0:
            text += f" {words.capitalize()}: {percent(float(values[-1]))}."
    if len(numbers.layers) < numbers.measured:
        text += f" {len(numbers.layers)} of {numbers.measured:,} layers are selectable (the most unusual ones)."
    return text


def draw(numbers: Numbers) -> Figure:
    """Draw histograms or mean ± std, and the shares on the right axis.

    A list selects the layer.
    """
    choice = alt.binding_select(options=list(range(len(numbers.layers))), labels=list(numbers.layers), name="Layer ")
    layer = alt.param(name="layer", value=numbers.first, bind=choice)
    steps = alt.param(name="activation_steps", value=list(numbers.steps))
    chosen = (
        alt.Chart()
        .transform_filter("datum.layer === layer")
        .transform_calculate(column="sequence(length(datum.mean))")
        .transform_flatten(["mean", "std", *numbers.shares, "column"])
        .transform_calculate(step="activation_steps[datum.column]")
    )
    band = chosen.transform_filter("isValid(datum.mean) && isValid(datum.std)").transform_calculate(
        low="datum.mean - datum.std", high="datum.mean + datum.std"
    )
    x = alt.X("step:Q", axis=alt.Axis(title="optimizer step", tickCount=6, tickMinStep=1), scale=alt.Scale(nice=False))
    y = alt.Y("low:Q", axis=alt.Axis(title="activation", format="~g"), scale=alt.Scale(zero=False))
    tooltip = [
        alt.Tooltip("step:Q", format=","),
        alt.Tooltip("mean:Q", format=".3~g"),
        alt.Tooltip("std:Q", title="std", format=".3~g"),
        *(alt.Tooltip(f"{name}:Q", title=words, format=".1%") for name, words in _drawn(numbers)),
    ]
    if numbers.histograms is None:
        behind = band.mark_area(color=BLUE, opacity=0.22).encode(x=x, y=y, y2="high:Q", tooltip=tooltip)
        colour, times = BLUE, []
    else:
        behind, colour = _density(x, y), INK
        times = [
            alt.param(name="histogram_steps", value=list(numbers.histograms.steps)),
            alt.param(name="histogram_ends", value=list(numbers.histograms.ends)),
        ]
    middle = band.mark_line(color=colour, strokeWidth=2).encode(x=x, y=alt.Y("mean:Q"), tooltip=tooltip)
    zero = alt.Chart(rows(value=[0.0])).mark_rule(color=GREY, strokeDash=[3, 3]).encode(y="value:Q")
    left = alt.layer(behind, middle, zero)
    if numbers.shares:
        right = alt.layer(*_share_lines(chosen, numbers, x))
        left = alt.layer(left, right).resolve_scale(y="independent")
    figure = themed(left.add_params(layer, steps, *times), height=220)
    figure.data = _data(numbers)  # last: every step above copies the data of the figure
    return figure


def _density(x: alt.X, y: alt.Y) -> Figure:
    """Draw one histogram per time bin; opacity is proportional to the share of values."""
    width = BIN_EDGES[1] - BIN_EDGES[0]
    cells = (
        alt.Chart()
        .transform_filter("datum.layer === layer")
        .transform_calculate(place="sequence(length(datum.bins))")
        .transform_flatten(["bins", "place"])
        .transform_calculate(bin=f"sequence({len(BINS)})")
        .transform_flatten(["bins", "bin"])
        .transform_filter("datum.bins > 0")
        .transform_calculate(
            step="histogram_steps[datum.place]",
            end="histogram_ends[datum.place]",
            under=f"datum.at[datum.place] + ({BIN_EDGES[0] - width} + {width} * datum.bin) * datum.wide[datum.place]",
            high=f"datum.under + {width} * datum.wide[datum.place]",
            # The output of a rectifier is never negative, although the bin of its zeros extends below zero.
            low="isValid(datum.dead) && isValid(datum.dead[0]) ? max(0, datum.under) : datum.under",
        )
        .transform_filter("datum.high > datum.low")
    )
    strength = alt.Opacity("bins:Q", scale=alt.Scale(type="sqrt", domain=[0, 100], range=[0.04, 1]), legend=None)
    tooltip = [
        alt.Tooltip("step:Q", format=","),
        alt.Tooltip("low:Q", title="from", format=".3~g"),
        alt.Tooltip("high:Q", title="to", format=".3~g"),
        alt.Tooltip("bins:Q", title="percent of values"),
    ]
    drawn: Figure = cells.mark_rect(color=BLUE, stroke=None).encode(
        x=x, x2="end:Q", y=y, y2="high:Q", opacity=strength, tooltip=tooltip
    )
    return drawn


def _drawn(numbers: Numbers) -> list[tuple[str, str]]:
    return [(name, words) for name, words in _SHARES.items() if name in numbers.shares]


def _share_lines(chosen: alt.Chart, numbers: Numbers, x: alt.X) -> list[Figure]:
    styles = {"zeros": (GREY, [2, 2]), "dead": (VERMILION, [6, 3]), "saturated": (PURPLE, [8, 2, 2, 2])}
    words = [words for _, words in _drawn(numbers)]
    colours = alt.Scale(domain=words, range=[styles[name][0] for name, _ in _drawn(numbers)])
    dashes = alt.Scale(domain=words, range=[styles[name][1] for name, _ in _drawn(numbers)])
    axis = alt.Axis(title="share", format=".0%", orient="right", grid=False)
    y = alt.Y("share:Q", axis=axis, scale=alt.Scale(domain=[0, 1]))
    lines = (
        chosen.transform_fold([name for name, _ in _drawn(numbers)], as_=["name", "share"])
        .transform_filter("isValid(datum.share)")
        .transform_calculate(shown=_named(numbers))
        .mark_line(strokeWidth=1.6)
    )
    legend = alt.Legend(title=None, symbolType="stroke")
    colour = alt.Color("shown:N", scale=colours, legend=legend)
    drawn: Figure = lines.encode(x=x, y=y, color=colour, strokeDash=alt.StrokeDash("shown:N", scale=dashes))
    return [drawn]


def _named(numbers: Numbers) -> str:
    pairs = _drawn(numbers)
    return " : ".join([f"datum.name === '{name}' ? '{words}'" for name, words in pairs] + ["''"])


def _data(numbers: Numbers) -> alt.InlineData:
    def plain(values: Array) -> list[Any]:
        return [significant(float(value), 3) for value in values]

    def histogram(index: int) -> dict[str, Any]:
        found = numbers.histograms
        if found is None:
            return {}
        return {
            "bins": found.percent[index].tolist(),
            "at": plain(found.mean[index]),
            "wide": plain(found.std[index]),
        }

    return alt.InlineData(
        values=[
            {
                "layer": index,
                "mean": plain(numbers.mean[index]),
                "std": plain(numbers.std[index]),
                **{name: plain(numbers.shares[name][index]) for name, _ in _drawn(numbers)},
                **histogram(index),
            }
            for index in range(len(numbers.layers))
        ]
    )


def _oddness(run: Run, layers: Array) -> Array:
    """Score how unusual each layer is at its worst: decades of its std from 1, plus dead or saturated shares."""
    std = np.asarray(run.layer_metrics.values["activation_std"], dtype="float64")[:, layers]
    with np.errstate(divide="ignore", invalid="ignore"):
        decades = np.abs(np.log10(np.where(np.isfinite(std) & (std > 0), std, 1.0))).max(axis=0)
    for name in ("dead", "saturated"):
        if name in run.layer_metrics.values:
            share = np.nan_to_num(np.asarray(run.layer_metrics.values[name], dtype="float64")[:, layers], nan=0.0).clip(
                0, 1
            )
            decades = decades + share.max(axis=0)
    odd: Array = decades
    return odd
