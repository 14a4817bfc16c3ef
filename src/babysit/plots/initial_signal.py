"""Activation and gradient scale at initialization, by depth."""

from __future__ import annotations

from typing import Final, NamedTuple

import altair as alt
import numpy as np

from babysit.plots.formatting import number
from babysit.plots.names import distinct
from babysit.plots.points import rows
from babysit.plots.theme import BLUE, GREY, SHAPES, VERMILION, Figure, log_axis, log_scale, themed
from babysit.records.arrays import Array
from babysit.records.run import Run

_CURVES: Final = {"activation_std": "activation std", "gradient_rms": "gradient RMS"}
_COLOURS: Final = (BLUE, VERMILION)


class Numbers(NamedTuple):
    """Depth (from 1) and value of every measured layer, by legend label; zeros are excluded and counted."""

    curves: dict[str, tuple[tuple[int, ...], tuple[float, ...]]]
    names: tuple[str, ...]
    step: int
    zeros: int


def numbers(run: Run) -> Numbers | None:
    """Return the first sampled step of a run by depth, or None when fewer than two layers were measured."""
    if not len(run.layer_metrics.steps) or len(run.layer_metrics.layers) < 2:
        return None
    curves = {}
    zeros = 0
    for metric, words in _CURVES.items():
        table = run.layer_metrics.values.get(metric)
        if table is None:
            continue
        first: Array = np.asarray(table[0], dtype="float64")
        known = np.flatnonzero(np.isfinite(first) & (first > 0))
        zeros += int((first == 0).sum())
        if len(known) >= 2:
            curves[words] = (tuple((known + 1).tolist()), tuple(first[known].tolist()))
    return (
        Numbers(curves, distinct(run.layer_metrics.layers), int(run.layer_metrics.steps[0]), zeros) if curves else None
    )


def describe(numbers: Numbers) -> str:
    """Describe the figure in one or two sentences."""
    sentences = []
    for words, (_, values) in numbers.curves.items():
        sentence = f"{words[0].upper() + words[1:]}: {number(values[0])} at the first layer, {number(values[-1])}"
        sentences.append(f"{sentence} at the last.")
    if numbers.zeros:
        sentences.append(f"{numbers.zeros:,} exact zeros are not drawn.")
    if numbers.step > 0:
        sentences.append(f"Measured at step {numbers.step:,}, the first sampled one.")
    return " ".join(sentences)


def draw(numbers: Numbers) -> Figure:
    """Draw both curves by depth on one log axis; level is good, a steep slope is not."""
    values = [value for _, curve in numbers.curves.values() for value in curve]
    low, high = min(values), max(values)
    y = alt.Y("value:Q", scale=log_scale(low, high), axis=log_axis("value (log)", low, high))
    data = rows(
        depth=[depth for depths, _ in numbers.curves.values() for depth in depths],
        value=values,
        curve=[words for words, (depths, _) in numbers.curves.items() for _ in depths],
        layer=[numbers.names[depth - 1] for depths, _ in numbers.curves.values() for depth in depths],
    )
    words = list(numbers.curves)
    axis = alt.Axis(title="depth (1 = first layer)", tickMinStep=1, tickCount=min(10, len(numbers.names)), format="d")
    colour = alt.Color("curve:N", title=None, scale=alt.Scale(domain=words, range=list(_COLOURS)))
    shape = alt.Shape("curve:N", title=None, scale=alt.Scale(domain=words, range=list(SHAPES)))
    tooltip = ["layer:N", "depth:Q", "curve:N", alt.Tooltip("value:Q", format=".3~g")]
    line = alt.Chart(data).mark_line().encode(x=alt.X("depth:Q", axis=axis, scale=_depth(numbers)), y=y, color=colour)
    size = 36 if len(numbers.names) <= 60 else 10
    points = alt.Chart(data).mark_point(filled=True, size=size, opacity=1)
    level = alt.Chart(rows(value=[1.0])).mark_rule(color=GREY, strokeDash=[3, 3]).encode(y=y)
    layers = [level] if low <= 1.0 <= high else []
    return themed(
        alt.layer(*layers, line, points.encode(x="depth:Q", y=y, color=colour, shape=shape, tooltip=tooltip)),
    )


def _depth(numbers: Numbers) -> alt.Scale:
    return alt.Scale(domain=[1, len(numbers.names)], nice=False, padding=8)
