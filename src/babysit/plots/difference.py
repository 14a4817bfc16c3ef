"""Layer statistics of two runs compared at the same steps: ratios, and differences of shares."""

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

# Blue-orange stays distinguishable with all kinds of color blindness. The ends are a factor of 100 and all units.
DRAWN: Final = (
    MetricScale("gradient_rms", "gradient RMS, B / A", "blueorange", -2.0, 2.0, Aggregation.MEDIAN, log=True),
    MetricScale("update_ratio", "update / weight, B / A", "blueorange", -2.0, 2.0, Aggregation.MEDIAN, log=True),
    MetricScale("activation_std", "activation std, B / A", "blueorange", -2.0, 2.0, Aggregation.MEDIAN, log=True),
    MetricScale("weight_rms", "weight RMS, B / A", "blueorange", -2.0, 2.0, Aggregation.MEDIAN, log=True),
    MetricScale("dead", "dead units, B - A", "blueorange", -1.0, 1.0, Aggregation.HIGHEST),
    MetricScale("saturated", "saturated units, B - A", "blueorange", -1.0, 1.0, Aggregation.HIGHEST),
)


def numbers(runs: Sequence[Run]) -> Numbers | None:
    """Compare B with A where both measured the same layers; None unless exactly two runs share layers."""
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
    # Columns follow the run that was sampled less often; the other's last value is carried forward in between.
    edges, log_time = time_edges(min((np.asarray(layer_metrics.steps) for layer_metrics in both), key=len))
    folds = group_layers(shared)
    tables = [binned(layer_metrics, DRAWN, folds=folds, edges=edges) for layer_metrics in both]
    found = {}
    for metric in DRAWN:
        if all(metric.name in table for table in tables):
            with np.errstate(invalid="ignore"):  # 0 against 0, or infinite against infinite: undefined
                change = _forward_filled(tables[1][metric.name]) - _forward_filled(tables[0][metric.name])
            if not np.isnan(change).all():
                found[metric.name] = change
    if not found:
        return None
    drawn = tuple(metric for metric in DRAWN if metric.name in found)
    starts, ends = tuple(edges[:-1].tolist()), tuple(edges[1:].tolist())
    return Cells(drawn, found, folds, starts, ends, log_time, len(shared), (), next(iter(found)))


def describe(numbers: Numbers) -> str:
    """Describe the largest change of each statistic in a few sentences."""
    sentences = [f"B against A in {count(numbers.layers, 'shared layer')}, up to step {numbers.ends[-1] - 1:,}."]
    for metric in numbers.statistics:
        table = np.where(np.isfinite(numbers.tables[metric.name]), numbers.tables[metric.name], 0.0)
        row, _ = np.unravel_index(int(np.abs(table).argmax()), table.shape)
        value = float(table.flat[int(np.abs(table).argmax())])
        words = metric.words.rpartition(",")[0]
        if metric.log and abs(value) >= np.log10(1.5):
            sentences.append(f"{words[0].upper()}{words[1:]}: up to ×{number(10**value)} ({numbers.folds[row].label}).")
        elif not metric.log and abs(value) >= 0.05:
            sign = "+" if value > 0 else ""
            sentences.append(
                f"{words[0].upper()}{words[1:]}: up to {sign}{percent(value)} ({numbers.folds[row].label})."
            )
    return " ".join(sentences if len(sentences) > 1 else [*sentences, "No layer differs by half or more."])


def draw(numbers: Numbers) -> Figure:
    """Draw color by layer and step on a diverging scale, white for no difference."""
    return draw_cells(numbers, times=True)


def _part(layer_metrics: LayerMetrics, layers: tuple[str, ...], last: int) -> LayerMetrics:
    """Return the metrics of these layers up to that step."""
    selected = np.asarray(layer_metrics.steps) <= last
    columns = [layer_metrics.layers.index(name) for name in layers]
    values = {name: np.asarray(table)[selected][:, columns] for name, table in layer_metrics.values.items()}
    return LayerMetrics(layers=layers, steps=np.asarray(layer_metrics.steps)[selected], values=values)


def _forward_filled(table: Array) -> Array:
    """Forward-fill columns without a value."""
    indices = np.where(np.isnan(table), 0, np.arange(table.shape[1]))
    filled: Array = np.take_along_axis(table, np.maximum.accumulate(indices, axis=1), axis=1)
    return filled
