"""Heat maps: color by layer and step, one statistic at a time."""

from __future__ import annotations

from typing import Any, Final

import altair as alt
import numpy as np

from babysit.plots.heatmap_data import Cells, MetricScale
from babysit.plots.points import rows, significant
from babysit.plots.theme import INK, Figure, step_axis, themed

_VALUE: Final = "datum.log ? format(pow(10, datum.value), '.2~e') : format(datum.value, '.1~%')"
_RATIO: Final = "datum.log ? '×' + format(pow(10, datum.value), '.3~g') : format(datum.value, '+.1~%')"


def draw_cells(numbers: Cells, *, times: bool = False) -> Figure:
    """Draw color by layer and step, the statistic selected from a list; `times`: logarithms are ratios of two runs."""
    drawn = list(numbers.statistics)
    choice = alt.binding_select(
        options=[item.name for item in drawn], labels=[item.words for item in drawn], name="Show "
    )
    shift = int(numbers.log_time)  # a logarithmic axis has no step 0
    height = int(np.clip(len(numbers.folds) * 26, 90, 560))
    figure = (
        alt.Chart(_data(numbers, drawn))
        .mark_rect(x2Offset=0.5)  # half a pixel of overlap: no seams
        .add_params(
            alt.param(name="metric", value=numbers.first, bind=choice),
            alt.param(name="edges", value=[*numbers.starts, numbers.ends[-1]]),
            alt.param(name="rows", value=[group.label for group in numbers.folds]),
        )
        .transform_filter("datum.metric === metric")
        .transform_calculate(column="sequence(length(datum.values))")
        .transform_flatten(["values", "column"], as_=["value", "column"])
        .transform_filter("isValid(datum.value)")
        .transform_calculate(
            start=f"edges[datum.column] + {shift}",
            end=f"edges[datum.column + 1] + {shift}",
            steps="format(edges[datum.column], ',') + ' to ' + format(edges[datum.column + 1] - 1, ',')",
            layer="rows[datum.row]",
            shown=_RATIO if times else _VALUE,
        )
    )
    heat = _encoded(figure, numbers, times=times)
    return themed(alt.layer(heat, _broken_cells(numbers)) if numbers.broken else heat, height=height)


def _encoded(chart: alt.Chart, numbers: Cells, *, times: bool) -> Figure:
    shift = int(numbers.log_time)
    steps = [*numbers.starts, numbers.ends[-1]]
    few = len(numbers.folds) < 25
    time = alt.Scale(
        type="log" if numbers.log_time else "linear", domain=[steps[0] + shift, steps[-1] + shift], nice=False
    )
    names = alt.Axis(
        title=None,
        labelExpr="rows[datum.value]",
        labelFontSize=11 if few else 9,
        labelLimit=230,
        ticks=False,
        domain=False,
    )
    encoded: Figure = chart.encode(
        x=step_axis(log=numbers.log_time, field="start", grid=False).scale(time),
        x2="end:Q",
        y=alt.Y("row:O", axis=names, scale=alt.Scale(paddingInner=0.08 if few else 0)),
        color=_colour(numbers, list(numbers.statistics), times=times),
        tooltip=[
            alt.Tooltip("layer:N"),
            alt.Tooltip("steps:N"),
            alt.Tooltip("words:N", title="metric"),
            alt.Tooltip("shown:N", title="value"),
        ],
    )
    return encoded


def _broken_cells(numbers: Cells) -> Figure:
    """Cover NaN and infinite values in every statistic: nothing else about such a cell matters."""
    shift = int(numbers.log_time)
    data = rows(
        row=[row for row, _, _ in numbers.broken],
        start=[start + shift for _, start, _ in numbers.broken],
        end=[end + shift for _, _, end in numbers.broken],
        value="NaN or infinite values",
    )
    cells: Figure = (
        alt.Chart(data).mark_rect(color=INK).encode(x="start:Q", x2="end:Q", y="row:O", tooltip=alt.Tooltip("value:N"))
    )
    return cells


def _data(numbers: Cells, drawn: list[MetricScale]) -> alt.InlineData:
    values = []
    for metric in drawn:
        low, high = _bounds(numbers, metric)
        table = np.clip(numbers.tables[metric.name], low, high)  # zero and infinity take the ends of the scale
        for index in range(len(numbers.folds)):
            values.append(
                {
                    "metric": metric.name,
                    "words": metric.words,
                    "log": metric.log,
                    "row": index,
                    "values": [significant(value, 3) for value in table[index]],
                }
            )
    return alt.InlineData(values=values)


def _bounds(numbers: Cells, metric: MetricScale) -> tuple[float, float]:
    if metric.low is not None and metric.high is not None:
        return metric.low, metric.high
    table = numbers.tables[metric.name]
    known = table[np.isfinite(table)]
    if not len(known):
        return -1.0, 0.0
    # A few extreme cells must not compress the scale of the rest.
    low, high = np.quantile(known, [0.01, 0.99]).round(2).tolist()
    # Half a decade below all others for exact zeros, above for infinities.
    low, high = low - 0.5 * bool(np.isneginf(table).any()), high + 0.5 * bool(np.isposinf(table).any())
    return low, max(high, low + 1.0)


def _colour(numbers: Cells, drawn: list[MetricScale], *, times: bool) -> alt.Color:
    """Return the color scale: it follows the selected statistic through expressions."""

    def chosen(values: list[Any]) -> alt.ExprRef:
        cases = [f"metric === '{item.name}' ? {value!r}" for item, value in zip(drawn, values, strict=True)]
        return alt.ExprRef(" : ".join([*cases, repr(values[0])]))

    bounds = [_bounds(numbers, item) for item in drawn]
    scale = alt.Scale(
        scheme=chosen([item.scheme for item in drawn]),
        domain=[chosen([low for low, _ in bounds]), chosen([high for _, high in bounds])],
        clamp=True,
    )
    log = " || ".join(f"metric === '{item.name}'" for item in drawn if item.log) or "false"
    decade = "'×' + format(pow(10, datum.value), '~g')" if times else "'1e' + datum.value"
    share = "'+.0%'" if times else "'.0%'"
    label = f"({log}) ? (datum.value % 1 ? '' : {decade}) : format(datum.value, {share})"
    legend = alt.Legend(title=None, labelExpr=label, orient="right", gradientThickness=12, tickCount=5)
    return alt.Color("value:Q", scale=scale, legend=legend)
