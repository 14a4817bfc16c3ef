"""How the layers of one run differ from those of another at the same steps: ratios, and shares in points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np

from babysit.plots.aggregation import Aggregation
from babysit.plots.formatting import count, number, percent
from babysit.plots.heatmap_data import Cells, MetricScale, binned, time_edges
from babysit.plots.heatmap_drawing import draw_cells
from babysit.plots.layer_groups import group_layers
from babysit.plots.theme import Figure
from babysit.records.arrays import Array
from babysit.records.layer_metrics import LayerMetrics
from babysit.records.run import Run

Numbers: TypeAlias = Cells

# Blue-orange keeps two sides apart for every kind of colour blindness. A hundredfold and all units are the ends.
DRAWN: Final = (
    MetricScale("gradient_rms", "gradient size, B / A", "blueorange", -2.0, 2.0, Aggregation.MEDIAN, log=True),
    MetricScale("update_ratio", "update / weight, B / A", "blueorange", -2.0, 2.0, Aggregation.MEDIAN, log=True),
    MetricScale(
        "activation_std", "spread of activations, B / A", "blueorange", -2.0, 2.0, Aggregation.MEDIAN, log=True
    ),
    MetricScale("weight_rms", "weight size, B / A", "blueorange", -2.0, 2.0, Aggregation.MEDIAN, log=True),
    MetricScale("dead", "dead units, B - A", "blueorange", -1.0, 1.0, Aggregation.HIGHEST),
    MetricScale("saturated", "saturated units, B - A", "blueorange", -1.0, 1.0, Aggregation.HIGHEST),
)


def numbers(runs: Sequence[Run]) -> Numbers | None:
    """B against A where both measured the same layers; None for more than two runs, or none in common."""
    if len(runs) != 2:
        return None
    one, other = runs[0].layer_metrics, runs[1].layer_metrics
    known = set(other.layers)
    shared = tuple(name for name in dict.fromkeys(one.layers) if name in known)
    if not shared or not len(one.steps) or not len(other.steps):
        return None
    last = min(int(one.steps[-1]), int(other.steps[-1]))
    both = [_part(layer_metrics, shared, last) for layer_metrics in (one, other)]
    if not all(len(layer_metrics.steps) for layer_metrics in both):
        return None
    # Columns in which the one that was sampled less often was sampled: the other's last value stands in between.
    edges, log_time = time_edges(min((np.asarray(layer_metrics.steps) for layer_metrics in both), key=len))
    folds = group_layers(shared)
    tables = [binned(layer_metrics, DRAWN, folds=folds, edges=edges) for layer_metrics in both]
    found = {}
    for metric in DRAWN:
        if all(metric.name in table for table in tables):
            with np.errstate(invalid="ignore"):  # 0 against 0, or infinite against infinite: nothing to say
                change = _carried(tables[1][metric.name]) - _carried(tables[0][metric.name])
            if not np.isnan(change).all():
                found[metric.name] = change
    if not found:
        return None
    drawn = tuple(metric for metric in DRAWN if metric.name in found)
    starts, ends = tuple(edges[:-1].tolist()), tuple(edges[1:].tolist())
    return Cells(drawn, found, folds, starts, ends, log_time, len(shared), (), next(iter(found)))


def describe(numbers: Numbers) -> str:
    """The figure in a few sentences: the largest change of each statistic."""
    said = [f"B against A in {count(numbers.layers, 'layer')} that both have, up to step {numbers.ends[-1] - 1:,}."]
    for metric in numbers.statistics:
        table = np.where(np.isfinite(numbers.tables[metric.name]), numbers.tables[metric.name], 0.0)
        row, _ = np.unravel_index(int(np.abs(table).argmax()), table.shape)
        value = float(table.flat[int(np.abs(table).argmax())])
        words = metric.words.rpartition(",")[0]
        if metric.log and abs(value) >= np.log10(1.5):
            said.append(f"{words[0].upper()}{words[1:]}: up to ×{number(10**value)} ({numbers.folds[row].label}).")
        elif not metric.log and abs(value) >= 0.05:
            sign = "+" if value > 0 else ""
            said.append(f"{words[0].upper()}{words[1:]}: up to {sign}{percent(value)} ({numbers.folds[row].label}).")
    return " ".join(said if len(said) > 1 else [*said, "No layer differs by half or more."])


def draw(numbers: Numbers) -> Figure:
    """The figure: colour by layer and step, two sides for more and for less, white for the same."""
    return draw_cells(numbers, times=True)


def _part(layer_metrics: LayerMetrics, layers: tuple[str, ...], last: int) -> LayerMetrics:
    """The layer metrics of these layers up to that step."""
    kept = np.asarray(layer_metrics.steps) <= last
    columns = [layer_metrics.layers.index(name) for name in layers]
    values = {name: np.asarray(table)[kept][:, columns] for name, table in layer_metrics.values.items()}
    return LayerMetrics(layers=layers, steps=np.asarray(layer_metrics.steps)[kept], values=values)


def _carried(table: Array) -> Array:
    """Every column without a value takes the one before it."""
    places = np.where(np.isnan(table), 0, np.arange(table.shape[1]))
    carried: Array = np.take_along_axis(table, np.maximum.accumulate(places, axis=1), axis=1)
    return carried
